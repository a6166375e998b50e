"""Large indexes: resumed, mapped, filtered, less what was removed, searched by many at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import inference.index as module
from inference.errors import ProductIndexError
from inference.gallery import Owners
from inference.index import IndexHolder, LoadedIndex, build_index, load_index, read_manifest
from inference.lane import Lane
from tests.inference.test_index import HASH, Floats, items, vectors

ROWS = 3000


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs for few rows, reports and checkpoints often."""
    monkeypatch.setattr(module, "EXACT_BELOW", 1000)
    monkeypatch.setattr(module, "_CHUNK", 500)
    monkeypatch.setattr(module, "_CHECKPOINT_S", 0.0)


def names(found: list[list[tuple[str, float]]]) -> list[list[str]]:
    return [[product for product, _ in line] for line in found]


def true(rows: Floats, queries: Floats, k: int, among: NDArray[np.intp]) -> list[list[str]]:
    order = np.argsort(-(queries @ rows[among].T), axis=1, kind="stable")[:, :k]
    return [[f"p{among[at]}" for at in line] for line in order]


@pytest.mark.usefixtures("large")
def test_a_build_that_was_cut_off_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    rows = vectors(ROWS)
    told: list[int] = []

    def stop_at(done: int, total: int) -> None:
        told.append(done)
        if done == 1500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(tmp_path, items(rows), 16, HASH, stop_at)
    assert told == [500, 1000, 1500] and not (tmp_path / "manifest.json").exists()
    told.clear()
    index = build_index(tmp_path, items(rows), 16, HASH, lambda done, total: told.append(done))
    assert told == [1500, 2000, 2500, 3000]
    assert names(index.search(rows[:20], 1)) == [[f"p{at}"] for at in range(20)]
    assert sorted(path.name.partition("-")[0] for path in tmp_path.iterdir()) == [
        "graph",
        "manifest.json",
        "products",
        "vectors",
    ]


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("change", ["vectors", "notes", "graph"])
def test_a_checkpoint_of_something_else_is_not_used(tmp_path: Path, change: str) -> None:
    def stop(done: int, total: int) -> None:
        if done == 1500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(tmp_path, items(vectors(ROWS)), 16, HASH, stop)
    notes = tmp_path / ".building" / "progress.json"
    if change == "notes":
        notes.write_text(json.dumps(json.loads(notes.read_text()) | {"rows": 7}))
    if change == "graph":
        (tmp_path / ".building" / "partial.bin").unlink()
    told: list[int] = []
    rows = vectors(ROWS, seed=2 if change == "vectors" else 1)
    index = build_index(tmp_path, items(rows), 16, HASH, lambda done, total: told.append(done))
    assert told[0] == 500 and names(index.search(rows[:5], 1)) == [[f"p{at}"] for at in range(5)]


@pytest.mark.usefixtures("large")
def test_new_products_and_changed_pictures_grow_the_graph_that_is_there(tmp_path: Path) -> None:
    rows = vectors(ROWS)
    build_index(tmp_path, items(rows[:2000]), 16, HASH)
    rows[[3, 700, 1999]] = vectors(3, seed=8)
    told: list[int] = []
    index = build_index(tmp_path, items(rows), 16, HASH, lambda done, total: told.append(done))
    assert told == [2500, 3000]
    asked = [3, 700, 1999, 5, 2500]
    for found in (index, load_index(tmp_path, HASH)):
        assert names(found.search(rows[asked], 1)) == [[f"p{at}"] for at in asked]
    told.clear()
    build_index(tmp_path, items(vectors(ROWS, seed=9)), 16, HASH, lambda done, total: told.append(done))
    assert told[0] == 500, "too much of it changed"


@pytest.mark.usefixtures("large")
def test_products_that_left_cost_no_build_and_are_not_found_after_a_restart(tmp_path: Path) -> None:
    rows = vectors(ROWS)
    build_index(tmp_path, items(rows), 16, HASH)
    before = read_manifest(tmp_path)
    told: list[int] = []
    kept = [item for at, item in enumerate(items(rows)) if at % 10]
    index = build_index(tmp_path, kept, 16, HASH, lambda done, total: told.append(done))
    now = read_manifest(tmp_path)
    assert told == [] and (now.files["graph"], now.files["vectors"]) == (
        before.files["graph"],
        before.files["vectors"],
    )
    assert now.products == len(index) == 2700
    among = np.flatnonzero(np.arange(ROWS) % 10)
    for found in (index, load_index(tmp_path, HASH)):
        wanted, got = true(rows, rows[:60], 10, among), names(found.search(rows[:60], 10))
        assert not {name for line in got for name in line} - {product for product, _ in kept}
        assert sum(len(set(a) & set(b)) for a, b in zip(got, wanted, strict=True)) >= 0.98 * 600


@pytest.mark.usefixtures("large")
def test_a_product_that_comes_back_takes_a_new_row_and_has_its_views_once(tmp_path: Path) -> None:
    rows = vectors(ROWS)
    build_index(tmp_path, items(rows, views=2), 16, HASH)
    build_index(tmp_path, items(rows, views=2)[2:], 16, HASH)
    told: list[int] = []
    index = build_index(
        tmp_path, items(rows, views=2), 16, HASH, lambda done, total: told.append(total - done)
    )
    assert told == [0], "two rows were added to what is there"
    for found in (index, load_index(tmp_path, HASH)):
        assert len(found) == ROWS // 2
        np.testing.assert_allclose(found.views("p0"), rows[:2], atol=1e-6)
        product, cosine = found.search(rows[:1], 5)[0][0]
        assert product == "p0" and cosine == pytest.approx(1.0, abs=1e-5)


@pytest.mark.usefixtures("large")
def test_an_index_of_which_a_fifth_left_is_compacted(tmp_path: Path) -> None:
    rows = vectors(ROWS)
    build_index(tmp_path, items(rows), 16, HASH)
    build_index(tmp_path, items(rows)[500:], 16, HASH)
    assert read_manifest(tmp_path).vectors == ROWS and "removed" in read_manifest(tmp_path).files
    told: list[int] = []
    build_index(tmp_path, items(rows)[700:], 16, HASH, lambda done, total: told.append(total))
    assert told[0] == 2300 and read_manifest(tmp_path).vectors == 2300
    assert "removed" not in read_manifest(tmp_path).files
    assert not list(tmp_path.glob("removed-*"))


@pytest.mark.usefixtures("large")
def test_a_damaged_list_of_what_left_is_refused(tmp_path: Path) -> None:
    build_index(tmp_path, items(vectors(ROWS)), 16, HASH)
    build_index(tmp_path, items(vectors(ROWS))[5:], 16, HASH)
    from inference.manifest import store

    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["files"]["removed"] = store(tmp_path, "removed", ".json", b"[99999]")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ProductIndexError, match="cannot be read"):
        load_index(tmp_path, HASH)


@pytest.mark.usefixtures("large")
def test_a_damaged_graph_is_not_grown(tmp_path: Path) -> None:
    build_index(tmp_path, items(vectors(2000)), 16, HASH)
    path = tmp_path / read_manifest(tmp_path).files["graph"]
    path.write_bytes(path.read_bytes()[:-100])
    told: list[int] = []
    build_index(tmp_path, items(vectors(2000)), 16, HASH, lambda done, total: told.append(done))
    assert told[0] == 500


@pytest.mark.usefixtures("large")
def test_damaged_vectors_are_written_again(tmp_path: Path) -> None:
    build_index(tmp_path, items(vectors(2000)), 16, HASH)
    path = tmp_path / read_manifest(tmp_path).files["vectors"]
    path.write_bytes(path.read_bytes()[:-100])
    build_index(tmp_path, items(vectors(2000)), 16, HASH)
    assert len(load_index(tmp_path, HASH)) == 2000


@pytest.mark.usefixtures("large")
def test_vectors_are_mapped_and_search_candidates_chosen_by_measuring(tmp_path: Path) -> None:
    rows = vectors(ROWS)
    build_index(tmp_path, items(rows), 16, HASH)
    assert read_manifest(tmp_path).ef in module._EFS
    held = load_index(tmp_path, HASH)._vectors
    assert isinstance(held.base, np.memmap) and not held.flags.writeable


@pytest.mark.usefixtures("large")
def test_a_graph_of_another_kind_is_refused(tmp_path: Path) -> None:
    build_index(tmp_path, items(vectors(ROWS)), 16, HASH)
    from inference.manifest import store

    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["files"]["graph"] = store(tmp_path, "graph", ".bin", b"\0" * 200)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ProductIndexError, match="cannot be read"):
        load_index(tmp_path, HASH)


@pytest.mark.usefixtures("large")
def test_more_neighbours_than_a_graph_can_reach_are_found_exactly(tmp_path: Path) -> None:
    rows = np.concatenate([vectors(1000)] * 3)  # three views each that are the same
    index = build_index(tmp_path, [(f"p{at % 1000}", row) for at, row in enumerate(rows)], 16, HASH)
    found = names(index.search(rows[:2], 1000))
    assert [len(set(line)) for line in found] == [1000, 1000]


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.usefixtures("large")
def test_removed_products_are_found_no_more(tmp_path: Path, graph: bool) -> None:
    rows = vectors(ROWS if graph else 200)
    holder = IndexHolder(build_index(tmp_path, items(rows), 16, HASH))
    before = names(holder.search(rows[:5], 3))
    gone = {line[0] for line in before}
    holder.remove(gone)
    holder.remove([before[0][1], "unknown"])
    gone.add(before[0][1])
    after = names(holder.search(rows[:5], 3))
    assert not gone & {name for line in after for name in line}
    assert len(holder) == len(rows) - len(gone)
    assert isinstance(holder.current, LoadedIndex) and not gone & holder.current.product_ids
    assert holder.search(rows[:1], 3, frozenset(gone)) == [[]]
    assert names(load_index(tmp_path, HASH).search(rows[:5], 3)) == before, "the index on disk is another"


def test_removing_from_no_index_does_nothing() -> None:
    holder = IndexHolder()
    holder.remove(["a"])
    assert holder.current is None


def test_owners_give_rows_of_products_in_any_order() -> None:
    owners = Owners(["b", "a", "b", "c"])
    assert owners.rows(["c", "b", "b", "?"]).tolist() == [0, 2, 3]
    assert owners.rows([]).tolist() == [] and owners.most_views == 2


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


def test_a_lane_works_for_all_that_wait_and_never_twice_at_once(gate: threading.Event) -> None:
    sizes: list[int] = []
    began = threading.Event()

    def work(key: str, rows: Floats, k: int) -> tuple[NDArray[np.intp], Floats]:
        began.set()
        gate.wait(10)
        sizes.append(len(rows))
        if key == "bad":
            raise ValueError("bad")
        return np.zeros((len(rows), k), np.intp), np.repeat(rows[:, :1], k, axis=1)

    lane = Lane(work)
    answers: dict[int, float] = {}
    errors: list[str] = []

    def call(number: int, key: str) -> None:
        try:
            answers[number] = float(lane.run(key, np.full((1, 2), number, np.float32), 1)[1][0, 0])
        except ValueError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=call, args=(n, "bad" if n > 5 else "good")) for n in range(8)]
    threads[0].start()
    began.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(lane._waiting) < 7:
        threading.Event().wait(0.001)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert answers == {number: float(number) for number in range(6)} and errors == ["bad", "bad"]
    assert sorted(sizes) == [1, 2, 5]
