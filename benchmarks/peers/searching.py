"""One index, searched in a process of its own: built or loaded, asked by one caller, by 16, and filtered.

Runs with Vitrine's interpreter or with that of a peer; prints one JSON object.
"""

# ruff: noqa: D102 - `Subject` says it for all of them.

from __future__ import annotations

import argparse
import atexit
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.index_data import DIM, Floats, Gallery, exact, recall

K = 10
CALLERS = 16
FILTERS = {"filter_1pct": 0.01, "filter_0.01pct": 0.0001}


class Subject(Protocol):
    """What is measured."""

    def build(self, vectors: Floats, folder: Path) -> float:
        """Make the index, or take up the one in `folder`; the seconds that building took."""

    def disk_mib(self) -> float:
        """What the index takes there."""

    def search(self, query: Floats) -> Any:
        """Rows of the `K` nearest to (1, DIM)."""

    def easy(self) -> None:
        """Search with 10 candidates only."""

    def select(self, rows: Any) -> Callable[[Floats], Any] | None:
        """A search among `rows`; None where there is no such thing."""


class Vitrine:
    """`inference.index`."""

    def build(self, vectors: Floats, folder: Path) -> float:
        from inference.errors import ProductIndexError
        from inference.index import build_index, load_index, read_manifest

        tag = f"benchmark-{folder.name}"
        try:
            self.index = load_index(folder, tag)
        except ProductIndexError:
            names = (f"p{row}" for row in range(len(vectors)))
            build_index(folder, zip(names, vectors, strict=True), DIM, tag)
            self.index = load_index(folder, tag)
        self.graph: Any = self.index._graph
        manifest = read_manifest(folder)
        self.files = [folder / name for name in manifest.files.values()]
        return manifest.build_s

    def disk_mib(self) -> float:
        return _mib(*self.files)

    def search(self, query: Floats) -> Any:
        return _rows(self.index.search(query, K))

    def easy(self) -> None:
        self.graph.set_ef(10)

    def select(self, rows: Any) -> Callable[[Floats], Any] | None:
        within = frozenset(f"p{row}" for row in rows)
        return lambda query: _rows(self.index.search(query, K, within))


class Hnswlib:
    """hnswlib as it comes, on the very graph that Vitrine built, with the same number of candidates."""

    def build(self, vectors: Floats, folder: Path) -> float:
        import hnswlib

        from inference.manifest import read_manifest

        manifest = read_manifest(folder)
        self.graph, self.file = hnswlib.Index("ip", DIM), folder / manifest.files["graph"]
        self.graph.load_index(str(self.file))
        self.graph.set_ef(manifest.ef)
        return manifest.build_s

    def disk_mib(self) -> float:
        return _mib(self.file)

    def search(self, query: Floats) -> Any:
        return self.graph.knn_query(query, K)[0]

    def easy(self) -> None:
        self.graph.set_ef(10)

    def select(self, rows: Any) -> Callable[[Floats], Any] | None:
        allowed = set(rows.tolist())
        k = min(K, len(allowed))

        def search(query: Floats) -> Any:
            try:
                return self.graph.knn_query(query, k, filter=allowed.__contains__)[0]
            except RuntimeError:  # it found fewer than that
                return np.full((1, k), -1)

        return search


class Usearch:
    """usearch with the same number of links and candidates; it has no filter in Python.

    What is built is kept as it grows, so that a build that is cut off goes on; its seconds are the
    processor's over the number of cores, whatever else the machine did.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def build(self, vectors: Floats, folder: Path) -> float:
        from usearch.index import Index  # type: ignore[import-not-found]  # in its own environment only

        path = self.path = folder / f"usearch-{self.dtype}"
        self.index = Index(
            ndim=DIM, metric="ip", dtype=self.dtype, connectivity=24, expansion_add=200, expansion_search=96
        )
        notes = path.with_suffix(".seconds")
        seconds = float(notes.read_text()) if notes.exists() else 0.0
        if seconds:
            self.index.load(str(path))
        for start in range(len(self.index), len(vectors), 50_000):
            began = time.process_time()
            some = vectors[start : start + 50_000]
            self.index.add(np.arange(start, start + len(some)), some)
            seconds += (time.process_time() - began) / (os.cpu_count() or 1)
            fresh = path.with_suffix(".new")
            self.index.save(str(fresh))
            fresh.replace(path)
            notes.write_text(str(round(seconds, 1)))
        return seconds

    def disk_mib(self) -> float:
        return _mib(self.path)

    def search(self, query: Floats) -> Any:
        return self.index.search(query[0], K).keys[None].astype(np.intp)

    def easy(self) -> None:
        self.index.expansion_search = 10

    def select(self, rows: Any) -> Callable[[Floats], Any] | None:
        return None


class Postgres:
    """`inference.postgres`: one connection to a server with pgvector on this machine, as a node has one."""

    MEMORY = ("-c", "shared_buffers=1GB", "-c", "maintenance_work_mem=1GB")
    """As its operator would set it; at the defaults an HNSW graph of this size is built on disk."""

    def build(self, vectors: Floats, folder: Path) -> float:
        from benchmarks.postgres_server import PostgresServer
        from inference.errors import ProductIndexError
        from inference.postgres.index import PostgresIndex

        home = folder / "postgres"
        home.mkdir(exist_ok=True)
        server = PostgresServer(home, self.MEMORY)
        atexit.register(server.close)
        tag, notes = f"benchmark-{folder.name}", home / "seconds"
        self.index = PostgresIndex(server.url, DIM, tag)
        atexit.register(self.index.close)
        try:
            self.index.open()
        except ProductIndexError:
            began = time.monotonic()
            names = (f"p{row}" for row in range(len(vectors)))
            self.index.refresh(zip(names, vectors, strict=True), tag)
            notes.write_text(str(round(time.monotonic() - began, 1)))
        return float(notes.read_text())

    def disk_mib(self) -> float:
        with self.index._link.use() as link:
            row = link.execute(
                "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
                "WHERE relkind = 'r' AND relname ~ '^vitrine_vectors_'"
            ).fetchone()
        assert row is not None
        return float(row[0]) / 2**20

    def search(self, query: Floats) -> Any:
        return _rows(self.index.search(query, K))

    def easy(self) -> None:
        with self.index._link.use() as link:
            link.execute("SET hnsw.ef_search = 10")

    def select(self, rows: Any) -> Callable[[Floats], Any] | None:
        within = frozenset(f"p{row}" for row in rows)
        return lambda query: _rows(self.index.search(query, K, within))


def _mib(*files: Path) -> float:
    return sum(file.stat().st_size for file in files) / 2**20


def _rows(found: list[list[tuple[str, float]]]) -> Any:
    """Row numbers of products."""
    return np.array([[int(name[1:]) for name, _ in line] for line in found])


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "vitrine": Vitrine,
    "hnswlib": Hnswlib,
    "postgres": Postgres,
    "usearch f32": lambda: Usearch("f32"),
    "usearch i8": lambda: Usearch("i8"),
}


def timed(search: Callable[[Floats], Any], queries: Floats, seconds: float) -> tuple[list[float], Any]:
    """Milliseconds per query, one after the other, and what was found; at most so long."""
    took, found = [], []
    end = time.monotonic() + seconds
    for at in range(len(queries)):
        began = time.perf_counter_ns()
        found.append(search(queries[at : at + 1])[0])
        took.append((time.perf_counter_ns() - began) / 1e6)
        if time.monotonic() > end:
            break
    return took, np.stack(found)


def together(search: Callable[[Floats], Any], queries: Floats, seconds: float) -> tuple[list[float], float]:
    """Milliseconds per query of `CALLERS` threads, each asking again at once, and queries a second."""
    took: list[list[float]] = [[] for _ in range(CALLERS)]
    gate = threading.Barrier(CALLERS + 1)
    ends = [0.0]

    def ask(number: int) -> None:
        gate.wait()
        at = number
        while time.monotonic() < ends[0]:
            query = queries[at % len(queries)][None]
            began = time.perf_counter_ns()
            search(query)
            took[number].append((time.perf_counter_ns() - began) / 1e6)
            at += CALLERS

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    ends[0] = time.monotonic() + seconds
    gate.wait()
    for thread in threads:
        thread.join()
    every = [value for one in took for value in one]
    return every, len(every) / seconds


def memory_mib() -> tuple[float, float]:
    """Resident memory: what is this process's own, and what is mapped from files and can be taken back."""
    fields = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
    )
    return int(fields["RssAnon"].split()[0]) / 1024, int(fields["RssFile"].split()[0]) / 1024


def spread(took: list[float], name: str) -> dict[str, float]:
    """Percentiles."""
    return {f"{name}_ms_p{q}": round(float(np.percentile(took, q)), 3) for q in (50, 99)}


def measure(subject: Subject, gallery: Gallery, true: Any, folder: Path, seconds: float) -> dict[str, Any]:
    """All of one subject."""
    before = memory_mib()
    row: dict[str, Any] = {"build_s": subject.build(gallery.vectors, folder)}
    timed(subject.search, gallery.queries[:50], seconds)
    own, mapped = memory_mib()
    row["disk_mib"] = round(subject.disk_mib(), 1)
    row |= {"own_mib": round(own - before[0], 1), "mapped_mib": round(mapped - before[1], 1)}
    took, found = timed(subject.search, gallery.queries, seconds)
    row |= {"recall@10": round(recall(found, true[: len(found)]), 4), **spread(took, "one")}
    every, rate = together(subject.search, gallery.queries, seconds)
    row |= {**spread(every, "16_callers"), "16_callers_per_s": round(rate)}
    rng = np.random.default_rng(7)
    for name, share in FILTERS.items():
        rows = np.sort(rng.permutation(len(gallery.vectors))[: max(1, round(share * len(gallery.vectors)))])
        search = subject.select(rows)
        if search is None:
            continue
        search(gallery.queries[:1])
        took, found = timed(search, gallery.queries, seconds)
        wanted = exact(gallery.vectors, gallery.queries[: len(found)], K, rows)
        row |= {f"{name}_recall": round(recall(found, wanted), 4), **spread(took, name)}
    subject.easy()
    _, found = timed(subject.search, gallery.queries, seconds)
    return row | {"recall@10_ef10": round(recall(found, true[: len(found)]), 4)}


def main() -> None:
    """Measure one subject; the gallery lies in the folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--build", action="store_true", help="only see that the index is there")
    options = parser.parse_args()
    data = options.folder.with_name(options.folder.name + ".data")
    vectors = np.load(data / "vectors.npy", mmap_mode="r").view(np.ndarray)
    if options.build:
        print("result " + json.dumps({"build_s": SUBJECTS[options.subject]().build(vectors, options.folder)}))
        return
    gallery = Gallery(vectors, np.load(data / "queries.npy"))
    true = np.load(data / "true.npy")
    row = measure(SUBJECTS[options.subject](), gallery, true, options.folder, options.seconds)
    print("result " + json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
