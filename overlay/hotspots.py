"""Tracks to hotspots: who may be shown, for how long first, and how many at once.

Boxes are passed on as measured or predicted, never smoothed: a hotspot is keyed to one exact frame, and a
filter that lags would move it off the object of that frame.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.types import FrameResult, MatchState, Outcome, Track
from overlay.types import Hotspot, HotspotFrame, ShowList

_FORGET_NS = 10_000_000_000
"""A track unseen for this much media time starts its dwell anew."""

_INSIDE = 0.6
"""Two hotspots of one product are one object when this share of the smaller box lies in the larger one."""

_RANK = {MatchState.EXACT: 0, MatchState.SIMILAR: 1, MatchState.UNSURE: 2}


@dataclass(frozen=True, slots=True)
class HotspotSettings:
    """Limits on what is shown.

    Attributes:
        max_hotspots: at once; pinned products win, then those already shown, then the surer match.
        min_dwell_ms: media time a track must have been there before it is shown.
        min_side: smallest box side shown, 0..1 of the picture.
        show_similar: show products that are similar, not the same.
        show_unsure: show objects whose product is not known (pid 0).
        never_labels: detector classes that never become hotspots, whatever they match.
    """

    max_hotspots: int = 8
    min_dwell_ms: int = 150
    min_side: float = 0.01
    show_similar: bool = True
    show_unsure: bool = False
    never_labels: frozenset[str] = frozenset({"person", "face", "head", "hand"})


class HotspotProjector:
    """Projects the results of one stream. Results may arrive out of order (a detection that took long)."""

    def __init__(self, settings: HotspotSettings | None = None) -> None:
        self._settings = settings or HotspotSettings()
        self._seen: dict[int, tuple[int, int]] = {}
        self._shown: frozenset[int] = frozenset()
        self._newest_ns = 0

    def project(self, result: FrameResult, shown: ShowList) -> HotspotFrame:
        """All hotspots of the result's frame, in order of id; none where recognition was not agreed to."""
        candidates: list[Hotspot] = []
        for track in result.tracks:
            dwelt = self._dwell(track, result.pts_ns)
            if shown.recognition and dwelt:
                hotspot = self._hotspot(track, shown)
                if hotspot is not None:
                    candidates.append(hotspot)
        chosen = self._cap(candidates, {track.id: track.match.score for track in result.tracks})
        self._forget(result.pts_ns)
        return HotspotFrame(
            stream=result.stream,
            time=result.time,
            measured=result.outcome is Outcome.DETECTED,
            hotspots=tuple(sorted(chosen, key=lambda hotspot: hotspot.id)),
        )

    def _dwell(self, track: Track, pts_ns: int) -> bool:
        if not track.confirmed:
            return False
        first, last = self._seen.get(track.id, (pts_ns, pts_ns))
        self._seen[track.id] = (min(first, pts_ns), max(last, pts_ns))
        return pts_ns - first >= self._settings.min_dwell_ms * 1_000_000

    def _hotspot(self, track: Track, shown: ShowList) -> Hotspot | None:
        settings = self._settings
        box = track.box
        if track.label in settings.never_labels:
            return None
        if box.x1 - box.x0 < settings.min_side or box.y1 - box.y0 < settings.min_side:
            return None
        match = track.match
        pid = shown.pids.get(match.product_id, 0)
        if pid == 0 or match.state is MatchState.UNSURE:
            if not settings.show_unsure:
                return None
            return Hotspot(track.id, 0, "", MatchState.UNSURE, box)
        if match.product_id in shown.hidden:
            return None
        if match.state is MatchState.SIMILAR and not settings.show_similar:
            return None
        return Hotspot(track.id, pid, match.product_id, match.state, box, match.product_id in shown.pinned)

    def _cap(self, candidates: list[Hotspot], scores: dict[int, float]) -> list[Hotspot]:
        def order(hotspot: Hotspot) -> tuple[bool, bool, int, float, int]:
            return (
                not hotspot.pinned,
                hotspot.id not in self._shown,
                _RANK[hotspot.state],
                -scores[hotspot.id],
                hotspot.id,
            )

        chosen: list[Hotspot] = []
        for candidate in sorted(candidates, key=order):
            if not any(_same_object(candidate, taken) for taken in chosen):
                chosen.append(candidate)
        del chosen[self._settings.max_hotspots :]
        self._shown = frozenset(hotspot.id for hotspot in chosen)
        return chosen

    def _forget(self, pts_ns: int) -> None:
        self._newest_ns = max(self._newest_ns, pts_ns)
        oldest = self._newest_ns - _FORGET_NS
        for gone in [key for key, (_, last) in self._seen.items() if last < oldest]:
            del self._seen[gone]


def _same_object(a: Hotspot, b: Hotspot) -> bool:
    """A bottle and its label are detected apart sometimes; one product needs one hotspot there."""
    if a.pid == 0 or a.pid != b.pid:
        return False
    width = min(a.box.x1, b.box.x1) - max(a.box.x0, b.box.x0)
    height = min(a.box.y1, b.box.y1) - max(a.box.y0, b.box.y0)
    smaller = min((box.x1 - box.x0) * (box.y1 - box.y0) for box in (a.box, b.box))
    return width > 0 and height > 0 and width * height >= _INSIDE * smaller
