"""What the engine knew and showed in the last minutes: whose looks belong to which moment ([C], no clock)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from inference.types import FrameResult, MatchState, Outcome, Track
from overlay.samples import ticks_between
from overlay.types import HotspotFrame
from stream.types import RTP_CLOCK_HZ, MediaTime

EVERY_NS: Final = 200_000_000
"""Decisions are kept this far apart, in media time."""
NEAR_TICKS: Final = RTP_CLOCK_HZ * 3 // 10
"""A decision says nothing about a moment further away."""
SAME_NS: Final = 4_000_000_000
"""A product gone for less was shown all the time."""
MOST_SPANS: Final = 2_000


class Decision(NamedTuple):
    """What was known of one frame; boxes as they were there."""

    time: MediaTime
    pts_ns: int
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A while in which a product had a hotspot.

    Attributes:
        product_id: which.
        first_ns: media time of the stream.
        last_ns: media time of the stream.
        best: the moment at which it was largest.
        best_ns: media time of that moment.
        area: share of the picture that its box took then.
    """

    product_id: str
    first_ns: int
    last_ns: int
    best: MediaTime
    best_ns: int
    area: float


class Sightings:
    """Decisions of the last `keep_ns`, and every while in which a product was shown. Event loop only.

    Attributes:
        newest_ns: media time of the newest result.
    """

    def __init__(self, keep_ns: int) -> None:
        self.newest_ns = 0
        self._keep_ns = keep_ns
        self._decisions: deque[Decision] = deque()
        self._current: dict[str, Shown] = {}
        self._past: deque[Shown] = deque(maxlen=MOST_SPANS)

    def __len__(self) -> int:
        return len(self._decisions)

    def add(self, result: FrameResult, sent: HotspotFrame) -> None:
        """Take in what was published of a frame; only what was detected there counts."""
        self.newest_ns = max(self.newest_ns, result.pts_ns)
        if result.outcome is not Outcome.DETECTED:
            return
        last_ns = self._decisions[-1].pts_ns if self._decisions else None
        if last_ns is None or result.pts_ns - last_ns >= EVERY_NS:
            tracks = tuple(track for track in result.tracks if track.confirmed)
            self._decisions.append(Decision(result.time, result.pts_ns, tracks))
            while result.pts_ns - self._decisions[0].pts_ns > self._keep_ns:
                self._decisions.popleft()
        for spot in sent.hotspots:
            if spot.product_id and spot.state is not MatchState.UNSURE:
                area = (spot.box.x1 - spot.box.x0) * (spot.box.y1 - spot.box.y0)
                self._show(spot.product_id, result, area)

    def near(self, time: MediaTime) -> Decision | None:
        """The decision nearest to a moment; None where there is none near."""
        same = (decision for decision in self._decisions if decision.time.epoch == time.epoch)
        best = min(same, key=lambda one: abs(ticks_between(one.time.rtp, time.rtp)), default=None)
        if best is None or abs(ticks_between(best.time.rtp, time.rtp)) > NEAR_TICKS:
            return None
        return best

    def shown(self, product_id: str) -> tuple[Shown, ...]:
        """When a product was shown, the newest first."""
        found = [span for span in self._past if span.product_id == product_id]
        if product_id in self._current:
            found.append(self._current[product_id])
        return tuple(reversed(found))

    def _show(self, product_id: str, result: FrameResult, area: float) -> None:
        span = self._current.get(product_id)
        if span is not None and result.pts_ns - span.last_ns > SAME_NS:
            self._past.append(span)
            span = None
        if span is None:
            at_ns = result.pts_ns
            span = Shown(product_id, at_ns, at_ns, result.time, at_ns, area)
        elif area > span.area:
            span = replace(span, best=result.time, best_ns=result.pts_ns, area=area)
        self._current[product_id] = replace(span, last_ns=max(span.last_ns, result.pts_ns))
