"""Makes the README's pictures: the demo's pages in Chromium. Run: python docs/screenshots.py."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT))

from vitrine.app import Server  # noqa: E402  (the root is put on the path first)
from vitrine.config import load_config  # noqa: E402
from vitrine.demo import Demo, addresses, demo_config  # noqa: E402

SETTLE_S = 12.0
PAGES = {
    "viewer": ((1280, 760), "viewer"),
    "viewer-phone": ((390, 844), "viewer"),
    "search": ((1280, 760), "viewer"),
    "host": ((1280, 800), "host"),
    "operator": ((1280, 1000), "operator"),
}


async def main() -> None:
    """Play the show, open every page, wait until there is something to see, save."""
    from playwright.async_api import async_playwright

    IMAGES.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        config = demo_config(load_config(None, {}, {"server.port": 0, "server.data_dir": folder}))
        async with Server(config) as server, async_playwright() as playwright:
            demo = Demo(server, loop=True)
            playing = asyncio.create_task(demo.run(None))
            args = ["--no-sandbox", "--allow-loopback-in-peer-connection"]
            browser = await playwright.chromium.launch(executable_path=chromium, args=args)
            for name, ((width, height), page_name) in PAGES.items():
                page = await browser.new_page(
                    viewport={"width": width, "height": height}, device_scale_factor=1.5
                )
                await page.goto(addresses(server)[page_name])
                if page_name == "viewer":
                    await page.wait_for_selector("button.spot >> visible=true", timeout=60_000)
                await page.wait_for_timeout(SETTLE_S * 1000)
                if name == "viewer-phone":
                    await page.locator("button.spot >> visible=true").first.click()
                    await page.wait_for_selector("#card[open]")
                    await page.wait_for_timeout(600)
                if name == "search":
                    await page.click("#seek")
                    await page.wait_for_selector("#results .likeness")
                    await page.wait_for_timeout(600)
                await page.screenshot(path=str(IMAGES / f"{name}.png"))
                print(f"docs/images/{name}.png")
                await page.close()
            await browser.close()
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            print(msgspec.json.encode(demo.summary()).decode()[:400])


if __name__ == "__main__":
    asyncio.run(main())
