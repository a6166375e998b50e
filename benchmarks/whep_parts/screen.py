"""What one viewer in Chromium sees, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from benchmarks.stats import percentile, share
from benchmarks.whep_parts import pages
from benchmarks.whep_parts.clip import TICKS
from benchmarks.whep_parts.path import LossyPath, through

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"
ARGS = (
    "--no-sandbox",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)
FREEZE_MS = 150.0
"""A frame of 33 ms that stays for so long is a freeze, as in WebRTC's statistics (W3C webrtc-stats)."""


@dataclass(slots=True)
class Reel:
    """What one page has shown.

    Attributes:
        asked_ms: wall clock when it asked for the stream.
        shown: (wall clock ms, RTP timestamp, number in the picture) of every callback.
        counts: from getStats.
    """

    asked_ms: float
    shown: list[tuple[float, int, int]]
    counts: dict[str, float] = field(default_factory=dict)

    @property
    def first_ms(self) -> float:
        """From asking to the first picture."""
        return self.shown[0][0] - self.asked_ms if self.shown else float("nan")

    def ages_ms(self, origin_ms: float) -> list[float]:
        """How old each frame of ``show`` was: `origin_ms` is the wall clock of its frame 0."""
        return [at - origin_ms - rtp / 90 for at, rtp, _ in self.shown]

    def errors(self, frames: int) -> list[int]:
        """Frames between the number in the picture and the one its timestamp says; the first is not read."""
        found = []
        for _, rtp, number in self.shown[1:]:
            off = (number - rtp // TICKS) % frames
            found.append(off if off <= frames // 2 else off - frames)
        return found

    def within(self, begin_ms: float, end_ms: float) -> dict[str, float]:
        """What was seen from `begin_ms` to `end_ms`, wall clock: new pictures a second, and stand-stills.

        One that lasts until the end counts: who stops showing anything has no gap between two pictures.
        """
        times = [at for at, _, _ in self.shown if begin_ms <= at <= end_ms]
        marks = [begin_ms, *times, end_ms]
        gaps = [b - a for a, b in zip(marks, marks[1:], strict=False)]
        long = [gap for gap in gaps if gap > FREEZE_MS]
        return {
            "shown_fps": round(1000 * len(times) / (end_ms - begin_ms), 1),
            "freezes": len(long),
            "frozen_ms": round(sum(long), 1),
            "longest_ms": round(max(gaps), 1),
        }


class Screen:
    """Pages against one server, each through a network of its own if wished."""

    def __init__(self, browser: Browser, site: str, paths: list[LossyPath]) -> None:
        self._browser = browser
        self._site = site
        self._paths = paths

    async def watch(self, stream: str = "show", *, hold_ms: int = 0, path: LossyPath | None = None) -> Page:
        """Open a page that plays `stream`."""
        url = f"{self._site}/whep/{stream}"
        if path is not None:
            self._paths.append(path)
            url += f"?path={len(self._paths) - 1}"
        return await self._open(
            pages.WATCH.replace("URL_OF_WHEP", f"'{url}'").replace("HOLD_MS", str(hold_ms))
        )

    async def publish(self) -> Page:
        """Open a page that publishes ``live``."""
        return await self._open(pages.PUBLISH.replace("URL_OF_WHIP", f"'{self._site}/whip/live'"))

    async def _open(self, text: str) -> Page:
        page = await self._browser.new_page()
        await page.route("**/page", lambda route: route.fulfill(body=text, content_type="text/html"))
        await page.goto(f"{self._site}/page")
        return page


async def reel(page: Page) -> Reel:
    """What `page` has shown so far."""
    failed = await page.evaluate("window.failed ?? ''")
    if failed:
        raise RuntimeError(f"page: {failed}")
    asked, shown = await page.evaluate("[asked, shown]")
    counts: dict[str, Any] = await page.evaluate(pages.STATISTICS)
    return Reel(asked, [(a, int(b), int(c)) for a, b, c in shown], counts)


@asynccontextmanager
async def screen(server: str) -> AsyncIterator[Screen]:
    """A browser, and a small site that passes offers on, with a lossy path in the answer where wished."""
    from playwright.async_api import async_playwright

    paths: list[LossyPath] = []

    async def pass_on(request: web.Request) -> web.Response:
        url = server + request.path
        headers = {"Content-Type": "application/sdp"}
        async with aiohttp.ClientSession() as http:
            async with http.post(url, data=await request.text(), headers=headers) as reply:
                answer = await reply.text()
        if "path" in request.query:
            answer = await through(answer, paths[int(request.query["path"])])
        return web.Response(status=201, text=answer, content_type="application/sdp")

    app = web.Application()
    app.router.add_post("/{role}/{stream}", pass_on)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        site = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGS))
            try:
                yield Screen(browser, site, paths)
            finally:
                await browser.close()
    finally:
        for path in paths:
            path.close()
        await runner.cleanup()


async def recovery_ms(page: Page, path: LossyPath, outage_s: float, origin_ms: float) -> float:
    """Nothing passes for `outage_s`; how long after that until a frame made since is shown."""
    before, path.loss = path.loss, 1.0
    await asyncio.sleep(outage_s)
    path.loss = before
    over_ms = time.time() * 1000
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        await asyncio.sleep(0.1)
        for at, rtp, _ in (await reel(page)).shown[-60:]:
            if at > over_ms and origin_ms + rtp / 90 > over_ms:
                return at - over_ms
    return float("nan")


def exact_pct(errors: Sequence[int]) -> float:
    """Share of frames whose picture is that of their timestamp."""
    return round(share(sum(error == 0 for error in errors), len(errors)), 2)


def quantile(values: Sequence[float], q: float) -> float:
    """Rounded percentile."""
    return round(percentile(list(values), q), 1)
