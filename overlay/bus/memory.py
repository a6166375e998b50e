"""The bus within one process."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from overlay.bus.base import TAIL, BusItem, EventItem, PositionsItem, SnapshotItem
from overlay.errors import FencedError, GapError
from overlay.messages import Event, Snapshot, encode
from stream.types import StreamId

BACKLOG = 256
"""Events that may wait for one subscriber; beyond it a snapshot replaces them."""
POSITIONS_BACKLOG = 32
"""Positions that may wait: a gateway's history wants all, its viewers only the newest."""


@dataclass(slots=True)
class _Stream:
    snapshot: Snapshot | None = None
    tail: deque[Event] = field(default_factory=lambda: deque(maxlen=TAIL))
    subscribers: list[MemorySubscription] = field(default_factory=list)
    fence: int = 0


class MemorySubscription:
    """A bounded mailbox: events in order, positions behind them."""

    def __init__(self, stream: _Stream) -> None:
        self.resyncs = 0
        self._stream = stream
        self._ordered: deque[SnapshotItem | EventItem] = deque()
        self._positions: deque[PositionsItem] = deque(maxlen=POSITIONS_BACKLOG)
        self._ready = asyncio.Event()
        if stream.snapshot is not None:
            self.offer(SnapshotItem(stream.snapshot, tuple(stream.tail)))

    def offer(self, item: BusItem) -> None:
        """Put an item in; never waits. When too many events wait, one snapshot stands in for all of them."""
        if isinstance(item, PositionsItem):
            self._positions.append(item)
        else:
            if isinstance(item, SnapshotItem):
                self._ordered.clear()
            elif len(self._ordered) >= BACKLOG and self._stream.snapshot is not None:
                self.resyncs += 1
                self._ordered.clear()
                item = SnapshotItem(self._stream.snapshot, tuple(self._stream.tail))
            self._ordered.append(item)
        self._ready.set()

    async def next(self) -> BusItem:
        """See `Subscription`."""
        while True:
            if self._ordered:
                return self._ordered.popleft()
            if self._positions:
                return self._positions.popleft()
            self._ready.clear()
            await self._ready.wait()

    async def close(self) -> None:
        """See `Subscription`."""
        if self in self._stream.subscribers:
            self._stream.subscribers.remove(self)


class MemoryBus:
    """A `Bus` whose publisher and subscribers share one event loop."""

    def __init__(self) -> None:
        self._streams: dict[StreamId, _Stream] = {}

    def _of(self, stream: StreamId) -> _Stream:
        return self._streams.setdefault(stream, _Stream())

    def post_positions(self, stream: StreamId, item: PositionsItem, fence: int = 0) -> None:
        """See `Bus`."""
        held = self._of(stream)
        if fence >= held.fence:
            for subscriber in held.subscribers:
                subscriber.offer(item)

    async def publish(
        self, stream: StreamId, event: Event | None, snapshot: Snapshot, fence: int = 0
    ) -> None:
        """See `Bus`."""
        held = self._of(stream)
        if fence < held.fence:
            raise FencedError(f"lease {fence} of this stream was followed by {held.fence}")
        held.fence = fence
        if held.snapshot is None or held.snapshot.log != snapshot.log:
            if event is not None and event.seq > 1:
                raise GapError(event.seq, 0)
            held.tail.clear()
            if event is not None:
                held.tail.append(event)
            held.snapshot = snapshot
            self._offer(held, SnapshotItem(snapshot, tuple(held.tail)))
            return
        if event is None or event.seq <= held.snapshot.seq:
            return
        if event.seq != held.snapshot.seq + 1:
            raise GapError(event.seq, held.snapshot.seq)
        held.snapshot = snapshot
        held.tail.append(event)
        self._offer(held, EventItem(event, encode(event)))

    @staticmethod
    def _offer(held: _Stream, item: BusItem) -> None:
        for subscriber in held.subscribers:
            subscriber.offer(item)

    async def subscribe(self, stream: StreamId) -> MemorySubscription:
        """See `Bus`."""
        held = self._of(stream)
        subscription = MemorySubscription(held)
        held.subscribers.append(subscription)
        return subscription

    def subscribers(self, stream: StreamId) -> int:
        """Who follows a stream now."""
        return len(self._of(stream).subscribers)

    async def read(self, stream: StreamId) -> SnapshotItem | None:
        """See `Bus`."""
        held = self._of(stream)
        return None if held.snapshot is None else SnapshotItem(held.snapshot, tuple(held.tail))

    async def forget(self, stream: StreamId) -> None:
        """See `Bus`."""
        held = self._of(stream)
        held.snapshot = None
        held.tail.clear()

    async def close(self) -> None:
        """See `Bus`."""
        self._streams.clear()
