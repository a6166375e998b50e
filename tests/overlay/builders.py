"""Short ways to make what overlay tests need."""

from __future__ import annotations

from inference.types import Box, FrameResult, Match, MatchState, Outcome, Track
from overlay.messages import Card, Sample, Spot, Tap
from overlay.types import Hotspot, HotspotFrame, Product
from stream.types import MediaTime, StreamId

STREAM = StreamId("demo")
MS = 1_000_000
TICKS_PER_MS = 90
BOX = Box(0.1, 0.2, 0.3, 0.4)


class FakeClock:
    """A clock that goes when told to."""

    def __init__(self, now_ns: int = 1_000 * MS) -> None:
        self.ns = now_ns

    def now_ns(self) -> int:
        return self.ns

    def advance_ms(self, ms: float) -> int:
        self.ns += int(ms * MS)
        return self.ns


def card(pid: int = 1, product_id: str = "", price: str = "12.00 EUR") -> Card:
    product_id = product_id or f"product-{pid}"
    return Card(
        pid=pid,
        id=product_id,
        title=product_id.title(),
        price=price,
        link=f"https://shop.example/{product_id}",
        image=f"/images/{product_id}/0",
        seller="Studio North",
    )


def product(product_id: str = "mug-01", **changes: object) -> Product:
    fields: dict[str, object] = {
        "id": product_id,
        "title": "Mug",
        "price": "12.00 EUR",
        "link": "https://shop.example/mug",
        "image_link": "mug.png",
    }
    return Product(**{**fields, **changes})  # type: ignore[arg-type]


def track(
    track_id: int = 7,
    product_id: str = "product-1",
    state: MatchState = MatchState.EXACT,
    *,
    box: Box = BOX,
    label: str = "bottle",
    confirmed: bool = True,
    score: float = 0.8,
) -> Track:
    match = Match(product_id, state, score, 0.2, 5, "seen from 5 views")
    return Track(track_id, box, (0.0, 0.0, 0.0, 0.0), label, 0.9, 0, confirmed, match)


def result(
    *tracks: Track, at_ms: float = 0, outcome: Outcome = Outcome.DETECTED, epoch: int = 1
) -> FrameResult:
    rtp = int(at_ms * TICKS_PER_MS) & 0xFFFFFFFF
    return FrameResult(STREAM, MediaTime(epoch, rtp), int(at_ms * MS), 0, outcome, tracks)


def hotspot(track_id: int = 7, pid: int = 1, box: Box = BOX) -> Hotspot:
    return Hotspot(track_id, pid, f"product-{pid}", MatchState.EXACT, box)


def frame(
    *hotspots: Hotspot, rtp: int = 0, measured: bool = True, epoch: int = 1, stream: StreamId = STREAM
) -> HotspotFrame:
    return HotspotFrame(stream, MediaTime(epoch, rtp & 0xFFFFFFFF), measured, hotspots)


def spot(spot_id: int = 7, pid: int = 1, x0: int = 1000, y0: int = 2000, side: int = 2000) -> Spot:
    return Spot(spot_id, pid, 0, 0, x0, y0, x0 + side, y0 + side)


def sample(*spots: Spot, rtp: int = 0, measured: bool = True, epoch: int = 1) -> Sample:
    return Sample(epoch, rtp & 0xFFFFFFFF, int(measured), spots)


def tap(
    x: float = 0.2,
    y: float = 0.3,
    rtp: int = 0,
    *,
    tap_id: str = "b1f0",
    epoch: int = 1,
    h: int | None = None,
    pid: int | None = None,
) -> Tap:
    return Tap(tap_id, x, y, epoch, rtp & 0xFFFFFFFF, h, pid)
