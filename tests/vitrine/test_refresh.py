from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from overlay.catalog.store import CatalogStore
from overlay.errors import FeedError
from stream.clock import MonotonicClock
from tests.fakes.clock import FakeClock
from tests.overlay.builders import product
from vitrine.config import load_config
from vitrine.engine import Engine
from vitrine.refresh import RECHECK_NS, Refresher

MINUTE_NS = 60 * 1_000_000_000


class Ended(Exception):
    """The test has seen enough."""


class Feed:
    """Records when it was read, takes its time, and fails when told.

    Attributes:
        read: (minutes since the start, whether pictures were checked).
    """

    def __init__(self, *, takes_ns: int = 0, fails: tuple[int, ...] = (), until: float = 60.0) -> None:
        self.clock = FakeClock(0)
        self.read: list[tuple[float, bool]] = []
        self._takes_ns, self._fails, self._until = takes_ns, fails, until

    async def update(self, recheck: bool) -> None:
        self.read.append((self.clock.now / MINUTE_NS, recheck))
        self.clock.now += self._takes_ns
        if len(self.read) - 1 in self._fails:
            raise FeedError("gone")

    async def sleep(self, seconds: float) -> None:
        self.clock.now += round(seconds * 1e9)
        if self.clock.now > self._until * MINUTE_NS:
            raise Ended

    async def run(self, interval_min: float = 10.0) -> Refresher:
        refresher = Refresher(self.update, int(interval_min * MINUTE_NS), self.clock, self.sleep)
        with pytest.raises(Ended):
            await refresher.run()
        return refresher


async def test_the_feed_is_read_at_a_fixed_rate_however_long_that_takes() -> None:
    feed = Feed(takes_ns=3 * MINUTE_NS)
    await feed.run()
    assert [at for at, _ in feed.read] == [10, 20, 30, 40, 50, 60]


async def test_an_update_longer_than_the_interval_is_not_run_twice_at_once() -> None:
    feed = Feed(takes_ns=25 * MINUTE_NS, until=90)
    await feed.run()
    assert [round(at, 1) for at, _ in feed.read] == [10, 35, 60.0, 85.0]


async def test_a_feed_that_fails_is_tried_again_sooner_and_then_as_before() -> None:
    feed = Feed(fails=(0, 1, 2))
    refresher = await feed.run()
    assert [at for at, _ in feed.read] == [10, 10.5, 11.5, 13.5, 23.5, 33.5, 43.5, 53.5]
    assert refresher.failures == 0


async def test_a_feed_that_stays_away_is_asked_for_once_an_interval() -> None:
    feed = Feed(fails=tuple(range(100)), until=120)
    refresher = await feed.run()
    times = [at for at, _ in feed.read]
    assert times[-1] - times[-2] == 10 and refresher.failures == len(times)


async def test_pictures_are_checked_once_a_day() -> None:
    feed = Feed(until=3 * 24 * 60)
    await feed.run()
    checked = [at for at, recheck in feed.read if recheck]
    assert checked == [24 * 60, 48 * 60, 72 * 60] and RECHECK_NS == 24 * 60 * MINUTE_NS


async def test_a_feed_that_is_away_keeps_an_engine_from_starting_only_without_products(
    tmp_path: Path,
) -> None:
    settings = {
        "server.port": 0,
        "server.data_dir": str(tmp_path / "data"),
        "catalog.feed": str(tmp_path / "absent.csv"),
    }
    config = load_config(None, {}, settings)
    engine = Engine(config, MonotonicClock())
    with pytest.raises(FeedError, match="No such file"):
        await engine.start()
    await engine.stop(0.0)
    store = CatalogStore(tmp_path / "data")
    store.put(product("mug"), [], "")
    store.close()
    engine = Engine(config, MonotonicClock())
    await engine.start()
    assert [one.id for one in engine.store.list()] == ["mug"]
    await engine.stop(0.0)


async def test_a_new_price_reaches_the_catalogue_of_a_running_engine_without_embedding(
    tmp_path: Path,
) -> None:
    Image.new("RGB", (80, 80), (200, 40, 40)).save(tmp_path / "mug.png")
    feed = tmp_path / "feed.csv"
    head = "id,title,link,image_link,price\n"
    feed.write_text(head + "mug,Mug,https://x.example/m,mug.png,12 EUR\n")
    settings = {
        "server.port": 0,
        "server.data_dir": str(tmp_path / "data"),
        "catalog.feed": str(feed),
        "catalog.refresh_ms": 1000,
    }
    engine = Engine(load_config(None, {}, settings), MonotonicClock())
    await engine.start()
    try:
        index = engine.recognition.index.current
        feed.write_text(head + "mug,Mug,https://x.example/m,mug.png,9 EUR\n")
        async with asyncio.timeout(20):
            while engine.store.get("mug").price != "9 EUR":  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        assert engine.recognition.index.current is index, "the same index, untouched"
    finally:
        await engine.stop(0.0)
