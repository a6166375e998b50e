"""Pulling a stream from another engine's WHEP endpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from stream.clock import MonotonicClock
from stream.errors import SourceError
from stream.sources.base import open_source
from stream.sources.whep import WhepSource
from tests.stream.rig import STREAM, RecordingSink, serve, until
from tests.stream.test_webrtc import publishing


async def test_a_copy_is_pulled_with_the_publishers_timestamps(clip: Path) -> None:
    async with serve() as server:
        async with publishing(server, clip) as publisher:
            sink = RecordingSink()
            source = open_source(
                f"whep://{server.url.removeprefix('http://')}/whep/show", STREAM, MonotonicClock(), epoch=7
            )
            running = asyncio.create_task(source.run(sink))
            await until(lambda: len(sink.frames) > 15 and len(sink.audio()) > 15)
            assert all(frame.barcode == publisher.frame_index(frame.rtp) for frame in sink.frames)
            assert {frame.epoch for frame in sink.frames} == {7}
            assert sink.started[0][1].description == "WHEP 127.0.0.1"
            before = server.ingest.statistics()["plis"]
            await asyncio.sleep(0.5)
            source.request_keyframe()
            await until(lambda: server.ingest.statistics()["plis"] > before)
        await server.playbacks[0].close("shutdown")
        async with asyncio.timeout(5):
            await running
        assert sink.ended == ["bye"]


async def test_cancel_ends_the_remote_session(clip: Path) -> None:
    async with serve() as server, publishing(server, clip):
        sink = RecordingSink()
        source = WhepSource(server.url.replace("http", "whep") + "/whep/show", STREAM, MonotonicClock())
        running = asyncio.create_task(source.run(sink))
        await until(lambda: sink.frames)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert sink.ended == ["bye"]
        await until(lambda: server.relay.viewers == 0)


async def test_nothing_live_can_be_tried_again() -> None:
    async with serve() as server:
        sink = RecordingSink()
        with pytest.raises(SourceError, match="got 409") as caught:
            await WhepSource(server.url.replace("http", "whep") + "/whep/show", STREAM, MonotonicClock()).run(
                sink
            )
        assert caught.value.retryable
        assert sink.ended == ["error: whep-refused"]


async def test_no_server_is_an_error() -> None:
    with pytest.raises(SourceError, match="is the address right") as caught:
        await WhepSource("whep://127.0.0.1:9/x", STREAM, MonotonicClock()).run(RecordingSink())
    assert caught.value.code == "whep-unreachable"


@pytest.mark.parametrize("answer", ["", "hello", "v=0\r\n"])
async def test_useless_answer_is_an_error_and_the_token_is_sent(answer: str) -> None:
    tokens: list[str | None] = []

    async def handle(request: web.Request) -> web.Response:
        tokens.append(request.headers.get("Authorization"))
        return web.Response(status=201, text=answer, content_type="application/sdp")

    app = web.Application()
    app.router.add_post("/whep", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"whep://s3cret@127.0.0.1:{runner.addresses[0][1]}/whep"
        with pytest.raises(SourceError) as caught:
            async with asyncio.timeout(10):
                await WhepSource(url, STREAM, MonotonicClock()).run(RecordingSink())
        assert caught.value.code == "whep-answer"
        assert tokens == ["Bearer s3cret"]
    finally:
        await runner.cleanup()
