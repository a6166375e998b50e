"""A stream that nobody watches: hardly decoded, and there at once when somebody comes. Real connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from overlay.messages import Positions, decode_server
from stream.types import stream_id
from tests.publishing import publishing
from tests.vitrine.fleet_rig import until
from vitrine.app import Server
from vitrine.config import load_config
from vitrine.status import stream_figures

SHOW = stream_id("show")


@contextlib.asynccontextmanager
async def published(state: Path, doze_ms: int) -> AsyncIterator[Server]:
    """A server with the embedded show on air."""
    overrides = {"server.port": 0, "server.data_dir": str(state), "inference.doze_ms": doze_ms}
    async with Server(load_config(None, {}, overrides)) as server:
        async with publishing(server, SHOW):
            yield server


def skipped(server: Server) -> int:
    runtime = server.engine.hub.find(SHOW)
    return 0 if runtime is None else runtime.metrics.drops.get("unwatched", 0)


async def first_measured(server: Server) -> int:
    """Samples that a new viewer is sent up to the first measured one."""
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(server.url.replace("http", "ws", 1) + f"/ws/{SHOW}") as socket,
    ):
        await socket.send_str('{"t":"hello","v":1}')
        count = 0
        while True:
            told = decode_server((await socket.receive_str()).encode())
            for sample in told.s if isinstance(told, Positions) else ():
                count += 1
                if sample.measured:
                    return count


async def test_nobody_watching_frames_stay_undecoded_until_a_viewer_comes(tmp_path: Path) -> None:
    async with published(tmp_path, doze_ms=300) as server:

        async def dozes() -> bool:
            return skipped(server) > 60

        await until(dozes, 20)
        runtime = server.engine.hub.get(SHOW)
        figures = stream_figures(server.engine, runtime, server.engine.clock.now_ns())
        assert figures.live and figures.problems == ()
        decoded = runtime.metrics.counts["in"]
        assert decoded < skipped(server)
        async with asyncio.timeout(5):
            assert await first_measured(server) < 30
        # nothing was lost in waking
        assert not {"undecodable", "decoder-full"} & runtime.metrics.drops.keys()


async def test_with_dozing_off_every_frame_is_decoded(tmp_path: Path) -> None:
    async with published(tmp_path, doze_ms=0) as server:

        async def ran() -> bool:
            runtime = server.engine.hub.find(SHOW)
            return runtime is not None and runtime.metrics.counts["in"] > 90

        await until(ran, 20)
        assert skipped(server) == 0
