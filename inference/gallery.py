"""Which rows of an index belong to which products, and selections of them. Pure: no files, no clock."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Owners:
    """Product id of every row; a product may have several rows (views).

    Args:
        products: of each row.

    Attributes:
        names: the products, in order of first appearance.
        owner: int32 (rows,): number into `names`.
        most_views: rows of the product that has most.
    """

    def __init__(self, products: Sequence[str]) -> None:
        self._number: dict[str, int] = {}
        numbers = self._number
        self.owner = np.fromiter(
            (numbers.setdefault(product, len(numbers)) for product in products), np.int32, len(products)
        )
        self.names = list(numbers)
        counts = np.bincount(self.owner, minlength=len(self.names))
        self.most_views = int(counts.max()) if len(counts) else 0
        # Row numbers, product after product: those of number n stand at _starts[n] : _starts[n + 1].
        self._order = np.argsort(self.owner, kind="stable").astype(np.intp)
        self._starts = np.concatenate(([0], np.cumsum(counts))).astype(np.intp)

    def __len__(self) -> int:
        return len(self.owner)

    def rows(self, products: Iterable[str]) -> NDArray[np.intp]:
        """Rows of `products`, each once, ascending; unknown products are left out."""
        found = (self._number.get(product, -1) for product in products)
        numbers = np.unique(np.fromiter((number for number in found if number >= 0), np.intp))
        if self.most_views <= 1:
            return np.sort(self._order[self._starts[numbers]])
        parts = [self._order[self._starts[n] : self._starts[n + 1]] for n in numbers]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.intp)

    def best(self, k: int, rows: NDArray[np.intp], cosines: Floats) -> list[tuple[str, float]]:
        """The `k` best products among `rows`, each with its best cosine, best first; equals by row."""
        best: dict[str, float] = {}
        for at in np.lexsort((rows, -cosines)):
            product = self.names[self.owner[rows[at]]]
            if product not in best:
                best[product] = float(cosines[at])
                if len(best) == k:
                    break
        return list(best.items())


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Some rows, ready to be searched.

    Attributes:
        rows: intp (n,), ascending.
        block: their vectors, float32 (n, dim), in one piece; None where they are too many to hold twice.
        mask: bool (all rows,), for those that are too many; None otherwise.
    """

    rows: NDArray[np.intp]
    block: Floats | None
    mask: NDArray[np.bool_] | None


class Selections:
    """Remembers the newest selections: a show asks for the same list thirty times a second.

    Only frozen sets are remembered. Threads may share it; who makes a large one keeps nobody waiting.
    """

    def __init__(self, make: Callable[[Collection[str]], Selection], most: int = 16) -> None:
        self._make, self._most = make, most
        self._lock = threading.Lock()
        self._held: OrderedDict[frozenset[str], Selection] = OrderedDict()

    def of(self, products: Collection[str]) -> Selection:
        """The selection of `products`."""
        if not isinstance(products, frozenset):
            return self._make(products)
        with self._lock:
            found = self._held.get(products)
            if found is not None:
                self._held.move_to_end(products)
                return found
        found = self._make(products)
        with self._lock:
            self._held[products] = found
            if len(self._held) > self._most:
                self._held.popitem(last=False)
        return found


def nearest(vectors: Floats, held: Floats, k: int) -> tuple[NDArray[np.intp], Floats]:
    """Exact: positions in `held` and cosines of the `k` nearest of each vector, in no order.

    Args:
        vectors: unit float32 (n, dim).
        held: unit float32 (m, dim), perhaps on disk.
        k: at most m are given.
    """
    k = min(k, len(held))
    cosines = vectors @ held.T
    if k == len(held):
        everything = np.broadcast_to(np.arange(k), cosines.shape)
        return everything, cosines
    part = np.argpartition(cosines, len(held) - k, axis=1)[:, len(held) - k :]
    return part, np.take_along_axis(cosines, part, axis=1)
