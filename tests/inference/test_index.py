from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import inference.index as module
from inference.errors import ProductIndexError
from inference.index import IndexHolder, LoadedIndex, build_index, load_index, read_manifest

HASH = "a" * 64
Floats = NDArray[np.float32]


def vectors(count: int, dim: int = 16, seed: int = 1) -> Floats:
    raw = np.random.default_rng(seed).normal(size=(count, dim))
    unit: Floats = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def items(rows: Floats, views: int = 1) -> list[tuple[str, Floats]]:
    return [(f"p{at // views}", row) for at, row in enumerate(rows)]


def test_finds_what_was_put_in(tmp_path: Path) -> None:
    rows = vectors(50)
    build_index(tmp_path, items(rows), 16, HASH)
    index = load_index(tmp_path, HASH)
    assert len(index) == 50 and index.dim == 16
    for query, found in zip(rows[:5], index.search(rows[:5], 3), strict=True):
        cosines = rows @ query
        best = np.argsort(-cosines)[:3]
        assert [product for product, _ in found] == [f"p{i}" for i in best]
        np.testing.assert_allclose([score for _, score in found], cosines[best], atol=1e-5)


def test_a_large_index_uses_the_graph_and_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXACT_BELOW", 1000)
    rows = vectors(3000)
    build_index(tmp_path, items(rows), 16, HASH)
    assert "graph" in read_manifest(tmp_path).files
    index = load_index(tmp_path, HASH)
    exact = LoadedIndex([f"p{i}" for i in range(3000)], rows)
    queries = vectors(50, seed=9)
    hits = sum(
        len({p for p, _ in a} & {p for p, _ in b})
        for a, b in zip(index.search(queries, 10), exact.search(queries, 10), strict=True)
    )
    assert hits / 500 >= 0.95


def test_rebuilding_replaces_and_cleans_up(tmp_path: Path) -> None:
    build_index(tmp_path, items(vectors(10)), 16, HASH)
    build_index(tmp_path, items(vectors(20, seed=2)), 16, HASH)
    assert len(load_index(tmp_path, HASH)) == 20
    assert len(list(tmp_path.iterdir())) == 3


def test_an_empty_catalogue_is_an_index_too(tmp_path: Path) -> None:
    build_index(tmp_path, [], 16, HASH)
    assert load_index(tmp_path, HASH).search(vectors(2), 3) == [[], []]


def test_no_index_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProductIndexError, match="no product index here; run `vitrine catalog import`"):
        load_index(tmp_path, HASH)


@pytest.mark.parametrize("kind", ["vectors", "products"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_file_is_refused(tmp_path: Path, kind: str, damage: str) -> None:
    build_index(tmp_path, items(vectors(10)), 16, HASH)
    path = tmp_path / read_manifest(tmp_path).files[kind]
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(data[:-3] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ProductIndexError, match="damaged|missing"):
        load_index(tmp_path, HASH)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "files": 3}', "\x00"])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ProductIndexError, match="damaged"):
        load_index(tmp_path, HASH)


def test_another_format_is_refused(tmp_path: Path) -> None:
    build_index(tmp_path, items(vectors(3)), 16, HASH)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(ProductIndexError, match="got format 99, expected 1"):
        load_index(tmp_path, HASH)


def test_an_index_whose_parts_contradict_each_other_is_refused(tmp_path: Path) -> None:
    build_index(tmp_path, items(vectors(10)), 16, HASH)
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"dim": 8}))
    with pytest.raises(ProductIndexError, match=r"expected float32 \(10, 8\)"):
        load_index(tmp_path, HASH)
    del manifest["files"]["products"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ProductIndexError, match="cannot be read"):
        load_index(tmp_path, HASH)


def test_a_full_disk_leaves_no_debris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_index(tmp_path, items(vectors(10)), 16, HASH)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        build_index(tmp_path, items(vectors(20, seed=4)), 16, HASH)
    assert len(list(tmp_path.iterdir())) == 3
    assert len(load_index(tmp_path, HASH)) == 10


def test_the_index_knows_its_products(tmp_path: Path) -> None:
    assert build_index(tmp_path, items(vectors(4), views=2), 16, HASH).product_ids == frozenset({"p0", "p1"})


def test_a_failed_build_leaves_the_old_index(tmp_path: Path) -> None:
    build_index(tmp_path, items(vectors(10)), 16, HASH)
    with pytest.raises(ProductIndexError):
        build_index(tmp_path, [("a", vectors(1)[0]), ("b", np.zeros(16, np.float32))], 16, HASH)
    assert len(load_index(tmp_path, HASH)) == 10


def test_the_holder_swaps_under_search(tmp_path: Path) -> None:
    old = build_index(tmp_path / "old", items(vectors(100)), 16, HASH)
    new = LoadedIndex([f"n{i}" for i in range(100)], vectors(100, seed=3))
    holder, query, seen = IndexHolder(), vectors(1, seed=8), set()
    assert holder.search(query, 3) == [[]] and len(holder) == 0
    holder.swap(old)
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            seen.add(frozenset(product[0] for product, _ in holder.search(query, 10)[0]))

    thread = threading.Thread(target=search)
    thread.start()
    for index in (new, old) * 50:
        holder.swap(index)
    stop.set()
    thread.join()
    assert seen <= {frozenset("p"), frozenset("n")}, "one answer mixed two indexes"
    assert holder.current is old


def test_it_is_known_how_far_apart_products_lie_until_the_index_is_swapped() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [1, 0]], np.float32)
    holder = IndexHolder()
    assert holder.apart(("mug", "jar")) == {}
    holder.swap(LoadedIndex(["mug", "jar", "jar", "cup"], vectors))
    found = holder.apart(("mug", "jar", "cup", "unicorn"))
    assert found["mug", "jar"] == pytest.approx(np.sqrt(0.8))  # of the nearest two pictures
    assert found["mug", "cup"] == 0.0 and found["mug", "unicorn"] == 1.0
    assert holder.apart(("jar", "mug")) == {("jar", "mug"): found["mug", "jar"]}
    holder.swap(LoadedIndex(["mug", "jar"], vectors[:2] * np.array([[1], [-1]], np.float32)))
    assert holder.apart(("mug", "jar"))["mug", "jar"] == pytest.approx(np.sqrt(3.2))
