from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from overlay.catalog.fetch import FetchLimits
from overlay.catalog.importer import ImportOptions, embed_missing, import_feed
from overlay.catalog.store import CatalogStore
from overlay.errors import FeedError
from tests.overlay.catalog.makers import HEADER, MeanEmbedder, encoded, picture, row, write_feed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "feed"
    made.mkdir()
    (made / "a.png").write_bytes(encoded(picture((200, 30, 30))))
    (made / "b.jpg").write_bytes(encoded(picture((30, 30, 200)), "JPEG"))
    return made


async def test_products_pictures_and_vectors_are_stored(store: CatalogStore, folder: Path) -> None:
    embedder = MeanEmbedder()
    steps: list[tuple[int, int]] = []
    feed = write_feed(folder, row("a", more="b.jpg"), row("b", "b.jpg"))
    report = await import_feed(
        feed, store, embedder, progress=lambda done, total: steps.append((done, total))
    )
    assert (report.imported, report.unchanged, report.rows_bad) == (2, 0, ())
    assert steps == [(1, 2), (2, 2)]
    assert [item.id for item in store.list()] == ["a", "b"]
    assert store.picture_path("a", 1) is not None and store.picture_path("b", 1) is None
    assert [name for name, _ in store.vectors("mean-1")] == ["a", "a", "a", "a", "b", "b"]
    red = store.vectors("mean-1")[0][1]
    assert red.dtype == np.float32 and red[0] > red[2]


async def test_bad_rows_are_reported_with_line_and_reason_and_good_ones_kept(
    store: CatalogStore, folder: Path
) -> None:
    (folder / "truncated.png").write_bytes((folder / "a.png").read_bytes()[:-40])
    (folder / "text.png").write_text("<html>")
    feed = write_feed(
        folder,
        row("good"),
        row("price", price="cheap"),
        row("good", "b.jpg"),
        row("gone", "nothing.png"),
        row("truncated", "truncated.png"),
        row("text", "text.png"),
        row("extra", more="a.png,nothing.png,text.png"),
        row("network", "http://127.0.0.1:1/a.png"),
        "\t\t\t\t\t",
    )
    report = await import_feed(feed, store, MeanEmbedder())
    assert [item.id for item in store.list()] == ["good", "extra"] and report.imported == 2
    told = [(item.line, item.id, item.field, item.message) for item in report.rows_bad]
    expected = [
        (3, "price", "price", "'15.00 USD'"),
        (4, "good", "id", "line 2 again"),
        (5, "gone", "image_link", "No such file"),
        (6, "truncated", "image_link", "damaged"),
        (7, "text", "image_link", "not a picture"),
        (8, "extra", "additional_image_link", "imported without this picture"),
        (8, "extra", "additional_image_link", "imported without this picture"),
        (9, "network", "image_link", "private network"),
    ]
    assert [entry[:3] for entry in told] == [entry[:3] for entry in expected]
    assert all(part in entry[3] for entry, (*_, part) in zip(told, expected, strict=True))
    assert store.picture_path("extra", 1) is not None and store.picture_path("extra", 2) is None


async def test_second_import_touches_only_what_changed(store: CatalogStore, folder: Path) -> None:
    feed = write_feed(folder, row("a"), row("b", "b.jpg"), row("c"))
    await import_feed(feed, store, MeanEmbedder())
    again = MeanEmbedder()
    report = await import_feed(feed, store, again)
    assert (report.imported, report.unchanged, again.crops) == (0, 3, 0)
    (folder / "b.jpg").write_bytes(encoded(picture((0, 255, 0)), "JPEG"))
    write_feed(folder, row("a", price="2.00 EUR"), row("b", "b.jpg"), row("c"))
    report = await import_feed(feed, store, again)
    assert (report.imported, report.updated, report.unchanged) == (1, 1, 1)
    assert store.get("a").price == "2.00 EUR" and len(store.vectors("mean-1")) == 6


async def test_products_can_be_embedded_later_and_again_by_another_model(
    store: CatalogStore, folder: Path
) -> None:
    feed = write_feed(folder, row("a"), row("b", "b.jpg"))
    await import_feed(feed, store, None)
    assert store.vectors("mean-1") == []
    assert await embed_missing(store, MeanEmbedder()) == 2
    assert await embed_missing(store, MeanEmbedder()) == 0
    assert await embed_missing(store, MeanEmbedder("mean-2")) == 2
    assert len(store.vectors("mean-1")) == len(store.vectors("mean-2")) == 4


async def test_stored_picture_that_is_lost_does_not_stop_embedding(store: CatalogStore, folder: Path) -> None:
    await import_feed(write_feed(folder, row("a"), row("b", "b.jpg")), store, None)
    path = store.picture_path("a", 0)
    assert path is not None
    path.write_bytes(b"damaged")
    assert await embed_missing(store, MeanEmbedder()) == 1


async def test_products_that_left_the_feed_stay(store: CatalogStore, folder: Path) -> None:
    await import_feed(write_feed(folder, row("a"), row("b", "b.jpg")), store, None)
    await import_feed(write_feed(folder, row("b", "b.jpg")), store, None)
    assert [item.id for item in store.list()] == ["a", "b"]


async def test_more_products_than_one_batch(store: CatalogStore, folder: Path) -> None:
    feed = write_feed(folder, *(row(f"p{number}") for number in range(70)))
    report = await import_feed(feed, store, MeanEmbedder())
    assert report.imported == len(store) == 70
    assert [item.id for item in store.list()] == [f"p{number}" for number in range(70)]


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("feed.tsv", "", "empty"),
        ("feed.tsv", "a\tb\n", "expected also id"),
        ("feed.doc", HEADER, "expected one of tsv, csv, jsonl, xml"),
        ("feed.jsonl", "[]", "one object per line"),
    ],
)
async def test_feed_that_cannot_be_read_at_all_is_refused(
    store: CatalogStore, tmp_path: Path, name: str, text: str, part: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FeedError, match=part):
        await import_feed(tmp_path / name, store, None)


async def test_missing_feed_is_named(store: CatalogStore, tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="No such file"):
        await import_feed(tmp_path / "nothing.tsv", store, None)


async def test_format_may_be_named(store: CatalogStore, folder: Path) -> None:
    feed = write_feed(folder, row("a"), name="feed.data")
    assert (await import_feed(feed, store, None, options=ImportOptions(format_name="tsv"))).imported == 1


async def test_feed_and_pictures_come_over_http(store: CatalogStore, folder: Path) -> None:
    write_feed(folder, row("a", "http://127.0.0.1:PORT/a.png"), row("b", "b.jpg"))
    app = web.Application()
    app.router.add_static("/", folder)
    server = TestServer(app)
    await server.start_server()
    try:
        feed = folder / "feed.tsv"
        feed.write_text(feed.read_text().replace("PORT", str(server.port)))
        options = ImportOptions(fetch=FetchLimits(private_networks=True))
        report = await import_feed(str(server.make_url("/feed.tsv")), store, MeanEmbedder(), options=options)
        assert report.imported == 1
        (found,) = report.rows_bad
        assert found.id == "b" and "expected an address" in found.message
        closed = await import_feed(str(server.make_url("/feed.tsv")), store, MeanEmbedder())
        assert [item.id for item in closed.rows_bad] == ["a", "b"]
        with pytest.raises(FeedError, match="status 404"):
            await import_feed(str(server.make_url("/nothing.tsv")), store, None)
    finally:
        await server.close()
