"""What only a bus over a network has to stand: cuts, restarts, lost messages."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from overlay.bus.base import EventItem, SnapshotItem, Subscription
from overlay.bus.redis import RedisBus, StreamKeys
from overlay.bus.redis_link import KEEP_MS
from overlay.bus.redis_registry import RedisRegistry
from overlay.bus.registry import WATCHED_MS
from overlay.errors import BusError
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from tests.overlay.builders import STREAM
from tests.overlay.bus.test_contract import Pen, positions, start
from tests.redis_server import RedisServer

pytestmark = pytest.mark.redis


async def follow(subscription: Subscription, until: int, seq: int) -> list[int]:
    """Sequence numbers delivered until `until`; asserts that none is missing."""
    seen = []
    async with asyncio.timeout(10):
        while seq < until:
            got = await subscription.next()
            if isinstance(got, EventItem):
                assert got.event.seq == seq + 1
                seq = got.event.seq
                seen.append(seq)
            elif isinstance(got, SnapshotItem):
                seq = got.snapshot.seq
    return seen


async def test_events_published_while_connections_are_cut_all_arrive(
    redis_server: RedisServer,
) -> None:
    bus = RedisBus(redis_server.url)
    pen = Pen(bus)
    await pen.start()
    subscription = await bus.subscribe(STREAM)
    await start(subscription)
    following = asyncio.ensure_future(follow(subscription, 31, 1))
    for ms in range(1, 31):
        await pen.latency(ms)
        if ms % 10 == 5:
            redis_server.cut_connections()
    assert await following == list(range(2, 32))
    await subscription.close()
    await bus.close()


async def test_lost_message_is_repaired_within_a_second_or_so(redis_server: RedisServer) -> None:
    bus = RedisBus(redis_server.url)
    pen = Pen(bus)
    await pen.start()
    subscription = await bus.subscribe(STREAM)
    await start(subscription)
    # Stored, but its message never sent: what a lost message looks like to a subscriber.
    quiet = RedisBus(redis_server.url)
    await pen.latency(10)
    assert await follow(subscription, 2, 1) == [2]
    redis_server.cut_connections()
    await pen.latency(20)
    began = asyncio.get_running_loop().time()
    assert await follow(subscription, 3, 2) == [3]
    assert asyncio.get_running_loop().time() - began < 1.5
    await subscription.close()
    await quiet.close()
    await bus.close()


async def test_gap_longer_than_the_log_leads_to_a_snapshot(redis_server: RedisServer) -> None:
    bus = RedisBus(redis_server.url)
    pen = Pen(bus)
    await pen.start()
    subscription = await bus.subscribe(STREAM)
    await start(subscription)
    await subscription.close()  # deaf, as during an outage
    for ms in range(1, 300):
        await pen.latency(ms)
    fresh = await start(subscription)
    assert fresh.snapshot.seq == 300
    assert fresh.tail[-1].seq == 300 and len(fresh.tail) >= 256
    await subscription.close()
    await bus.close()


async def test_unreachable_bus_is_a_retryable_error_and_publisher_keeps_events(
    redis_server: RedisServer,
) -> None:
    bus = RedisBus(redis_server.url)
    author = OverlayAuthor(STREAM, "log-1")
    publisher = StreamPublisher(author, bus)
    await publisher.start()
    running = asyncio.ensure_future(publisher.run())
    redis_server.stop()
    try:
        with pytest.raises(BusError) as caught:
            await bus.subscribe(STREAM)
        assert caught.value.retryable
        publisher.post(author.latency(10))
        publisher.post(author.latency(20))
        bus.post_positions(STREAM, positions(1))
        await asyncio.sleep(0.1)
        assert publisher.pending == 2
    finally:
        redis_server.start()
    subscription = await bus.subscribe(STREAM)
    assert await follow(subscription, 2, 0) in ([], [1, 2], [2])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert publisher.pending == 0
    await subscription.close()
    await bus.close()


def test_address_that_is_none_is_refused() -> None:
    async def make() -> None:
        RedisBus("http://localhost")

    with pytest.raises(BusError, match="bus address"):
        asyncio.run(make())


async def test_what_nobody_writes_any_more_is_gone_after_a_day_and_lies_in_one_slot(
    redis_server: RedisServer,
) -> None:
    bus = RedisBus(redis_server.url)
    pen = Pen(bus)
    await pen.start()
    registry = RedisRegistry(bus.link)
    await registry.watch(STREAM, "edge", 3)
    async with Redis.from_url(redis_server.url) as client:
        keys: list[bytes] = await client.keys("*")  # type: ignore[assignment]
        kept = {key: int(await client.pttl(key)) for key in keys}
        assert len({key_slot(key) for key in kept}) == 1 and len(kept) >= 3
        assert 0 < kept.pop(StreamKeys.of(STREAM).viewers.encode()) <= WATCHED_MS
        assert all(KEEP_MS - 5_000 < ms <= KEEP_MS for ms in kept.values()), kept
    await bus.close()
