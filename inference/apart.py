"""Whether a product that was shown can be told from the others of the catalogue, and how to say so. Pure.

Each view in turn is compared with the other views and with every other product, as live video would be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.evidence import Limits

Floats = NDArray[np.float32]
NO_MARGINS: Mapping[str, float] = {}


class Confused(NamedTuple):
    """A product that the enrolled one may be taken for.

    Attributes:
        product_id: which.
        views: of the enrolled product that are nearer to it, or not clearly farther.
        similarity: mean cosine of the views to it.
    """

    product_id: str
    views: int
    similarity: float


class Telling(StrEnum):
    """Whether an enrolled product can be told from the others."""

    APART = "apart"
    MOSTLY = "mostly"
    NOT = "not"
    TOO_FEW = "too-few"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the views are worth.

    Attributes:
        telling: whether the product can be told from the others.
        views: taken.
        right: views that would be named exactly with the help of the other views.
        right_before: the same by what was known before.
        confused: what it may be taken for, the likeliest first.
    """

    telling: Telling
    views: int
    right: int
    right_before: int
    confused: tuple[Confused, ...]


def assess(
    views: Floats,
    queries: Floats,
    found: Sequence[Mapping[str, float]],
    product_id: str,
    limits: Limits,
    margins: Mapping[str, float] = NO_MARGINS,
    least: int = 3,
) -> Verdict:
    """Ask of each view whether the others and the catalogue together would name it.

    Args:
        views: unit float32 (n, d), those taken.
        queries: the same as an index is searched with, float32 (n, d).
        found: for each view the catalogue's nearest products with cosines, `product_id` among them or not.
        product_id: enrolled.
        limits: thresholds of the embedder.
        margins: lead that is needed over a product, where it is not that of `limits`.
        least: views below which nothing can be said.
    """
    among = queries @ views.T
    np.fill_diagonal(among, -1.0)
    exact = limits.exact
    right = before = 0
    near: dict[str, list[float]] = {}
    close: dict[str, int] = {}
    for row, cosines in zip(among, found, strict=True):
        old = cosines.get(product_id, -1.0)
        own = max(old, float(row.max()) if len(row) > 1 else -1.0)
        others = {product: score for product, score in cosines.items() if product != product_id}
        needed = {product: score + margins.get(product, limits.margin) for product, score in others.items()}
        best = max(needed.values(), default=-1.0)
        right += own >= exact and own >= best
        before += old >= exact and old >= best
        for product, score in others.items():
            near.setdefault(product, []).append(score)
            close[product] = close.get(product, 0) + (own < needed[product])
    confused = sorted(
        (
            Confused(product, close[product], sum(scores) / len(scores))
            for product, scores in near.items()
            if close[product]
        ),
        key=lambda one: (-one.views, -one.similarity),
    )
    count = len(views)
    return Verdict(_telling(count, right, least), count, right, before, tuple(confused))


def _telling(views: int, right: int, least: int) -> Telling:
    if views < least:
        return Telling.TOO_FEW
    if right >= 0.9 * views:
        return Telling.APART
    return Telling.MOSTLY if right >= 0.5 * views else Telling.NOT


def in_words(verdict: Verdict, names: Mapping[str, str]) -> str:
    """The verdict for people. `names`: titles by product id."""
    views = f"{verdict.views} view{'s' * (verdict.views != 1)}"
    if verdict.telling is Telling.TOO_FEW:
        return f"Only {views}: too few to say. Show it longer, nearer, in good light and from more sides."
    like = [names.get(one.product_id, one.product_id) for one in verdict.confused[:3]]
    others = " and ".join([", ".join(like[:-1]), like[-1]] if len(like) > 1 else like)
    sure = f"{verdict.right} of {views} are recognised for sure, {verdict.right_before} without them"
    if verdict.telling is Telling.APART:
        words = f"It can be told from everything else in the catalogue: {sure}."
        return words + (f" From some sides it resembles {others}." if like else "")
    if not like:
        words = "It is often not recognised, though nothing else in the catalogue resembles it"
        return f"{words}: {sure}. Show more of its sides."
    if verdict.telling is Telling.MOSTLY:
        words = f"It can be told from most, but from some sides it looks like {others}"
        return f"{words}: {sure}. Show what differs."
    words = f"It cannot be told from {others}"
    return f"{words}: {sure}. Was it the right product? If so, viewers will see it as similar."
