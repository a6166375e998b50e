"""Where the rows of a rebuilt index stand: a row that stays where it was costs its graph nothing. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = list[tuple[str, Floats]]

COMPACT_AT = 0.2
"""Share of removed rows from which on an index is laid out anew."""


def laid_out(
    items: Iterable[tuple[str, Floats]],
    products: Sequence[str],
    vectors: Floats,
    removed: Collection[int] = frozenset(),
) -> tuple[Rows, list[int]]:
    """Put `items` where an earlier index has them.

    What is gone keeps its row and vector, so that paths through it still lead somewhere; what is new follows
    at the end. Above `COMPACT_AT` of rows gone, nothing is kept and the items stand in their own order.

    Args:
        items: (product_id, vector), the views of a product in order.
        products: of each row of the earlier index.
        vectors: of its rows, unit float32 (rows, dim).
        removed: rows that were gone there.

    Returns:
        (product_id, vector) of each row, and the numbers of the rows that are gone, ascending.
    """
    wanted = list(items)
    left: dict[str, deque[Floats]] = {}
    for product, vector in wanted:
        left.setdefault(product, deque()).append(vector)
    rows: Rows = []
    gone: list[int] = []
    for row, product in enumerate(products):
        views = None if row in removed else left.get(product)
        if views:
            rows.append((product, views.popleft()))
        else:
            gone.append(row)
            rows.append((product, vectors[row]))
    for product, views in left.items():
        rows += [(product, vector) for vector in views]
    return (wanted, []) if len(gone) > COMPACT_AT * len(rows) else (rows, gone)
