"""The front page in a real Chromium."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.web.rig import Viewer

pytestmark = pytest.mark.browser


def test_shows_are_listed_and_replays_below_them(viewer: Viewer) -> None:
    replays = [{"name": "spring", "title": "Spring <b>show</b>"}, {"name": None}, 7]
    viewer.page.route("**/api/replays", lambda route: route.fulfill(body=json.dumps({"replays": replays})))
    page = viewer.open("/")
    expect(page.locator("#shows .name")).to_have_text(["demo", "evening"])
    link = page.locator("#replays a")
    expect(link).to_have_text("Spring <b>show</b>")
    expect(link).to_have_attribute("href", "/replay/spring/")


def test_without_replays_there_is_no_empty_list(viewer: Viewer) -> None:
    page = viewer.open("/")
    expect(page.locator("#shows .name")).to_have_text(["demo", "evening"])
    expect(page.locator("#recorded")).to_be_hidden()
