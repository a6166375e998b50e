"""A clock that is told the time."""

from __future__ import annotations


class FakeClock:
    """Stands still until told."""

    def __init__(self, now_ns: int = 1_000_000_000) -> None:
        self.now = now_ns

    def now_ns(self) -> int:
        return self.now

    def advance_ms(self, milliseconds: float) -> None:
        self.now += int(milliseconds * 1_000_000)
