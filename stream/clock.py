"""The one clock. Cores never read it: shells pass `now_ns` in."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock."""

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary origin; never goes back."""


class MonotonicClock:
    """The operating system's monotonic clock."""

    def now_ns(self) -> int:
        """Nanoseconds of `time.monotonic_ns`."""
        return time.monotonic_ns()
