"""What hosts teach: heard in the very next search, and remembered on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inference.embedder import OnnxEmbedder
from inference.index import IndexHolder
from inference.taught import Example, Taught
from inference.views import Look
from inference.worker import StreamWorker
from overlay.catalog.lessons import LessonKind, Lessons, LessonStore, TaughtView
from overlay.catalog.pictures import PictureLimits, decode_picture, encode_jpeg, resized
from overlay.catalog.store import CatalogStore


def remembered(data_dir: Path, store: CatalogStore, embedder: OnnxEmbedder) -> Taught:
    """Everything hosts taught of products that are in the catalogue. Blocking.

    What another embedder saw is embedded anew from the pictures.
    """
    lessons = LessonStore(data_dir)
    try:
        for number, jpeg in lessons.without_vectors(embedder.model_hash):
            picture = decode_picture(jpeg, PictureLimits(min_side=1))
            crop = resized(picture, embedder.size)
            lessons.put_vector(number, embedder.model_hash, embedder.embed(crop[None])[0])
        known = store.ids()
        found = lessons.vectors(embedder.model_hash)
    finally:
        lessons.close()
    examples = (Example(*lesson) for lesson in found if lesson.product_id in known)
    return Taught(examples, embedder.calibration.margin, embedder.calibration.alike(0.4))


class Teacher:
    """Teaches one process's index, and remembers. Event loop; writing happens in a thread.

    Args:
        data_dir: where lessons are kept.
        store: the catalogue; only its products can be taught.
        embedder: whose vectors they are.
        index: that hears them.
    """

    def __init__(
        self, data_dir: Path, store: CatalogStore, embedder: OnnxEmbedder, index: IndexHolder
    ) -> None:
        self._data_dir, self._store, self._embedder, self._index = data_dir, store, embedder, index
        self._lessons = LessonStore(data_dir)

    def close(self) -> None:
        """Close the store."""
        self._lessons.close()

    async def judge(self, worker: StreamWorker, track_id: int, product_id: str, right: bool) -> int:
        """The host says that an object of the picture is a product, or is not; returns views remembered.

        Raises:
            CatalogError: the catalogue does not have the product.
            UnknownObject: the object is gone.
        """
        self._store.get(product_id)
        looks = worker.teach(track_id, product_id, right)
        kind = LessonKind.CONFIRMED if right else LessonKind.VETOED
        return await self.learn(product_id, kind, looks, worker.stream)

    async def learn(self, product_id: str, kind: LessonKind, looks: Sequence[Look], stream: str = "") -> int:
        """Views of a product become references, or negatives. Those without a crop are not remembered.

        Returns:
            How many are remembered.

        Raises:
            CatalogError: the catalogue does not have the product, or they cannot be written.
        """
        self._store.get(product_id)
        right = kind is not LessonKind.VETOED
        seen = [(look.vector, look.crop) for look in looks]
        examples = [Example(product_id, vector, right) for vector, _ in seen if vector is not None]
        self._index.taught = self._index.taught.plus(examples)
        return await asyncio.to_thread(self._remember, product_id, kind, looks, stream)

    def _remember(self, product_id: str, kind: LessonKind, looks: Sequence[Look], stream: str) -> int:
        views = [
            TaughtView(encode_jpeg(look.crop), np.asarray(look.vector, np.float32))
            for look in looks
            if look.crop is not None and look.vector is not None
        ]
        at_ms = int(time.time() * 1000)
        self._lessons.add(product_id, kind, views, self._embedder.model_hash, stream=stream, at_ms=at_ms)
        return len(views)

    async def forget(self, product_id: str) -> int:
        """Take back all that was taught of a product; returns how many views."""
        gone = await asyncio.to_thread(self._lessons.forget, product_id)
        self._index.taught = self._index.taught.without({product_id})
        return gone

    async def taught(self) -> list[Lessons]:
        """What is remembered, by product."""
        return await asyncio.to_thread(self._lessons.summary)
