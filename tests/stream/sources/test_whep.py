"""Pulling a stream from another engine's WHEP endpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiortc import RTCSessionDescription

from stream import hooks
from stream.clock import MonotonicClock
from stream.errors import SourceError
from stream.sources.base import open_source
from stream.sources.whep import WhepSource
from tests.serving import serving
from tests.stream.peers import ScriptedTrack, connection
from tests.stream.rig import STREAM, RecordingSink, serve, until
from tests.stream.test_webrtc import publishing

VP8_KEY = b"\x10\x02\x00\x9d\x01\x2a\x40\x01\xf0\x00" + bytes(20)


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
    async with serving(app) as site:
        url = f"{site.replace('http://', 'whep://s3cret@')}/whep"
        with pytest.raises(SourceError) as caught:
            async with asyncio.timeout(10):
                await WhepSource(url, STREAM, MonotonicClock()).run(RecordingSink())
        assert caught.value.code == "whep-answer"
        assert tokens == ["Bearer s3cret"]


async def test_counter_offer_is_answered_and_delivers(clip: Path) -> None:
    """An endpoint that insists on making the offer: draft-ietf-wish-whep-04, section 4.3.2."""
    pc, track, patched, ended = connection(), ScriptedTrack(), asyncio.Event(), asyncio.Event()
    pc.addTransceiver(track, direction="sendonly")
    hooks.wire_timestamps(pc.getTransceivers()[0].sender)

    async def refuse(request: web.Request) -> web.Response:
        hooks.limit_network(pc, loopback=True, udp_ports=None)
        await pc.setLocalDescription(await pc.createOffer())
        headers = {"Location": "/session/1"}
        sdp = pc.localDescription.sdp
        return web.Response(status=406, text=sdp, content_type="application/sdp", headers=headers)

    async def take(request: web.Request) -> web.Response:
        assert request.headers["Content-Type"] == "application/sdp"
        await pc.setRemoteDescription(RTCSessionDescription(await request.text(), "answer"))
        patched.set()
        return web.Response(status=204)

    async def end(request: web.Request) -> web.Response:
        ended.set()
        return web.Response()

    app = web.Application()
    app.router.add_post("/whep", refuse)
    app.router.add_patch("/session/1", take)
    app.router.add_delete("/session/1", end)
    sink = RecordingSink(barcodes=False)
    try:
        async with serving(app) as site:
            source = WhepSource(f"{site.replace('http', 'whep')}/whep", STREAM, MonotonicClock())
            running = asyncio.create_task(source.run(sink))
            async with asyncio.timeout(10):
                await patched.wait()
                for n in range(200):
                    track.put(b"\x00\x00" + bytes(20) if n else VP8_KEY, n * 3000)
                    await asyncio.sleep(0.02)
                    if sink.encoded:
                        break
            assert sink.encoded[0].codec == "VP8" and sink.encoded[0].time.rtp % 3000 == 0
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert ended.is_set()
    finally:
        await pc.close()


async def test_a_refusal_without_a_counter_offer_is_an_error() -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"code": "sdp-codec"}, status=406)

    app = web.Application()
    app.router.add_post("/whep", refuse)
    async with serving(app) as site:
        with pytest.raises(SourceError, match="got 406") as caught:
            await WhepSource(f"{site.replace('http', 'whep')}/whep", STREAM, MonotonicClock()).run(
                RecordingSink()
            )
        assert not caught.value.retryable
