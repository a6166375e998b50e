from __future__ import annotations

import json

from overlay.catalog.export import schema_org
from overlay.catalog.feeds.base import read_feed
from overlay.catalog.rows import FeedRow, check_row
from overlay.types import Availability, Product
from tests.overlay.builders import product

FULL = Product(
    id="m1",
    title="Mug",
    price="15.00 EUR",
    link="https://x.example/m1",
    image_link="https://x.example/1.png",
    description="Red & round",
    additional_image_link=("https://x.example/2.png",),
    availability=Availability.BACKORDER,
    brand="Acme",
    gtin="4006381333931",
    mpn="M-1",
    condition="refurbished",
    item_group_id="g",
    color="red",
    size="L",
    seller="Partner",
)


def test_what_is_exported_can_be_imported_again() -> None:
    (row,) = read_feed(json.dumps(schema_org([FULL])).encode(), "schema.org")
    assert isinstance(row, FeedRow) and check_row(row) == FULL


def test_a_reduced_product_is_offered_at_its_sale_price_with_the_list_price_beside_it() -> None:
    graph = schema_org([product("a", price="20.00 EUR", sale_price="15.00 EUR")])["@graph"]
    assert isinstance(graph, list)
    offer = graph[0]["offers"]
    assert (offer["price"], offer["priceCurrency"]) == ("15.00", "EUR")
    assert offer["priceSpecification"]["price"] == "20.00"
    assert "brand" not in graph[0] and "seller" not in offer


def test_an_empty_catalogue_is_a_document_too() -> None:
    assert schema_org([])["@graph"] == []
