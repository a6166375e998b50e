"""The viewer's page and the element in a real Chromium, against the stand-in server."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.web.figures import PRODUCTS
from tests.web.mock import HOST_KEY
from tests.web.rig import OVERLAY, SPEED, SPOT, Viewer, centre_of, until, wait_live
from tests.web.show import Show

pytestmark = [pytest.mark.browser, pytest.mark.slow]  # a Chromium that decodes live video


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
    assert (tap["h"], tap["pid"]) == (7, 1)
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()


@pytest.mark.parametrize("surface", ["canvas", "video"])
def test_a_click_on_a_label_opens_the_product_that_it_names(viewer: Viewer, surface: str) -> None:
    page = viewer.open("/watch/demo")
    page.evaluate(f"{OVERLAY}.setAttribute('surface', '{surface}')")
    wait_live(page)
    far_end = f"""(() => {{
      const button = {OVERLAY}.shadowRoot.querySelector('button.spot[aria-label^="Stoneware"]');
      const box = button.querySelector('.chip').getBoundingClientRect();
      const placed = (button.dataset.side ?? 'none') !== 'none';
      return placed ? [box.left + 0.92 * box.width, box.top + box.height / 2] : null;
    }})()"""
    until(page, f"{far_end} !== null")
    page.mouse.move(*page.evaluate(far_end))
    under = "document.elementFromPoint(...at)"
    inside = f"{OVERLAY}.shadowRoot.{under[9:]} ?? {under}"
    cursor = f"(at => getComputedStyle({under} === {OVERLAY} ? {inside} : {under}).cursor)({far_end})"
    assert page.evaluate(cursor) == "pointer"
    page.mouse.click(*page.evaluate(far_end))
    expect(page.locator("dialog.sheet h2")).to_have_text(str(PRODUCTS[0]["title"]))
    (tap,) = viewer.sent("tap")
    assert (tap["h"], tap["pid"]) == (7, 1)
    spot = page.evaluate(f"{OVERLAY}.shown.spots.find((one) => one.pid === 1)")
    assert not spot["x0"] < tap["x"] < spot["x1"]  # nothing but the label is there


def test_hotspots_follow_when_the_picture_moves_while_no_frame_comes(viewer: Viewer) -> None:
    page = viewer.open("/watch/demo")
    wait_live(page)
    page.evaluate(f"{OVERLAY}.video.pause()")
    page.wait_for_timeout(300)
    before = centre_of(page, 1)
    page.set_viewport_size({"width": 820, "height": 900})
    page.wait_for_timeout(700)
    x, y = centre_of(page, 1)
    assert abs(x - before[0]) + abs(y - before[1]) > 50
    button = page.evaluate(f"""() => {{
      const spot = {OVERLAY}.shadowRoot.querySelector('button.spot[aria-label^="Stoneware"]');
      const box = spot.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    }}""")
    assert button == [pytest.approx(x, abs=2), pytest.approx(y, abs=2)]
    blank = page.evaluate(f"""() => {{
      const canvas = {OVERLAY}.shadowRoot.querySelector('canvas');
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      return pixels.every((value, index) => index % 4 === 3 || value === 0);
    }}""")
    assert not blank  # a canvas that changes its size is emptied
    page.mouse.click(x, y)
    expect(page.locator("dialog.sheet h2")).to_have_text(str(PRODUCTS[0]["title"]))
    (tap,) = viewer.sent("tap")
    spot = page.evaluate(f"{OVERLAY}.shown.spots.find((one) => one.pid === 1)")
    assert spot["x0"] < tap["x"] < spot["x1"] and spot["y0"] < tap["y"] < spot["y1"]


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
    page.add_style_tag(content="vitrine-overlay { --vitrine-pin: #f0f; --vitrine-pin-ring: #f0f; }")
    page.evaluate(f"{OVERLAY}.setAttribute('labels', 'off')")
    wait_live(page)
    page.wait_for_timeout(1500)
    box = page.evaluate(
        f"(({{x, y, width, height}}) => [x, y, width, height])({OVERLAY}.diagnostics.picture)"
    )
    errors = [painted_error(page.screenshot(type="png"), box) for _ in range(25)]
    viewer.close()
    apart = [error for error in errors if abs(error) > 6]  # half of what the object moves in a frame
    assert len(apart) <= 2, errors  # the object turns round now and then, which no extrapolation foresees


def test_a_finger_on_the_painted_pin_hits_it_wherever_its_button_is(
    browser: Browser, fast_server: str
) -> None:
    viewer = Viewer(
        browser, fast_server, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = viewer.open("/watch/demo")
    wait_live(page)
    page.evaluate(  # buttons that never follow
        f"""() => {{
          const away = new CSSStyleSheet();
          away.replaceSync(".spot {{ left: -4000px !important; }}");
          const root = {OVERLAY}.shadowRoot;
          root.adoptedStyleSheets = [...root.adoptedStyleSheets, away];
          window.clicks = 0;
          {OVERLAY}.video.addEventListener("click", () => window.clicks++);
        }}"""
    )
    page.touchscreen.tap(*centre_of(page, 1))
    expect(page.locator("dialog.sheet h2")).to_have_text("Stoneware mug, white")
    assert page.evaluate("window.clicks") == 0  # the tap was for the hotspot
    page.keyboard.press("Escape")
    x, y, width, height = page.evaluate(
        f"(({{x, y, width, height}}) => [x, y, width, height])({OVERLAY}.video.getBoundingClientRect())"
    )
    page.touchscreen.tap(x + width - 4, y + height - 4)
    until(page, "window.clicks === 1")  # nothing there: the video's
    assert len(viewer.sent("tap")) == 1
    viewer.close()


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


def test_a_viewer_who_comes_early_waits_for_the_host(viewer: Viewer) -> None:
    page = viewer.open("/")
    viewer.act("end")
    expect(page.locator("#shows")).to_contain_text("Off air")
    viewer.open("/watch/demo")
    expect(page.locator("#badge-words")).to_have_text("Host away")
    expect(page.locator("#veil-words")).to_have_text("Waiting for the host to go live.")
    viewer.act("live")
    wait_live(page)
    viewer.open("/")
    until(page, "true")
    assert {"t": "delete", "kind": "whep"} in viewer.act("received")


def test_a_video_that_does_not_name_its_frames_gets_the_newest_hotspots(viewer: Viewer) -> None:
    page = viewer.open("/")
    page.evaluate(
        """async () => {
          await import("/static/vitrine-overlay.js");
          const canvas = document.createElement("canvas"), video = document.createElement("video");
          [canvas.width, canvas.height] = [320, 180];
          const pen = canvas.getContext("2d");
          setInterval(() => {
            pen.fillStyle = `hsl(${performance.now() / 20} 50% 50%)`;
            pen.fillRect(0, 0, 320, 180);
          }, 33);
          video.muted = true;
          video.srcObject = canvas.captureStream(30);
          const overlay = document.createElement("vitrine-overlay");
          overlay.append(video); // wrapped around a video, on a page that knows nothing else of it
          overlay.setAttribute("src", "/ws/demo");
          document.body.prepend(overlay);
          await video.play();
        }"""
    )
    player = viewer.context.new_page()  # somebody has to play for boxes to be sent
    player.goto(viewer.address + "/watch/demo")
    until(page, f"{OVERLAY}.shown.spots.length === 2")
    assert page.evaluate(f"{OVERLAY}.diagnostics.clock") == "arrival"
    assert page.evaluate(
        f"""[...{OVERLAY}.shadowRoot.querySelectorAll("button")].every((button) => {{
          const at = button.getBoundingClientRect(), box = {OVERLAY}.video.getBoundingClientRect();
          return at.left >= box.left - 22 && at.right <= box.right + 22 && at.top >= box.top - 22;
        }})"""
    )


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
