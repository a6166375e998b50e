"""What hosts taught: views of a product that are it, and views that are not. Pure, in memory.

A lesson counts from the next search on, whatever the size of the index it stands beside: taught views are
few, so they are compared one by one. A view that is clearly nearer to a vetoed view of a product than to the
product itself soon stops being that product. Clearly: two look-alikes under one light are often nearer to
each other than to their own pictures, and a veto of one shall not hide the other. So a veto counts only for
views that look just like the vetoed one (measured by `benchmarks.match`: without that limit seven in a
hundred of the rightly named were lost, with it none, and as many wrong claims went away).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

STEEP = 10.0
"""Cosine that a product loses for each that a vetoed view is nearer than it (less the slack): what looks just
like the vetoed view looks much like the product too, and has to lose all of that."""


class Example(NamedTuple):
    """One taught view.

    Attributes:
        product_id: of which product.
        vector: unit float32 (d,).
        right: it is this product; False: it is not, however alike.
    """

    product_id: str
    vector: Floats
    right: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """Examples of one kind: product and vector of each, row by row."""

    owners: tuple[str, ...] = ()
    vectors: Floats | None = None

    def best(self, query: Floats) -> dict[str, float]:
        """Best cosine of each product that has an example."""
        found: dict[str, float] = {}
        if self.vectors is not None:
            for owner, cosine in zip(self.owners, (self.vectors @ query).tolist(), strict=True):
                found[owner] = max(cosine, found.get(owner, -1.0))
        return found


class Taught:
    """Examples of hosts, ready to be heard beside an index. Immutable; threads may share it.

    Args:
        examples: what was taught.
        slack: cosine by which a vetoed view has to be nearer than the product before it counts; an embedder's
            margin between products is the scale of it.
        near: cosine to a vetoed view from which on it counts at all.
    """

    def __init__(self, examples: Iterable[Example] = (), slack: float = 0.1, near: float = 0.75) -> None:
        self._examples = tuple(examples)
        self._slack, self._near = slack, near
        self._right = _side(example for example in self._examples if example.right)
        self._wrong = _side(example for example in self._examples if not example.right)

    def __len__(self) -> int:
        return len(self._examples)

    @property
    def products(self) -> frozenset[str]:
        """Products with an example that is right: they can be found without a picture of the catalogue."""
        return frozenset(self._right.owners)

    def plus(self, examples: Iterable[Example], alike: float = 0.9) -> Taught:
        """These and more. The newest word counts: what says the contrary of a view alike is dropped.

        Args:
            examples: new ones.
            alike: cosine from which on two views are of one object.
        """
        new = tuple(examples)
        kept = (old for old in self._examples if not any(_contrary(old, one, alike) for one in new))
        return Taught((*kept, *new), self._slack, self._near)

    def without(self, products: Collection[str]) -> Taught:
        """These less those of `products`."""
        kept = (example for example in self._examples if example.product_id not in products)
        return Taught(kept, self._slack, self._near)

    def heard(
        self, query: Floats, found: list[tuple[str, float]], k: int, within: Collection[str] | None = None
    ) -> list[tuple[str, float]]:
        """What an index found for a view, corrected by what was taught: best `k`, best first.

        Args:
            query: float32 (d,), as the index was searched with: unit, or shorter (`inference.common`).
            found: (product, cosine) of the index.
            k: at most.
            within: only these products.
        """
        scores = dict(found)
        for product, cosine in self._right.best(query).items():
            if within is None or product in within:
                scores[product] = max(cosine, scores.get(product, -1.0))
        length = float(np.linalg.norm(query))
        for product, cosine in self._wrong.best(query).items():
            if product in scores and cosine >= self._near * length:
                scores[product] -= STEEP * max(0.0, cosine - self._slack * length - scores[product])
        return sorted(scores.items(), key=lambda pair: -pair[1])[:k]


def _contrary(old: Example, new: Example, alike: float) -> bool:
    if old.product_id != new.product_id or old.right == new.right:
        return False
    return float(old.vector @ new.vector) >= alike


def _side(examples: Iterable[Example]) -> _Side:
    chosen = list(examples)
    if not chosen:
        return _Side()
    vectors = np.stack([example.vector for example in chosen]).astype(np.float32, copy=False)
    return _Side(tuple(example.product_id for example in chosen), vectors)
