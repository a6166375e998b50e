from __future__ import annotations

import asyncio

import pytest

from overlay.bus.base import Bus, EventItem, PositionsItem, SnapshotItem, Subscription
from overlay.bus.memory import MemoryBus
from overlay.errors import BusError
from overlay.messages import Event, Snapshot
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from stream.types import StreamId
from tests.overlay.builders import STREAM, card, frame


class FlakyBus(MemoryBus):
    """A memory bus that is unreachable when told to be, and remembers what it stored."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.attempts = 0
        self.forgotten = 0
        self.error = BusError("the bus is unreachable")

    async def publish(self, stream: StreamId, event: Event | None, snapshot: Snapshot) -> None:
        self.attempts += 1
        if self.down:
            raise self.error
        await super().publish(stream, event, snapshot)

    async def forget(self, stream: StreamId) -> None:
        self.forgotten += 1
        self.down = False
        await super().forget(stream)


async def drained(subscription: Subscription, until: int, seq: int = -1) -> Snapshot | None:
    """The last snapshot before event `until` was delivered (or contained)."""
    snapshot: Snapshot | None = None
    async with asyncio.timeout(3):
        while seq < until:
            item = await subscription.next()
            if isinstance(item, SnapshotItem):
                snapshot, seq = item.snapshot, item.snapshot.seq
            elif isinstance(item, EventItem):
                assert item.event.seq == seq + 1
                seq = item.event.seq
    return snapshot


def make(bus: Bus) -> tuple[OverlayAuthor, StreamPublisher]:
    author = OverlayAuthor(STREAM, "log-1")
    return author, StreamPublisher(author, bus)


async def test_every_event_is_stored_with_the_snapshot_of_its_own_moment() -> None:
    bus = FlakyBus()
    author, publisher = make(bus)
    await publisher.start()
    events = [author.set_products([card(1)]), author.live(1, 0, 10), author.pin(1, True)]
    for event in events:  # authored first, posted later: snapshots must not run ahead
        publisher.post(event)
    await publisher.flush()
    subscription = await bus.subscribe(STREAM)
    item = await subscription.next()
    assert isinstance(item, SnapshotItem)
    assert item.snapshot.seq == 3 and item.snapshot.pinned == (1,)
    assert [event.seq for event in item.tail] == [1, 2, 3]


async def test_events_wait_for_an_unreachable_bus_and_arrive_in_order() -> None:
    bus = FlakyBus()
    author, publisher = make(bus)
    subscription = await bus.subscribe(STREAM)
    running = asyncio.ensure_future(publisher.run())
    publisher.post(author.latency(1))
    await drained(subscription, 1)
    bus.down = True
    with pytest.raises(BusError):
        await publisher.publish(author.latency(2))
    publisher.post(author.latency(3))
    assert publisher.pending == 2
    bus.down = False
    await drained(subscription, 3, 1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert publisher.pending == 0


async def test_event_that_was_never_posted_is_noticed() -> None:
    author, publisher = make(MemoryBus())
    author.latency(1)
    with pytest.raises(BusError, match="got event 2 after 0") as caught:
        publisher.post(author.latency(2))
    assert not caught.value.retryable


async def test_events_that_wait_are_bounded() -> None:
    bus = FlakyBus()
    bus.down = True
    author, publisher = make(bus)
    with pytest.raises(BusError, match="4096 events wait"):
        for ms in range(1, 5000):
            publisher.post(author.latency(ms))


async def test_nothing_changed_is_nothing_posted() -> None:
    author, publisher = make(MemoryBus())
    publisher.post(author.ended("bye"))
    assert publisher.pending == 0


async def test_bus_that_forgot_the_stream_is_given_its_state_again() -> None:
    bus = FlakyBus()
    author = OverlayAuthor(STREAM, "log-1")
    publisher = StreamPublisher(author, bus, refresh_s=0.01)
    running = asyncio.ensure_future(publisher.run())
    await publisher.publish(author.latency(7))
    await bus.forget(STREAM)
    subscription = await bus.subscribe(STREAM)
    snapshot = await drained(subscription, 1)
    assert snapshot is not None and snapshot.latency_ms == 7
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_bus_that_went_back_in_time_is_begun_anew() -> None:
    bus = FlakyBus()
    author, publisher = make(bus)
    running = asyncio.ensure_future(publisher.run())
    await publisher.publish(author.latency(1))
    bus.down, bus.error = True, BusError("does not follow", code="bus-gap", retryable=False)
    publisher.post(author.latency(2))
    subscription = await bus.subscribe(STREAM)
    await drained(subscription, 2)
    assert bus.forgotten == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_positions_go_out_at_once_and_outdated_ones_not_at_all() -> None:
    bus = MemoryBus()
    author, publisher = make(bus)
    await publisher.start()
    await publisher.publish(author.live(1, 0, 10))
    subscription = await bus.subscribe(STREAM)
    await subscription.next()
    sent = publisher.positions(frame(rtp=100))
    assert publisher.positions(frame(rtp=50)) is None
    item = await subscription.next()
    assert isinstance(item, PositionsItem) and item.positions == sent
