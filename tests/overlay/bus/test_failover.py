"""Redis fails over, is cut off, or is a cluster of several nodes: no event is lost, positions come back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from overlay.bus.base import EventItem, PositionsItem, SnapshotItem, Subscription
from overlay.bus.redis import RedisBus
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from stream.types import StreamId
from tests.overlay.builders import STREAM, card, frame
from tests.redis_server import RedisServer, Sentinels, Wire, cluster_of

pytestmark = pytest.mark.redis
PACE_S = 0.02


class Reader:
    """Follows a stream; every event after the first snapshot must come once, in order."""

    def __init__(self) -> None:
        self.seq = 0
        self.first = 0
        self.events: list[int] = []
        self.positions_at: list[float] = []
        self.snapshots = 0

    async def follow(self, subscription: Subscription) -> None:
        while True:
            got = await subscription.next()
            if isinstance(got, EventItem):
                assert got.event.seq == self.seq + 1
                self.seq = got.event.seq
                self.events.append(self.seq)
            elif isinstance(got, SnapshotItem):
                self.snapshots += 1
                self.first = self.first or got.snapshot.seq
                self.seq = got.snapshot.seq
            elif isinstance(got, PositionsItem):
                self.positions_at.append(time.monotonic())

    async def reach(self, seq: int, seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while self.seq < seq:  # noqa: ASYNC110 - told by items alone
                await asyncio.sleep(0.01)

    async def positions_again(self, seconds: float = 20.0) -> float:
        """Seconds until positions arrive that were sent from now on."""
        began, count = time.monotonic(), len(self.positions_at)
        async with asyncio.timeout(seconds):
            while len(self.positions_at) < count + 3:  # noqa: ASYNC110 - told by items alone
                await asyncio.sleep(0.01)
        return time.monotonic() - began


class Show:
    """An author that never rests, over one bus, and a reader over another."""

    def __init__(self, author_url: str, reader_url: str, stream: StreamId = STREAM) -> None:
        self.buses = [RedisBus(author_url), RedisBus(reader_url)]
        self.author = OverlayAuthor(stream, "log-1")
        self.publisher = StreamPublisher(self.author, self.buses[0])
        self.reader = Reader()
        self.stream = stream
        self.writing = True

    @property
    def seq(self) -> int:
        return self.author.snapshot().seq

    async def write(self) -> None:
        turn = 0
        while True:
            if self.writing:
                self.publisher.post(self.author.latency(turn % 1000 + 1))
            turn += 1
            self.publisher.positions(frame(rtp=turn * 3000, stream=self.stream))
            await asyncio.sleep(PACE_S)

    async def ends_whole(self) -> None:
        """Stop writing; everything that was written arrived, one by one."""
        self.writing = False
        await self.reader.reach(self.seq)
        assert self.reader.events == list(range(self.reader.first + 1, self.seq + 1))
        assert self.reader.snapshots == 1


@contextlib.asynccontextmanager
async def show(author_url: str, reader_url: str, stream: StreamId = STREAM) -> AsyncIterator[Show]:
    made = Show(author_url, reader_url, stream)
    await made.publisher.start()
    await made.publisher.publish(made.author.set_products([card(1)]))
    await made.publisher.publish(made.author.live(1, 0, 100))
    subscription = await made.buses[1].subscribe(stream)
    loops = (made.publisher.run(), made.write(), made.reader.follow(subscription))
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        await made.reader.reach(6)
        yield made
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await subscription.close()
        for bus in made.buses:
            await bus.close()
        for result in results:
            if isinstance(result, AssertionError):
                raise result


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica."""
    folders = [tmp_path / name for name in ("primary", "replica")]
    for folder in folders:
        folder.mkdir()
    primary = RedisServer(folders[0])
    replica = RedisServer(folders[1], replica_of=primary.port)
    replica.wait_for("INFO replication", b"master_link_status:up")
    yield primary, replica
    primary.stop()
    replica.stop()


async def test_promoted_replica_behind_the_same_address_goes_on_without_a_loss(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    primary, replica = pair
    async with Wire(primary.port) as wire, show(wire.url, wire.url) as running:
        primary.stop()
        wire.target = replica.port
        replica.ask("REPLICAOF NO ONE")
        await running.reader.reach(running.seq + 5)
        await running.reader.positions_again(5)
        await running.ends_whole()


async def test_replica_that_was_behind_is_given_what_it_lacks(pair: tuple[RedisServer, RedisServer]) -> None:
    primary, replica = pair
    async with Wire(primary.port) as wire, show(wire.url, wire.url) as running:
        replica.ask("REPLICAOF NO ONE")  # it hears of nothing from here on
        await running.reader.reach(running.seq + 20)
        primary.stop()
        wire.target = replica.port
        await running.reader.reach(running.seq + 20)
        await running.ends_whole()
    later = RedisBus(replica.url)
    held = await later.read(STREAM)
    assert held is not None and held.snapshot.seq == running.seq
    numbers = [event.seq for event in held.tail]
    assert numbers == list(range(numbers[0], running.seq + 1))
    await later.close()


@pytest.mark.slow
async def test_primary_that_sentinel_replaces_is_followed(
    pair: tuple[RedisServer, RedisServer], tmp_path: Path
) -> None:
    primary, replica = pair
    with Sentinels(tmp_path, primary.port) as sentinels:
        async with show(sentinels.url, sentinels.url) as running:
            primary.stop()
            replica.wait_for("INFO replication", b"role:master", seconds=30)
            await running.reader.reach(running.seq + 5)
            await running.reader.positions_again(10)
            await running.ends_whole()


@pytest.mark.parametrize("cut_off", ["reader", "author"])
async def test_partition_is_bridged_when_it_ends(redis_server: RedisServer, cut_off: str) -> None:
    """Connections stay open and carry nothing, as behind a router that drops packets."""
    async with Wire(redis_server.port) as wire:
        through = {"reader": (redis_server.url, wire.url), "author": (wire.url, redis_server.url)}[cut_off]
        async with show(*through) as running:
            wire.blocked = True
            before = running.seq
            await asyncio.sleep(1.5)
            assert running.seq > before + 10
            wire.blocked = False
            await running.reader.reach(running.seq + 5)
            await running.reader.positions_again(8)
            await running.ends_whole()


async def test_channel_that_goes_deaf_alone_is_noticed_and_replaced(redis_server: RedisServer) -> None:
    """The subscription's connection is dead and does not know, while all others work."""
    async with Wire(redis_server.port) as wire, show(redis_server.url, wire.url) as running:
        wire.deafen()
        before = len(running.reader.positions_at)
        await running.reader.reach(running.seq + 5)
        assert await running.reader.positions_again(8) < 8 and len(running.reader.positions_at) > before
        await running.ends_whole()


async def promoted(replica: RedisServer) -> None:
    """A manual fail-over; one that times out is asked for again."""
    async with asyncio.timeout(20):
        while b"role:master" not in replica.ask("INFO replication"):
            replica.ask("CLUSTER FAILOVER")
            await asyncio.sleep(0.5)


@pytest.mark.slow
async def test_cluster_of_three_carries_streams_on_every_node_and_survives_a_fail_over(
    tmp_path: Path,
) -> None:
    with cluster_of(tmp_path, primaries=3, replicas=1) as nodes:
        url = nodes[0].url
        streams = {nodes[0].slot(name) * 3 // 16384: name for name in (f"s{n}" for n in range(40))}
        assert len(streams) == 3, "one stream for each primary"
        bus = RedisBus(url)
        for name in streams.values():
            await bus.publish(StreamId(name), None, OverlayAuthor(StreamId(name), "log-1").snapshot())
            held = await bus.read(StreamId(name))
            assert held is not None and held.snapshot.stream == name
        async with (
            show(url, url, StreamId(streams[0])) as first,
            show(url, url, StreamId(streams[1])) as second,
        ):
            owner = next(node for node in nodes if node.owns(nodes[0].slot(streams[1])))
            replica = next(node for node in nodes if node.replicates(owner))
            await promoted(replica)
            await second.reader.reach(second.seq + 5)
            await second.reader.positions_again(10)
            owner.stop()  # the old primary, a replica by now, is gone as well
            await second.reader.reach(second.seq + 5)
            await second.reader.positions_again(15)
            await second.ends_whole()
            await first.ends_whole()
        await bus.close()
