"""How much less a detection of a low score is worth, learned from how far off such detections were. Pure.

With many detectors boxes of low scores lie further off; with others they lie as well as any, and a filter
that hardly believes them lags for nothing. Nobody knows beforehand, but every stream shows it: if scores tell
something, surprises (measured minus predicted) grow as scores fall. A straight line through surprises over
what the scores foretell, fitted as the measurements come, tells how much of it is true (the noise of
measurements from the innovations they bring: Mehra, IEEE Trans. Automatic Control 15(2), 1970).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

USUAL = 0.9
"""Score of a usual sure detection: surer ones are worth more, whatever is learned of unsure ones."""

FAR = 0.25
"""A surprise larger than this, in sizes, counts as this: the object moved, the detection need not be off."""

MEMORY = 2000
"""Measurements after which old ones count for a third."""

FIRST = 3.0
"""Weight, in measurements, of each of two that stand for what is believed at first: scores tell all."""


class Doubt:
    """Noise of detections by score, for one stream.

    Args:
        measure: standard deviation of a coordinate detected with score 0.83, in sizes...
        slope: ...each point of score changes it by this share, down to half of it, if scores tell all.
    """

    def __init__(self, measure: float, slope: float) -> None:
        self._flat, self._steep = measure * (0.5 + slope), measure * slope
        self._usual = float(self.foretold(np.array([USUAL]))[0])
        # Sums of products of 1, x and y over measurements, (3, 3): x by which share more the score foretells
        # than is usual, y how far off.
        self._sums = _sums(np.array([0.0, 2.0]), self._usual * np.array([1.0, 3.0]), np.full(2, FIRST))
        self._told: float | None = None

    @property
    def told(self) -> float:
        """How far scores tell what they are taken to tell, 0..1."""
        if self._told is None:
            self._told = self._fitted()
        return self._told

    def _fitted(self) -> float:
        (n, x, y), (_, xx, xy), _ = self._sums.tolist()
        spread = n * xx - x * x
        if spread <= 0:
            return 1.0
        rise = (n * xy - x * y) / spread
        # Motion that nothing foretold adds to the usual surprise, and is no noise of detections.
        usual = min((y - rise * x) / n, self._usual)
        return float(min(max(rise / max(usual, 1e-6), 0.0), 1.0))

    def noise(self, scores: NDArray[np.floating]) -> Floats:
        """Standard deviation of a coordinate of detections with these scores (n,), in sizes."""
        foretold = self.foretold(scores)
        return foretold - (1.0 - self.told) * np.maximum(foretold - self._usual, 0.0)

    def foretold(self, scores: NDArray[np.floating]) -> Floats:
        """The same if scores tell all."""
        foretold: Floats = self._flat - self._steep * np.minimum(np.maximum(scores, 0.0), 1.0)
        return foretold

    def learn(self, scores: NDArray[np.floating], off: Floats, weight: Floats) -> None:
        """Detections turned out to be `off` the prediction.

        Args:
            scores: of the detections, (n,).
            off: how far, (n,), in sizes.
            weight: share of it that is the detection's, not the prediction's, (n,) in 0..1.
        """
        if not len(scores):
            return
        x = np.maximum(self.foretold(scores) / self._usual - 1.0, 0.0)
        self._sums = math.exp(-len(scores) / MEMORY) * self._sums + _sums(x, np.minimum(off, FAR), weight)
        self._told = None


def _sums(x: Floats, y: Floats, weight: Floats) -> Floats:
    each = np.array((np.ones(len(x)), x, y))
    sums: Floats = (each * weight) @ each.T
    return sums
