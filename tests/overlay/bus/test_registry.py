"""What every registry guarantees (overlay/bus/registry.py), over every one; then what only Redis has to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from overlay.bus.base import Bus, EventItem, PositionsItem
from overlay.bus.memory import MemoryBus
from overlay.bus.redis import RedisBus
from overlay.bus.redis_registry import RedisRegistry
from overlay.bus.registry import MemoryRegistry, Registry
from overlay.errors import FencedError
from overlay.state import OverlayAuthor
from stream.types import StreamId
from tests.overlay.builders import STREAM
from tests.overlay.bus.test_contract import Pen, item, positions, start
from tests.redis_server import RedisServer

TTL_MS = 5_000
OTHER = StreamId("other")


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis_server", marks=pytest.mark.redis),
        pytest.param("redis_cluster_process", marks=pytest.mark.redis),
    ]
)
async def fleet(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Registry, Bus]]:
    if request.param == "memory":
        yield MemoryRegistry(), MemoryBus()
        return
    server: RedisServer = request.getfixturevalue(request.param)
    server.flush()
    bus = RedisBus(server.url)
    yield RedisRegistry(bus.link), bus
    await bus.close()


async def test_stream_has_one_holder_at_a_time(fleet: tuple[Registry, Bus]) -> None:
    registry, _ = fleet
    assert await registry.holder(STREAM) is None
    first = await registry.acquire(STREAM, "a", TTL_MS)
    assert (first.node, first.left_ms) == ("a", TTL_MS)
    refused = await registry.acquire(STREAM, "b", TTL_MS)
    assert (refused.node, refused.fence) == ("a", first.fence)
    assert 0 < refused.left_ms <= TTL_MS
    held = await registry.holder(STREAM)
    assert held is not None and (held.node, held.fence) == ("a", first.fence)


async def test_numbers_only_rise_whoever_asks(fleet: tuple[Registry, Bus]) -> None:
    registry, _ = fleet
    fences = []
    for node in ("a", "a", "b", "a"):
        lease = await registry.acquire(STREAM, node, TTL_MS)
        assert lease.node == node
        fences.append(lease.fence)
        if node != "a" or len(fences) > 1:
            await registry.release(STREAM, lease)
            assert await registry.holder(STREAM) is None
    assert fences == sorted(set(fences))


async def test_figures_are_kept_apart_from_records_and_go_with_their_node(
    fleet: tuple[Registry, Bus],
) -> None:
    registry, _ = fleet
    await registry.beat("a", b"record a")
    await registry.beat("b", b"record b", b"long figures")
    await registry.beat("b", b"record b")
    assert await registry.figures() == {"b": b"long figures"}
    assert [sign.record for sign in await registry.nodes()] == [b"record a", b"record b"]
    await registry.leave("b")
    assert await registry.figures() == {}


async def test_streams_are_held_apart(fleet: tuple[Registry, Bus]) -> None:
    registry, _ = fleet
    assert (await registry.acquire(STREAM, "a", TTL_MS)).node == "a"
    assert (await registry.acquire(OTHER, "b", TTL_MS)).node == "b"


async def test_lease_that_was_followed_can_neither_be_extended_nor_given_up(
    fleet: tuple[Registry, Bus],
) -> None:
    registry, _ = fleet
    lost = await registry.acquire(STREAM, "a", TTL_MS)
    await registry.release(STREAM, lost)
    assert (await registry.renew(STREAM, lost, TTL_MS)).node != "a"
    taken = await registry.acquire(STREAM, "b", TTL_MS)
    answer = await registry.renew(STREAM, lost, TTL_MS)
    assert (answer.node, answer.fence) == ("b", taken.fence)
    await registry.release(STREAM, lost)
    held = await registry.holder(STREAM)
    assert held is not None and held.node == "b"


async def test_holder_learns_how_many_watch_on_all_gateways(fleet: tuple[Registry, Bus]) -> None:
    registry, _ = fleet
    lease = await registry.acquire(STREAM, "a", TTL_MS)
    assert (await registry.renew(STREAM, lease, TTL_MS)).viewers == 0
    for node, viewers in (("edge-1", 300), ("edge-2", 5), ("edge-1", 200)):
        await registry.watch(STREAM, node, viewers)
    assert (await registry.renew(STREAM, lease, TTL_MS)).viewers == 205
    await registry.watch(STREAM, "edge-1", 0)
    assert (await registry.renew(STREAM, lease, TTL_MS)).viewers == 5


async def test_nodes_are_known_until_they_take_their_leave(fleet: tuple[Registry, Bus]) -> None:
    registry, _ = fleet
    await registry.beat("a", b"one")
    await registry.beat("b", b"two")
    await registry.beat("a", b"three")
    found = {sign.node: sign for sign in await registry.nodes()}
    assert {node: sign.record for node, sign in found.items()} == {"a": b"three", "b": b"two"}
    assert all(0 <= sign.silent_ms < 2_000 for sign in found.values())
    await registry.leave("a")
    assert [sign.node for sign in await registry.nodes()] == ["b"]


async def test_what_an_older_lease_sends_is_refused_and_reaches_nobody(fleet: tuple[Registry, Bus]) -> None:
    registry, bus = fleet
    old = await registry.acquire(STREAM, "a", TTL_MS)
    author = OverlayAuthor(STREAM, "log-1")
    await bus.publish(STREAM, author.latency(1), author.snapshot(), old.fence)
    subscription = await bus.subscribe(STREAM)
    await start(subscription)
    await registry.release(STREAM, old)
    new = await registry.acquire(STREAM, "b", TTL_MS)
    successor = OverlayAuthor(STREAM, "log-1", author.snapshot())
    sent = successor.latency(2)
    await bus.publish(STREAM, sent, successor.snapshot(), new.fence)
    with pytest.raises(FencedError, match="was followed by") as caught:
        await bus.publish(STREAM, author.latency(3), author.snapshot(), old.fence)
    assert not caught.value.retryable
    bus.post_positions(STREAM, positions(1), old.fence)
    bus.post_positions(OTHER, positions(2), 1)
    bus.post_positions(STREAM, positions(3), new.fence)
    got = await item(subscription)
    assert isinstance(got, EventItem) and got.event == sent
    got = await item(subscription)
    assert isinstance(got, PositionsItem) and got.positions.s[0].rtp == 3
    held = await bus.read(STREAM)
    assert held is not None and held.snapshot.latency_ms == 2
    await subscription.close()


# ---- Redis alone -----------------------------------------------------------------------------------------


async def remote(server: RedisServer) -> tuple[RedisBus, RedisRegistry]:
    bus = RedisBus(server.url)
    return bus, RedisRegistry(bus.link)


@pytest.mark.redis
async def test_taking_over_fences_at_once_before_the_successor_published(redis_server: RedisServer) -> None:
    bus, registry = await remote(redis_server)
    pen = Pen(bus)
    old = await registry.acquire(STREAM, "a", 1)
    await asyncio.sleep(0.01)
    new = await registry.acquire(STREAM, "b", TTL_MS)
    assert new.node == "b" and new.fence > old.fence
    with pytest.raises(FencedError, match="held by b"):
        await bus.publish(STREAM, pen.author.latency(1), pen.author.snapshot(), old.fence)
    await bus.close()


@pytest.mark.redis
async def test_lease_that_ran_out_is_extended_as_long_as_nobody_asked_for_it(
    redis_server: RedisServer,
) -> None:
    bus, registry = await remote(redis_server)
    lease = await registry.acquire(STREAM, "a", 1)
    await asyncio.sleep(0.01)
    held = await registry.holder(STREAM)
    assert held is not None and held.left_ms <= 0
    assert (await registry.renew(STREAM, lease, TTL_MS)).fence == lease.fence
    assert (await registry.acquire(STREAM, "b", TTL_MS)).node == "a"
    await bus.close()


@pytest.mark.redis
async def test_redis_that_lost_everything_is_given_the_lease_back_and_numbers_go_on_rising(
    redis_server: RedisServer,
) -> None:
    bus, registry = await remote(redis_server)
    kept = await registry.acquire(STREAM, "a", TTL_MS)
    other = await registry.acquire(OTHER, "a", TTL_MS)
    redis_server.flush()
    assert (await registry.renew(STREAM, kept, TTL_MS)).fence == kept.fence
    assert (await registry.acquire(STREAM, "b", TTL_MS)).node == "a"
    await asyncio.sleep(0.002)
    taken = await registry.acquire(OTHER, "b", TTL_MS)
    assert taken.fence > other.fence
    answer = await registry.renew(OTHER, other, TTL_MS)
    assert (answer.node, answer.fence) == ("b", taken.fence)
    await bus.close()


@pytest.mark.redis
async def test_nothing_is_kept_for_ever(redis_server: RedisServer) -> None:
    bus, registry = await remote(redis_server)
    pen = Pen(bus)
    await pen.start()
    lease = await registry.acquire(STREAM, "a", TTL_MS)
    await registry.watch(STREAM, "edge", 3)
    await registry.renew(STREAM, lease, TTL_MS)
    lives = redis_server.lives("vitrine:{demo}:*")
    assert len(lives) == 4 and all(0 < left_ms <= 86_400_000 for left_ms in lives.values()), lives
    await bus.close()
