"""Several nodes over a real Redis: no event is lost when an edge dies or Redis is cut off."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from overlay.bus.redis import RedisBus
from overlay.edge import GatewaySettings
from tests.overlay.builders import STREAM, card, frame, hotspot
from tests.overlay.stage import HELLO, Stage, staged
from tests.redis_server import RedisServer

pytestmark = pytest.mark.redis
EVENTS = 60


class Follower:
    """A viewer that comes back with what it saw last, to whichever edge is there."""

    def __init__(self, edges: list[Stage]) -> None:
        self.seq = 0
        self.seen: list[int] = []
        self.snapshots = 0
        self._edges = edges

    async def follow(self, until: int) -> None:
        while self.seq < until:
            resume = {"resume": {"log": "log-1", "seq": self.seq}} if self.seq else {}
            with contextlib.suppress(ConnectionClosed, InvalidStatus, OSError):
                async with self._edges[0].viewer({**HELLO, **resume}) as viewer:
                    snap = await viewer.until("snap")
                    self.snapshots += 1
                    assert bool(snap["recovered"]) is bool(self.seq), "a resume must never be incomplete"
                    self.seq = max(self.seq, snap["seq"])
                    while self.seq < until:
                        event = await viewer.until("evt")
                        assert event["seq"] == self.seq + 1
                        self.seq = event["seq"]
                        self.seen.append(self.seq)
            await asyncio.sleep(0.01)


async def test_no_event_is_lost_when_an_edge_dies_and_redis_is_cut_off(redis_server: RedisServer) -> None:
    author_bus = RedisBus(redis_server.url)
    buses = [RedisBus(redis_server.url) for _ in range(2)]
    async with staged(bus=buses[0]) as first, staged(bus=buses[1]) as second:
        first.publish_over(author_bus)
        publishing = asyncio.ensure_future(first.publisher.run())
        first.publisher.post(first.author.set_products([card(1)]))
        edges = [first]
        follower = Follower(edges)
        following = asyncio.ensure_future(follower.follow(EVENTS + 1))
        await first.until(lambda: follower.snapshots == 1)
        for number in range(EVENTS):
            first.publisher.post(first.author.latency(number + 1))
            await asyncio.sleep(0.01)
            if number == 20:
                edges[0] = second
                await first.gateway.close(0)
            if number == 40:
                redis_server.cut_connections()
        async with asyncio.timeout(10):
            await following
        assert follower.seen == list(range(follower.seen[0], EVENTS + 2))
        assert follower.snapshots >= 2
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    for bus in (author_bus, *buses):
        await bus.close()


async def test_positions_and_taps_work_across_nodes(redis_server: RedisServer) -> None:
    author_bus, edge_bus = RedisBus(redis_server.url), RedisBus(redis_server.url)
    async with staged(GatewaySettings(), edge_bus) as edge:
        edge.publish_over(author_bus)
        await edge.start_show()
        async with edge.viewer(HELLO) as viewer:
            await viewer.until("snap")
            edge.publisher.positions(frame(hotspot(), rtp=900, stream=STREAM))
            assert (await viewer.until("pos"))["s"][0][:3] == [1, 900, 1]
            await viewer.send({"t": "tap", "id": "t", "x": 0.2, "y": 0.3, "epoch": 1, "rtp": 900})
            assert (await viewer.until("card"))["card"]["id"] == "product-1"
    await author_bus.close()
    await edge_bus.close()
