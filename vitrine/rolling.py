"""Statistics over the last seconds ([C]: time is passed in)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vitrine.figures import Percentiles

WINDOW_NS: Final = 10_000_000_000


class Rolling:
    """The newest values of one quantity, at most `capacity` of them and `window_ns` old.

    `add` is O(1) and allocates nothing; a reader pays for the sorting.
    """

    def __init__(self, capacity: int = 2048, window_ns: int = WINDOW_NS) -> None:
        self.window_ns = window_ns
        self._times = np.zeros(capacity, np.int64)
        self._values = np.zeros(capacity, np.float64)
        self._added = 0
        self._first_ns: int | None = None

    def add(self, now_ns: int, value: float = 1.0) -> None:
        """Take one value. `now_ns` must not go back."""
        slot = self._added % self._times.shape[0]
        self._times[slot] = now_ns
        self._values[slot] = value
        self._added += 1
        if self._first_ns is None:
            self._first_ns = now_ns

    def values(self, now_ns: int) -> NDArray[np.float64]:
        """Values of the window that ends at `now_ns`, in no order. A copy."""
        filled = min(self._added, self._times.shape[0])
        recent = self._times[:filled] > now_ns - self.window_ns
        return self._values[:filled][recent]

    def count(self, now_ns: int) -> int:
        """How many values lie in the window."""
        return int(self.values(now_ns).shape[0])

    def total(self, now_ns: int) -> float:
        """Sum of the values in the window."""
        return float(self.values(now_ns).sum())

    def rate(self, now_ns: int) -> float:
        """Values per second over the window, or since the first one where that is shorter (at least 1 s)."""
        if self._first_ns is None:
            return 0.0
        span_ns = min(self.window_ns, max(now_ns - self._first_ns, 1_000_000_000))
        return self.count(now_ns) * 1e9 / span_ns

    def percentiles(self, now_ns: int, scale: float = 1.0) -> Percentiles:
        """p50, p95, p99 of the window (nearest rank), times `scale`; all None when it is empty."""
        values = np.sort(self.values(now_ns))
        if not values.shape[0]:
            return Percentiles()
        p50, p95, p99 = (_rank(values, q) * scale for q in (0.50, 0.95, 0.99))
        return Percentiles(round(p50, 2), round(p95, 2), round(p99, 2))


def _rank(ordered: NDArray[np.float64], q: float) -> float:
    """The smallest value that at least a share `q` of all do not exceed."""
    index = int(np.ceil(q * ordered.shape[0])) - 1
    return float(ordered[max(index, 0)])
