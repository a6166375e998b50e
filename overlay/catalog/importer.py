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

from overlay.catalog.feeds.base import MAX_FEED_BYTES, feed_format, read_feed
from overlay.catalog.fetch import Fetcher, FetchError, FetchLimits
from overlay.catalog.pictures import PictureError, PictureLimits, decode_picture, encode_jpeg, views
from overlay.catalog.rows import RowProblem, check_row
from overlay.catalog.store import CatalogStore
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
class ImportLimits:
    """What a feed may make the importer do."""

    fetch: FetchLimits = field(default_factory=FetchLimits)
    pictures: PictureLimits = field(default_factory=PictureLimits)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a feed.

    Attributes:
        imported: products added or changed.
        unchanged: products that were in the catalogue just so.
        rows_bad: every problem, in order of lines; one row may have several. A product whose additional
            picture is bad is imported without it and reported all the same.
    """

    imported: int
    unchanged: int
    rows_bad: tuple[RowProblem, ...]


@dataclass(frozen=True, slots=True)
class _Item:
    """A good row."""

    line: int
    product: Product


@dataclass(frozen=True, slots=True)
class _Ready:
    """A product with its pictures, ready to be stored; None of both where nothing changed."""

    product: Product
    fingerprint: str
    pictures: tuple[bytes, ...]
    crops: NDArray[np.uint8] | None


async def import_feed(
    source: Path | str,
    store: CatalogStore,
    embedder: CropEmbedder | None,
    *,
    progress: Progress | None = None,
    limits: ImportLimits | None = None,
    format_name: str = "",
) -> ImportReport:
    """Import a feed into `store`.

    Args:
        source: a file, or an http(s) address; pictures with relative paths lie beside a file.
        store: where products go; those that are not in the feed stay.
        embedder: makes the vectors; without one products are stored and can be embedded later by
            `embed_missing`.
        progress: told after every product.
        limits: of pictures and the network.
        format_name: ``tsv``, ``csv`` or ``jsonl``; by default the file's ending decides.

    Raises:
        FeedError: the feed cannot be read at all.
        CatalogError: the catalogue cannot be written.
    """
    limits = limits or ImportLimits()
    async with Fetcher(limits.fetch) as fetcher:
        data, folder = await _feed(source, limits)
        name = feed_format(str(source).partition("?")[0], format_name)
        items, problems = await asyncio.to_thread(_items, data, name)
        run = _Run(store, embedder, fetcher, folder, limits, problems)
        for start in range(0, len(items), _BATCH):
            await run.batch(items[start : start + _BATCH], len(items), progress)
    if embedder is not None:
        await embed_missing(store, embedder)
    return ImportReport(run.imported, run.unchanged, tuple(sorted(problems, key=lambda p: (p.line, p.field))))


async def embed_missing(store: CatalogStore, embedder: CropEmbedder) -> int:
    """Embed what another model embedded, or none did, from the stored pictures. Returns how many products."""
    missing = await asyncio.to_thread(store.without_vectors, embedder.model_hash)
    done = 0
    for product_id in missing:
        done += await asyncio.to_thread(_embed_stored, store, embedder, product_id)
    return done


async def _feed(source: Path | str, limits: ImportLimits) -> tuple[bytes, Path | None]:
    """The feed's bytes, and the folder its relative paths lie in."""
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        # The operator named this address, so it may be in a private network; those inside the feed may not.
        own = replace(limits.fetch, max_bytes=MAX_FEED_BYTES, private_networks=True, timeout_s=60.0)
        async with Fetcher(own) as fetcher:
            try:
                return await fetcher.get(source, None), None
            except FetchError as error:
                raise FeedError(f"feed {source[:80]}: {error}", code="feed-unreadable") from None
    path = Path(source)
    try:
        return await asyncio.to_thread(path.read_bytes), path.parent
    except OSError as error:
        raise FeedError(
            f"feed {path}: {error.strerror}; name a feed file that exists and can be read",
            code="feed-unreadable",
        ) from None


def _items(data: bytes, format_name: str) -> tuple[list[_Item], list[RowProblem]]:
    """Good rows, first of each id, and what is wrong with the others."""
    items: dict[str, _Item] = {}
    problems: list[RowProblem] = []
    for row in read_feed(data, format_name):
        checked = [row] if isinstance(row, RowProblem) else check_row(row)
        if isinstance(checked, list):
            problems += checked
        elif checked.id in items:
            first = items[checked.id].line
            text = f"got the id of line {first} again, expected each once; the first is kept"
            problems.append(RowProblem(row.line, checked.id, "id", text))
        else:
            items[checked.id] = _Item(row.line, checked)
    return list(items.values()), problems


class _Run:
    """One import under way."""

    def __init__(
        self,
        store: CatalogStore,
        embedder: CropEmbedder | None,
        fetcher: Fetcher,
        folder: Path | None,
        limits: ImportLimits,
        problems: list[RowProblem],
    ) -> None:
        self.imported = 0
        self.unchanged = 0
        self._store, self._embedder, self._fetcher = store, embedder, fetcher
        self._folder, self._limits, self._problems = folder, limits, problems
        self._done = 0

    async def batch(self, items: list[_Item], total: int, progress: Progress | None) -> None:
        """Fetch together, then embed and store one after the other."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._prepare(item)) for item in items]
        for task in tasks:
            ready = task.result()
            if ready is not None:
                await asyncio.to_thread(self._save, ready)
                self.imported += 1
            self._done += 1
            if progress is not None:
                progress(self._done, total)

    async def _prepare(self, item: _Item) -> _Ready | None:
        """Fetch and decode. None where nothing changed or the main picture is bad."""
        product = item.product
        sources: list[bytes] = []
        for number, link in enumerate((product.image_link, *product.additional_image_link)):
            try:
                sources.append(await self._fetcher.get(link, self._folder))
            except FetchError as error:
                self._report(item, number, str(error))
                if number == 0:
                    return None
        fingerprint = self._fingerprint(product, sources)
        if await asyncio.to_thread(self._store.fingerprint, product.id) == fingerprint:
            self.unchanged += 1
            return None
        pictures: list[NDArray[np.uint8]] = []
        for number, data in enumerate(sources):
            try:
                pictures.append(await asyncio.to_thread(decode_picture, data, self._limits.pictures))
            except PictureError as error:
                self._report(item, number, str(error))
                if number == 0:
                    return None
        return await asyncio.to_thread(self._ready, product, fingerprint, pictures)

    def _ready(self, product: Product, fingerprint: str, pictures: Iterable[NDArray[np.uint8]]) -> _Ready:
        held = list(pictures)
        size = self._embedder.size if self._embedder is not None else 0
        crops = np.concatenate([views(picture, size) for picture in held]) if size else None
        return _Ready(product, fingerprint, tuple(encode_jpeg(picture) for picture in held), crops)

    def _save(self, ready: _Ready) -> None:
        self._store.put(ready.product, ready.pictures, ready.fingerprint)
        if self._embedder is not None and ready.crops is not None:
            vectors = self._embedder.embed(ready.crops)
            self._store.put_vectors(ready.product.id, self._embedder.model_hash, vectors)

    def _report(self, item: _Item, number: int, message: str) -> None:
        field_name = "additional_image_link" if number else "image_link"
        suffix = "; imported without this picture" if number else ""
        self._problems.append(RowProblem(item.line, item.product.id, field_name, message + suffix))

    def _fingerprint(self, product: Product, sources: Iterable[bytes]) -> str:
        digest = hashlib.sha256(msgspec.json.encode(product))
        for data in sources:
            digest.update(hashlib.sha256(data).digest())
        return digest.hexdigest()


def _embed_stored(store: CatalogStore, embedder: CropEmbedder, product_id: str) -> int:
    crops: list[NDArray[np.uint8]] = []
    number = 0
    while (path := store.picture_path(product_id, number)) is not None:
        number += 1
        try:
            crops.append(views(decode_picture(path.read_bytes(), PictureLimits(min_side=1)), embedder.size))
        except (PictureError, OSError):
            continue
    if not crops:
        return 0
    store.put_vectors(product_id, embedder.model_hash, embedder.embed(np.concatenate(crops)))
    return 1
