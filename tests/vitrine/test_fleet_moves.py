"""What a node's end moves: a publisher with real video, two ingests and a gateway, one real Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from overlay.messages import Event, Positions, Snapshot, decode_server
from tests.publishing import publishing
from tests.redis_server import RedisServer
from tests.vitrine.fleet_rig import SDP, FleetRig, bearer, fleet_rig, offer, until
from vitrine.app import Server
from vitrine.auth import Role
from vitrine.cli import app

pytestmark = [pytest.mark.redis, pytest.mark.slow]


class Watcher:
    """A viewer on a gateway's websocket, over one connection."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.seqs: list[int] = []
        self.epochs: set[int] = set()
        self.close_code: int | None = None

    async def follow(self, http: aiohttp.ClientSession, url: str) -> None:
        async with http.ws_connect(url) as socket:
            await socket.send_str('{"t":"hello","v":1}')
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                told = decode_server(message.data)
                if isinstance(told, Snapshot):
                    self.snapshots.append(told)
                    self.seqs.append(told.seq)
                elif isinstance(told, Event):
                    self.seqs.append(told.seq)
                elif isinstance(told, Positions):
                    self.epochs |= {sample.epoch for sample in told.s}
            self.close_code = socket.close_code


@contextlib.asynccontextmanager
async def watched(rig: FleetRig, gateway: Server) -> AsyncIterator[Watcher]:
    watcher = Watcher()
    task = asyncio.ensure_future(watcher.follow(rig.http, gateway.url.replace("http", "ws", 1) + "/ws/show"))
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def delivered(watcher: Watcher, epoch: int) -> None:
    async def told() -> bool:
        return epoch in watcher.epochs

    await until(told, 20)


async def test_stream_of_a_dead_node_goes_on_where_its_publisher_comes_back(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with fleet_rig(tmp_path, redis_server.url) as rig:
        first, second = await rig.start("a", "ingest"), await rig.start("b", "ingest")
        gateway = await rig.start("g", "gateway")
        async with publishing(first, "show"):
            await until(lambda: _holder(rig, gateway, "a"))
            async with watched(rig, gateway) as watcher:
                await delivered(watcher, 1)
                assert first.engine.fleet.viewers("show") in (0, 1)  # type: ignore[arg-type]
                old = rig.kill("a")
                status, headers, told = await rig.post(
                    f"{second.url}/whip/show", await offer(), **SDP, **bearer(Role.PUBLISH)
                )
                if status == 503:  # its lease has not run out yet
                    assert int(headers["Retry-After"]) > 0, told
                else:
                    assert status == 307, (status, told)
                await until(lambda: _free(rig, second), 10)
                async with publishing(second, "show"):
                    await delivered(watcher, 2)
                    await until(lambda: _holder(rig, gateway, "b"))
                    # the old node was only cut off: it goes on sending and reaches nobody
                    runtime = old.engine.hub.find("show")  # type: ignore[arg-type]
                    assert runtime is not None
                    await asyncio.sleep(2.5)
                    assert runtime.show.fenced
                assert watcher.seqs == list(range(watcher.seqs[0], watcher.seqs[-1] + 1))
                assert len(watcher.snapshots) == 1, "nobody had to begin anew"
        await old.__aexit__(None, None, None)


async def test_rolling_upgrade_hands_publishers_and_viewers_over(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with fleet_rig(tmp_path, redis_server.url) as rig:
        first, second = await rig.start("a", "ingest"), await rig.start("b", "ingest")
        gateway, other = await rig.start("g", "gateway"), await rig.start("h", "gateway")
        async with publishing(first, "show"), watched(rig, gateway) as watcher:
            await delivered(watcher, 1)
            await until(lambda: _explained(rig, other))
            shown = await asyncio.to_thread(CliRunner().invoke, app, ["fleet", "--bus", rig.redis_url])
            assert "frame age" in shown.output and "receive" in shown.output, shown.output
            await rig.stop("a")
            status, _, _ = await rig.post(
                f"{second.url}/whip/show", await offer(), **SDP, **bearer(Role.PUBLISH)
            )
            assert status == 201, "free at once: its node gave it up in order"
            async with publishing(second, "show"):
                await until(lambda: _live(watcher))
            await until(lambda: _gone(rig, other, "a"))
            await rig.stop("g")
            await until(lambda: _closed(watcher))
            assert watcher.close_code == 1001


async def _explained(rig: FleetRig, gateway: Server) -> bool:
    """Any node tells where the time of every stream's frames goes."""
    found = await rig.get(f"{gateway.url}/api/fleet", **bearer(Role.OPERATOR))
    figures = next((s["figures"] for s in found["streams"] if s["id"] == "show"), None)
    if figures is None:
        return False
    told = {name for name, took in figures["stages_ms"].items() if "p95" in took}
    return {"receive", "queue", "track"} <= told and "p95" in figures["frame_age_ms"]


async def _holder(rig: FleetRig, gateway: Server, name: str) -> bool:
    found = await rig.get(f"{gateway.url}/api/fleet", **bearer(Role.OPERATOR))
    return any((s["id"], s["node"], s["state"]) == ("show", name, "live") for s in found["streams"])


async def _gone(rig: FleetRig, gateway: Server, name: str) -> bool:
    found = await rig.get(f"{gateway.url}/api/fleet", **bearer(Role.OPERATOR))
    return name not in {node["name"] for node in found["nodes"]}


async def _free(rig: FleetRig, server: Server) -> bool:
    held = await server.engine.fleet._registry.holder("show")  # type: ignore[arg-type]
    return held is None or held.left_ms <= 0


async def _live(watcher: Watcher) -> bool:
    return any(epoch >= 2 for epoch in watcher.epochs)


async def _closed(watcher: Watcher) -> bool:
    return watcher.close_code is not None
