"""What the ledger holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What happened; GA4 event names."""

    IMPRESSION = "view_promotion"
    TAP = "select_promotion"
    CARD = "view_item"
    CART = "add_to_cart"
    ORDER = "purchase"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    Attributes:
        kind: what happened.
        stream: in which stream.
        product_id: with which product; empty for a tap that met none.
        viewer: opaque viewer id.
        at_ms: wall clock, milliseconds since 1970.
        host: whose show.
        key: makes the entry unique among those of its kind: a repeated one is ignored. For a tap the stream,
            viewer and tap id together, for an order its number; empty is never a repetition.
        hotspot: track id, 0 for the product list.
        state: exact, similar or unsure.
        placement: organic or paid.
        epoch: of the frame that was on screen.
        rtp: of the frame that was on screen.
        value: order value in ten-thousandths of `currency`.
        currency: ISO 4217, empty without a value.
    """

    kind: Kind
    stream: str
    product_id: str
    viewer: str
    at_ms: int
    host: str = ""
    key: str = ""
    hotspot: int = 0
    state: str = ""
    placement: str = "organic"
    epoch: int = 0
    rtp: int = 0
    value: int = 0
    currency: str = ""


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One host and product.

    Attributes:
        impressions: times its hotspot was seen.
        taps: times it was tapped.
        carts: hand-offs to the shop.
        orders: orders reported by the shop.
        viewers: different viewers who saw or tapped it.
        tappers: of those, who tapped; click-through is tappers / viewers.
    """

    host: str
    product_id: str
    impressions: int
    taps: int
    carts: int
    orders: int
    viewers: int
    tappers: int
