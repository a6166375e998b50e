"""One engine's stream published again at another, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stream.clock import MonotonicClock
from stream.republish import Republisher, backoff_s
from stream.settings import RtcSettings
from stream.signalling import Endpoint
from tests.stream.rig import Server, serve, until
from tests.stream.test_webrtc import publishing


@asynccontextmanager
async def republishing(first: Server, url: str, grace_ms: int = 30_000) -> AsyncIterator[Republisher]:
    """`first`'s stream published at `url`, with short waits after failures."""
    endpoint = Endpoint.parse(url.replace("http", "whip", 1))
    settings = RtcSettings(viewer_grace_ms=grace_ms)
    made = Republisher(first.relay, endpoint, MonotonicClock(), settings, lambda failures: 0.05)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("fixture", ["clip", "vp8_clip"])
async def test_the_second_engine_gets_the_same_bytes_under_the_same_timestamps(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    clip = request.getfixturevalue(fixture)
    async with serve() as first, serve() as second, publishing(first, clip) as publisher:
        async with republishing(first, f"{second.url}/whip/show") as republisher:
            await until(lambda: second.sinks and len(second.sink.frames) > 30)
            await until(lambda: republisher.status().state == "sending")
            published = {frame.time.rtp: frame.data for frame in first.sink.video()}
            got = second.sink.video()
            assert {frame.time.rtp for frame in got} <= set(published)
            assert all(published[frame.time.rtp] == frame.data for frame in got)
            frames = second.sink.frames
            assert all(frame.barcode == publisher.frame_index(frame.rtp) for frame in frames)
            sound = {frame.time.rtp for frame in first.sink.audio()}
            assert second.sink.audio() and {f.time.rtp for f in second.sink.audio()} <= sound
        await until(lambda: second.sink.ended)
        assert second.sink.ended == ["bye"]
        assert first.relay.viewers == 0


async def test_a_lost_endpoint_is_published_to_again(clip: Path) -> None:
    async with serve() as first, serve() as second, publishing(first, clip):
        async with republishing(first, f"{second.url}/whip/show") as republisher:
            await until(lambda: second.sinks and republisher.status().connections == 1)
            await second.ingest.close("killed")
            await until(lambda: len(second.sinks) == 2 and second.sink.frames)
            await until(lambda: republisher.status().state == "sending")
            status = republisher.status()
            assert (status.connections, status.failures, status.state) == (2, 1, "sending")
            assert status.host == "127.0.0.1" and "closed" in status.reason


async def test_refusals_are_counted_and_tried_again(clip: Path) -> None:
    async with serve() as first, publishing(first, clip):
        async with republishing(first, f"{first.url}/whip/nothing") as republisher:
            await until(lambda: republisher.status().failures >= 3)
            assert republisher.status().connections == 0
            assert "got 404" in republisher.status().reason


async def test_nothing_is_published_while_nobody_is_live(clip: Path) -> None:
    async with serve(RtcSettings(viewer_grace_ms=300)) as first, serve() as second:
        async with republishing(first, f"{second.url}/whip/show", 300) as republisher:
            await asyncio.sleep(0.3)
            assert (second.sinks, republisher.status().state) == ([], "waiting")
            async with publishing(first, clip):
                await until(lambda: second.sinks and second.sink.frames)
            await until(lambda: second.sink.ended)
            await until(lambda: republisher.status().state == "waiting")
            assert (republisher.status().reason, republisher.status().failures) == ("stream ended", 0)


async def test_change_of_codec_begins_anew_at_once(clip: Path, vp8_clip: Path) -> None:
    async with serve() as first, serve() as second:
        async with publishing(first, clip), republishing(first, f"{second.url}/whip/show") as republisher:
            await until(lambda: second.sinks and second.sink.frames)
            async with publishing(first, vp8_clip):
                await until(lambda: len(second.sinks) == 2 and second.sink.frames)
                assert second.sink.video()[0].codec == "VP8"
                assert republisher.status().failures == 0


def test_waits_grow_and_are_spread() -> None:
    assert [backoff_s(n, 1.0) for n in (1, 2, 3, 5, 6, 50)] == [1.0, 2.0, 4.0, 16.0, 30.0, 30.0]
    assert backoff_s(6, 0.0) == 15.0
