"""How long viewers should hold their video back so that the exact boxes are there first ([C], no clock)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

MS = 1_000_000


class HoldEstimator:
    """Learns the delay from the engine's own results.

    A frame painted between two measured ones is interpolated, so it has to wait for the *later* of the
    two: for the gap between detections plus the time that one detection takes. That wait, per measured
    frame, is what is learned: the largest but 5 % over the last ten seconds, rounded up to a step. It
    rises at once and falls only after it has been lower for the whole window, because every change makes
    a player stretch or squeeze time.

    Args:
        min_ms: never recommend less.
        max_ms: never recommend more: beyond it, hotspots are predicted rather than the show delayed.
        step_ms: granularity of the recommendation.
        margin_ms: added to what was measured, for the way to the viewer and the browser's own scheduling.
    """

    WINDOW_NS = 10_000 * MS
    MAX_GAP_NS = 1_000 * MS

    def __init__(
        self, *, min_ms: int = 60, max_ms: int = 500, step_ms: int = 20, margin_ms: int = 15
    ) -> None:
        self.current_ms = min_ms
        self._min_ms, self._max_ms = min_ms, max_ms
        self._step_ms, self._margin_ns = step_ms, margin_ms * MS
        self._needs: deque[tuple[int, int]] = deque()
        self._ordered: list[int] = []
        self._last_pts: int | None = None
        self._since_change_ns: int | None = None

    def observe(self, *, pts_ns: int, arrived_ns: int, sent_ns: int) -> int | None:
        """One measured frame was sent. Returns the new recommendation in ms if it changed, else None.

        Args:
            pts_ns: media time of the measured frame.
            arrived_ns: clock at its last packet.
            sent_ns: clock when its overlay was sent.
        """
        previous, self._last_pts = self._last_pts, pts_ns
        if self._since_change_ns is None:
            self._since_change_ns = sent_ns
        if previous is None or not 0 < pts_ns - previous <= self.MAX_GAP_NS:
            return None
        need_ns = (sent_ns - arrived_ns) + (pts_ns - previous)
        self._needs.append((sent_ns, need_ns))
        insort(self._ordered, need_ns)
        while self._needs[0][0] < sent_ns - self.WINDOW_NS:
            _, old_ns = self._needs.popleft()
            del self._ordered[bisect_left(self._ordered, old_ns)]
        wanted = self._wanted_ms()
        lower_long_enough = sent_ns - self._since_change_ns >= self.WINDOW_NS
        if wanted > self.current_ms or (wanted <= self.current_ms - 2 * self._step_ms and lower_long_enough):
            self.current_ms, self._since_change_ns = wanted, sent_ns
            return wanted
        return None

    def _wanted_ms(self) -> int:
        needs = self._ordered
        need_ns = needs[min(len(needs) - 1, int(0.95 * len(needs)))] + self._margin_ns
        steps = -(-need_ns // (self._step_ms * MS))
        return int(min(self._max_ms, max(self._min_ms, steps * self._step_ms)))
