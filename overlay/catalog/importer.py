"""Feed to catalogue: rows, pictures, vectors. Every bad row is reported, the good ones are kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from overlay.catalog.feeds.base import MAX_FEED_BYTES, FeedContext, feed_format, read_feed
from overlay.catalog.feeds.pages import all_pages, is_product_list
from overlay.catalog.fetch import Fetcher, FetchError, FetchLimits
from overlay.catalog.pictures import PictureError, PictureLimits, decode_picture, encode_jpeg, views
from overlay.catalog.rows import RowProblem, check_row
from overlay.catalog.store import CatalogStore, Known, Source
from overlay.errors import FeedError
from overlay.types import Product

_BATCH = 32
"""Products whose pictures are in memory at once."""


class CropEmbedder(Protocol):
    """Crops to unit vectors; see `inference.types.Embedder`."""

    @property
    def size(self) -> int:
        """Side of the crops, pixels."""

    @property
    def model_hash(self) -> str:
        """Which model made the vectors."""

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops uint8 (n, size, size, 3) RGB to unit float32 (n, dim). Blocking."""


Progress = Callable[[int, int], None]
"""(products done, products in all), on the event loop."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a feed is imported.

    Attributes:
        format_name: a key of `feeds.base.FORMATS`; by default the ending decides, then the content.
        currency: of formats that do not name theirs.
        prune: products that are not in the feed are removed, unless a row's id could not be read.
        recheck: pictures from the network are asked for again (with what they were tagged with); otherwise
            one whose address stayed the same is taken to be the same.
        fetch: limits of the network.
        pictures: limits of pictures.
    """

    format_name: str = ""
    currency: str = ""
    prune: bool = False
    recheck: bool = True
    fetch: FetchLimits = field(default_factory=FetchLimits)
    pictures: PictureLimits = field(default_factory=PictureLimits)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a feed.

    Attributes:
        imported: products added, or whose pictures changed.
        updated: products of which only words, price or stock changed; nothing was embedded.
        unchanged: products that were in the catalogue just so.
        removed: products that are not in the feed any more.
        rows_bad: every problem, in order of lines; one row may have several. A product whose additional
            picture is bad is imported without it and reported all the same.
    """

    imported: int
    unchanged: int
    rows_bad: tuple[RowProblem, ...]
    updated: int = 0
    removed: int = 0

    @property
    def changed(self) -> bool:
        """The catalogue is another than before."""
        return bool(self.imported or self.updated or self.removed)


@dataclass(frozen=True, slots=True)
class _Item:
    """A good row."""

    line: int
    product: Product


@dataclass(slots=True)
class _Feed:
    """A feed that was read.

    Attributes:
        folder: where its relative paths lie; None for one from the network.
        items: its good rows.
        problems: with the others.
    """

    folder: Path | None
    items: list[_Item]
    problems: list[RowProblem]


@dataclass(frozen=True, slots=True)
class _Got:
    """A picture of a row: `data` is None where it is the stored one, number `place`."""

    number: int
    source: Source
    place: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class _Part:
    """A picture to be stored; None of both where the stored one stays in its place."""

    source: Source
    jpeg: bytes | None
    crops: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A product ready to be stored."""

    product: Product
    fingerprint: str
    parts: tuple[_Part, ...]
    embedded: bool
    same_pictures: bool


async def import_feed(
    source: Path | str,
    store: CatalogStore,
    embedder: CropEmbedder | None,
    *,
    progress: Progress | None = None,
    options: ImportOptions | None = None,
) -> ImportReport:
    """Import a feed into `store`: what changed since the last time, and of that only what it takes.

    Args:
        source: a file, or an http(s) address; pictures with relative paths lie beside a file.
        store: where products go; those that are not in the feed stay, unless they are to be pruned.
        embedder: makes the vectors; without one products are stored and can be embedded later by
            `embed_missing`.
        progress: told after every product.
        options: how.

    Raises:
        FeedError: the feed cannot be read at all.
        CatalogError: the catalogue cannot be written.
    """
    options = options or ImportOptions()
    async with Fetcher(options.fetch) as fetcher:
        feed = await _read(source, options)
        run = _Run(store, embedder, fetcher, feed, options)
        for start in range(0, len(feed.items), _BATCH):
            await run.batch(feed.items[start : start + _BATCH], len(feed.items), progress)
    removed = await asyncio.to_thread(_prune, store, feed) if options.prune else 0
    if embedder is not None:
        await embed_missing(store, embedder)
    problems = tuple(sorted(feed.problems, key=lambda p: (p.line, p.field)))
    return ImportReport(run.imported, run.unchanged, problems, run.updated, removed)


async def embed_missing(store: CatalogStore, embedder: CropEmbedder) -> int:
    """Embed what another model embedded, or none did, from the stored pictures. Returns how many products."""
    missing = await asyncio.to_thread(store.without_vectors, embedder.model_hash)
    done = 0
    for product_id in missing:
        done += await asyncio.to_thread(_embed_stored, store, embedder, product_id)
    return done


async def _read(source: Path | str, options: ImportOptions) -> _Feed:
    """Fetch and read a feed."""
    name, base, folder = str(source), "", None
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        data = await _download(source, options)
        name, base = source.partition("?")[0], source
    else:
        path = Path(source)
        try:
            data, folder = await asyncio.to_thread(_file, path), path.parent
        except OSError as error:
            raise FeedError(
                f"feed {path}: {error.strerror}; name a feed file that exists and can be read",
                code="feed-unreadable",
            ) from None
    kind = feed_format(name, options.format_name, data)
    context = FeedContext(base, options.currency.upper())
    return await asyncio.to_thread(_items, data, kind, context, folder)


def _file(path: Path) -> bytes:
    if path.stat().st_size > MAX_FEED_BYTES:
        raise FeedError(
            f"feed of {path.stat().st_size} bytes, expected at most {MAX_FEED_BYTES}; split it",
            code="feed-too-big",
        )
    return path.read_bytes()


async def _download(source: str, options: ImportOptions) -> bytes:
    """The feed at an address; of Shopify's product list all pages."""
    # The operator named this address, so it may be in a private network; those inside the feed may not.
    own = replace(options.fetch, max_bytes=MAX_FEED_BYTES, private_networks=True, timeout_s=60.0)
    try:
        async with Fetcher(own) as fetcher:
            if is_product_list(source):
                return await all_pages(source, lambda page: fetcher.get(page, None))
            return await fetcher.get(source, None)
    except FetchError as error:
        raise FeedError(f"feed {source[:80]}: {error}", code="feed-unreadable") from None


def _prune(store: CatalogStore, feed: _Feed) -> int:
    if any(not problem.id for problem in feed.problems):
        return 0  # it may be one of those
    gone = store.ids() - {item.product.id for item in feed.items} - {one.id for one in feed.problems}
    for product_id in gone:
        store.remove(product_id)
    return len(gone)


def _items(data: bytes, format_name: str, context: FeedContext, folder: Path | None) -> _Feed:
    """Good rows, first of each id, and what is wrong with the others."""
    items: dict[str, _Item] = {}
    problems: list[RowProblem] = []
    for row in read_feed(data, format_name, context):
        checked = [row] if isinstance(row, RowProblem) else check_row(row)
        if isinstance(checked, list):
            problems += checked
        elif checked.id in items:
            first = items[checked.id].line
            text = f"got the id of line {first} again, expected each once; the first is kept"
            problems.append(RowProblem(row.line, checked.id, "id", text))
        else:
            items[checked.id] = _Item(row.line, checked)
    return _Feed(folder, list(items.values()), problems)


class _Run:
    """One import under way. Counts as in `ImportReport`."""

    def __init__(
        self,
        store: CatalogStore,
        embedder: CropEmbedder | None,
        fetcher: Fetcher,
        feed: _Feed,
        options: ImportOptions,
    ) -> None:
        self.imported = self.updated = self.unchanged = 0
        self._store, self._embedder, self._fetcher = store, embedder, fetcher
        self._feed, self._options = feed, options
        self._model = embedder.model_hash if embedder is not None else ""
        self._done = 0

    async def batch(self, items: list[_Item], total: int, progress: Progress | None) -> None:
        """Fetch together, then embed and store one after the other."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._prepare(item)) for item in items]
        for task in tasks:
            ready = task.result()
            if ready is not None:
                await asyncio.to_thread(self._save, ready)
            self._done += 1
            if progress is not None:
                progress(self._done, total)

    async def _prepare(self, item: _Item) -> _Ready | None:
        """Fetch and decode what is new. None where nothing is, or the main picture is bad."""
        product = item.product
        known = await asyncio.to_thread(self._store.known, product.id, self._model)
        held = {source.link: (number, source) for number, source in enumerate(known.sources)}
        got: list[_Got] = []
        for number, link in enumerate((product.image_link, *product.additional_image_link)):
            one = await self._get(item, number, link, *held.get(link, (-1, None)))
            if one is None and number == 0:
                return None
            if one is not None:
                got.append(one)
        fingerprint = _fingerprint(product, got)
        if known.fingerprint == fingerprint:
            self.unchanged += 1
            if all(one.place >= 0 for one in got):
                await self._retag(product, fingerprint, known, got)
            return None
        parts: list[_Part] = []
        for one in got:
            part = await asyncio.to_thread(self._part, item, one, len(parts))
            if part is None and not parts:
                return None
            if part is not None:
                parts.append(part)
        same = len(parts) == len(known.sources) and all(part.jpeg is None for part in parts)
        return _Ready(product, fingerprint, tuple(parts), known.embedded, same)

    async def _get(
        self, item: _Item, number: int, link: str, place: int, prior: Source | None
    ) -> _Got | None:
        """One picture, fetched where it may have changed; None where it cannot be had."""
        if prior is not None and "://" in link and not self._options.recheck:
            return _Got(number, prior, place, None)
        try:
            answer = await self._fetcher.get_if_changed(link, self._feed.folder, prior.tag if prior else "")
        except FetchError as error:
            self._report(item, number, str(error), "the picture held is kept" if prior else "")
            return _Got(number, prior, place, None) if prior else None
        if answer.data is None:
            assert prior is not None
            return _Got(number, prior, place, None)
        fresh = Source(link, answer.tag, hashlib.sha256(answer.data).hexdigest())
        same = prior is not None and prior.digest == fresh.digest
        return _Got(number, fresh, place, None) if same else _Got(number, fresh, -1, answer.data)

    def _part(self, item: _Item, one: _Got, place: int) -> _Part | None:
        """A picture ready to be stored as number `place`; None where it is bad."""
        if one.data is None and one.place == place:
            return _Part(one.source, None, None)
        data = one.data
        if data is None:  # it moved
            path = self._store.picture_path(item.product.id, one.place)
            data = path.read_bytes() if path is not None else b""
        try:
            picture = decode_picture(data, self._options.pictures)
        except PictureError as error:
            self._report(item, one.number, str(error))
            return None
        crops = views(picture, self._embedder.size) if self._embedder is not None else None
        return _Part(one.source, encode_jpeg(picture) if one.data is not None else data, crops)

    async def _retag(self, product: Product, fingerprint: str, known: Known, got: list[_Got]) -> None:
        sources = tuple(one.source for one in got)
        if sources != known.sources:
            await asyncio.to_thread(self._store.update, product, fingerprint, sources)

    def _save(self, ready: _Ready) -> None:
        product, parts = ready.product, ready.parts
        sources = [part.source for part in parts]
        if ready.same_pictures:
            self._store.update(product, ready.fingerprint, sources)
            self.updated += 1
            return
        kept = {number for number, part in enumerate(parts) if part.jpeg is None}
        self._store.put(product, [part.jpeg or b"" for part in parts], ready.fingerprint, sources, kept)
        self.imported += 1
        if self._embedder is None or (kept and not ready.embedded):
            return  # `embed_missing` embeds all of it
        for number, part in enumerate(parts):
            if part.crops is not None:
                vectors = self._embedder.embed(part.crops)
                self._store.put_vectors(product.id, self._model, vectors, picture=number)

    def _report(self, item: _Item, number: int, message: str, kept: str = "") -> None:
        field_name = "additional_image_link" if number else "image_link"
        suffix = kept or ("imported without this picture" if number else "")
        words = f"{message}; {suffix}" if suffix else message
        self._feed.problems.append(RowProblem(item.line, item.product.id, field_name, words))


def _fingerprint(product: Product, got: Iterable[_Got]) -> str:
    digest = hashlib.sha256(msgspec.json.encode(product))
    for one in got:
        digest.update(bytes.fromhex(one.source.digest))
    return digest.hexdigest()


def _embed_stored(store: CatalogStore, embedder: CropEmbedder, product_id: str) -> int:
    done: list[tuple[int, NDArray[np.float32]]] = []
    number = 0
    while (path := store.picture_path(product_id, number)) is not None:
        try:
            crops = views(decode_picture(path.read_bytes(), PictureLimits(min_side=1)), embedder.size)
            done.append((number, embedder.embed(crops)))
        except (PictureError, OSError):
            pass
        number += 1
    for picture, vectors in done:
        store.put_vectors(product_id, embedder.model_hash, vectors, picture=picture)
    return bool(done)
