"""The second import and all after it: only what changed, and of that only what it takes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from overlay.catalog.fetch import FetchLimits
from overlay.catalog.importer import ImportOptions, embed_missing, import_feed
from overlay.catalog.store import CatalogStore
from tests.overlay.catalog.makers import MeanEmbedder, encoded, picture, row, write_feed

OPEN = FetchLimits(private_networks=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "feed"
    made.mkdir()
    for name, color in (("a", (200, 30, 30)), ("b", (30, 30, 200)), ("c", (30, 200, 30))):
        (made / f"{name}.png").write_bytes(encoded(picture(color)))
    return made


class Shop:
    """Serves a folder with entity tags, and counts.

    Attributes:
        sent: whole answers by name.
        asked: requests by name.
    """

    def __init__(self, folder: Path) -> None:
        self.sent: list[str] = []
        self.asked: list[str] = []
        self.broken: set[str] = set()
        self._folder = folder
        app = web.Application()
        app.router.add_get("/{name}", self._answer)
        self.server = TestServer(app)

    def url(self, name: str) -> str:
        return str(self.server.make_url(f"/{name}"))

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.asked.append(name)
        if name in self.broken:
            return web.Response(status=500)
        data = (self._folder / name).read_bytes()
        tag = f'"{hash(data)}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304)
        self.sent.append(name)
        return web.Response(body=data, headers={"ETag": tag})


@pytest.fixture
async def shop(folder: Path) -> AsyncIterator[Shop]:
    made = Shop(folder)
    await made.server.start_server()
    yield made
    await made.server.close()


async def test_price_and_stock_change_without_touching_pictures(store: CatalogStore, folder: Path) -> None:
    embedder = MeanEmbedder()
    await import_feed(write_feed(folder, row("a", "a.png", more="b.png")), store, embedder)
    before, made = store.vectors("mean-1"), embedder.crops
    path = store.picture_path("a", 0)
    assert path is not None
    stamp = path.stat().st_mtime_ns
    report = await import_feed(
        write_feed(folder, row("a", "a.png", price="2.00 EUR", more="b.png")), store, embedder
    )
    assert (report.imported, report.updated) == (0, 1) and report.changed
    assert store.get("a").price == "2.00 EUR" and embedder.crops == made
    assert [vector.tolist() for _, vector in store.vectors("mean-1")] == [v.tolist() for _, v in before]
    assert path.stat().st_mtime_ns == stamp


async def test_only_the_changed_picture_is_embedded_again(store: CatalogStore, folder: Path) -> None:
    embedder = MeanEmbedder()
    feed = write_feed(folder, row("a", "a.png", more="b.png"))
    await import_feed(feed, store, embedder)
    before, made = store.vectors("mean-1"), embedder.crops
    (folder / "b.png").write_bytes((folder / "c.png").read_bytes())
    report = await import_feed(feed, store, embedder)
    after = store.vectors("mean-1")
    assert report.imported == 1 and embedder.crops == made + 2 and len(after) == 4
    assert [v.tolist() for _, v in after[:2]] == [v.tolist() for _, v in before[:2]]
    assert after[2][1][1] > after[2][1][2], "the second picture is green now"


async def test_pictures_may_change_places_and_go(store: CatalogStore, folder: Path) -> None:
    embedder = MeanEmbedder()
    await import_feed(write_feed(folder, row("a", "a.png", more="b.png,c.png")), store, embedder)
    report = await import_feed(write_feed(folder, row("a", "c.png", more="a.png")), store, embedder)
    assert report.imported == 1 and report.rows_bad == ()
    main, second, *rest = (vector for _, vector in store.vectors("mean-1")[::2])
    assert rest == [] and main.argmax() == 1 and second.argmax() == 0
    assert store.picture_path("a", 1) is not None and store.picture_path("a", 2) is None
    assert (await import_feed(folder / "feed.tsv", store, embedder)).unchanged == 1


async def test_a_product_that_this_model_never_embedded_is_embedded_whole(
    store: CatalogStore, folder: Path
) -> None:
    feed = write_feed(folder, row("a", "a.png", more="b.png"))
    await import_feed(feed, store, MeanEmbedder("old"))
    (folder / "b.png").write_bytes((folder / "c.png").read_bytes())
    await import_feed(feed, store, MeanEmbedder("new"))
    assert len(store.vectors("new")) == 4 and len(store.vectors("old")) == 2


async def test_unchanged_pictures_are_asked_for_by_tag_or_not_at_all(
    store: CatalogStore, folder: Path, shop: Shop
) -> None:
    feed = write_feed(folder, row("a", shop.url("a.png")))
    often, seldom = ImportOptions(fetch=OPEN, recheck=False), ImportOptions(fetch=OPEN)
    await import_feed(feed, store, MeanEmbedder(), options=often)
    assert (shop.asked, shop.sent) == (["a.png"], ["a.png"])
    report = await import_feed(feed, store, MeanEmbedder(), options=seldom)
    assert report.unchanged == 1 and (len(shop.asked), len(shop.sent)) == (2, 1)
    write_feed(folder, row("a", shop.url("a.png"), price="3 EUR"))
    report = await import_feed(feed, store, MeanEmbedder(), options=often)
    assert report.updated == 1 and len(shop.asked) == 2
    (folder / "a.png").write_bytes((folder / "c.png").read_bytes())
    report = await import_feed(feed, store, MeanEmbedder(), options=seldom)
    assert report.imported == 1 and (len(shop.asked), len(shop.sent)) == (3, 2)


async def test_a_shop_whose_pictures_fail_still_gets_its_prices_through(
    store: CatalogStore, folder: Path, shop: Shop
) -> None:
    options = ImportOptions(fetch=OPEN)
    feed = write_feed(folder, row("a", shop.url("a.png")))
    await import_feed(feed, store, MeanEmbedder(), options=options)
    shop.broken.add("a.png")
    write_feed(folder, row("a", shop.url("a.png"), price="3 EUR"))
    report = await import_feed(feed, store, MeanEmbedder(), options=options)
    assert report.updated == 1 and store.get("a").price == "3 EUR" and len(store.vectors("mean-1")) == 2
    assert "status 500" in report.rows_bad[0].message and "is kept" in report.rows_bad[0].message


async def test_products_that_left_are_pruned_when_asked_and_every_id_is_known(
    store: CatalogStore, folder: Path
) -> None:
    prune = ImportOptions(prune=True)
    await import_feed(
        write_feed(folder, row("a"), row("b", "b.png"), row("c", "c.png")), store, MeanEmbedder()
    )
    bad = await import_feed(
        write_feed(folder, row("a"), '"x', row("b", "b.png")), store, MeanEmbedder(), options=prune
    )
    assert bad.removed == 0 and len(store) == 3, "the broken row might be the missing product"
    report = await import_feed(
        write_feed(folder, row("a"), row("b", "b.png", price="cheap")), store, MeanEmbedder(), options=prune
    )
    assert report.removed == 1 and store.ids() == {"a", "b"} and report.changed
    assert {name for name, _ in store.vectors("mean-1")} == {"a", "b"}


async def test_shopify_pages_are_read_to_the_end(store: CatalogStore) -> None:
    pages: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        pages.append(request.query_string)
        page = int(request.query["page"])
        count = 250 if page == 1 else 3
        products = [
            {"id": page * 1000 + at, "title": "T", "handle": "t", "variants": [{"id": page * 1000 + at}]}
            for at in range(count)
        ]
        return web.Response(text=json.dumps({"products": products}))

    app = web.Application()
    app.router.add_get("/products.json", answer)
    server = TestServer(app)
    await server.start_server()
    try:
        source = str(server.make_url("/products.json"))
        report = await import_feed(source, store, None, options=ImportOptions(currency="eur"))
    finally:
        await server.close()
    assert len(report.rows_bad) == 2 * 253 and pages == ["limit=250&page=1", "limit=250&page=2"]


async def test_a_catalogue_from_before_is_taken_over(tmp_path: Path, folder: Path) -> None:
    store = CatalogStore(tmp_path / "data")
    await import_feed(write_feed(folder, row("a")), store, MeanEmbedder())
    store.close()
    db = sqlite3.connect(tmp_path / "data" / "catalog.db")
    db.execute("ALTER TABLE products DROP COLUMN sources")
    db.commit()
    db.close()
    again = CatalogStore(tmp_path / "data")
    assert again.vectors("mean-1") == [] and again.get("a").title == "Title a"
    assert await embed_missing(again, MeanEmbedder()) == 1 and len(again.vectors("mean-1")) == 2
    again.close()
