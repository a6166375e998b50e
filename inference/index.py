"""The product index: which products look like this vector. Nothing else imports hnswlib.

On disk, in one directory: ``manifest.json`` names the other files by their content, so replacing it (one
atomic rename) replaces the index; a reader sees the old index or the new one, never a mixture. Vectors are
mapped into memory, not read; a build that was cut off goes on where its last checkpoint stands. Products that
left are skipped, and their rows kept until a fifth of all is gone: removing some costs no build.

Below `EXACT_BELOW` vectors a search is one matrix product and exact; above, HNSW (arXiv 1603.09320), with as
many candidates of `_EFS` as a recall of `_RECALL` took on this very catalogue. A search within a selection
is exact over it as long as its vectors fit into one block: a walk that skips what is filtered out costs 850
ms at 0.01 % and loses neighbours, a product with the block of 10,000 vectors costs about a millisecond.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from inference.build import (
    Floats,
    Items,
    Progress,
    probes,
    read_progress,
    write_progress,
    write_vectors,
)
from inference.errors import ProductIndexError
from inference.holder import IndexHolder
from inference.layout import laid_out
from inference.loaded import LoadedIndex, exact
from inference.manifest import (
    DEFAULT_EF,
    FORMAT,
    Manifest,
    checked_file,
    file_digest,
    read_manifest,
    replace_file,
    store,
    store_file,
)

__all__ = ["EXACT_BELOW", "IndexHolder", "LoadedIndex", "build_index", "load_index", "read_manifest"]

EXACT_BELOW = 5000
_RECALL = 0.99
_EFS = (48, DEFAULT_EF, 144, 200, 300)
"""Half as many candidates again take a third longer among a million, and find .2 % more (.996 for .994)."""
_CHUNK = 20_000
"""Rows between two reports of progress."""
_CHECKPOINT_S = 60.0
_CHANGED = 0.1
"""Share of rows that may have changed for a graph to be grown instead of built anew."""
_FIX = "run `vitrine catalog import` again to rebuild it"
_BUILDING = ".building"

Report = Callable[[int, int], None]
"""(rows done, rows in all), from the thread that builds."""


def build_index(
    directory: str | Path, items: Items, dim: int, model_hash: str, report: Report | None = None
) -> LoadedIndex:
    """Write an index, replacing the one in `directory` atomically, and return it.

    One build at a time: a second one waits. A large build that was cut off goes on from its last checkpoint
    when it is asked for the same vectors again. New products at the end and changed vectors grow the graph
    that is there.

    Args:
        directory: made where absent.
        items: (product_id, vector); several vectors per product are its views. Vectors are made unit.
        dim: their length.
        model_hash: of the embedder that made them.
        report: told of progress.

    Raises:
        ProductIndexError: a vector has another length, or is not finite or zero.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder), _scratch(folder) as scratch:
        old = _graphed(folder, dim, model_hash)
        items, gone = (items, []) if old is None else _kept_in_place(items, folder, old)
        products = write_vectors(scratch / "vectors.npy", items, dim)
        vectors = _mapped(scratch / "vectors.npy")
        files = {"products": store(folder, "products", ".json", json.dumps(products).encode())}
        if gone:
            files["removed"] = store(folder, "removed", ".json", json.dumps(gone).encode())
        graph, ef, seconds = None, DEFAULT_EF, 0.0
        name = file_digest(scratch / "vectors.npy")
        if old is not None and name in old.files["vectors"] and (graph := _read_graph(folder, old)):
            files["graph"], ef, seconds = old.files["graph"], old.ef, old.build_s
        elif len(products) >= EXACT_BELOW:
            graph, seconds = _graph(vectors, name, (folder, scratch), report)
            ef = _enough(graph, vectors)
            graph.set_ef(ef)
            graph.save_index(str(scratch / "graph.bin"))
            files["graph"] = store_file(folder, "graph", ".bin", scratch / "graph.bin")
        files["vectors"] = store_file(folder, "vectors", ".npy", scratch / "vectors.npy")
        removed = _mask(gone, len(products))
        index = LoadedIndex(products, vectors, graph, removed)
        manifest = {
            "format": FORMAT,
            "dim": dim,
            "vectors": len(products),
            "products": len(index),
            "model_hash": model_hash,
            "ef": ef,
            "build_s": round(seconds, 1),
            "files": files,
        }
        replace_file(folder / "manifest.json", json.dumps(manifest, indent=1).encode())
        for stale in folder.iterdir():
            if stale.is_file() and stale.name != "manifest.json" and stale.name not in files.values():
                stale.unlink(missing_ok=True)
        (scratch / "progress.json").unlink(missing_ok=True)
        return index


def load_index(directory: str | Path, model_hash: str) -> LoadedIndex:
    """Read an index. Its vectors are mapped: memory is taken as they are used, and can be taken back.

    Args:
        directory: as given to `build_index`.
        model_hash: of the embedder that will search it.

    Raises:
        ProductIndexError: absent, damaged, of another format, or made with another embedder.
    """
    folder = Path(directory)
    manifest = read_manifest(folder)
    while True:
        try:
            return _load(folder, model_hash)
        except ProductIndexError:
            seen, manifest = manifest, read_manifest(folder)
            if seen == manifest:  # otherwise it was replaced while it was read
                raise


def _load(folder: Path, model_hash: str) -> LoadedIndex:
    manifest = read_manifest(folder)
    if manifest.model_hash != model_hash:
        raise ProductIndexError(
            f"{folder}: made with embedder {manifest.model_hash[:12]}, expected {model_hash[:12]}; {_FIX}"
        )
    files = {kind: checked_file(folder, name, _FIX) for kind, name in manifest.files.items()}
    try:
        products = json.loads(files["products"].read_bytes())
        vectors = _mapped(files["vectors"])
        removed = _mask(_read_removed(folder, manifest), len(products))
    except (KeyError, ValueError, TypeError, IndexError, OSError) as error:
        raise ProductIndexError(f"{folder}: cannot be read ({error}); {_FIX}") from error
    if vectors.shape != (len(products), manifest.dim) or vectors.dtype != np.float32:
        raise ProductIndexError(
            f"{folder}: got vectors {vectors.dtype} {vectors.shape}, expected float32 "
            f"({len(products)}, {manifest.dim}); {_FIX}"
        )
    graph = None
    if "graph" in files:
        graph = hnswlib.Index(space="ip", dim=manifest.dim)
        try:
            graph.load_index(str(files["graph"]))
        except RuntimeError as error:
            raise ProductIndexError(f"{files['graph']}: cannot be read ({error}); {_FIX}") from error
        graph.set_ef(manifest.ef)
    return LoadedIndex(products, vectors, graph, removed)


def _graphed(folder: Path, dim: int, model_hash: str) -> Manifest | None:
    """The index in `folder`, if a graph of vectors of this kind is what a new one could stand on."""
    try:
        old = read_manifest(folder)
    except ProductIndexError:
        return None
    fits = (
        old.dim == dim and old.model_hash == model_hash and {"graph", "vectors", "products"} <= set(old.files)
    )
    return old if fits else None


def _kept_in_place(items: Items, folder: Path, old: Manifest) -> tuple[Items, list[int]]:
    """`items` where `old` has them, and the rows that are gone; as they are where `old` is damaged."""
    try:
        products = json.loads((folder / old.files["products"]).read_bytes())
        vectors = _mapped(folder / old.files["vectors"])
        removed = frozenset(_read_removed(folder, old))
    except (OSError, ValueError):
        return items, []
    if vectors.shape != (len(products), old.dim) or vectors.dtype != np.float32:
        return items, []
    return laid_out(items, products, vectors, removed)


def _read_removed(folder: Path, manifest: Manifest) -> list[int]:
    name = manifest.files.get("removed")
    rows: list[int] = [] if name is None else json.loads((folder / name).read_bytes())
    return rows


def _mask(rows: list[int], total: int) -> NDArray[np.bool_] | None:
    """Which of `total` rows are gone; None where none is."""
    if not rows:
        return None
    mask = np.zeros(total, bool)
    mask[rows] = True
    return mask


def _read_graph(folder: Path, manifest: Manifest) -> hnswlib.Index | None:
    """The graph of an index; None where it is damaged or lacks a row."""
    graph = hnswlib.Index(space="ip", dim=manifest.dim)
    try:
        graph.load_index(str(checked_file(folder, manifest.files["graph"], _FIX)))
    except (ProductIndexError, RuntimeError):
        return None
    graph.set_ef(manifest.ef)
    return graph if graph.element_count == manifest.vectors else None


def _mapped(path: Path) -> Floats:
    """The array in a .npy file, mapped read-only; an empty one cannot be mapped and is read."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape = np.lib.format.read_array_header_1_0(file)[0]
    # A plain view: the subclass costs every operation some microseconds.
    found: Floats = np.load(path, mmap_mode="r" if 0 not in shape else None, allow_pickle=False).view(
        np.ndarray
    )
    return found


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Held by one builder, of this process or another; the lock goes with the process that holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder to build in; what can be resumed stays in it."""
    scratch = folder / _BUILDING
    scratch.mkdir(exist_ok=True)
    try:
        yield scratch
    finally:
        if not (scratch / "progress.json").exists():
            shutil.rmtree(scratch, ignore_errors=True)


def _graph(
    vectors: Floats, name: str, folders: tuple[Path, Path], report: Report | None
) -> tuple[hnswlib.Index, float]:
    """The graph of `vectors` and the seconds it took, those before an interruption included.

    `name` is the sha256 of their file; `folders` those of the index and of the build.
    """
    (folder, scratch), total = folders, len(vectors)
    partial, notes = scratch / "partial.bin", scratch / "progress.json"
    done = read_progress(notes)
    graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
    if done.vectors == name and partial.exists():
        graph.load_index(str(partial), max_elements=total)
    if graph.element_count != done.rows or not 0 < done.rows <= total:
        done = Progress(name, 0, 0.0)
        grown = _grown(folder, vectors)
        if grown is not None:
            graph, done = grown, Progress(name, grown.element_count, 0.0)
        else:
            graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
            graph.init_index(max_elements=total, ef_construction=200, M=24, random_seed=1)
    began = saved = time.monotonic()
    for start in range(done.rows, total, _CHUNK):
        end = min(total, start + _CHUNK)
        graph.add_items(vectors[start:end], np.arange(start, end))
        if report is not None:
            report(end, total)
        if time.monotonic() - saved >= _CHECKPOINT_S and end < total:
            fresh = scratch / "partial.new"
            graph.save_index(str(fresh))
            notes.unlink(missing_ok=True)
            fresh.replace(partial)
            write_progress(notes, Progress(name, end, done.seconds + time.monotonic() - began))
            saved = time.monotonic()
    return graph, done.seconds + time.monotonic() - began


def _grown(folder: Path, vectors: Floats) -> hnswlib.Index | None:
    """The graph in `folder` with its changed rows replaced, where `vectors` are mostly those it has."""
    try:
        manifest = read_manifest(folder)
        old = _mapped(folder / manifest.files["vectors"])
        if "graph" not in manifest.files or old.shape[1] != vectors.shape[1] or len(old) > len(vectors):
            return None
        parts = [
            at
            + np.flatnonzero(
                (vectors[at : at + _CHUNK][: len(old) - at] != old[at : at + _CHUNK]).any(axis=1)
            )
            for at in range(0, len(old), _CHUNK)
        ]
        changed = np.concatenate(parts)
        if len(changed) > _CHANGED * len(old):
            return None
        graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
        path = checked_file(folder, manifest.files["graph"], _FIX)
        graph.load_index(str(path), max_elements=len(vectors))
        if len(changed):
            graph.add_items(vectors[changed], changed)
    except (ProductIndexError, OSError, ValueError, KeyError, RuntimeError):
        return None  # a new one does not need it
    return graph if graph.element_count == len(old) else None


def _enough(graph: hnswlib.Index, vectors: Floats) -> int:
    """The fewest candidates with which 10 neighbours are found as well as `_RECALL` wants."""
    queries = probes(vectors)
    true = np.concatenate([exact(queries[at : at + 25], vectors, 10, None)[0] for at in range(0, 200, 25)])
    for ef in _EFS:
        graph.set_ef(ef)
        found = graph.knn_query(queries, k=10)[0].astype(np.intp)
        hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, true, strict=True))
        if hits >= math.floor(_RECALL * true.size):
            break
    return ef
