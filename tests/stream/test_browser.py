"""Real browsers at both ends."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import pytest

from tests.conftest import CHROMIUM, CHROMIUM_ARGS
from tests.stream.media import picture
from tests.stream.rig import Server, serve, until
from tests.stream.test_webrtc import publishing

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

UNTHROTTLED = [
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
FIREFOX_PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


@asynccontextmanager
async def browser_with(*extra: str) -> AsyncIterator[Browser]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        args = [*CHROMIUM_ARGS, *UNTHROTTLED, *extra]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        try:
            yield browser
        finally:
            await browser.close()


async def publish(server: Server, browser: Browser, query: str, frames: int = 10) -> Page:
    page = await browser.new_page()
    known = len(server.sinks)
    failed: list[object] = []

    def delivers() -> bool:
        while not server.reports.empty():  # viewers' pages report here too, what they have shown
            failed.extend(filter(None, [server.reports.get_nowait().get("error")]))
        return bool(failed) or (len(server.sinks) > known and len(server.sink.frames) > frames)

    await page.goto(f"{server.url}/publish?{query}")
    await until(delivers, 20)
    assert failed == []
    return page


async def watch(server: Server, browser: Browser, frames: int = 30) -> tuple[Page, list[list[int]]]:
    page = await browser.new_page()
    await page.goto(f"{server.url}/watch")
    await page.wait_for_function(f"window.shown && window.shown.length > {frames}", timeout=20_000)
    return page, await page.evaluate("window.shown")


def barcodes(server: Server) -> dict[int, int | None]:
    """Wire timestamp at the viewers -> number in the picture, of every frame the engine has decoded."""
    out = {}
    for sink in server.sinks:
        for frame in sink.frames:
            offset = server.relay.offset(frame.epoch)
            assert offset is not None
            out[(frame.rtp + offset) % (1 << 32)] = frame.barcode
    return out


def assert_exact(shown: list[list[int]], server: Server, at_least: int = 20) -> None:
    """Frames shown under a timestamp carry the number that was decoded here under that timestamp.

    A page may read the picture back one frame late when the machine is busy; never early, and rarely. The
    first callback may come before there is a picture to read.
    """
    known = barcodes(server)
    late = [number - (known[rtp] or 0) for rtp, number, _ in shown[1:] if rtp in known]
    assert len(late) >= at_least
    assert late.count(0) >= 0.9 * len(late)
    assert set(late) <= {0, 1, 2}


@pytest.mark.browser
@pytest.mark.parametrize("codec", ["h264", "vp8"])
async def test_chromium_publishes_and_watches_at_full_size_on_exact_timestamps(codec: str) -> None:
    async with browser_with() as browser, serve() as server:
        publisher = await publish(server, browser, f"codec={codec}&w=1280&h=720")
        _, shown = await watch(server, browser)
        frames = server.sink.frames
        full = [frame for frame in frames if frame.size == (1280, 720)]
        assert (full[0].arrived_ns - frames[0].arrived_ns) / 1e9 < 2.0
        assert {frame.size for frame in frames[-10:]} == {(1280, 720)}
        assert_exact(shown, server)
        assert server.sink.started[0][1].codec == codec.upper()
        assert server.sink.started[0][1].description == "WHIP, Chromium or WebKit"
        await publisher.evaluate("pc.close()")
        await until(lambda: server.sink.ended)
        assert server.sink.ended == ["bye"]


@pytest.mark.browser
async def test_chromium_viewer_plays_on_through_a_publisher_reconnect() -> None:
    async with browser_with() as browser, serve() as server:
        first = await publish(server, browser, "codec=h264")
        viewer, before = await watch(server, browser)
        await first.close()
        await publish(server, browser, "codec=h264")
        assert server.sinks[0].ended
        count = len(before)
        await viewer.wait_for_function(f"window.shown.length > {count + 60}", timeout=20_000)
        shown = await viewer.evaluate("window.shown")
        offset = server.relay.offset(2)
        assert offset is not None
        second = [
            frame for frame in shown if (frame[0] - offset) % (1 << 32) in {f.rtp for f in server.sink.frames}
        ]
        assert len(second) > 20
        assert_exact(shown, server, at_least=50)
        assert await viewer.evaluate("pc.connectionState") == "connected"


@pytest.mark.browser
async def test_chromium_camera_and_microphone_reach_the_viewer(tmp_path: Path) -> None:
    camera = tmp_path / "camera.y4m"
    with av.open(str(camera), "w", format="yuv4mpegpipe") as container:
        stream = container.add_stream("wrapped_avframe", rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number in range(60):
            frame = av.VideoFrame.from_ndarray(picture(number, 640, 360), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
    async with browser_with(f"--use-file-for-fake-video-capture={camera}") as browser, serve() as server:
        await publish(server, browser, "source=camera&audio=1&codec=h264", frames=30)
        viewer, shown = await watch(server, browser)
        assert_exact(shown, server)
        numbers = [frame.barcode for frame in server.sink.frames[-20:]]
        assert all(number is not None and number < 60 for number in numbers)
        assert server.sink.started[-1][1].has_audio
        await viewer.wait_for_function(
            """async () => [...(await pc.getStats()).values()].some(
                 s => s.type === 'inbound-rtp' && s.kind === 'audio' && s.packetsReceived > 20)""",
            timeout=10_000,
        )


@asynccontextmanager
async def firefox(profile: Path, url: str) -> AsyncIterator[None]:
    assert FIREFOX is not None
    profile.mkdir()
    values = {k: str(v).lower() if isinstance(v, bool) else v for k, v in FIREFOX_PREFERENCES.items()}
    (profile / "user.js").write_text("".join(f'user_pref("{k}", {v});\n' for k, v in values.items()))
    process = await asyncio.create_subprocess_exec(
        FIREFOX, "--headless", "--no-remote", "--profile", str(profile), url,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


NEEDS_FIREFOX = pytest.mark.skipif(
    FIREFOX is None, reason="needs Firefox, which is not installed here (apt: firefox-esr)"
)


@pytest.mark.browser
@NEEDS_FIREFOX
async def test_firefox_publishes(tmp_path: Path) -> None:
    async with serve() as server, firefox(tmp_path / "profile", f"{server.url}/publish?w=640&h=360"):
        await until(lambda: not server.reports.empty() or (server.sinks and len(server.sink.frames) > 60), 40)
        assert server.reports.empty(), server.reports.get_nowait()
        sink = server.sink
        assert sink.started[0][1].description == "WHIP, Firefox"
        assert sink.started[0][1].codec in ("VP8", "H264")
        numbers = [frame.barcode for frame in sink.frames if frame.barcode is not None]
        assert numbers == sorted(numbers)
        steps = [(b.rtp - a.rtp) % (1 << 32) for a, b in zip(sink.frames, sink.frames[1:], strict=False)]
        assert max(steps) < 90_000


@pytest.mark.browser
@NEEDS_FIREFOX
async def test_firefox_watches_on_exact_timestamps(tmp_path: Path, vp8_clip: Path) -> None:
    async with serve() as server, publishing(server, vp8_clip):
        async with firefox(tmp_path / "profile", f"{server.url}/watch"), asyncio.timeout(40):
            report = await server.reports.get()
        assert "shown" in report, report
        assert_exact(cast(list[list[int]], report["shown"]), server)
