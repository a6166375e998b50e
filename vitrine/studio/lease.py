"""The holder's side of a lease ([C]): when to extend it, and what is known of it when the registry is silent.

The holder counts from the moment it *asked*, the registry from the moment it answered: seen from here a lease
always ends first. One that ran out unanswered is not lost, though. While nobody can be asked, the show goes
on for those who watch here; the fence sees to it that nothing of it reaches anybody once another node holds
the stream, and the next answer tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from overlay.bus.registry import Lease

MS = 1_000_000


class Standing(Enum):
    """What a node knows of a lease it was given."""

    HELD = "held"
    """It is this node's for sure."""
    UNSURE = "unsure"
    """It ran out without an answer; nobody else is known to have it."""
    LOST = "lost"
    """It is another node's, or nobody's."""


@dataclass(slots=True)
class HeldLease:
    """One lease, as its holder keeps it.

    Attributes:
        lease: as last confirmed; names the successor once it is lost.
        asked_ns: when that was asked for.
    """

    lease: Lease
    asked_ns: int
    _tried_ns: int = 0
    _lost: bool = False

    def standing(self, now_ns: int) -> Standing:
        """What is known at `now_ns`."""
        if self._lost:
            return Standing.LOST
        in_time = now_ns < self.asked_ns + self.lease.left_ms * MS
        return Standing.HELD if in_time else Standing.UNSURE

    def due(self, now_ns: int) -> bool:
        """It is to be extended: a quarter of its time has passed since it was, or since that was tried."""
        since_ns = max(self.asked_ns, self._tried_ns)
        return not self._lost and now_ns - since_ns >= self.lease.left_ms * MS // 4

    def asking(self, now_ns: int) -> None:
        """The registry is being asked to extend it."""
        self._tried_ns = now_ns

    def answered(self, answer: Lease, asked_ns: int) -> Standing:
        """The registry answered what was asked at `asked_ns`."""
        if (answer.node, answer.fence) == (self.lease.node, self.lease.fence):
            self.lease, self.asked_ns = answer, asked_ns
        else:
            self.lease, self._lost = answer, True
        return self.standing(asked_ns)

    def age_ms(self, now_ns: int) -> int:
        """Since it was last confirmed."""
        return (now_ns - self.asked_ns) // MS
