"""The product index: which products look like this vector. Nothing else imports hnswlib.

On disk, in one directory: ``manifest.json`` names the other files by their content, so replacing it (one
atomic rename) replaces the index; a reader sees the old index or the new one, never a mixture.

Below `EXACT_BELOW` vectors a search is one matrix product and exact; above, HNSW (arXiv 1603.09320).
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from inference.errors import ProductIndexError
from inference.manifest import FORMAT, read_checked, read_manifest, replace_file, store
from inference.types import ProductIndex

__all__ = ["EXACT_BELOW", "IndexHolder", "LoadedIndex", "build_index", "load_index", "read_manifest"]

EXACT_BELOW = 5000
_EF = 96
_VIEWS = 4  # views per product an approximate search allows for


class LoadedIndex:
    """A `ProductIndex` in memory. Immutable; searching is thread-safe.

    Args:
        products: product id of each row; several rows (views) may belong to one product.
        vectors: unit float32 (rows, dim).
        graph: HNSW over the rows; None searches exactly.
    """

    def __init__(
        self, products: list[str], vectors: NDArray[np.float32], graph: hnswlib.Index | None = None
    ) -> None:
        self._products = products
        self._vectors = vectors
        self._graph = graph
        self._rows: dict[str, list[int]] = {}
        for row, product in enumerate(products):
            self._rows.setdefault(product, []).append(row)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self._vectors.shape[1])

    @property
    def product_ids(self) -> frozenset[str]:
        """Every product that has a vector."""
        return frozenset(self._rows)

    def search(
        self, vectors: NDArray[np.float32], k: int, within: Collection[str] | None = None
    ) -> list[list[tuple[str, float]]]:
        """Best `k` products per vector as (product_id, cosine), best first; one entry per product.

        Args:
            vectors: unit float32 (n, dim).
            k: at most; fewer where the index is smaller.
            within: only these products; searched exactly.

        Raises:
            ProductIndexError: the vectors have another dimension.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ProductIndexError(f"search: got vectors {vectors.shape}, expected (n, {self.dim})")
        if not self._rows or not len(vectors) or k < 1:
            return [[] for _ in vectors]
        if within is not None:
            rows = np.array([row for product in within for row in self._rows.get(product, ())], np.intp)
            return self._exact(vectors, k, rows)
        if self._graph is None:
            return self._exact(vectors, k, np.arange(len(self._products)))
        wanted = min(len(self._products), k * _VIEWS)
        found, distances = self._graph.knn_query(vectors, k=wanted)
        return [
            self._best(k, row.astype(np.intp), 1.0 - away) for row, away in zip(found, distances, strict=True)
        ]

    def _exact(
        self, vectors: NDArray[np.float32], k: int, rows: NDArray[np.intp]
    ) -> list[list[tuple[str, float]]]:
        cosines = (
            vectors @ self._vectors[rows].T if len(rows) != len(self._products) else vectors @ self._vectors.T
        )
        return [self._best(k, rows, line) for line in cosines]

    def _best(self, k: int, rows: NDArray[np.intp], cosines: NDArray[np.float32]) -> list[tuple[str, float]]:
        best: dict[str, float] = {}
        for at in np.argsort(-cosines, kind="stable"):
            product = self._products[rows[at]]
            if product not in best:
                best[product] = float(cosines[at])
                if len(best) == k:
                    break
        return list(best.items())


class IndexHolder:
    """A `ProductIndex` whose content can be swapped while it is searched."""

    def __init__(self, index: LoadedIndex | None = None) -> None:
        self._index = index

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    @property
    def current(self) -> LoadedIndex | None:
        """The index in use; None before the first."""
        return self._index

    def swap(self, index: LoadedIndex | None) -> None:
        """Use `index` from the next search on; running searches finish on the old one."""
        self._index = index

    def search(
        self, vectors: NDArray[np.float32], k: int, within: Collection[str] | None = None
    ) -> list[list[tuple[str, float]]]:
        """As `LoadedIndex.search`; nothing is found before the first index."""
        index = self._index
        return [[] for _ in vectors] if index is None else index.search(vectors, k, within)


_: type[ProductIndex] = IndexHolder


def build_index(
    directory: str | Path,
    items: Iterable[tuple[str, NDArray[np.float32]]],
    dim: int,
    model_hash: str,
) -> LoadedIndex:
    """Write an index, replacing the one in `directory` atomically, and return it.

    Args:
        directory: made where absent.
        items: (product_id, vector); several vectors per product are its views. Vectors are made unit.
        dim: their length.
        model_hash: of the embedder that made them.

    Raises:
        ProductIndexError: a vector has another length, or is not finite or zero.
    """
    products, vectors = _collect(items, dim)
    graph = _graph(vectors) if len(products) >= EXACT_BELOW else None
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, vectors)
    files = {
        "vectors": store(folder, "vectors", ".npy", buffer.getvalue()),
        "products": store(folder, "products", ".json", json.dumps(products).encode()),
    }
    if graph is not None:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            path = os.path.join(scratch, "graph.bin")
            graph.save_index(path)
            files["graph"] = store(folder, "graph", ".bin", Path(path).read_bytes())
    manifest = {
        "format": FORMAT,
        "dim": dim,
        "vectors": len(products),
        "products": len(set(products)),
        "model_hash": model_hash,
        "files": files,
    }
    replace_file(folder / "manifest.json", json.dumps(manifest, indent=1).encode())
    for stale in folder.iterdir():
        if stale.is_file() and stale.name != "manifest.json" and stale.name not in files.values():
            stale.unlink(missing_ok=True)
    return LoadedIndex(products, vectors, graph)


def load_index(directory: str | Path, model_hash: str) -> LoadedIndex:
    """Read an index.

    Args:
        directory: as given to `build_index`.
        model_hash: of the embedder that will search it.

    Raises:
        ProductIndexError: absent, damaged, of another format, or made with another embedder.
    """
    folder = Path(directory)
    manifest = read_manifest(folder)
    fix = "run `vitrine catalog import` again to rebuild it"
    if manifest.model_hash != model_hash:
        raise ProductIndexError(
            f"{folder}: made with embedder {manifest.model_hash[:12]}, expected {model_hash[:12]}; {fix}"
        )
    data = {kind: read_checked(folder, name, fix) for kind, name in manifest.files.items()}
    try:
        products = json.loads(data["products"])
        vectors = np.load(io.BytesIO(data["vectors"]), allow_pickle=False)
    except (KeyError, ValueError, OSError) as error:
        raise ProductIndexError(f"{folder}: cannot be read ({error}); {fix}") from error
    if vectors.shape != (len(products), manifest.dim) or vectors.dtype != np.float32:
        raise ProductIndexError(
            f"{folder}: got vectors {vectors.dtype} {vectors.shape}, expected float32 "
            f"({len(products)}, {manifest.dim}); {fix}"
        )
    graph = None
    if "graph" in manifest.files:
        graph = hnswlib.Index(space="ip", dim=manifest.dim)
        graph.load_index(str(folder / manifest.files["graph"]))
        graph.set_ef(_EF)
    return LoadedIndex(products, vectors, graph)


def _collect(
    items: Iterable[tuple[str, NDArray[np.float32]]], dim: int
) -> tuple[list[str], NDArray[np.float32]]:
    products: list[str] = []
    rows: list[NDArray[np.float32]] = []
    for product, vector in items:
        length = float(np.linalg.norm(vector))
        if vector.shape != (dim,) or not np.isfinite(length) or length < 1e-9:
            raise ProductIndexError(
                f"product {product!r}: got a vector {vector.shape} of length {length:.3g}, "
                f"expected ({dim},), finite and not zero"
            )
        products.append(product)
        rows.append((vector / length).astype(np.float32))
    return products, np.stack(rows) if rows else np.zeros((0, dim), np.float32)


def _graph(vectors: NDArray[np.float32]) -> hnswlib.Index:
    graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
    graph.init_index(max_elements=len(vectors), ef_construction=200, M=24, random_seed=1)
    graph.add_items(vectors, np.arange(len(vectors)))
    graph.set_ef(_EF)
    return graph
