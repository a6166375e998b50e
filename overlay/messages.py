"""Wire messages between the gateway and a viewer, JSON over websocket, version 1.

`docs/protocol.md` tells the same in words, with examples. Every message is an object with a tag ``t``.
Positions are full state and may be skipped (latest wins); events are ordered by ``seq`` and never skipped.
Coordinates are integers 0..10000 of the displayed picture. RTP timestamps are unsigned 32-bit.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from overlay.errors import MessageError

VERSION = 1
COORD = 10_000
"""Coordinate scale: 0..COORD across the picture."""

MAX_INBOUND_BYTES = 1024
MAX_BACK_MS = 60_000
"""How far back a viewer who joins may ask for positions."""

EXACT, SIMILAR, UNSURE = 0, 1, 2
"""Match states on the wire."""

U16 = Annotated[int, Meta(ge=0, le=0xFFFF)]
U32 = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
ShortId = Annotated[str, Meta(min_length=1, max_length=64)]


# ---- server to viewer ------------------------------------------------------------------------------------


class Spot(Struct, frozen=True, array_like=True):
    """One hotspot: ``[id, pid, state, flags, x0, y0, x1, y1]``. flags bit 0: pinned."""

    id: U32
    pid: U16
    state: int
    flags: int
    x0: int
    y0: int
    x1: int
    y1: int


class Sample(Struct, frozen=True, array_like=True):
    """Hotspots of one frame: ``[epoch, rtp, measured, spots]``. measured 1: a detection of this frame."""

    epoch: U32
    rtp: U32
    measured: int
    spots: tuple[Spot, ...]


class Positions(Struct, frozen=True, tag_field="t", tag="pos"):
    """Newest measured sample and, if newer, the newest predicted one, oldest first. Latest wins."""

    s: tuple[Sample, ...]


class Card(Struct, frozen=True, omit_defaults=True):
    """What a viewer is shown of a product.

    Attributes:
        pid: 16-bit number used by positions of this stream.
        label: disclosure shown with it ("Paid placement by ..."), empty when organic and own shop.
        third_party: sold by somebody else than the host's own shop.
    """

    pid: U16
    id: str
    title: str
    price: str
    link: str
    image: str
    seller: str
    availability: str = "in_stock"
    sale_price: str = ""
    brand: str = ""
    description: str = ""
    label: str = ""
    third_party: bool = False


class ProductsEvent(Struct, frozen=True, tag_field="k", tag="products"):
    """The show's products, all of them; replaces the earlier list."""

    products: tuple[Card, ...]


class PinEvent(Struct, frozen=True, tag_field="k", tag="pin"):
    """The host pinned (or released) a product."""

    pid: U16
    on: bool


class HideEvent(Struct, frozen=True, tag_field="k", tag="hide"):
    """The host hid (or showed again) a product's hotspots."""

    pid: U16
    on: bool


class AvailabilityEvent(Struct, frozen=True, tag_field="k", tag="availability"):
    """Stock or price changed."""

    pid: U16
    availability: str
    price: str = ""


class LiveEvent(Struct, frozen=True, tag_field="k", tag="live"):
    """A publisher connection began. offset: the viewers' RTP timestamp minus the publisher's, modulo 2^32."""

    epoch: U32
    offset: U32
    latency_ms: int


class LatencyEvent(Struct, frozen=True, tag_field="k", tag="latency"):
    """The engine's latency changed: hold video back by this much so that boxes arrive first."""

    latency_ms: int


class EndedEvent(Struct, frozen=True, tag_field="k", tag="ended"):
    """The publisher went away; hotspots are to be hidden, products stay."""

    reason: str


EventBody: TypeAlias = (
    ProductsEvent | PinEvent | HideEvent | AvailabilityEvent | LiveEvent | LatencyEvent | EndedEvent
)


class Event(Struct, frozen=True, tag_field="t", tag="evt"):
    """One entry of the stream's ordered log. Contiguous: a gap means messages were lost."""

    seq: int
    ev: EventBody


class Epoch(Struct, frozen=True, array_like=True):
    """``[epoch, offset]``: see `LiveEvent`."""

    epoch: U32
    offset: U32


class Snapshot(Struct, frozen=True, tag_field="t", tag="snap"):
    """First message of every connection: everything needed to draw.

    Attributes:
        log: names this stream's event log; a resume with another log cannot be replayed.
        seq: last event contained.
        recovered: True when the missed events follow one by one instead (then the rest is as of `seq`).
    """

    v: int
    stream: str
    log: str
    seq: int
    live: bool
    latency_ms: int
    epochs: tuple[Epoch, ...] = ()
    products: tuple[Card, ...] = ()
    pinned: tuple[U16, ...] = ()
    hidden: tuple[U16, ...] = ()
    pos: Positions | None = None
    recovered: bool = False


class TapResult(Struct, frozen=True, tag_field="t", tag="card"):
    """Answer to a tap: the card, or why there is none. The same id always gets the same answer."""

    id: str
    hit: bool
    state: str = "unsure"
    card: Card | None = None
    reason: str = ""


class ErrorMessage(Struct, frozen=True, tag_field="t", tag="err"):
    """What was wrong with a message; the connection stays open unless a close follows."""

    code: str
    message: str


ServerMessage: TypeAlias = Snapshot | Positions | Event | TapResult | ErrorMessage


# ---- viewer to server ------------------------------------------------------------------------------------


class Resume(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a reconnecting viewer stopped."""

    log: ShortId
    seq: Annotated[int, Meta(ge=0)]


class Hello(Struct, frozen=True, tag_field="t", tag="hello", forbid_unknown_fields=True):
    """First message of a viewer, within five seconds.

    Attributes:
        back_ms: its picture is behind (a playlist): it also needs the measured positions of so long ago.
    """

    v: int
    resume: Resume | None = None
    back_ms: Annotated[int, Meta(ge=0, le=MAX_BACK_MS)] = 0


class Tap(Struct, frozen=True, tag_field="t", tag="tap", forbid_unknown_fields=True):
    """A tap at (x, y) of the picture while frame (epoch, rtp) was on screen.

    Attributes:
        id: made by the viewer, unique per tap; repeating it repeats the answer.
        h: hotspot the viewer's page hit; checked against history. None: the server looks at (x, y).
        pid: product that hotspot bore; without `h`, product tapped in the product list (x, y do not matter).
    """

    id: ShortId
    x: Unit
    y: Unit
    epoch: U32
    rtp: U32
    h: U32 | None = None
    pid: U16 | None = None


class Report(Struct, frozen=True, tag_field="t", tag="report", forbid_unknown_fields=True):
    """A viewer's own measurements since its last report, every few seconds.

    Attributes:
        frames: video frames painted.
        with_box: of those, painted with a sample of their own or interpolated between two.
        age_ms: p50, p95 of the overlay's age: media time on screen minus newest measured sample, >= 0.
        fps: painted per second.
    """

    frames: Annotated[int, Meta(ge=0, le=100_000)]
    with_box: Annotated[int, Meta(ge=0, le=100_000)]
    age_ms: tuple[Annotated[float, Meta(ge=0, le=600_000)], Annotated[float, Meta(ge=0, le=600_000)]]
    fps: Annotated[float, Meta(ge=0, le=1000)]


class Seen(Struct, frozen=True, tag_field="t", tag="seen", forbid_unknown_fields=True):
    """Impressions: products whose hotspot was at least half visible for one second (GA4 view_promotion)."""

    pids: Annotated[tuple[U16, ...], Meta(max_length=32)]


class Want(Struct, frozen=True, tag_field="t", tag="want", forbid_unknown_fields=True):
    """What this viewer needs of the positions, from now on; all of them until it says otherwise.

    Attributes:
        predicted: False: its video is held back long enough for every frame's detection to be there first.
            It is then sent predictions only while detections are later than that.
    """

    predicted: bool


ViewerMessage: TypeAlias = Hello | Tap | Report | Seen | Want

_decoder: msgspec.json.Decoder[ViewerMessage] = msgspec.json.Decoder(ViewerMessage)
_encoder = msgspec.json.Encoder()
_server_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)


def decode_viewer(data: bytes | str) -> ViewerMessage:
    """Decode one inbound message.

    Raises:
        MessageError: too long, not JSON, or not one of the messages above; says which field.
    """
    size = len(data)
    if size > MAX_INBOUND_BYTES:
        raise MessageError(
            f"message of {size} bytes, expected at most {MAX_INBOUND_BYTES}", code="message-too-long"
        )
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(
            f"message not understood: {error}; expected one of hello, tap, report, seen, want",
            code="message-invalid",
        ) from None


def encode(message: ServerMessage) -> bytes:
    """Encode one outbound message as UTF-8 JSON."""
    return _encoder.encode(message)


def decode_server(data: bytes | str) -> ServerMessage:
    """Decode what `encode` made: for clients written in Python and for the bus."""
    return _server_decoder.decode(data)
