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
from overlay.catalog.lessons import Lessons, LessonStore, TaughtView
from overlay.catalog.pictures import PictureLimits, decode_picture, encode_jpeg, resized
from overlay.catalog.store import CatalogStore
from overlay.catalog.words import LessonKind


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

    Attributes:
        lessons: what is remembered.
    """

    def __init__(
        self, data_dir: Path, store: CatalogStore, embedder: OnnxEmbedder, index: IndexHolder
    ) -> None:
        self._data_dir, self._store, self._embedder, self._index = data_dir, store, embedder, index
        self.lessons = LessonStore(data_dir)
        self._writing = asyncio.Lock()
        self._said = 0

    def close(self) -> None:
        """Close the store."""
        self.lessons.close()

    async def reload(self) -> None:
        """Hear all that is remembered anew: somebody else wrote it down, or the catalogue is another one.

        Raises:
            CatalogError: it cannot be read.
        """
        while True:
            async with self._writing:
                said = self._said
                taught = await asyncio.to_thread(remembered, self._data_dir, self._store, self._embedder)
                if said == self._said:
                    self._index.taught = taught
                    return
            # something was said meanwhile: it is written down first, then all is read again

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
        self._said += 1
        self._index.taught = self._index.taught.plus(examples)
        async with self._writing:
            return await asyncio.to_thread(self._remember, product_id, kind, looks, stream)

    def _remember(self, product_id: str, kind: LessonKind, looks: Sequence[Look], stream: str) -> int:
        views = [
            TaughtView(encode_jpeg(look.crop), np.asarray(look.vector, np.float32))
            for look in looks
            if look.crop is not None and look.vector is not None
        ]
        model = self._embedder.model_hash
        self.lessons.add(product_id, kind, views, model, stream=stream, at_ms=_now_ms())
        return len(views)

    async def forget(self, product_id: str) -> int:
        """Take back all that was taught of a product; returns how many views."""
        async with self._writing:
            gone = await asyncio.to_thread(self.lessons.forget, product_id, at_ms=_now_ms())
            self._index.taught = self._index.taught.without({product_id})
        return gone

    async def taught(self) -> list[Lessons]:
        """What is remembered, by product."""
        return await asyncio.to_thread(self.lessons.summary)


def _now_ms() -> int:
    return int(time.time() * 1000)
