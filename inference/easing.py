"""Corrections of boxes that viewers look at already are partly eased in, so that they do not jump. Pure.

Boxes were predicted on the frames before a detection; what it corrects is the prediction's error. A small
share of that is made over the next frames: a twelfth of the error, for a frame or two, takes a tenth or more
off the tremble (`benchmarks.track`). Where every frame is detected, nothing was predicted and none is eased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inference.kalman import Floats

LEAP = 0.5
"""A correction by more than this share of its width or height is another place, not a tremble."""


class Easing:
    """What is left of corrections. Centres and sizes are float64 (4,), 0..1 of the picture.

    Args:
        share: of a correction that is eased in; the rest is made at once.
        ease_ms: how long that takes.
    """

    def __init__(self, share: float, ease_ms: float) -> None:
        self._share, self._ease_ns = share, ease_ms * 1e6
        self._off: dict[int, Floats] = {}
        self._since_ns = 0

    def corrected(self, shown: Mapping[int, Floats], belong: Mapping[int, Floats], newest_ns: int) -> None:
        """Boxes `shown` on the newest frame, at `newest_ns`, turned out to `belong` elsewhere."""
        left = self._left(newest_ns)
        off = {
            one: shown[one] + left * self._off.get(one, 0.0) - place
            for one, place in belong.items()
            if one in shown
        }
        self._off = {one: far for one, far in off.items() if (abs(far[:2]) <= LEAP * belong[one][2:]).all()}
        self._since_ns = newest_ns

    def applied(self, state: Floats, ids: Sequence[int], pts_ns: int) -> Floats:
        """`state` (n, 4) of `ids` as it is to be shown at `pts_ns`."""
        left = self._left(pts_ns)
        if left > 0:
            for row, one in enumerate(ids):
                if one in self._off:
                    state[row] += left * self._off[one]
        return state

    def _left(self, pts_ns: int) -> float:
        """Share of the last corrections not yet made; nothing before they were known."""
        if not self._off or self._share <= 0 or pts_ns < self._since_ns:
            return 0.0
        return self._share * max(0.0, 1.0 - (pts_ns - self._since_ns) / self._ease_ns)
