"""The host's and the operator's page in a real Chromium, against the stand-in server."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.web.figures import PRODUCTS
from tests.web.mock import HOST_KEY, OPERATOR_KEY
from tests.web.rig import SPOT, Viewer, wait_live

pytestmark = [pytest.mark.browser, pytest.mark.slow]  # a Chromium that decodes live video


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


def test_a_show_that_comes_from_elsewhere_is_watched_and_vetoed_here(viewer: Viewer) -> None:
    page = viewer.open(f"/host/demo#key={HOST_KEY}")
    expect(page.locator("#badge-words")).to_have_text("On air from elsewhere")
    expect(page.locator("#studio-title")).to_have_text("What your viewers see")
    expect(page.locator("#quality")).to_contain_text("Going live here takes the show over")
    wait_live(page)
    expect(page.locator(SPOT)).to_have_count(2)
    page.get_by_role("button", name="Hide its hotspots: Stoneware mug, white").click()
    expect(page.locator(SPOT)).to_have_count(1)
    viewer.act("end")
    expect(page.locator("#badge-words")).to_have_text("Off air")
    expect(page.locator("#veil-words")).to_be_visible()


def test_the_host_is_told_why_and_says_what_is_right(viewer: Viewer) -> None:
    page = viewer.open(f"/host/demo#key={HOST_KEY}")
    sure, unsure = page.locator("#seen .object").nth(0), page.locator("#seen .object").nth(1)
    expect(sure.locator(".why")).to_have_text("seen from 6 views, 0.30 ahead of the next; next: Jar")
    expect(unsure.locator(".name")).to_have_text("An object that is not recognised")
    expect(unsure.get_by_role("button", name="This is right")).to_be_hidden()
    sure.get_by_role("button", name="This is right").click()
    sure.get_by_role("button", name="Not this product").click()
    unsure.get_by_label("Which product it is").select_option(index=2)
    expect(unsure.get_by_label("Which product it is")).to_have_value("")
    said = [(one["object"], one["product_id"], one["right"]) for one in viewer.sent("teach")]
    first, second = PRODUCTS[0]["id"], PRODUCTS[1]["id"]
    assert said == [(7, first, True), (7, first, False), (8, second, True)]


def test_going_live_is_tried_again_while_the_server_is_busy(viewer: Viewer) -> None:
    page = viewer.open(f"/host/demo#key={HOST_KEY}")
    busy = {"status": 503, "json": {"code": "ports-exhausted", "message": "no UDP port left"}}
    page.route("**/whip/demo", lambda route: route.fulfill(**busy, headers={"Retry-After": "1"}), times=1)
    page.click("#source-camera")
    page.click("#go-live")
    expect(page.locator("#problem")).to_have_text("no UDP port left")
    expect(page.locator("#badge-words")).to_have_text("Reconnecting")
    expect(page.locator("#badge-words")).to_have_text("On air")
    expect(page.locator("#problem")).to_have_text("")
    page.click("#stop")
    expect(page.locator("#badge-words")).to_have_text("Off air")
    assert {"t": "delete", "kind": "whip"} in viewer.act("received")


def test_the_operator_sees_stages_and_what_is_wrong(viewer: Viewer) -> None:
    page = viewer.open("/operator")
    expect(page.locator("#badge-words")).to_have_text("Key needed")
    page.fill("#key", OPERATOR_KEY)
    page.click("#door button[type=submit]")
    expect(page.locator("#stages tr")).to_have_count(9)
    expect(page.locator("#tiles")).to_contain_text("Frame age, p95")
    expect(page.locator("#frames")).to_contain_text("Dropped: late")
    expect(page.locator("#spots")).to_contain_text("seen from 6 views")
    expect(page.locator("#fleet")).to_be_hidden()
    viewer.act("problems")
    expect(page.locator("#problems")).to_contain_text("missed the 60 ms budget")
    expect(page.locator("#fleet [data-nodes] tr")).to_have_count(3)
    expect(page.locator("#fleet [data-nodes]")).to_contain_text("silent for 9.0 s")
    expect(page.locator("#fleet [data-nodes] a")).to_have_count(1)
    expect(page.locator("#fleet [data-streams]")).to_contain_text("orphaned")
    expect(page.locator("#problems")).to_contain_text("node two (ingest) has been silent")
    expect(page.locator("#problems")).to_contain_text("stream away on three: 3.1 % of frames missed")
    expect(page.locator("#problems li")).to_have_count(3)
    expect(page.locator("#fleet [data-streams]")).to_contain_text(re.compile(r"detect \d+ ms"))
    page.click("#tabs button:has-text('away')")
    expect(page.locator("#source")).to_contain_text("on three")
    expect(page.locator("#stages tr")).to_have_count(9)
    page.route("**/api/operator", lambda route: route.abort())
    expect(page.locator("#badge-words")).to_have_text("Unreachable")
    page.unroute("**/api/operator")
    expect(page.locator("#badge-words")).to_have_text("3 problems")
