"""The pages in a real Chromium, against the stand-in server: what a person sees and does."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import CHROMIUM, CHROMIUM_ARGS
from tests.web.figures import PRODUCTS
from tests.web.mock import HOST_KEY, OPERATOR_KEY
from tests.web.show import Show

pytestmark = [pytest.mark.browser, pytest.mark.slow]  # a Chromium that decodes live video

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = "document.querySelector('vitrine-overlay')"
SPEED = 12
SPOT = "vitrine-overlay button.spot"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


def serve(speed: int) -> Iterator[str]:
    """Address of a fresh stand-in server with two drawn cards that move ``speed`` pixels a frame."""
    command = [sys.executable, "-m", "tests.web.mock", "--drawn", "--delay-ms", "30", "--hold-ms", "250"]
    command += ["--speed", str(speed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
def server() -> Iterator[str]:
    yield from serve(speed=1)


@pytest.fixture
def fast_server() -> Iterator[str]:
    yield from serve(speed=SPEED)


class Viewer:
    """A page that fails the test when its script fails or its content security policy is broken."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 720}} | options))
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.address = address
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._console(message.text))

    def _console(self, text: str) -> None:
        if "Content Security Policy" in text:
            self.errors.append(text)

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def act(self, action: str) -> Any:
        response = self.page.request.post(f"{self.address}/mock/{action}")
        return response.json() if action == "received" else None

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """What the page sent over the socket."""
        return [message for message in self.act("received") if message["t"] == kind]

    def close(self) -> None:
        self.context.close()
        assert self.errors == []


@pytest.fixture
def viewer(browser: Browser, server: str) -> Iterator[Viewer]:
    viewer = Viewer(browser, server)
    yield viewer
    viewer.close()


def until(page: Page, expression: str) -> None:
    """Like `wait_for_function`, which the content security policy forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never true: {expression}"
        page.wait_for_timeout(100)


def wait_live(page: Page) -> None:
    """Until hotspots are on a picture that nothing covers."""
    until(page, f"{OVERLAY}.state === 'live' && {OVERLAY}.shown.spots.length > 0")
    until(page, "!document.querySelector('.veil')?.checkVisibility({visibilityProperty: true})")


def centre_of(page: Page, pid: int) -> tuple[float, float]:
    """Where the product's hotspot is painted now, CSS pixels of the page."""
    script = f"""pid => {{
      const overlay = {OVERLAY}, spot = overlay.shown.spots.find((s) => s.pid === pid);
      const picture = overlay.diagnostics.picture, box = overlay.getBoundingClientRect();
      return [box.left + picture.x + (spot.x0 + spot.x1) / 2 * picture.width,
              box.top + picture.y + (spot.y0 + spot.y1) / 2 * picture.height];
    }}"""
    x, y = page.evaluate(script, pid)
    return float(x), float(y)


def test_a_click_on_a_moving_hotspot_opens_its_card(viewer: Viewer) -> None:
    page = viewer.open("/watch/demo")
    wait_live(page)
    page.mouse.click(*centre_of(page, 1))
    card = page.locator("dialog.sheet")
    expect(card.locator("h2")).to_have_text(str(PRODUCTS[0]["title"]))
    expect(card).to_contain_text("18.00 EUR")
    expect(card).to_contain_text("Sold by Studio North")
    action = card.locator("a")
    expect(action).to_have_attribute("href", "https://shop.example/mug")
    expect(action).to_have_attribute("rel", "noopener noreferrer")
    (tap,) = viewer.sent("tap")
    assert tap["epoch"] == 1
    assert (tap["rtp"] - (2**32 - 900_000)) % 2**32 % 3000 in (0, 1, 2999)
    assert tap["h"] == 7
    assert "pid" not in tap
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_the_product_list_offers_the_same_and_shows_data_as_text(viewer: Viewer) -> None:
    page = viewer.open("/watch/demo")
    rows = page.locator("#products .row")
    expect(rows).to_have_count(4)
    expect(rows.nth(3)).to_contain_text("Paper filters <b>100</b>")
    rows.nth(1).click()
    expect(page.locator("dialog.sheet")).to_contain_text("Paid placement by Brew & Co")
    page.keyboard.press("Escape")
    rows.nth(3).click()
    expect(page.locator("dialog.sheet h2")).to_have_text("Paper filters <b>100</b>")
    expect(page.locator("dialog.sheet a")).to_have_count(0)  # javascript: is no address
    assert [tap.get("pid") for tap in viewer.sent("tap")] == [2, 4]


def test_a_hotspot_is_painted_on_the_frame_it_belongs_to(browser: Browser, fast_server: str) -> None:
    viewer = Viewer(browser, fast_server, bypass_csp=True)  # for the test's own style
    page = viewer.open("/watch/demo")
    pin = "background:#f0f!important;border:0!important;box-shadow:none!important;border-radius:0!important"
    chip = "display:none!important"
    page.add_style_tag(content=f"vitrine-overlay::part(pin){{{pin}}} vitrine-overlay::part(chip){{{chip}}}")
    wait_live(page)
    page.wait_for_timeout(1500)
    box = page.evaluate(
        f"(({{x, y, width, height}}) => [x, y, width, height])({OVERLAY}.diagnostics.picture)"
    )
    errors = [painted_error(page.screenshot(type="png"), box) for _ in range(25)]
    viewer.close()
    apart = [error for error in errors if abs(error) > 6]  # half of what the object moves in a frame
    assert len(apart) <= 2, errors  # the object turns round now and then, which no extrapolation foresees


def painted_error(png: bytes, box: list[float]) -> float:
    """Pin minus object, in pixels of 1280, in the frame that the painted picture shows."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    x0, y0, width, height = box
    row = int(y0 + height * 520 / 540)
    bits = [int(picture[row, int(x0 + width * (i * 60 + 30) / 960)].mean() > 128) for i in range(16)]
    number = int("".join(map(str, bits)), 2)
    magenta = (picture[..., 0] > 180) & (picture[..., 1] < 90) & (picture[..., 2] > 180)
    rows, columns = np.nonzero(magenta)
    upper = (rows - y0) / height < 400 / 720  # the first card's; the second is below
    assert upper.any(), f"no hotspot on frame {number}"
    centre = (columns[upper].min() + columns[upper].max() + 1) / 2
    return float((centre - x0) / width * 1280 - 80 - Show.place(number, SPEED)[0])


def test_a_focused_hotspot_stands_still_and_answers_the_keyboard(viewer: Viewer) -> None:
    page = viewer.open("/watch/demo")
    wait_live(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    name = page.evaluate(f"{OVERLAY}.shadowRoot.activeElement?.getAttribute('aria-label')")
    assert name == "Stoneware mug, white 18.00 EUR"
    place = f"JSON.stringify({OVERLAY}.shadowRoot.activeElement.getBoundingClientRect())"
    before = page.evaluate(place)
    page.wait_for_timeout(1200)
    assert page.evaluate(place) == before
    page.keyboard.press("Enter")
    expect(page.locator("dialog.sheet h2")).to_have_text("Stoneware mug, white")


def test_hotspots_can_be_switched_off_and_thinned(viewer: Viewer) -> None:
    page = viewer.open("/watch/demo")
    wait_live(page)
    expect(page.locator(SPOT)).to_have_count(2)
    page.click("#hotspots")
    expect(page.locator(SPOT)).to_have_count(0)
    expect(page.locator("#hotspots")).to_have_attribute("aria-pressed", "false")
    page.click("#hotspots")
    expect(page.locator(SPOT)).to_have_count(2)
    page.select_option("#density", "pinned")
    expect(page.locator(SPOT)).to_have_count(0)
    headers = {"Authorization": f"Bearer {HOST_KEY}"}
    page.request.post(
        f"{viewer.address}/api/streams/demo/pin", data={"product_id": "mug-01", "on": True}, headers=headers
    )
    expect(page.locator(SPOT)).to_have_count(1)
    expect(page.locator(".spotlight")).to_contain_text("The host is showing")


def test_nonsense_from_the_server_does_not_break_the_page(viewer: Viewer) -> None:
    page = viewer.open("/watch/demo")
    wait_live(page)
    viewer.act("garbage")
    until(page, f"{OVERLAY}.diagnostics.ignored >= 9")
    viewer.act("sold-out")
    expect(page.locator("#products .row").first).to_contain_text("Sold out")
    wait_live(page)


def test_a_lost_socket_is_resumed(viewer: Viewer) -> None:
    page = viewer.open("/watch/demo")
    wait_live(page)
    viewer.act("drop")
    until(page, f"{OVERLAY}.diagnostics.connects === 2")
    wait_live(page)
    first, second = viewer.sent("hello")
    assert "resume" not in first
    assert second["resume"] == {"log": "mock", "seq": 0}


def test_the_end_of_the_show_is_told_and_its_return_is_noticed(viewer: Viewer) -> None:
    page = viewer.open("/watch/demo")
    wait_live(page)
    expect(page.locator("#badge-words")).to_have_text("Live")
    viewer.act("end")
    expect(page.locator("#badge-words")).to_have_text("Ended")
    expect(page.locator("#veil-words")).to_contain_text("The host has left")
    expect(page.locator(SPOT)).to_have_count(0)
    expect(page.locator("#products .row")).to_have_count(4)
    viewer.act("live")
    expect(page.locator("#badge-words")).to_have_text("Live")
    wait_live(page)


def test_on_a_phone_everything_fits_and_can_be_hit(browser: Browser, server: str) -> None:
    viewer = Viewer(browser, server, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = viewer.open("/watch/demo")
    wait_live(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        f"""() => [...document.querySelectorAll('button, a[href], select'),
                   ...{OVERLAY}.shadowRoot.querySelectorAll('button')]
          .filter((e) => !e.matches('.skip') && e.checkVisibility())
          .map((e) => [e.id || e.className, e.getBoundingClientRect()])
          .filter(([, box]) => box.width < 44 || box.height < 44).map(([name]) => name)"""
    )
    assert small == []
    page.touchscreen.tap(*centre_of(page, 1))
    expect(page.locator("dialog.sheet h2")).to_have_text("Stoneware mug, white")
    viewer.close()


def test_the_page_reports_what_it_painted(viewer: Viewer) -> None:
    page = viewer.open("/watch/demo")
    wait_live(page)
    until(page, f"{OVERLAY}.diagnostics.painted.frames > 60")
    page.wait_for_timeout(3000)
    reports = viewer.sent("report")
    assert reports
    assert reports[-1]["frames"] > 0
    assert 0 <= reports[-1]["with_box"] <= reports[-1]["frames"]
    assert viewer.sent("seen")[0]["pids"] == [1, 2]
    assert page.evaluate(f"{OVERLAY}.diagnostics.clock") == "rtp"


def test_a_host_goes_live_sees_the_viewers_picture_and_pins(viewer: Viewer) -> None:
    page = viewer.open("/host/demo#key=wrong")
    assert "#" not in page.url  # the key does not stay in the address bar
    page.click("#source-camera")
    page.click("#go-live")
    expect(page.locator("#problem")).to_have_text("The server does not accept this key.")
    page.fill("#key", HOST_KEY)
    page.click("#go-live")
    expect(page.locator("#badge-words")).to_have_text("On air")
    expect(page.locator("#studio-title")).to_have_text("What your viewers see")
    wait_live(page)
    expect(page.locator("#quality")).to_contain_text(re.compile("Connection: .*H264"))
    page.get_by_role("button", name="Pin for viewers: Stoneware mug, white").click()
    expect(page.get_by_role("button", name="Unpin: Stoneware mug, white")).to_be_visible()
    page.get_by_role("button", name="Hide all hotspots").click()
    expect(page.get_by_role("button", name="Show hotspots again")).to_be_visible()
    expect(page.locator(SPOT)).to_have_count(0)
    page.click("#stop")
    expect(page.locator("#badge-words")).to_have_text("Off air")


def test_the_operator_sees_stages_and_what_is_wrong(viewer: Viewer) -> None:
    page = viewer.open("/operator")
    expect(page.locator("#badge-words")).to_have_text("Key needed")
    page.fill("#key", OPERATOR_KEY)
    page.click("#door button[type=submit]")
    expect(page.locator("#stages tr")).to_have_count(9)
    expect(page.locator("#tiles")).to_contain_text("Frame age, p95")
    expect(page.locator("#frames")).to_contain_text("Dropped: late")
    expect(page.locator("#spots")).to_contain_text("seen from 6 views")
    viewer.act("problems")
    expect(page.locator("#problems")).to_contain_text("missed the 60 ms budget")
    page.route("**/api/operator", lambda route: route.abort())
    expect(page.locator("#badge-words")).to_have_text("Unreachable")
    page.unroute("**/api/operator")
    expect(page.locator("#badge-words")).to_have_text("1 problem")
