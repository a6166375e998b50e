from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

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

    async def publish(
        self, stream: StreamId, event: Event | None, snapshot: Snapshot, fence: int = 0
    ) -> None:
        self.attempts += 1
        if self.down:
            raise self.error
        await super().publish(stream, event, snapshot, fence)

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


@contextlib.asynccontextmanager
async def running(publisher: StreamPublisher) -> AsyncIterator[None]:
    task = asyncio.ensure_future(publisher.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_bus_that_forgot_the_stream_is_given_its_events_again() -> None:
    bus = FlakyBus()
    author = OverlayAuthor(STREAM, "log-1")
    publisher = StreamPublisher(author, bus, refresh_s=0.01)
    async with running(publisher):
        await publisher.publish(author.latency(7))
        await publisher.publish(author.latency(8))
        await bus.forget(STREAM)
        subscription = await bus.subscribe(STREAM)
        snapshot = await drained(subscription, 2)
    assert snapshot is not None
    held = await bus.read(STREAM)
    assert held is not None and held.snapshot.latency_ms == 8
    assert [event.seq for event in held.tail] == [1, 2]


async def test_bus_that_went_back_in_time_is_given_what_it_lost_and_readers_lose_nothing() -> None:
    bus, behind = FlakyBus(), FlakyBus()
    author, publisher = make(bus)
    subscription = await behind.subscribe(STREAM)
    async with running(publisher):
        for ms in range(1, 6):
            await publisher.publish(author.latency(ms))
        held = await bus.read(STREAM)
        assert held is not None
        for event in held.tail[:2]:  # what a replica had that takes over now
            await behind.publish(STREAM, event, replace(held.snapshot, seq=event.seq))
        publisher._bus = behind
        publisher.post(author.latency(6))
        await drained(subscription, 6)
    assert behind.forgotten == 0
    last = await behind.read(STREAM)
    assert last is not None and [event.seq for event in last.tail] == list(range(1, 7))


async def test_what_an_author_does_not_remember_itself_is_replaced_by_a_state() -> None:
    bus = FlakyBus()
    author = OverlayAuthor(STREAM, "log-1")
    publisher = StreamPublisher(author, bus, refresh_s=0.01)
    async with running(publisher):
        for ms in range(1, 301):
            await publisher.publish(author.latency(ms))
        await bus.forget(STREAM)
        subscription = await bus.subscribe(STREAM)
        await drained(subscription, 300)
    held = await bus.read(STREAM)
    assert held is not None and held.snapshot.latency_ms == 300
    assert [event.seq for event in held.tail] == list(range(45, 301))


async def test_successor_goes_on_with_the_log_and_can_give_all_of_it_back() -> None:
    bus = FlakyBus()
    author, publisher = make(bus)
    await publisher.publish(author.set_products([card(1), card(2)]))
    await publisher.publish(author.pin(2, True))
    start = await bus.read(STREAM)
    assert start is not None
    successor = OverlayAuthor(STREAM, start.snapshot.log, start.snapshot)
    second = StreamPublisher(successor, bus, fence=2, start=start, refresh_s=0.01)
    async with running(second):
        await second.publish(successor.live(1, 0, 10))
        await bus.forget(STREAM)
        subscription = await bus.subscribe(STREAM)
        await drained(subscription, 3)
    held = await bus.read(STREAM)
    assert held is not None and held.snapshot.pinned == (2,) and held.snapshot.live
    assert [event.seq for event in held.tail] == [1, 2, 3]
    assert successor.pids_for(["product-2", "other"]) == {"product-2": 2, "other": 3}


async def test_author_whose_lease_was_followed_by_another_stops_and_says_so() -> None:
    bus = FlakyBus()
    author = OverlayAuthor(STREAM, "log-1")
    publisher = StreamPublisher(author, bus, fence=1)
    async with asyncio.timeout(3):
        task = asyncio.ensure_future(publisher.run())
        await publisher.publish(author.latency(1))
        other = OverlayAuthor(STREAM, "log-1", author.snapshot())
        await bus.publish(STREAM, other.latency(2), other.snapshot(), 2)
        publisher.post(author.latency(3))
        await task
    assert publisher.fenced
    held = await bus.read(STREAM)
    assert held is not None and held.snapshot.latency_ms == 2


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
