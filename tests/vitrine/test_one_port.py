"""Several gateway processes on one port of one machine: real processes, a real Redis between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from overlay.bus.redis import RedisBus
from overlay.messages import Event, Snapshot, decode_server
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from stream.types import StreamId
from tests.redis_server import RedisServer
from tests.vitrine.fleet_rig import KEYS, bearer, until
from vitrine.auth import Role

pytestmark = [
    pytest.mark.redis,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="SO_REUSEPORT spreads connections on Linux only"),
]
VIEWERS = 40


class Screen:
    """A viewer who comes back at once when its connection breaks."""

    def __init__(self) -> None:
        self.seq = 0
        self.joined = 0

    async def watch(self, http: aiohttp.ClientSession, url: str) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.ws_connect(url) as socket:
                    await socket.send_str('{"t":"hello","v":1}')
                    async for message in socket:
                        told = decode_server(message.data)
                        if isinstance(told, Snapshot):
                            self.joined += 1
                        if isinstance(told, Snapshot | Event):
                            self.seq = told.seq
            await asyncio.sleep(0.05)


def gateway(name: str, port: int, redis: RedisServer, folder: Path) -> subprocess.Popen[bytes]:
    env = {f"VITRINE_{key.upper().replace('.', '__')}": value for key, value in KEYS.items()}
    env |= {"VITRINE_SERVER__REUSE_PORT": "true", "VITRINE_FLEET__DRAIN_MS": "100"}
    command = [sys.executable, "-m", "vitrine", "serve", "--role", "gateway", "--bus", redis.url]
    command += ["--node", name, "--port", str(port), "--data-dir", str(folder / name)]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, env={**os.environ, **env}, stdout=log, stderr=log)


@contextlib.asynccontextmanager
async def show(redis: RedisServer) -> AsyncIterator[StreamPublisher]:
    bus = RedisBus(redis.url)
    author = OverlayAuthor(StreamId("show"), "log")
    publisher = StreamPublisher(author, bus)
    await publisher.start()
    await publisher.publish(author.live(1, 0, 100))
    try:
        yield publisher
    finally:
        await bus.close()


async def test_processes_share_a_port_and_one_goes_on_when_the_other_is_killed(
    tmp_path: Path, redis_process: RedisServer, unused_tcp_port: int
) -> None:
    redis_process.flush()
    url = f"http://127.0.0.1:{unused_tcp_port}"
    running = {name: gateway(name, unused_tcp_port, redis_process, tmp_path) for name in ("one", "two")}
    screens = [Screen() for _ in range(VIEWERS)]
    try:
        async with show(redis_process) as publisher, aiohttp.ClientSession() as http:

            async def viewers() -> dict[str, int]:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{url}/api/fleet", headers=bearer(Role.OPERATOR)) as reply:
                        nodes = (await reply.json())["nodes"]
                    return {node["name"]: node["viewers"] for node in nodes if node["state"] == "up"}
                return {}

            async def all_caught_up() -> bool:
                return {screen.seq for screen in screens} == {publisher.author.snapshot().seq}

            async def served_by(names: set[str]) -> bool:
                found = await viewers()
                return set(found) == names and sum(found.values()) == VIEWERS

            async def both_up() -> bool:
                return set(await viewers()) == {"one", "two"}

            await until(both_up, 40)
            watching = [asyncio.ensure_future(one.watch(http, f"{url}/ws/show")) for one in screens]
            await until(lambda: served_by({"one", "two"}), 20)
            assert min((await viewers()).values()) >= VIEWERS // 8, "the system spreads them"
            await publisher.publish(publisher.author.latency(101))
            await until(all_caught_up)
            stayed = (await viewers())["two"]
            running["one"].send_signal(signal.SIGKILL)
            await publisher.publish(publisher.author.latency(102))
            await until(all_caught_up)
            await until(lambda: served_by({"two"}), 20)
            assert sum(screen.joined == 1 for screen in screens) == stayed, "the others noticed nothing"
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
