"""What every product index does, whatever holds it: memory, a graph, or PostgreSQL."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

import inference.index as local
import inference.loaded as loaded
import inference.postgres.index as postgres
from inference.build import Items
from inference.errors import ProductIndexError
from inference.holder import Held, IndexHolder
from inference.index import build_index, load_index
from inference.postgres.index import PostgresIndex
from tests.inference.test_index import HASH, Floats, items, vectors
from tests.postgres_server import PostgresServer

ROWS = 2000
numbers = itertools.count()


class Rig(Protocol):
    """One kind of index, wherever it is kept."""

    def build(self, rows: Items, model: str = HASH) -> Held:
        """An index of exactly `rows`; replaces the one that was kept."""

    def reopen(self, model: str = HASH) -> Held:
        """The index that is kept, as another process would find it."""


class Files:
    """In memory and on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def build(self, rows: Items, model: str = HASH) -> Held:
        return build_index(self.folder, rows, 16, model)

    def reopen(self, model: str = HASH) -> Held:
        return load_index(self.folder, model)


class Postgres:
    """In a database of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.opened: list[PostgresIndex] = []

    def build(self, rows: Items, model: str = HASH) -> Held:
        content = hashlib.sha256()
        for product, vector in (rows := list(rows)):
            content.update(product.encode() + b"\0" + vector.tobytes())
        index = self._index(model)
        index.refresh(rows, content.hexdigest())
        return index

    def reopen(self, model: str = HASH) -> Held:
        index = self._index(model)
        index.open()
        return index

    def _index(self, model: str) -> PostgresIndex:
        self.opened.append(PostgresIndex(self.url, 16, model))
        return self.opened[-1]

    def close(self) -> None:
        for index in self.opened:
            index.close()


@pytest.fixture(params=["exact", "graph", pytest.param("postgres", marks=pytest.mark.postgres)])
def rig(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(local, "EXACT_BELOW", 5000 if request.param == "exact" else 500)
    monkeypatch.setattr(loaded, "_BLOCK_ROWS", 300)
    monkeypatch.setattr(postgres, "EXACT_BELOW", 300)
    if request.param != "postgres":
        yield Files(tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with closing(Postgres(server.database(f"contract{next(numbers)}"))) as made:
        yield made


def names(found: list[list[tuple[str, float]]]) -> list[list[str]]:
    return [[product for product, _ in line] for line in found]


def nearest(rows: Floats, query: Floats, k: int, among: list[int]) -> list[str]:
    """The truth, by comparing all."""
    return [f"p{among[at]}" for at in np.argsort(-(rows[among] @ query), kind="stable")[:k]]


def recall(found: list[list[str]], rows: Floats, queries: Floats, among: list[int]) -> float:
    wanted = [nearest(rows, query, 10, among) for query in queries]
    return sum(len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True)) / (10 * len(queries))


def test_it_finds_the_nearest_products_best_first_with_their_cosines(rig: Rig) -> None:
    rows = vectors(ROWS)
    index = rig.build(items(rows))
    assert len(index) == ROWS and index.problems == ()
    for query, found in zip(rows[:8], index.search(rows[:8], 3), strict=True):
        assert [product for product, _ in found] == nearest(rows, query, 3, list(range(ROWS)))
        cosines = [float(rows[int(product[1:])] @ query) for product, _ in found]
        np.testing.assert_allclose([score for _, score in found], cosines, atol=1e-5)
    queries = vectors(40, seed=4)
    assert recall(names(index.search(queries, 10)), rows, queries, list(range(ROWS))) >= 0.98


def test_a_product_of_several_views_is_found_once_by_its_best(rig: Rig) -> None:
    rows = vectors(60)
    index = rig.build(items(rows, views=3))
    (found,) = index.search(rows[4:5], 20)
    assert len(index) == 20 and found[0][0] == "p1" and found[0][1] == pytest.approx(1, abs=1e-5)
    assert len({product for product, _ in found}) == len(found) == 20


def test_views_of_one_product_do_not_crowd_out_the_others(rig: Rig) -> None:
    rows = vectors(700)
    near = rows[0] + 0.01 * vectors(60, seed=4)
    many = [("many", row) for row in near / np.linalg.norm(near, axis=1, keepdims=True)]
    (found,) = rig.build([*many, *items(rows[1:])]).search(rows[:1], 5)
    assert found[0][0] == "many" and len(found) == 5


def test_lengths_of_what_is_put_in_do_not_matter(rig: Rig) -> None:
    rows = vectors(5)
    assert rig.build(items(rows * 7.0)).search(rows[:1], 1)[0][0][1] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("k", "wanted"), [(0, 0), (-1, 0), (3, 3), (50, 20)])
def test_it_gives_as_many_as_are_asked_for_and_there(rig: Rig, k: int, wanted: int) -> None:
    index = rig.build(items(vectors(20)))
    assert [len(line) for line in index.search(vectors(2, seed=3), k)] == [wanted, wanted]
    assert index.search(vectors(0), 3) == []


@pytest.mark.parametrize("count", [3, 250, 1500])
def test_a_search_within_a_selection_keeps_its_recall(rig: Rig, count: int) -> None:
    rows, queries = vectors(ROWS), vectors(20, seed=5)
    index = rig.build(items(rows))
    among = sorted(np.random.default_rng(3).permutation(ROWS)[:count].tolist())
    within = frozenset(f"p{at}" for at in among) | {"unknown"}
    found = names(index.search(queries, 10, within))
    assert {product for line in found for product in line} <= within
    if count < 300:
        assert found == [nearest(rows, query, 10, among) for query in queries], "few are compared one by one"
    else:
        assert recall(found, rows, queries, among) >= 0.99
    assert names(index.search(queries, 10, sorted(within))) == found, "as a list it is the same selection"


def test_a_selection_far_from_what_is_asked_is_found_all_the_same(rig: Rig) -> None:
    rows = vectors(ROWS)
    index = rig.build(items(rows))
    far = np.argsort(rows @ rows[0])[:600].tolist()
    (found,) = names(index.search(rows[:1], 10, frozenset(f"p{at}" for at in far)))
    assert found == nearest(rows, rows[0], 10, far)


def test_within_nothing_there_is_nothing(rig: Rig) -> None:
    index = rig.build(items(vectors(20)))
    selections: tuple[Collection[str], ...] = (frozenset(), [], frozenset({"unknown"}))
    for within in selections:
        assert index.search(vectors(2), 3, within) == [[], []]


def test_it_knows_what_it_has(rig: Rig) -> None:
    rows = vectors(60)
    index = rig.build(items(rows, views=3))
    np.testing.assert_allclose(index.views("p5"), rows[15:18], atol=1e-6)
    assert index.views("unknown").shape[0] == 0
    assert index.missing(frozenset({"p1", "unknown"})) == {"unknown"}
    assert index.missing(frozenset({"p1"})) == frozenset()


def test_what_was_removed_is_found_no_more(rig: Rig) -> None:
    rows = vectors(ROWS)
    index = rig.build(items(rows))
    gone = {line[0] for line in names(index.search(rows[:5], 1))}
    left = index.without([*gone, "unknown"])
    assert len(left) == ROWS - 5 and left.missing(frozenset(gone)) == gone
    assert not gone & {product for line in names(left.search(rows[:5], 10)) for product in line}
    assert left.search(rows[:1], 3, frozenset(gone)) == [[]] and left.views("p0").shape[0] == 0
    assert names(left.search(rows[7:8], 1)) == [["p7"]]


def test_it_is_kept_and_made_to_hold_exactly_what_is_given(rig: Rig) -> None:
    rows = vectors(ROWS)
    rig.build(items(rows))
    assert names(rig.reopen().search(rows[:4], 1)) == [["p0"], ["p1"], ["p2"], ["p3"]]
    changed = items(rows)[50:]
    changed[0] = ("p50", vectors(1, seed=9)[0])
    changed.append(("new", vectors(1, seed=8)[0]))
    rig.build(changed)
    again = rig.reopen()
    assert len(again) == ROWS - 49
    assert names(again.search(np.stack([changed[0][1], changed[-1][1]]), 1)) == [["p50"], ["new"]]
    assert not {f"p{at}" for at in range(50)} & {
        product for line in names(again.search(rows[:20], 10)) for product in line
    }


def test_vectors_of_another_embedder_are_refused(rig: Rig) -> None:
    rig.build(items(vectors(10)))
    with pytest.raises(
        ProductIndexError, match=r"made with embedder aaaaaaaaaaaa, expected bbbbbbbbbbbb; run"
    ):
        rig.reopen("b" * 64)


@pytest.mark.parametrize(
    "bad", [np.zeros(16, np.float32), np.full(16, np.nan, np.float32), np.ones(8, np.float32)]
)
def test_a_vector_that_cannot_be_compared_is_named_and_what_was_there_stays(rig: Rig, bad: Floats) -> None:
    rig.build(items(vectors(10)))
    with pytest.raises(ProductIndexError, match="product 'mug'"):
        rig.build([*items(vectors(10, seed=2)), ("mug", bad)])
    assert names(rig.reopen().search(vectors(10)[3:4], 1)) == [["p3"]]


def test_a_query_of_another_dimension_is_refused(rig: Rig) -> None:
    with pytest.raises(ProductIndexError, match=r"expected \(n, 16\)"):
        rig.build(items(vectors(3))).search(vectors(1, dim=8), 1)


def test_callers_that_come_together_get_their_own_answers(rig: Rig) -> None:
    rows = vectors(600)
    index = rig.build(items(rows))
    half = list(range(0, 600, 2))
    lists: dict[frozenset[str] | None, list[int]] = {
        None: list(range(600)),
        frozenset(f"p{at}" for at in half): half,
    }
    wrong: list[int] = []

    def ask(number: int) -> None:
        for turn, (within, among) in zip(range(8), itertools.cycle(lists.items()), strict=False):
            at = number * 8 + turn
            if names(index.search(rows[at : at + 1], 1 + number % 3, within)) != [
                nearest(rows, rows[at], 1 + number % 3, among)
            ]:
                wrong.append(at)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == [] and not any(thread.is_alive() for thread in threads)


def test_searches_go_on_while_another_index_is_put_in_place(rig: Rig) -> None:
    rows = vectors(600)
    holder, stop = IndexHolder(rig.build(items(rows))), threading.Event()
    answers: list[list[str]] = []

    def search() -> None:
        while not stop.is_set():
            answers.extend(names(holder.search(rows[7:8], 1)))

    thread = threading.Thread(target=search)
    thread.start()
    for seed in (11, 12, 13):
        holder.swap(
            rig.build(
                [*items(rows), *((f"n{seed}-{at}", row) for at, row in enumerate(vectors(50, seed=seed)))]
            )
        )
    stop.set()
    thread.join(60)
    assert not thread.is_alive() and answers and all(line == ["p7"] for line in answers)
    assert len(holder) == 650
