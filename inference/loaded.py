"""An index in memory: searched whole, within selections, without what was removed. See `inference.index`."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.errors import ProductIndexError
from inference.gallery import Owners, Selection, Selections, nearest
from inference.lane import Found, Lane

Floats = NDArray[np.float32]

_BLOCK_ROWS = 50_000
"""Selections up to so many rows are held in one block (25 MiB of 128 dimensions)."""
_CHUNK = 65_536
_FETCH_MOST = 2000
"""Candidates a graph search is asked for at most; a selection that needs more is searched exactly."""


class Graph(Protocol):
    """Approximate nearest rows."""

    def knn_query(self, data: Floats, k: int) -> tuple[NDArray[np.uint64], Floats]:
        """Row numbers (n, k) and distances, 1 - cosine."""


class LoadedIndex:
    """A `ProductIndex` in memory. Immutable; threads may search it, and those that come together are served
    together.

    Args:
        products: product id of each row; several rows (views) may belong to one product.
        vectors: unit float32 (rows, dim), perhaps mapped from a file.
        graph: HNSW over the rows; None searches exactly.
        removed: rows that are no longer there.
    """

    def __init__(
        self,
        products: list[str] | Owners,
        vectors: Floats,
        graph: Graph | None = None,
        removed: NDArray[np.bool_] | None = None,
    ) -> None:
        self._owners = products if isinstance(products, Owners) else Owners(products)
        self._vectors = vectors
        self._graph = graph
        self._removed = removed
        self._selections = Selections(self._select)
        self._lane: Lane[Selection | None] = Lane(self._nearest)
        self._left = None if removed is None else self._selection(np.flatnonzero(~removed))
        self._ids: frozenset[str] | None = None

    def __len__(self) -> int:
        return len(self._owners.names) if self._removed is None else len(self.product_ids)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self._vectors.shape[1])

    @property
    def product_ids(self) -> frozenset[str]:
        """Every product that has a vector."""
        if self._ids is None:
            owners = self._owners
            names = owners.names
            if self._left is not None:
                names = [names[number] for number in np.unique(owners.owner[self._left.rows])]
            self._ids = frozenset(names)
        return self._ids

    @property
    def problems(self) -> tuple[str, ...]:
        """None: it is in memory."""
        return ()

    def close(self) -> None:
        """Nothing to do: what is mapped goes when the last search ends."""

    def missing(self, products: frozenset[str]) -> frozenset[str]:
        """Those of `products` that have no vector."""
        return products - self.product_ids

    def views(self, product: str) -> Floats:
        """Vectors of a product, float32 (n, dim): a copy; none where it is not there."""
        rows = self._owners.rows((product,))
        return np.array(self._vectors[rows if self._removed is None else rows[~self._removed[rows]]])

    def without(self, products: Collection[str]) -> LoadedIndex:
        """This index less `products`; it shares everything with this one. Cheap: no graph is built."""
        removed = np.zeros(len(self._owners), bool) if self._removed is None else self._removed.copy()
        removed[self._owners.rows(products)] = True
        return LoadedIndex(self._owners, self._vectors, self._graph, removed)

    def search(
        self, vectors: Floats, k: int, within: Collection[str] | None = None
    ) -> list[list[tuple[str, float]]]:
        """Best `k` products per vector as (product_id, cosine), best first; one entry per product.

        Args:
            vectors: unit float32 (n, dim).
            k: at most; fewer where the index is smaller.
            within: only these products. A frozen set is remembered, so pass the same one again: its search is
                exact and costs one product with its block.

        Raises:
            ProductIndexError: the vectors have another dimension.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ProductIndexError(f"search: got vectors {vectors.shape}, expected (n, {self.dim})")
        selection = self._left
        if within is not None:
            selection = self._selections.of(within)
        rows = len(self._owners) if selection is None else len(selection.rows)
        if not rows or not len(vectors) or k < 1:
            return [[] for _ in vectors]
        wanted = min(rows, k * min(self._owners.most_views, 4))
        while True:
            found, cosines = self._lane.run(selection, np.asarray(vectors, np.float32), wanted)
            best = [self._owners.best(k, *line) for line in zip(found, cosines, strict=True)]
            if wanted >= rows or all(len(line) >= k for line in best):
                return best
            wanted = min(rows, 4 * wanted)  # views of few products filled the places

    # ---- in the lane ---------------------------------------------------------------------------------------

    def _nearest(self, selection: Selection | None, vectors: Floats, k: int) -> Found:
        if selection is not None and selection.block is not None:
            at, cosines = nearest(vectors, selection.block, k)
            return selection.rows[at], cosines
        if self._graph is None:
            return exact(vectors, self._vectors, k, None if selection is None else selection.rows)
        if selection is None:
            return self._walk(vectors, k)
        return self._sieve(selection, vectors, k)

    def _walk(self, vectors: Floats, k: int) -> Found:
        assert self._graph is not None
        if k > max(_FETCH_MOST, len(self._owners) // 20):
            return exact(vectors, self._vectors, k, None)
        try:
            found, away = self._graph.knn_query(vectors, k=k)
        except RuntimeError:  # it cannot reach so many
            return exact(vectors, self._vectors, k, None)
        return found.astype(np.intp), 1.0 - away

    def _sieve(self, selection: Selection, vectors: Floats, k: int) -> Found:
        """A large selection: walk among all, so that enough of it remain; exact where they do not."""
        assert selection.mask is not None
        wanted = math.ceil(1.5 * k * len(self._owners) / len(selection.rows)) + 16
        if wanted > _FETCH_MOST:
            return exact(vectors, self._vectors, k, selection.rows)
        found, cosines = self._walk(vectors, min(wanted, len(self._owners)))
        kept = selection.mask[found]
        if (kept.sum(axis=1) < k).any():
            return exact(vectors, self._vectors, k, selection.rows)
        order = np.argsort(np.where(kept, -cosines, np.inf), axis=1, kind="stable")[:, :k]
        return np.take_along_axis(found, order, 1), np.take_along_axis(cosines, order, 1)

    # ---- selections ----------------------------------------------------------------------------------------

    def _select(self, products: Collection[str]) -> Selection:
        rows = self._owners.rows(products)
        return self._selection(rows if self._removed is None else rows[~self._removed[rows]])

    def _selection(self, rows: NDArray[np.intp]) -> Selection:
        if len(rows) <= _BLOCK_ROWS:
            return Selection(rows, np.ascontiguousarray(self._vectors[rows]), None)
        mask = np.zeros(len(self._owners), bool)
        mask[rows] = True
        return Selection(rows, None, mask)


def exact(vectors: Floats, held: Floats, k: int, rows: NDArray[np.intp] | None) -> Found:
    """The true `k` nearest of `held`, or of its `rows`, a chunk at a time; in no order."""
    total = len(held) if rows is None else len(rows)
    best = np.zeros((len(vectors), 0), np.intp)
    cosines = np.zeros((len(vectors), 0), np.float32)
    for start in range(0, total, _CHUNK):
        some = slice(start, min(total, start + _CHUNK))
        at, near = nearest(vectors, held[some] if rows is None else held[rows[some]], k)
        at = at + start if rows is None else rows[at + start]
        best, cosines = np.concatenate((best, at), axis=1), np.concatenate((cosines, near), axis=1)
        if best.shape[1] > k:
            keep = np.argpartition(cosines, best.shape[1] - k, axis=1)[:, best.shape[1] - k :]
            best, cosines = np.take_along_axis(best, keep, 1), np.take_along_axis(cosines, keep, 1)
    return best, cosines
