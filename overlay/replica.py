"""A node's copy of a stream's overlay: follows the author, resolves taps, brings viewers up to date."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from msgspec.structs import replace

from overlay.messages import Card, Event, Positions, Resume, Sample, Snapshot
from overlay.samples import SampleHistory, is_newer
from overlay.state import fold
from stream.types import MediaTime


class Applied(Enum):
    """What became of an event."""

    DONE = "done"
    DUPLICATE = "duplicate"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Catchup:
    """What a (re)connecting viewer is sent: the snapshot, then the events, in order."""

    snapshot: Snapshot
    events: tuple[Event, ...] = ()


class OverlayReplica:
    """Follows one stream. Starts from a snapshot; events must follow it without a gap.

    Args:
        snapshot: where to start.
        tail: events that led to it, oldest first, for viewers who resume.
        tail_limit: events kept for them.
        keep_ns: samples of so long are kept for taps, and for viewers whose picture is behind.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        tail: tuple[Event, ...] = (),
        *,
        tail_limit: int = 256,
        keep_ns: int = 20_000_000_000,
    ) -> None:
        self._keep_ns = keep_ns
        self.history = SampleHistory(keep_ns)
        self._state = snapshot
        self._tail: deque[tuple[Event, Snapshot | None]] = deque(maxlen=tail_limit)
        self._newest = snapshot.pos
        self.reset(snapshot, tail)

    @property
    def state(self) -> Snapshot:
        """The state without positions."""
        return self._state

    def reset(self, snapshot: Snapshot, tail: tuple[Event, ...] = ()) -> None:
        """Start again from another snapshot. The history of samples stays, unless it is another log's."""
        if snapshot.log != self._state.log:
            self.history = SampleHistory(self._keep_ns)
            self._newest = None
        self._state = replace(snapshot, pos=None)
        self._newest = snapshot.pos or self._newest
        self._tail.clear()
        self._tail.extend((event, None) for event in tail)

    def apply(self, event: Event) -> Applied:
        """Take in one event. On a gap nothing changes: get the missing ones or a snapshot."""
        if event.seq <= self._state.seq:
            return Applied.DUPLICATE
        if event.seq != self._state.seq + 1:
            return Applied.GAP
        self._tail.append((event, self._state))
        self._state = fold(self._state, event)
        if not self._state.live:
            self._newest = None
        return Applied.DONE

    def positions(self, positions: Positions, now_ns: int) -> tuple[Sample, ...]:
        """Take in positions that arrived at `now_ns`. Returns the samples that are new."""
        added = tuple(sample for sample in positions.s if self.history.add(sample, now_ns))
        if self._state.live and (self._newest is None or _reaches(positions, self._newest)):
            self._newest = positions
        return added

    def product(self, pid: int) -> Card | None:
        """The card of a product of the show."""
        return next((card for card in self._state.products if card.pid == pid), None)

    def catch_up(self, resume: Resume | None = None) -> Catchup:
        """What a viewer needs who is new, or who saw the log up to `resume`: all missed events or none."""
        newest = self._newest or Positions(())
        full = Catchup(replace(self._state, pos=newest))
        if resume is None or resume.log != self._state.log or resume.seq > self._state.seq:
            return full
        missed = [(event, before) for event, before in self._tail if event.seq > resume.seq]
        if len(missed) != self._state.seq - resume.seq:
            return full
        before = missed[0][1] if missed else self._state
        # Where the state at that point is not held, the present one does: events set absolute values.
        start = replace(before or self._state, seq=resume.seq, pos=newest, recovered=True)
        return Catchup(start, tuple(event for event, _ in missed))


def _reaches(positions: Positions, other: Positions) -> bool:
    """`positions` is not older than `other` (out-of-order delivery must not turn the newest back)."""
    if not positions.s or not other.s:
        return True
    a, b = positions.s[-1], other.s[-1]
    return not is_newer(MediaTime(b.epoch, b.rtp), MediaTime(a.epoch, a.rtp))
