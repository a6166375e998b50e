"""Which products the same people wanted in the same show: co-occurrence in the ledger.

Item to item, as Linden, Smith and York (IEEE Internet Computing, 2003): the cosine between who wanted the one
and who wanted the other, shrunk where few did. An order says more than a cart, a cart more than a tap.
"""

from __future__ import annotations

import math
import sqlite3
from typing import Final

from overlay.ledger.types import Kind

WEIGHTS: Final = {Kind.ORDER: 1.0, Kind.CART: 0.7, Kind.TAP: 0.4}
"""What it says of two products that somebody wanted both."""
SHRINK: Final = 3.0
"""Two products wanted together by so many count half of their cosine."""
NEWEST: Final = 5_000
"""Entries of the product that are looked at, the newest."""
MOST: Final = 200

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS by_viewer ON entries (viewer, stream, kind, product_id);
CREATE INDEX IF NOT EXISTS by_product_kind ON entries (product_id, kind);
"""
_KINDS = ", ".join(f"'{kind}'" for kind in WEIGHTS)
_PAIRS = f"""
WITH mine AS (
    SELECT DISTINCT kind, stream, viewer FROM (
        SELECT kind, stream, viewer FROM entries
        WHERE product_id = ?1 AND kind IN ({_KINDS}) AND viewer != '' ORDER BY number DESC LIMIT {NEWEST}
    )
)
SELECT e.product_id, e.kind, count(DISTINCT e.stream || '/' || e.viewer)
FROM mine JOIN entries e ON e.viewer = mine.viewer AND e.stream = mine.stream AND e.kind = mine.kind
WHERE e.product_id NOT IN ('', ?1) GROUP BY 1, 2 ORDER BY 3 DESC LIMIT {MOST}
"""
_OWN = """
SELECT count(DISTINCT stream || '/' || viewer) FROM entries WHERE product_id = ? AND kind = ? AND viewer != ''
"""


def together(connection: sqlite3.Connection, product_id: str) -> dict[str, float]:
    """How strongly other products go with this one by what people did, 0..1; only those that do. Blocking."""
    found: dict[str, float] = {}
    own: dict[tuple[str, str], int] = {}

    def wanted(product: str, kind: str) -> int:
        if (product, kind) not in own:
            own[product, kind] = int(connection.execute(_OWN, (product, kind)).fetchone()[0])
        return own[product, kind]

    for other, kind, both in connection.execute(_PAIRS, (product_id,)).fetchall():
        cosine = min(1.0, both / math.sqrt(max(1, wanted(product_id, kind) * wanted(other, kind))))
        strength = WEIGHTS[Kind(kind)] * cosine * both / (both + SHRINK)
        found[other] = max(strength, found.get(other, 0.0))
    return found
