"""Vectors as an embedder of products makes them: seeded, clustered, and hard enough to tell indexes apart.

The recipe, in 128 dimensions. Directions are not alike: dimension i has a standard deviation as
(1 + i) ** -0.35, as embeddings have few strong and many weak ones. 256 categories; 50 products to a family of
look-alikes (the same shirt in other colours) on average, families as unequal as shops are (Pareto 1.3):

    unit(0.8 * category + 0.9 * family + 0.55 * own)

A query is what a camera makes of a product: unit(product + 0.75 * noise of the same directions). Its nearest
neighbours lie in one dense family, where a graph search that looks at few candidates gets lost: the rows
give the recall at ef 10 beside the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

DIM = 128
QUERIES = 1000
_CATEGORIES = 256
_FAMILY = 50
_BLOCK = 65536


@dataclass(frozen=True, slots=True)
class Gallery:
    """Products and what is searched for.

    Attributes:
        vectors: unit float32 (n, DIM), one per product.
        queries: unit float32 (QUERIES, DIM).
    """

    vectors: Floats
    queries: Floats


def gallery(count: int, seed: int) -> Gallery:
    """The recipe above for `count` products."""
    rng = np.random.default_rng([seed, count])
    spread = ((1.0 + np.arange(DIM)) ** -0.35).astype(np.float32)
    spread /= np.linalg.norm(spread)

    def drawn(rows: int) -> Floats:
        noise: Floats = rng.standard_normal((rows, DIM), np.float32) * spread
        return noise

    families = max(1, count // _FAMILY)
    category = drawn(_CATEGORIES)[rng.integers(_CATEGORIES, size=families)]
    centres = 0.8 * category + 0.9 * drawn(families)
    sizes = rng.pareto(1.3, families) + 0.2
    member = rng.choice(families, size=count, p=sizes / sizes.sum())
    vectors = np.empty((count, DIM), np.float32)
    for start in range(0, count, _BLOCK):
        some = member[start : start + _BLOCK]
        vectors[start : start + len(some)] = _unit(centres[some] + 0.55 * drawn(len(some)))
    wanted = rng.integers(count, size=QUERIES)
    return Gallery(vectors, _unit(vectors[wanted] + 0.75 * drawn(QUERIES)))


def exact(vectors: Floats, queries: Floats, k: int, rows: NDArray[np.intp] | None = None) -> NDArray[np.intp]:
    """True nearest rows by cosine, best first: (queries, k), among `rows` where given."""
    held = vectors if rows is None else vectors[rows]
    best = np.empty((len(queries), min(k, len(held))), np.intp)
    for start in range(0, len(queries), 50):
        cosines = queries[start : start + 50] @ held.T
        part = np.argpartition(-cosines, best.shape[1] - 1, axis=1)[:, : best.shape[1]]
        order = np.argsort(-np.take_along_axis(cosines, part, 1), axis=1)
        best[start : start + 50] = np.take_along_axis(part, order, 1)
    return best if rows is None else rows[best]


def recall(found: NDArray[np.intp], true: NDArray[np.intp]) -> float:
    """Share of the true neighbours that were found."""
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, true, strict=True))
    return hits / true.size


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
