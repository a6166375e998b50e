"""The bus: carries a stream's positions and events from its author to every gateway.

What every implementation guarantees, and `tests/overlay/bus/test_contract.py` checks:

- **Positions** are best effort and latest wins: they may be lost or skipped, and those of one author are not
  delivered older after newer. `post_positions` never waits.
- **Events** are stored with the snapshot that contains them in one atomic step, before any subscriber can
  see them. They are idempotent by (log, seq): repeating a publication whose outcome is not known is safe.
- **A subscription** begins with a snapshot as soon as there is one and then delivers every later event once,
  in order, without a gap. Where that is not possible (the log was trimmed, another author began) it delivers
  a fresh snapshot instead, never a part. What is lost on the way is repaired within one second.
- **Order of writers**: one author per stream at a time. The caller serialises `publish`; a gap is refused.
- **Fences** (Kleppmann 2016, "How to do distributed locking"): what is sent under a lower number than the
  stream's lease bears (`overlay.bus.registry`), or than was seen before, changes nothing and reaches nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from overlay.messages import Event, Positions, Snapshot
from stream.types import StreamId

TAIL = 256
"""Events kept for viewers who resume, per stream."""


@dataclass(frozen=True, slots=True)
class PositionsItem:
    """Positions, decoded and as on the wire to viewers."""

    positions: Positions
    encoded: bytes


@dataclass(frozen=True, slots=True)
class EventItem:
    """The next event, decoded and as on the wire to viewers."""

    event: Event
    encoded: bytes


@dataclass(frozen=True, slots=True)
class SnapshotItem:
    """A new start: the state, and the newest events that led to it, oldest first and contiguous."""

    snapshot: Snapshot
    tail: tuple[Event, ...]


BusItem: TypeAlias = SnapshotItem | EventItem | PositionsItem


class Subscription(Protocol):
    """One gateway's view of one stream. One reader."""

    async def next(self) -> BusItem:
        """Wait for the next item. Events come before positions. Survives outages of the bus.

        Raises:
            asyncio.CancelledError: the caller gave up.
        """

    async def close(self) -> None:
        """Unsubscribe. Idempotent."""


class Bus(Protocol):
    """Carries streams between nodes."""

    def post_positions(self, stream: StreamId, item: PositionsItem, fence: int = 0) -> None:
        """Send positions to whoever listens now, if `fence` is not outdated."""

    async def publish(
        self, stream: StreamId, event: Event | None, snapshot: Snapshot, fence: int = 0
    ) -> None:
        """Store and send an event with the snapshot that contains it.

        Args:
            stream: whose.
            event: the next of the log `snapshot.log`; None stores a first snapshot alone.
            snapshot: the state after `event`.
            fence: number of the lease it is sent under; 0 for none.

        Raises:
            FencedError: the stream is another node's by now.
            GapError: `event` does not follow what is held; publish what is missing first.
            BusError: unreachable (retryable: publish the same again).
        """

    async def read(self, stream: StreamId) -> SnapshotItem | None:
        """What is held of a stream now, for an author who goes on with it; None when nothing is.

        Raises:
            BusError: unreachable.
        """

    async def subscribe(self, stream: StreamId) -> Subscription:
        """Follow a stream, also one that nobody has published yet.

        Raises:
            BusError: unreachable.
        """

    async def forget(self, stream: StreamId) -> None:
        """Remove what is stored of a stream that is over for good."""

    async def close(self) -> None:
        """Release everything. Subscriptions end up waiting for ever: close them first."""
