"""A Chromium per module, a stand-in server and a page per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.conftest import CHROMIUM, CHROMIUM_ARGS
from tests.web.rig import SPEED, Viewer, serve


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def server() -> Iterator[str]:
    yield from serve(speed=1)


@pytest.fixture
def fast_server() -> Iterator[str]:
    yield from serve(speed=SPEED)


@pytest.fixture
def viewer(browser: Browser, server: str) -> Iterator[Viewer]:
    viewer = Viewer(browser, server)
    yield viewer
    viewer.close()
