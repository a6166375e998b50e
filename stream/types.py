"""What flows out of `stream`: media time, frames, encoded frames, and the seams around them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType, Protocol

import numpy as np
from numpy.typing import NDArray

Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
"""Red, green and blue, uint8 (height, width) each; rows may lie apart in memory."""

Corners = tuple[float, float, float, float]
"""A rectangle: x0 y0 x1 y1, 0..1 of the displayed picture."""

StreamId = NewType("StreamId", str)
"""Name of a stream: 1..64 of ``a-z 0-9 - _``, starting with a letter or digit. Make one with `stream_id`."""

RTP_CLOCK_HZ = 90_000
"""RTP clock rate of every video payload format used here (RFC 6184, RFC 7741)."""

_STREAM_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def stream_id(text: str) -> StreamId:
    """Check `text` and return it as a `StreamId`.

    Raises:
        ValueError: not 1..64 characters of a-z, 0-9, ``-``, ``_`` beginning with a letter or digit.
    """
    if not _STREAM_ID.fullmatch(text):
        raise ValueError(
            f"stream name: got {text[:80]!r}, expected 1 to 64 characters of a-z 0-9 - _ "
            "beginning with a letter or digit"
        )
    return StreamId(text)


@dataclass(frozen=True, slots=True, order=True)
class MediaTime:
    """The key of every overlay: which publisher connection, and which frame of it.

    Attributes:
        epoch: number of the publisher connection, 1 and up; a reconnect is a new epoch.
        rtp: unsigned 32-bit RTP timestamp (90 kHz) as on the wire of that connection. Wraps.
    """

    epoch: int
    rtp: int


class Pixels(Protocol):
    """A decoded picture that converts lazily: a dropped frame never pays for colour conversion.

    Not thread-safe: one consumer at a time. Returned arrays are owned by the caller.
    """

    @property
    def width(self) -> int:
        """Displayed width in pixels."""

    @property
    def height(self) -> int:
        """Displayed height in pixels."""

    def rgb(self) -> NDArray[np.uint8]:
        """Full resolution, (height, width, 3), RGB: 2.8 MB at 720p. Ask only for what needs it."""

    def scaled(self, width: int, height: int, order: str = "bgr") -> NDArray[np.uint8]:
        """Scale and convert in one pass.

        Args:
            width: pixels, >= 1. The aspect ratio is the caller's business.
            height: pixels, >= 1.
            order: ``"bgr"`` or ``"rgb"`` (height, width, 3), or ``"gray"`` (height, width): luma.
        """

    def planes(self, width: int, height: int) -> Planes:
        """Scale and convert in one pass, red, green and blue apart: what a model's input is filled from.

        Args:
            width: pixels, >= 1. The aspect ratio is the caller's business.
            height: pixels, >= 1.

        Returns:
            Views, read-only: nothing is copied.
        """

    def crop(self, box: tuple[float, float, float, float], size: int) -> NDArray[np.uint8]:
        """Cut `box` (x0 y0 x1 y1, 0..1 of the picture, clipped) and squash it to (size, size, 3) RGB."""

    def part(self, box: Corners) -> tuple[Pixels, Corners]:
        """The rectangle `box` (x0 y0 x1 y1, 0..1, clipped) as a picture of its own.

        Returns:
            It, and which rectangle of this picture it really is: whole pixels, even ones where colours need
            it. It has no motion vectors.
        """

    def motion_vectors(self) -> NDArray[np.float32] | None:
        """Codec motion, float32 (n, 4): centre x, y and shift dx, dy since the previous frame, all 0..1.

        None where the codec has none (VP8, an I-frame).
        """


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame.

    Attributes:
        stream: whose it is.
        time: its key on the wire.
        pts_ns: monotonic media time of the stream in nanoseconds, continuing across epochs.
        arrived_ns: `Clock.now_ns` when the last packet of the frame had arrived.
        decoded_ns: `Clock.now_ns` when the decoder returned it.
        pixels: the picture.
        keyframe: it was intra-coded.
    """

    stream: StreamId
    time: MediaTime
    pts_ns: int
    arrived_ns: int
    decoded_ns: int
    pixels: Pixels
    keyframe: bool = False


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One encoded access unit (video) or packet (audio), as published; never re-encoded.

    Attributes:
        codec: ``"H264"`` (Annex B), ``"VP8"`` or ``"opus"``.
        time: its key on the wire; for audio the RTP timestamp counts at 48 kHz.
        data: payload of the whole frame.
        keyframe: decoding may start here (always True for audio).
        arrived_ns: `Clock.now_ns` of its last packet.
    """

    codec: str
    time: MediaTime
    data: bytes
    keyframe: bool
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source turned out to be, for people: shown to hosts and operators.

    Attributes:
        codec: video codec as received (``"H264"``, ``"VP8"``, ``"hevc"``...).
        width: pixels.
        height: pixels.
        transcoded: the encoded frames given to viewers were made here, because the codec or its B-frames
            cannot be passed through WebRTC.
        has_audio: an Opus track is there.
        description: who publishes, in words ("WHIP, Chromium").
    """

    codec: str
    width: int
    height: int
    transcoded: bool
    has_audio: bool
    description: str


@dataclass(frozen=True, slots=True)
class RepublishStatus:
    """How a stream's re-publication is getting on.

    Attributes:
        host: of the endpoint.
        state: ``"waiting"`` for a publisher, ``"connecting"``, ``"sending"`` or ``"retrying"``.
        reason: why the last connection ended or failed, ``""`` before.
        connections: made so far.
        failures: attempts and connections that ended otherwise than with the stream.
    """

    host: str
    state: str
    reason: str
    connections: int
    failures: int


class StreamSink(Protocol):
    """Where a source delivers. Every method is called on the event loop, returns at once and never blocks."""

    def on_started(self, epoch: int, info: SourceInfo) -> None:
        """The first frame of a new publisher connection is here (or its properties changed)."""

    def on_frame(self, frame: Frame) -> None:
        """A decoded frame, in order."""

    def on_encoded(self, frame: EncodedFrame) -> None:
        """An encoded frame, in decoding order, before it is decoded."""

    def wants_pictures(self) -> bool:
        """Pictures are of use to somebody now; while not, a source may leave frames undecoded that it keeps.

        Asked for each encoded frame. Such frames are told by `on_dropped("unwatched")`.
        """

    def next_epoch(self, epoch: int) -> int:
        """The timestamps start anew within a connection (a playlist's may): number of what follows."""

    def on_dropped(self, reason: str, count: int = 1) -> None:
        """Frames that never reached `on_frame`.

        Why: ``"undecodable"``, ``"decoder-full"``, ``"late"``, or ``"unwatched"``, which is no fault.
        """

    def on_ended(self, reason: str) -> None:
        """The publisher went away: ``bye``, ``timeout``, ``replaced``, ``end-of-file`` or ``error: ...``."""


class VideoSource(Protocol):
    """A producer of frames that runs until it ends or is cancelled."""

    async def run(self, sink: StreamSink) -> None:
        """Deliver to `sink` in real time. Returns at the end of the material.

        Raises:
            stream.errors.SourceError: it cannot be opened or breaks off for good.
        """

    def request_keyframe(self) -> None:
        """Ask the origin for an intra-coded frame. Rate-limited by the source; may do nothing."""
