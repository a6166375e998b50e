"""How much of a device may be taken beside the live streams: a share of the time, a little at once. Pure."""

from __future__ import annotations


class Allowance:
    """A token bucket of device time.

    Spending is told after the fact and may overdraw: a job is not cut short, the next one waits longer.

    Args:
        share: of the time, 0..1.
        burst_ns: what may be taken at once after a rest.
    """

    def __init__(self, share: float, burst_ns: int = 200_000_000) -> None:
        self._share, self._burst_ns = share, float(burst_ns)
        self._left_ns = self._burst_ns
        self._at_ns: int | None = None

    def wait_ns(self, now_ns: int) -> int:
        """How long to wait before the next job may begin; 0 when it may begin now."""
        self._earn(now_ns)
        return 0 if self._left_ns > 0 else int(-self._left_ns / self._share) + 1

    def spent(self, took_ns: int, now_ns: int) -> None:
        """A job took so long."""
        self._earn(now_ns)
        self._left_ns -= took_ns

    def _earn(self, now_ns: int) -> None:
        if self._at_ns is not None:
            earned = max(0, now_ns - self._at_ns) * self._share
            self._left_ns = min(self._burst_ns, self._left_ns + earned)
        self._at_ns = now_ns if self._at_ns is None else max(now_ns, self._at_ns)
