"""How often one viewer is sent positions: every time, or at 15, 7 or 3 a second. No socket, no clock.

When half of what a viewer is offered is overwritten before it can be written, half as many will do: it did
not get the others anyway. What it gets then comes evenly instead of in bursts, and less of it waits in
buffers on the way, so what it shows is younger.
"""

from __future__ import annotations

from dataclasses import dataclass

_SECOND_NS = 1_000_000_000
PER_SECOND = (None, 15, 7, 3)
"""Positions a second by level; None: all of them."""


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """When to change.

    Attributes:
        window_ms: over which written and crowded-out positions are compared.
        crowded: at least so many crowded out in a window, and as many as written, lead to the slower level.
        calm_ms: so long without any leads to the faster level.
        most_calm_ms: what `calm_ms` may double to, when the faster level turns out not to hold.
    """

    window_ms: int = 1_000
    crowded: int = 3
    calm_ms: int = 3_000
    most_calm_ms: int = 24_000


class Pace:
    """One viewer's pace.

    Attributes:
        level: index into `PER_SECOND`.
        active: it has something to decide; while False `due` need not be asked.
    """

    __slots__ = (
        "_calm_since_ns",
        "_crowded",
        "_limits",
        "_next_ns",
        "_patience_ns",
        "_raised_ns",
        "_window_ns",
        "_written",
        "active",
        "level",
    )

    def __init__(self, limits: PaceLimits) -> None:
        self.level = 0
        self.active = False
        self._limits = limits
        self._crowded = 0
        self._written = 0
        self._next_ns = 0
        self._window_ns: int | None = None
        self._calm_since_ns = 0
        self._patience_ns = limits.calm_ms * 1_000_000
        self._raised_ns: int | None = None

    def crowded_out(self) -> None:
        """Positions were overwritten that should have been written."""
        self._crowded += 1
        self.active = True

    def due(self, now_ns: int) -> bool:
        """Whether positions may be written now; when they may they count as written."""
        if self._window_ns is None:
            self._window_ns = self._calm_since_ns = now_ns
        elif now_ns - self._window_ns >= self._limits.window_ms * 1_000_000:
            self._judge(now_ns)
        per_second = PER_SECOND[self.level]
        if per_second is not None:
            if now_ns < self._next_ns:
                return False
            interval_ns = _SECOND_NS // per_second
            # Late by less than half a step is made up for, so that 30 a second halve to 15 and not to 10.
            self._next_ns = max(self._next_ns, now_ns - interval_ns // 2) + interval_ns
        self._written += 1
        return True

    def _judge(self, now_ns: int) -> None:
        """A window is over."""
        if self._crowded:
            self._calm_since_ns = now_ns
        if self._crowded >= max(self._limits.crowded, self._written):
            self._slower(now_ns)
        elif self.level > 0 and now_ns - self._calm_since_ns >= self._patience_ns:
            self.level -= 1
            self._raised_ns = self._calm_since_ns = now_ns
        self.active = self.level > 0 or self._crowded > 0
        self._window_ns = now_ns if self.active else None
        self._crowded = self._written = 0

    def _slower(self, now_ns: int) -> None:
        hasty = self._raised_ns is not None and now_ns - self._raised_ns < self._patience_ns
        limits = self._limits
        most_ns, least_ns = limits.most_calm_ms * 1_000_000, limits.calm_ms * 1_000_000
        self._patience_ns = min(2 * self._patience_ns, most_ns) if hasty else least_ns
        self.level = min(self.level + 1, len(PER_SECOND) - 1)
        self._next_ns = now_ns
        self._raised_ns = None
