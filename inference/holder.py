"""The index in use: swapped while it is searched, corrected by what hosts taught."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.taught import Taught
from inference.types import ProductIndex

Floats = NDArray[np.float32]
MOST_PAIRS = 50_000
"""Distances remembered."""


class Held(Protocol):
    """What a holder holds: `inference.loaded.LoadedIndex`, or `inference.postgres.PostgresIndex`."""

    def __len__(self) -> int:
        """Products that can be found. Cheap."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why searches fail at present, in words for the operator; none while they work."""

    def missing(self, products: frozenset[str]) -> frozenset[str]:
        """Those of `products` that it does not have. Cheap for the same set again."""

    def views(self, product: str) -> Floats:
        """Vectors of a product, unit float32 (n, dim); none where it is not there."""

    def without(self, products: Collection[str]) -> Held:
        """This index less `products`."""

    def search(
        self, vectors: Floats, k: int, within: Collection[str] | None = None
    ) -> list[list[tuple[str, float]]]:
        """Best `k` products per vector as (product_id, cosine), best first; one entry per product.

        Args:
            vectors: unit float32 (n, dim).
            k: at most; fewer where there are fewer.
            within: only these products; a frozen set is remembered.

        Raises:
            ProductIndexError: the vectors have another dimension, or the index does not answer.
        """

    def close(self) -> None:
        """Let go of what it holds open."""


class IndexHolder:
    """A `ProductIndex` whose content can be swapped while it is searched.

    Attributes:
        taught: what hosts taught, heard in every search; may be replaced at any time.
    """

    def __init__(self, index: Held | None = None) -> None:
        self._index = index
        self._apart: dict[tuple[str, str], float] = {}
        self.taught = Taught()

    def __len__(self) -> int:
        index, taught = self._index, self.taught.products
        if index is None:
            return len(taught)
        return len(index) + (len(index.missing(taught)) if taught else 0)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why nothing is found although it should be, in words for the operator."""
        return () if self._index is None else self._index.problems

    @property
    def current(self) -> Held | None:
        """The index in use; None before the first."""
        return self._index

    def swap(self, index: Held | None) -> None:
        """Use `index` from the next search on; running searches finish on the old one."""
        self._index = index
        self._apart = {}  # after the index: `apart` takes them the other way round

    def remove(self, products: Collection[str]) -> None:
        """Find `products` no more, from the next search on. The next build forgets them altogether."""
        index = self._index
        self._index = None if index is None else index.without(products)
        self.taught = self.taught.without(products)

    def close(self) -> None:
        """Find nothing more, and let go of what is held open."""
        index, self._index = self._index, None
        if index is not None:
            index.close()

    def views(self, product: str) -> Floats:
        """Vectors of a product, float32 (n, dim); none before the first index."""
        index = self._index
        return np.zeros((0, 0), np.float32) if index is None else index.views(product)

    def apart(self, products: Sequence[str]) -> dict[tuple[str, str], float]:
        """How far apart the catalogue's pictures of each two products lie. Remembered until the next `swap`.

        Returns:
            Chord length between their nearest pictures, 0 (the same) to 2, for each pair in the order given;
            1 is a cosine of .5, and stands for a product without a picture in the index.

        Raises:
            ProductIndexError: the index does not answer.
        """
        known, index = self._apart, self._index
        if index is None:
            return {}
        if len(known) > MOST_PAIRS:
            known.clear()
        seen: dict[str, Floats] = {}
        for pair in combinations(products, 2):
            if pair not in known:
                for product in pair:
                    if product not in seen:
                        seen[product] = index.views(product)
                one, other = seen[pair[0]], seen[pair[1]]
                cosine = float((one @ other.T).max()) if len(one) and len(other) else 0.5
                known[pair] = known[pair[::-1]] = math.sqrt(max(0.0, 2.0 - 2.0 * cosine))
        return {pair: known[pair] for pair in combinations(products, 2)}

    def search(
        self, vectors: Floats, k: int, within: Collection[str] | None = None
    ) -> list[list[tuple[str, float]]]:
        """As `Held.search`, corrected by what was taught; nothing is found before the first index."""
        index, taught = self._index, self.taught
        found = [[] for _ in vectors] if index is None else index.search(vectors, k, within)
        if not len(taught):
            return found
        return [taught.heard(query, near, k, within) for query, near in zip(vectors, found, strict=True)]


_: type[ProductIndex] = IndexHolder
