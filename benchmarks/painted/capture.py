"""Driving Chromium: a publisher that draws, a viewer that is watched from outside through its screencast."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, Playwright, ViewportSize

from benchmarks.harness import CannotRun
from benchmarks.painted.motion import BITS, FPS, HEIGHT, OBJECT, WIDTH, Motion
from benchmarks.painted.readback import Area, Picture, picture

HERE = Path(__file__).parent
FLAGS = [
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]
VIEWPORT: ViewportSize = {"width": 1440, "height": 900}

MARKED = """
vitrine-overlay { --vitrine-pin: #f0f; --vitrine-pin-ring: #f0f; }
.screen .top, .screen .controls { visibility: hidden !important; }
"""
"""Colours the real page's pin so that it can be found in the picture, and takes away the page's own line of
words, which lies on the barcode. Labels, which would cover the object, are switched off beside it.
"""

ADOPT = """(css) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  document.querySelector('vitrine-overlay')?.setAttribute('labels', 'off');
}"""
"""Adds a style sheet in spite of the page's content security policy."""

NO_HOLD = """
Object.defineProperty(RTCRtpReceiver.prototype, 'jitterBufferTarget', { get() { return null; }, set() {} });
Object.defineProperty(RTCRtpReceiver.prototype, 'playoutDelayHint', { get() { return null; }, set() {} });
"""
"""Takes the jitter-buffer target away from a page: its video is not held back."""

NO_OVERLAY = """
const define = customElements.define.bind(customElements);
customElements.define = (name, ...rest) => { if (name !== 'vitrine-overlay') define(name, ...rest); };
"""
"""Leaves the overlay element inert: the same page with plain video."""

FRAMES = "() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames"
"""How many frames the page's video has shown."""

WHERE = """() => {
  const video = document.querySelector('video');
  if (!video || !video.videoWidth) return null;
  const box = video.getBoundingClientRect();
  const scale = Math.min(box.width / video.videoWidth, box.height / video.videoHeight);
  const width = video.videoWidth * scale, height = video.videoHeight * scale;
  return { x: box.x + (box.width - width) / 2, y: box.y + (box.height - height) / 2, width, height };
}"""


def chromium() -> str:
    """Path of a real Chromium.

    Raises:
        CannotRun: none is installed.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise CannotRun(
        "no Chromium found (looked for chromium, chromium-browser, google-chrome); run ./run setup"
    )


@asynccontextmanager
async def browser(playwright: Playwright) -> AsyncIterator[Browser]:
    """A headless Chromium of its own, so that its processor time is that of one page."""
    running = await playwright.chromium.launch(executable_path=chromium(), headless=True, args=FLAGS)
    try:
        yield running
    finally:
        await running.close()


@asynccontextmanager
async def pages(motion: Motion) -> AsyncIterator[str]:
    """Serve the publisher's and the peers' page while the block lasts; yields their address."""
    facts = {
        "motion": motion.centres,
        "width": WIDTH,
        "height": HEIGHT,
        "fps": FPS,
        "bits": BITS,
        "object": OBJECT,
    }

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(HERE))

        def do_GET(self) -> None:  # noqa: N802
            if self.path == "/motion.json":
                body = json.dumps(facts).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            else:
                super().do_GET()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


async def publish(context: BrowserContext, site: str, url: str, key: str, codec: str) -> Page:
    """Open the publisher's page and publish to the WHIP endpoint `url`."""
    page = await context.new_page()
    await page.goto(f"{site}/publisher.html")
    await page.wait_for_function("window.ready === true")
    await page.evaluate("([url, key, codec]) => window.publish(url, key, codec)", [url, key, codec.lower()])
    return page


@dataclass(slots=True)
class Film:
    """A viewer's page as painted.

    Attributes:
        area: where the video lies, CSS pixels of the viewport.
        shots: (seconds, JPEG) of every compositor frame that was captured.
    """

    area: Area
    shots: list[tuple[float, bytes]] = field(default_factory=list)

    def developed(self) -> list[tuple[Picture, Area]]:
        """The pictures, each with the video's area in its own pixels."""
        done = []
        for _, data in self.shots:
            shot = picture(data)
            scale = shot.shape[1] / VIEWPORT["width"]
            done.append((shot, Area(*(value * scale for value in self.area))))
        return done


async def film(context: BrowserContext, page: Page, seconds: float) -> Film:
    """Record what `page` paints for `seconds` through CDP Page.startScreencast."""
    where = await page.evaluate(WHERE)
    if where is None:
        raise CannotRun("the viewer's page shows no video")
    reel = Film(Area(where["x"], where["y"], where["width"], where["height"]))
    session = await context.new_cdp_session(page)
    acknowledgements: set[asyncio.Task[Any]] = set()

    def shot(event: dict[str, Any]) -> None:
        reel.shots.append((event["metadata"].get("timestamp", 0.0), base64.b64decode(event["data"])))
        task = asyncio.create_task(session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]}))
        acknowledgements.add(task)
        task.add_done_callback(acknowledgements.discard)

    session.on("Page.screencastFrame", shot)
    await session.send("Page.startScreencast", {"format": "jpeg", "quality": 85, "everyNthFrame": 1})
    await asyncio.sleep(seconds)
    await session.send("Page.stopScreencast")
    await asyncio.sleep(0.2)
    await session.detach()
    return reel


async def playing(page: Page, timeout_s: float) -> None:
    """Wait until the page's video shows pictures.

    Raises:
        CannotRun: it does not in time.
    """
    try:
        await page.wait_for_function(
            "() => { const v = document.querySelector('video'); return v?.videoWidth && v.currentTime > 0; }",
            timeout=timeout_s * 1000,
        )
    except Exception as error:
        text = (await page.inner_text("body"))[:300]
        raise CannotRun(
            f"the viewer's page shows no video after {timeout_s:.0f} s; it says: {text!r}"
        ) from error
