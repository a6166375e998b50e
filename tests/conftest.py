"""What every test may lean on: what a missing tool means, and a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests.postgres_server import binaries, postgres_process, postgres_server
from tests.redis_server import redis_cluster_process, redis_process, redis_server

if TYPE_CHECKING:
    from playwright.async_api import Browser

__all__ = ["postgres_process", "postgres_server", "redis_cluster_process", "redis_process", "redis_server"]

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
TOOLS = {
    "browser": CHROMIUM,
    "redis": shutil.which("redis-server"),
    "gpu": shutil.which("nvidia-smi"),
    "postgres": binaries(),
}
REQUIRED_IN_CI = {"browser", "redis"}

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A missing tool skips what needs it, with the reason; in CI a browser and Redis must be there."""
    for marker, found in TOOLS.items():
        if found is None and item.get_closest_marker(marker) is not None:
            reason = f"needs {marker}, which is not installed here; ./run setup installs it"
            if os.environ.get("CI") and marker in REQUIRED_IN_CI:
                pytest.fail(reason)
            pytest.skip(reason)


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium with a fake camera, closed afterwards."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        try:
            yield browser
        finally:
            await browser.close()
