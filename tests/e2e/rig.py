"""The whole engine on a free port, real Chromium pages, and a camera that plays a clip."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
from PIL import Image

from tests.conftest import CHROMIUM, CHROMIUM_ARGS
from vitrine.app import Server
from vitrine.config import load_config

STREAM = "demo"


def camera_file(clip: Path, folder: Path, *, seconds: float, start: float = 0.0) -> Path:
    """The clip as Motion JPEG, which Chromium plays as a camera, over and over."""
    target = folder / f"{clip.stem}.mjpeg"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    command += ["-ss", str(start), "-i", str(clip), "-t", str(seconds)]
    command += ["-r", "30", "-q:v", "4", "-pix_fmt", "yuvj420p", str(target)]
    subprocess.run(command, check=True, timeout=120)
    return target


def write_feed(folder: Path, products: dict[str, tuple[str, Image.Image]]) -> Path:
    """A Merchant feed of (title, picture) by id, pictures beside it."""
    columns = ("id", "title", "price", "link", "image_link", "availability", "seller")
    rows = ["\t".join(columns)]
    for number, (product_id, (title, picture)) in enumerate(products.items(), 1):
        picture.convert("RGB").save(folder / f"{product_id}.png")
        link = f"https://shop.example/{product_id}"
        cells = (product_id, title, f"{number}.50 EUR", link, f"{product_id}.png", "in_stock", "Studio North")
        rows.append("\t".join(cells))
    feed = folder / "feed.tsv"
    feed.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return feed


@asynccontextmanager
async def engine(folder: Path, **settings: object) -> AsyncIterator[Server]:
    """A server of its own; `settings` as ``section__key``."""
    overrides: dict[str, object] = {
        "server.port": 0,
        "server.data_dir": str(folder / "state"),
        "catalog.own_seller": "Studio North",
    }
    overrides |= {key.replace("__", "."): value for key, value in settings.items()}
    async with Server(load_config(None, {}, overrides)) as server:
        yield server


@asynccontextmanager
async def browser(camera: Path | None = None) -> AsyncIterator[Any]:
    """A Chromium context whose camera plays `camera`."""
    from playwright.async_api import async_playwright

    args = list(CHROMIUM_ARGS)
    if camera is not None:
        args.append(f"--use-file-for-fake-video-capture={camera}")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        try:
            yield await chromium.new_context(
                permissions=["camera", "microphone"], viewport={"width": 1280, "height": 800}
            )
        finally:
            await chromium.close()


async def open_page(context: Any, url: str, said: list[str]) -> Any:
    """A page whose errors are collected in `said`."""
    page = await context.new_page()
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.goto(url)
    return page


async def go_live(page: Any) -> None:
    """What a host does."""
    await page.click("#source-camera")
    await page.wait_for_selector("#go-live:not([disabled])", timeout=20_000)
    await page.click("#go-live")


async def until(page: Any, what: Callable[[], Any], *, seconds: float, words: str) -> Any:
    """Poll `what` until it is true."""
    for _ in range(int(seconds * 5)):
        found = await what()
        if found:
            return found
        await page.wait_for_timeout(200)
    raise AssertionError(f"not within {seconds} s: {words}")


async def spots(page: Any) -> list[dict[str, Any]]:
    """Visible hotspots: label, and box in 0..1 of the video's picture."""
    found: list[dict[str, Any]] = await page.evaluate(
        """() => {
            const overlay = document.querySelector('vitrine-overlay'), video = overlay.video;
            const frame = video.getBoundingClientRect();
            const scale = Math.min(frame.width / video.videoWidth, frame.height / video.videoHeight);
            const w = video.videoWidth * scale, h = video.videoHeight * scale;
            const left = frame.left + (frame.width - w) / 2, top = frame.top + (frame.height - h) / 2;
            return [...overlay.shadowRoot.querySelectorAll('button.spot')]
              .filter((b) => b.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
              .map((b) => {
                const r = b.getBoundingClientRect();
                return { label: b.getAttribute('aria-label'),
                  x: (r.left + r.width / 2 - left) / w, y: (r.top + r.height / 2 - top) / h };
              });
        }"""
    )
    return found
