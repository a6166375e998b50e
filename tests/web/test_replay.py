"""The page of a recorded video in a real Chromium: MP4 and HLS, from a folder on a plain web server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from inference.types import Box, MatchState
from overlay.messages import Card
from overlay.types import Hotspot
from stream.recorded import describe_recording
from tests.stream.media import write_clip
from tests.web.folder import serve_folder
from tests.web.rig import OVERLAY, Viewer, centre_of, until
from vitrine.tagging.frames import Cue, Tags
from vitrine.tagging.page import Replay, write_replay
from vitrine.tagging.track import appearances, chapters, to_chapters, to_webvtt

pytestmark = pytest.mark.browser

MS = 1_000_000
FRAME_NS = 1_000_000_000 / 30
CARDS = (
    Card(0, "mug", "Stoneware mug", "18.00 EUR", "https://shop.example/mug", "", "Studio North"),
    Card(0, "hat", "Straw hat", "30.00 EUR", "", "", "Hats & Co", label="Paid placement by Hats & Co"),
)


def spot(product: str, number: int) -> Hotspot:
    """Where `tests.stream.media.picture` draws its square at that frame: 6 pixels of 320 a frame."""
    x = number * 6 % (320 - 60) / 320
    return Hotspot(7, 1, product, MatchState.EXACT, Box(x, 0.5, x + 60 / 320, 0.75))


def _cue(number: int) -> Cue:
    product = "mug" if number < 90 else "hat"
    return Cue(int(number * FRAME_NS), int((number + 3) * FRAME_NS), (spot(product, number),))


def write_site(folder: Path, video: Path) -> None:
    """A replay of 180 frames: the mug up to frame 89, the hat from frame 150 on, a cue every third frame."""
    recording = describe_recording(str(video))
    numbers = [n for n in range(0, 180, 3) if n < 90 or n >= 150]
    cues = tuple(_cue(number) for number in numbers)
    tags = Tags(cues, 180, 60, int(180 * FRAME_NS), 1).starting_at(recording.start_ns)
    titles = {card.id: card.title for card in CARDS}
    documents = {
        "overlay.vtt": to_webvtt(tags, CARDS),
        "chapters.vtt": to_chapters(chapters(appearances(tags)), titles),
    }
    poster = Image.new("RGB", (320, 240))
    write_replay(folder, Replay(str(video), documents, poster, None, {}, recording, "x"), static=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    clip = write_clip(folder / "film.mp4", frames=180, gop=30, b_frames=2)
    write_site(folder / "mp4", clip)
    for name, kind in (("hls", "fmp4"), ("ts", "mpegts")):
        (folder / "lists" / name).mkdir(parents=True)
        playlist = folder / "lists" / name / "index.m3u8"
        options = [
            "-c",
            "copy",
            "-f",
            "hls",
            "-hls_time",
            "1",
            "-hls_list_size",
            "0",
            "-hls_segment_type",
            kind,
        ]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", clip, *options, playlist]
        subprocess.run(command, check=True)
        write_site(folder / name, playlist)
    with serve_folder(folder) as address:
        yield address


@pytest.fixture
def viewer(browser: Browser, site: str) -> Iterator[Viewer]:
    viewer = Viewer(browser, site)
    yield viewer
    viewer.close()


READY = "!document.getElementById('seek').disabled"
NUMBER = """async (where) => {
  const video = document.querySelector('video');
  const came = new Promise((done) => video.requestVideoFrameCallback(done));
  video.currentTime = where;
  await came;
  await new Promise((done) => setTimeout(done, 100));
  const canvas = new OffscreenCanvas(320, 240), pen = canvas.getContext('2d');
  pen.drawImage(video, 0, 0, 320, 240);
  const row = pen.getImageData(0, 5, 320, 1).data;
  return [...Array(32).keys()].reduce((value, bit) => value * 2 + (row[(bit * 10 + 5) * 4] > 126 ? 1 : 0), 0);
}"""
"""Goes to a time of the video; answers the number in the barcode on screen."""


@pytest.mark.parametrize("path", ["mp4", "hls", "ts", "ts/index.html?player=native"])
def test_the_hotspot_belongs_to_the_frame_that_a_seek_ends_at(viewer: Viewer, path: str) -> None:
    page = viewer.open(f"/{path}" if "?" in path else f"/{path}/index.html")
    until(page, READY)
    begins = page.evaluate("document.querySelector('video').currentTime")
    for number in (0, 1, 20, 34, 52, 70, 155, 160, 10):  # away from where the square jumps back
        shown = page.evaluate(NUMBER, begins + (number + 0.5) / 30)
        assert shown == number
        (found,) = page.evaluate(f"{OVERLAY}.shown.spots")
        assert found["x0"] == pytest.approx(spot("mug", number).box.x0, abs=0.004), number
    page.evaluate(NUMBER, begins + 120.5 / 30)
    assert page.evaluate(f"{OVERLAY}.shown.spots") == []


def test_the_native_player_is_told_its_one_constant(viewer: Viewer) -> None:
    page = viewer.open("/ts/index.html?player=native")
    until(page, READY)
    until(page, f"{OVERLAY}.hasAttribute('track-offset')")
    assert -1600 < float(page.evaluate(f"{OVERLAY}.getAttribute('track-offset')")) < -1400


def test_a_tap_opens_the_card_and_chapters_lead_to_their_product(viewer: Viewer) -> None:
    page = viewer.open("/mp4/index.html")
    until(page, f"{READY} && {OVERLAY}.shown.spots.length === 1")
    until(page, "!document.querySelector('.veil').checkVisibility({visibilityProperty: true})")
    page.mouse.click(*centre_of(page, 1))
    card = page.locator("dialog.sheet")
    expect(card.locator("h2")).to_have_text("Stoneware mug")
    expect(card).to_contain_text("18.00 EUR")
    page.keyboard.press("Escape")
    chapters_shown = page.locator("#chapters button")
    expect(chapters_shown).to_have_text(["0:00Stoneware mug", "0:05Straw hat"])
    assert page.locator(".mark").count() == 2
    chapters_shown.nth(1).click()
    until(page, f"{OVERLAY}.shown.spots[0]?.pid === 2")
    assert round(page.evaluate(f"{OVERLAY}.shown.frame") * 30 / 90_000) == 150
    expect(page.locator("#chapters [aria-current]")).to_have_text("0:05Straw hat")
    expect(page.locator("#paid-note")).to_be_visible()
    page.locator("#products .product").nth(0).get_by_role(
        "button", name="Stoneware mug is shown, 0:00"
    ).click()
    until(page, f"{OVERLAY}.shown.spots[0]?.pid === 1")


def test_prices_and_stock_are_those_of_now_where_a_server_knows_them_and_dated_elsewhere(
    viewer: Viewer,
) -> None:
    page = viewer.open("/mp4/index.html")
    until(page, READY)
    rows, note = page.locator("#products .product"), page.locator("#as-of")
    expect(note).to_have_text(re.compile(r"^Prices and stock as they were on \w+ \d+, 20\d\d\.$"))
    expect(rows.nth(0)).to_contain_text("18.00 EUR")
    about = page.evaluate("fetch('replay.json').then((answer) => answer.json())")
    now = [{"pid": 0, "id": "mug", "title": "Stoneware mug", "price": "18.00 EUR", "sale_price": "15.00 EUR"}]
    page.route("**/replay.json", lambda route: route.fulfill(json=about | {"cards": "cards.json"}))
    page.route("**/cards.json", lambda route: route.fulfill(json={"cards": now}))
    page.reload()
    until(page, READY)
    expect(rows.nth(0)).to_contain_text("now 15.00 EUR")
    expect(rows.nth(1)).to_contain_text("Sold out")
    expect(note).to_be_hidden()
    rows.nth(0).locator(".row").click()
    expect(page.locator("dialog.sheet")).to_contain_text("now 15.00 EUR")


def test_keys_play_pause_and_go_frame_by_frame(viewer: Viewer) -> None:
    page = viewer.open("/hls/index.html#t=1")
    until(page, f"{READY} && {OVERLAY}.shown.frame > 0")
    until(page, f"Math.abs({OVERLAY}.shown.frame / 90000 - 1.07) < 0.04")
    first = page.evaluate(f"{OVERLAY}.shown.frame")
    page.keyboard.press(".")
    until(page, f"{OVERLAY}.shown.frame === {first} + 3000")
    page.keyboard.press(",")
    until(page, f"{OVERLAY}.shown.frame === {first}")
    page.keyboard.press(" ")
    until(page, f"!document.querySelector('video').paused && {OVERLAY}.shown.frame > {first} + 20000")
    page.keyboard.press(" ")
    until(page, "document.querySelector('video').paused")


def test_a_replay_that_is_not_there_says_so(viewer: Viewer, site: str, tmp_path: Path) -> None:
    page = viewer.open("/mp4/index.html")
    page.route("**/replay.json", lambda route: route.fulfill(status=404))
    page.reload()
    expect(page.locator("#veil-words")).to_have_text("There is no such video.")
    page.unroute("**/replay.json")
    page.route("**/overlay.vtt", lambda route: route.fulfill(body="hello"))
    page.reload()
    expect(page.locator("#veil-words")).to_have_text("This is no WebVTT file.")
