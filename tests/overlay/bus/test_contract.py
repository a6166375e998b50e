"""What every bus guarantees (overlay/bus/base.py), over every bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from overlay.bus.base import Bus, BusItem, EventItem, PositionsItem, SnapshotItem, Subscription
from overlay.bus.memory import BACKLOG, MemoryBus
from overlay.bus.redis import RedisBus
from overlay.errors import BusError
from overlay.messages import Event, Positions, Snapshot, encode
from overlay.state import OverlayAuthor
from stream.types import StreamId
from tests.overlay.builders import STREAM, card, sample, spot


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("cluster", marks=pytest.mark.redis),
    ]
)
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    made: Bus
    if request.param == "memory":
        made = MemoryBus()
    elif request.param == "redis":
        made = RedisBus(request.getfixturevalue("redis_server").url)
    else:
        server = request.getfixturevalue("redis_cluster_process")
        server.flush()
        made = RedisBus(server.url)
    yield made
    await made.close()


class Pen:
    """An author whose events go straight to a bus."""

    def __init__(self, bus: Bus, log: str = "log-1", stream: StreamId = STREAM) -> None:
        self.bus = bus
        self.stream = stream
        self.author = OverlayAuthor(stream, log)

    async def start(self) -> None:
        await self.write(self.author.set_products([card(1)]))

    async def write(self, event: Event | None) -> Event:
        assert event is not None
        await self.bus.publish(self.stream, event, self.author.snapshot())
        return event

    async def latency(self, ms: int) -> Event:
        return await self.write(self.author.latency(ms))


def positions(rtp: int) -> PositionsItem:
    made = Positions((sample(spot(), rtp=rtp),))
    return PositionsItem(made, encode(made))


async def item(subscription: Subscription) -> BusItem:
    async with asyncio.timeout(5):
        return await subscription.next()


async def event(subscription: Subscription) -> Event:
    got = await item(subscription)
    assert isinstance(got, EventItem), got
    assert got.encoded == encode(got.event)
    return got.event


async def start(subscription: Subscription) -> SnapshotItem:
    got = await item(subscription)
    assert isinstance(got, SnapshotItem), got
    return got


async def test_subscription_begins_with_the_newest_snapshot_and_its_tail(bus: Bus) -> None:
    pen = Pen(bus)
    await pen.start()
    await pen.latency(100)
    subscription = await bus.subscribe(STREAM)
    first = await start(subscription)
    assert first.snapshot.seq == 2 and first.snapshot.latency_ms == 100
    assert [entry.seq for entry in first.tail] == [1, 2]
    await subscription.close()


async def test_subscriber_of_a_stream_nobody_published_yet_gets_its_first_snapshot(bus: Bus) -> None:
    subscription = await bus.subscribe(STREAM)
    waiting = asyncio.ensure_future(start(subscription))
    await asyncio.sleep(0)
    await bus.publish(STREAM, None, OverlayAuthor(STREAM, "log-1").snapshot())
    assert (await waiting).snapshot.seq == 0
    await subscription.close()


async def test_events_arrive_once_in_order_for_every_subscriber(bus: Bus) -> None:
    pen = Pen(bus)
    await pen.start()
    subscriptions = [await bus.subscribe(STREAM) for _ in range(3)]
    for subscription in subscriptions:
        await start(subscription)
    sent = [await pen.latency(ms) for ms in range(1, 21)]
    for subscription in subscriptions:
        assert [await event(subscription) for _ in sent] == sent
        await subscription.close()


async def test_repeating_a_publication_changes_nothing(bus: Bus) -> None:
    pen = Pen(bus)
    await pen.start()
    subscription = await bus.subscribe(STREAM)
    await start(subscription)
    sent = await pen.latency(100)
    await bus.publish(STREAM, sent, pen.author.snapshot())
    after = await pen.latency(120)
    assert await event(subscription) == sent
    assert await event(subscription) == after
    await subscription.close()


async def test_publication_that_leaves_a_gap_is_refused(bus: Bus) -> None:
    pen = Pen(bus)
    await pen.start()
    pen.author.latency(100)
    with pytest.raises(BusError, match="event 3 does not follow 1") as caught:
        await pen.latency(120)
    assert not caught.value.retryable


async def test_new_author_replaces_the_log_with_a_fresh_snapshot(bus: Bus) -> None:
    pen = Pen(bus)
    await pen.start()
    subscription = await bus.subscribe(STREAM)
    await start(subscription)
    successor = Pen(bus, "log-2")
    await successor.start()
    first = await start(subscription)
    assert first.snapshot.log == "log-2" and [entry.seq for entry in first.tail] == [1]
    later = await successor.latency(50)
    assert await event(subscription) == later
    await subscription.close()


async def test_positions_reach_those_who_listen_and_never_go_back(bus: Bus) -> None:
    pen = Pen(bus)
    await pen.start()
    bus.post_positions(STREAM, positions(1))
    subscription = await bus.subscribe(STREAM)
    await start(subscription)
    got: list[int] = []
    for rtp in range(2, 30):
        bus.post_positions(STREAM, positions(rtp))
    while not got or got[-1] < 29:
        received = await item(subscription)
        if isinstance(received, PositionsItem):
            assert received.encoded == encode(received.positions)
            got.append(received.positions.s[0].rtp)
    assert got == sorted(set(got))
    await subscription.close()


async def test_streams_do_not_mix(bus: Bus) -> None:
    other = StreamId("other")
    pen, second = Pen(bus), Pen(bus, "log-9", other)
    await pen.start()
    await second.start()
    subscription = await bus.subscribe(other)
    assert (await start(subscription)).snapshot.log == "log-9"
    await pen.latency(100)
    bus.post_positions(STREAM, positions(1))
    sent = await second.latency(70)
    assert await event(subscription) == sent
    await subscription.close()


async def test_forgotten_stream_has_no_snapshot(bus: Bus) -> None:
    pen = Pen(bus)
    await pen.start()
    await bus.forget(STREAM)
    subscription = await bus.subscribe(STREAM)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await subscription.next()
    await subscription.close()


async def test_reader_that_falls_far_behind_gets_everything_or_a_fresh_snapshot(bus: Bus) -> None:
    pen = Pen(bus)
    await pen.start()
    subscription = await bus.subscribe(STREAM)
    await start(subscription)
    for ms in range(1, 2 * BACKLOG):
        await pen.latency(ms)
    state: Snapshot | None = None
    seq = 1
    while seq < pen.author.snapshot().seq:
        got = await item(subscription)
        if isinstance(got, SnapshotItem):
            state, seq = got.snapshot, got.snapshot.seq
        elif isinstance(got, EventItem):
            assert got.event.seq == seq + 1
            seq = got.event.seq
    assert seq == pen.author.snapshot().seq
    assert state is None or state.latency_ms > 0
    await subscription.close()
