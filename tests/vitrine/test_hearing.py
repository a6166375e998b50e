from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from inference.views import Look
from overlay.bus.journal import Journal, MemoryJournal
from overlay.bus.redis_journal import RedisJournal
from overlay.bus.redis_link import RedisLink
from overlay.catalog.lessons import LessonStore, TaughtView
from overlay.catalog.store import CatalogStore
from overlay.catalog.words import LessonKind
from overlay.errors import BusError
from stream.clock import MonotonicClock
from tests.journals import opened
from tests.overlay.builders import product
from tests.redis_server import RedisServer
from vitrine.config import load_config
from vitrine.demo import CATALOGUE
from vitrine.engine import Engine
from vitrine.hearing import Hearing, Settled

VIEW = [TaughtView(b"jpeg", np.eye(8, dtype=np.float32)[0])]


class Node:
    """One node's lessons, and how often it was told to hear them."""

    def __init__(self, folder: Path, journal: Journal | None) -> None:
        self.lessons, self.heard = LessonStore(folder), 0
        self.hearing = Hearing(self.lessons, journal, self._hear)

    async def _hear(self) -> None:
        self.heard += 1

    @property
    def products(self) -> list[str]:
        return [one.product_id for one in self.lessons.summary()]


@pytest.fixture(params=["memory", pytest.param("redis_server", marks=pytest.mark.redis)])
async def journal(request: pytest.FixtureRequest) -> AsyncIterator[Journal]:
    async with opened(request) as made:
        yield made


async def test_what_one_node_was_taught_every_node_hears_once(tmp_path: Path, journal: Journal) -> None:
    first, second = Node(tmp_path / "a", journal), Node(tmp_path / "b", journal)
    first.lessons.add("mug", LessonKind.CONFIRMED, VIEW, "model", at_ms=1)
    await first.hearing.look()
    await second.hearing.look()
    assert second.products == ["mug"] and (first.heard, second.heard) == (0, 1)
    second.lessons.forget("mug")
    for node in (second, first, second, first):
        await node.hearing.look()
    assert first.products == second.products == [] and (first.heard, second.heard) == (1, 1)
    late = Node(tmp_path / "c", journal)
    late.lessons.add("jar", LessonKind.VETOED, VIEW, "model", at_ms=2)
    for node in (late, first):
        await node.hearing.look()
    assert late.products == first.products == ["jar"]


async def test_what_cannot_be_read_is_skipped(tmp_path: Path) -> None:
    journal = MemoryJournal()
    await journal.append(b"a newer node says things that this one does not know")
    first, second = Node(tmp_path / "a", journal), Node(tmp_path / "b", journal)
    first.lessons.add("mug", LessonKind.CONFIRMED, VIEW, "model", at_ms=1)
    await first.hearing.look()
    await second.hearing.look()
    assert second.products == ["mug"]


async def test_another_process_is_heard_also_while_the_journal_is_away(
    tmp_path: Path,
) -> None:
    link = RedisLink("redis://127.0.0.1:1")
    node = Node(tmp_path, RedisJournal(link, "lessons"))
    command = LessonStore(tmp_path)
    command.add("mug", LessonKind.ENROLLED, VIEW, "model", at_ms=1)
    with pytest.raises(BusError):
        await node.hearing.look()
    assert node.heard == 1 and [word.product_id for word in node.lessons.untold()] == ["mug"]
    await link.close()


def test_a_file_is_taken_over_when_its_writer_is_done() -> None:
    settled = Settled(1)
    looks = [1, 2, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5]
    assert [n for n, version in enumerate(looks) if settled.look(version)] == [6, 11]


async def test_a_running_engine_hears_the_command_line(tmp_path: Path) -> None:
    settings = {"server.port": 0, "server.data_dir": str(tmp_path), "catalog.feed": str(CATALOGUE)}
    engine = Engine(load_config(None, {}, settings), MonotonicClock())
    await engine.start()
    lessons, store = LessonStore(tmp_path), CatalogStore(tmp_path)
    try:
        index, embedder = engine.recognition.index, engine.recognition.embedder
        look = embedder.embed(np.full((1, embedder.size, embedder.size, 3), 90, np.uint8))[0]
        view = [TaughtView(b"jpeg", look)]
        lessons.add("morrow-mug", LessonKind.ENROLLED, view, embedder.model_hash, at_ms=1)
        async with asyncio.timeout(20):
            while len(index.taught) != 1:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        assert index.search(look[None], 1)[0][0][0] == "morrow-mug"
        store.put(product("new"), [], fingerprint="new")
        store.put_vectors("new", embedder.model_hash, -look[None])
        async with asyncio.timeout(20):
            while index.search(-look[None], 1)[0][0][0] != "new":  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        assert len(index.taught) == 1
    finally:
        lessons.close()
        store.close()
        await engine.stop(0.0)


@pytest.mark.redis
async def test_what_a_host_says_on_one_node_another_recognises_by(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.flush()
    nodes = []
    for name in ("a", "b"):
        settings = {"server.port": 0, "server.data_dir": str(tmp_path / name), "bus.url": redis_server.url}
        config = load_config(None, {}, settings | {"catalog.feed": str(CATALOGUE)})
        nodes.append(Engine(config, MonotonicClock()))
        await nodes[-1].start()
    first, second = nodes
    try:
        embedder, index = first.recognition.embedder, second.recognition.index
        crop = np.full((embedder.size, embedder.size, 3), 90, np.uint8)
        look = Look(1.0, 1.0, embedder.embed(crop[None])[0], crop)
        assert await first.teacher.learn("morrow-mug", LessonKind.CONFIRMED, [look], "demo") == 1
        async with asyncio.timeout(20):
            while not len(index.taught):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        assert look.vector is not None
        found = index.search(look.vector[None], 1)[0][0]
        assert found[0] == "morrow-mug" and found[1] == pytest.approx(1.0, abs=1e-5)
        assert await second.teacher.forget("morrow-mug") == 1
        async with asyncio.timeout(20):
            while len(first.recognition.index.taught):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
    finally:
        for node in nodes:
            await node.stop(0.0)
