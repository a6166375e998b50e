"""Two engines, one handing the video to the other: pulled by WHEP, pushed by WHIP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from inference.types import FrameResult
from stream.types import StreamId
from tests.stream.media import write_clip
from tests.stream.peers import Viewer, watching
from tests.stream.rig import until
from vitrine.app import Server
from vitrine.config import load_config

SHOW = StreamId("show")


@asynccontextmanager
async def engine(folder: Path, **overrides: object) -> AsyncIterator[Server]:
    """An engine without products that keeps its state in `folder`."""
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    settings = {"server.port": 0, "server.data_dir": str(folder), "inference.rungs": (160,), **given}
    async with Server(load_config(None, {}, settings)) as server:
        yield server


async def live(server: Server) -> None:
    """Wait until the show is live there."""

    def found() -> bool:
        return any(one.stream == SHOW and one.relay.live for one in server.engine.hub)

    await until(found, 20)


def results_of(server: Server) -> list[FrameResult]:
    """Every result of the show from now on."""
    found: list[FrameResult] = []
    server.engine.hub.get(SHOW).pipeline.listeners.append(lambda result, sent: found.append(result))
    return found


def timestamps_of(server: Server) -> set[int]:
    """Wire timestamps that the engine passes on to viewers, since its newest keyframe and from now on."""
    subscription = server.engine.hub.get(SHOW).relay.subscribe()
    seen = {frame.rtp for frame in subscription.begin}
    subscription.offer_video = lambda frame: seen.add(frame.rtp)  # type: ignore[method-assign]
    return seen


async def enough(condition: Callable[[], object]) -> None:
    await until(condition, 20)


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("show") / "show.mp4", frames=300)


async def check(second: Server, published: set[int]) -> Viewer:
    """The second engine's overlays bear timestamps of the first one's video, and so does its own video."""
    results = results_of(second)
    relay = second.engine.hub.get(SHOW).relay
    async with watching(second.url) as viewer:
        await enough(lambda: len(results) > 20 and len(viewer.frames) > 20)
    assert {result.time.rtp for result in results} <= published
    offset = relay.offset(results[0].time.epoch)
    assert offset is not None
    shown = {(rtp - offset) % (1 << 32) for rtp in viewer.frames}
    assert shown <= published
    assert len(shown & {result.time.rtp for result in results}) > 10
    return viewer


async def test_one_copy_pulled_by_whep_bears_overlays_on_the_publishers_timestamps(
    tmp_path: Path, show: Path
) -> None:
    async with engine(tmp_path / "a", sources__show=str(show)) as first:
        await live(first)
        published = timestamps_of(first)
        pulled = first.url.replace("http", "whep", 1) + "/whep/show"
        async with engine(tmp_path / "b", sources__show=pulled) as second:
            await live(second)
            await check(second, published)


async def test_a_stream_sent_on_by_whip_bears_overlays_on_the_same_timestamps(
    tmp_path: Path, show: Path
) -> None:
    async with engine(tmp_path / "b") as second:
        key = second.keys.publish.reveal()
        target = second.url.replace("http://", f"whip://{key}@") + "/whip/{stream}"
        more = {"republish__*": target}
        async with engine(tmp_path / "a", sources__show=str(show), **more) as first:
            await live(first)
            published = timestamps_of(first)
            await live(second)
            await asyncio.sleep(0.1)
            await check(second, published)
            headers = {"Authorization": f"Bearer {first.keys.operator.reveal()}"}
            async with aiohttp.ClientSession(headers=headers) as http:
                async with http.get(f"{first.url}/api/operator") as reply:
                    video = (await reply.json())["streams"][0]["video"]
                async with http.get(f"{first.url}/metrics") as reply:
                    text = await reply.text()
            assert (video["republish"]["state"], video["republish"]["host"]) == ("sending", "127.0.0.1")
            assert 'vitrine_republish_up{stream="show"} 1.0' in text
            assert key not in text
