"""The host's word: confirming and vetoing what the engine sees, and showing it a product to be learned."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.prominence import rank
from inference.types import FrameResult, Match, MatchState
from overlay.catalog.lessons import LessonStore
from overlay.catalog.words import LessonKind
from stream.types import stream_id
from tests.e2e.rig import STREAM, browser, engine, open_page, until
from tests.publishing import publishing
from vitrine.app import Server
from vitrine.auth import Role
from vitrine.demo import CATALOGUE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TITLES = {row["id"]: row["title"] for row in map(json.loads, CATALOGUE.read_text().splitlines())}
SURE = "#seen .object[data-state=exact]"


@asynccontextmanager
async def live(folder: Path) -> AsyncIterator[tuple[Server, Any, list[str]]]:
    """An engine whose stream plays the embedded show, and the host's page."""
    said: list[str] = []
    settings = {"catalog__feed": str(CATALOGUE), "inference__budget_ms": 300}
    async with engine(folder, **settings) as server, browser() as context:
        async with publishing(server, STREAM):
            yield server, await open_page(context, server.page(f"/host/{STREAM}", Role.HOST), said), said


def newest(server: Server) -> FrameResult:
    return server.engine.newest[stream_id(STREAM)][0]


def claimed(server: Server, track_id: int) -> Match:
    """What is claimed of a track now."""
    worker = server.engine.hub.get(stream_id(STREAM)).worker
    assert worker is not None
    return worker.matcher.match(track_id)


def remembered(folder: Path, product: str, kind: LessonKind) -> int:
    store = LessonStore(folder / "state")
    try:
        return sum(one.views[kind] for one in store.summary() if one.product_id == product)
    finally:
        store.close()


async def test_the_host_sees_why_vetoes_a_product_and_confirms_it_again(tmp_path: Path) -> None:
    async with live(tmp_path) as (server, page, said):
        await page.locator(SURE).first.wait_for(timeout=90_000)
        first = await page.locator(SURE).first.get_attribute("data-object")
        row = page.locator(f"#seen .object[data-object='{first}']")
        assert "seen from" in await row.locator(".why").inner_text()
        product = await row.get_attribute("data-product")
        assert TITLES[product] == await row.locator(".name").inner_text()

        async with page.expect_response("**/teach") as answer:
            await row.get_by_role("button", name="Not this product").click()
        assert (await (await answer.value).json())["remembered"] > 0
        assert claimed(server, int(first)).product_id != product
        assert remembered(tmp_path, product, LessonKind.VETOED) > 0
        await page.get_by_text(f"{TITLES[product]}: ").filter(has_text="not it").wait_for()

        other = page.locator(f"{SURE}:not([data-product={product}])").first
        await other.wait_for(timeout=60_000)
        named, number = await other.get_attribute("data-product"), await other.get_attribute("data-object")
        other = page.locator(f"#seen .object[data-object='{number}']")
        async with page.expect_response("**/teach"):
            await other.get_by_role("button", name="This is right").click()
        assert remembered(tmp_path, named, LessonKind.CONFIRMED) > 0

        match = claimed(server, int(number))
        assert match.product_id == named and match.reason.startswith("the host said so")
        await page.get_by_role("button", name=f"Forget what was taught of {TITLES[product]}").click()
        await page.get_by_text(f"{TITLES[product]}: ").filter(has_text="not it").wait_for(state="detached")
        assert remembered(tmp_path, product, LessonKind.VETOED) == 0
        assert said == []


def most_prominent(server: Server) -> str:
    """The product that an enrolment begun now would look at; "" while that is not sure."""
    things = [t for t in newest(server).tracks if t.match.state is MatchState.EXACT]
    if not things:
        return ""
    boxes = np.array([t.box for t in things], np.float32)
    return things[int(rank(boxes, np.array([t.score for t in things], np.float32))[0])].match.product_id


async def test_the_host_shows_a_product_to_the_camera_and_the_engine_learns_it(tmp_path: Path) -> None:
    async with live(tmp_path) as (server, page, said):
        await page.locator(SURE).first.wait_for(timeout=90_000)

        async def ready() -> Any:
            return most_prominent(server)

        product = await until(page, ready, seconds=60, words="a product in front")
        await page.select_option("#enrol-product", product)
        await page.click("#enrol-begin")
        await page.locator("#enrol-bar").wait_for()
        await page.locator("#enrol-words").wait_for(timeout=60_000)
        words = await page.inner_text("#enrol-words")
        views = await page.locator("#enrol-views img").count()
        assert views >= 1 and f"{views} view" in words
        assert len(server.engine.recognition.index.taught) == 0
        await page.click("#enrol-keep")
        line = page.locator("#taught").get_by_text(f"{TITLES[product]}: {views} view")
        await line.wait_for()
        assert remembered(tmp_path, product, LessonKind.ENROLLED) == views
        assert len(server.engine.recognition.index.taught) == views
        assert said == []
    async with engine(tmp_path, catalog__feed=str(CATALOGUE)) as server:  # the feed is imported once more
        assert len(server.engine.recognition.index.taught) == views
