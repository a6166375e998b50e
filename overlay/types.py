"""What flows through `overlay`: products, hotspots, and what a viewer saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inference.types import Box, MatchState
from stream.types import MediaTime, StreamId


class Availability(StrEnum):
    """Merchant-feed availability."""

    IN_STOCK = "in_stock"
    OUT_OF_STOCK = "out_of_stock"
    PREORDER = "preorder"
    BACKORDER = "backorder"


@dataclass(frozen=True, slots=True)
class Product:
    """One catalogue product, with Merchant-feed names.

    Attributes:
        id: 1..50 characters, unique in the catalogue.
        title: 1..150 characters.
        price: as in the feed, amount and ISO 4217 currency ("15.00 USD").
        link: product page; http or https only.
        image_link: main picture: a URL or a path relative to the feed.
        seller: who sells it, shown on every card.
        placement: ``"organic"`` or ``"paid"``; paid is always labelled.
        pattern: of an apparel's cloth ("striped").
        packaging: what it comes in ("bottle"); no feed field, a draft only.
        drafts: fields that no merchant filled but an accepted draft (`overlay.catalog.drafts`).
    """

    id: str
    title: str
    price: str
    link: str
    image_link: str
    description: str = ""
    additional_image_link: tuple[str, ...] = ()
    availability: Availability = Availability.IN_STOCK
    sale_price: str = ""
    brand: str = ""
    gtin: str = ""
    mpn: str = ""
    condition: str = "new"
    item_group_id: str = ""
    color: str = ""
    size: str = ""
    google_product_category: str = ""
    seller: str = ""
    placement: str = "organic"
    pattern: str = ""
    packaging: str = ""
    drafts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hotspot:
    """One tappable spot at one instant.

    Attributes:
        id: track id, stable while the object is followed.
        pid: 16-bit product number of this stream, 0 when the product is not known.
        product_id: catalogue id, ``""`` when not known.
        state: exact, similar or unsure.
        box: 0..1 of the displayed picture.
        pinned: the host pinned this product.
    """

    id: int
    pid: int
    product_id: str
    state: MatchState
    box: Box
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class HotspotFrame:
    """All hotspots of one frame: full state, never a difference.

    Attributes:
        time: the frame's key.
        measured: a detection of this very frame stands behind it (otherwise predicted).
        hotspots: in order of id.
    """

    stream: StreamId
    time: MediaTime
    measured: bool
    hotspots: tuple[Hotspot, ...]


@dataclass(frozen=True, slots=True)
class ShowList:
    """What may be shown in a stream right now: products of the show, pins and vetoes of the host, consent.

    Attributes:
        pids: 16-bit number of every product of the show, by catalogue id.
        pinned: catalogue ids pinned by the host.
        hidden: catalogue ids whose hotspots the host (or a kill switch) suppressed.
        recognition: the host agreed to products being recognised; False shows no hotspots at all.
    """

    pids: Mapping[str, int] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    recognition: bool = True
