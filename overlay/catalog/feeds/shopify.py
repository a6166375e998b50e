"""Shopify's ``products.json`` (and the Admin API's answer): one row for each variant of each product.

It names neither the currency nor, in a file, the shop: both come from the context.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation

from overlay.catalog.feeds.base import FeedContext
from overlay.catalog.feeds.text import absolute, listed, parsed, plain, said
from overlay.catalog.rows import MAX_IMAGES, FeedRow, RowProblem, Value
from overlay.errors import FeedError

_GTIN_LENGTHS = (8, 12, 13, 14)
_OPTIONS = {"color": "color", "colour": "color", "farbe": "color", "size": "size", "größe": "size"}
_MORE = MAX_IMAGES - 1


def read_shopify(text: str, context: FeedContext) -> Iterator[FeedRow | RowProblem]:
    """Rows of a products.json; the line of a row is the number of its product.

    Raises:
        FeedError: not such a file, or no currency is known.
    """
    document = parsed(text)
    products = document.get("products") if isinstance(document, Mapping) else None
    if not isinstance(products, list):
        raise FeedError("got JSON without 'products', expected Shopify's products.json", code="feed-format")
    if not context.currency:
        raise FeedError(
            "Shopify's product list does not name its currency; give it (--currency EUR, catalog.currency)",
            code="feed-currency",
        )
    for number, product in enumerate(products, start=1):
        if not isinstance(product, Mapping) or not isinstance(product.get("variants"), list):
            yield RowProblem(number, "", "", "got a product without variants, expected an object with them")
            continue
        for variant in product["variants"]:
            if isinstance(variant, Mapping):
                yield FeedRow(number, _values(product, variant, context))
            else:
                yield RowProblem(number, said(product.get("id")), "variants", "got no object for a variant")


def _values(
    product: Mapping[str, object], variant: Mapping[str, object], context: FeedContext
) -> dict[str, Value]:
    variant_id = said(variant.get("id"))
    main, more = _images(product, variant, context)
    name = said(variant.get("title"))
    price, sale = _prices(variant, context.currency)
    handle = said(product.get("handle"))
    link = said(product.get("url")) or (f"/products/{handle}?variant={variant_id}" if handle else "")
    values: dict[str, Value] = {
        "id": variant_id,
        "item_group_id": said(product.get("id")),
        "title": said(product.get("title")) + (f" - {name}" if name not in ("", "Default Title") else ""),
        "description": plain(said(product.get("body_html")))[:5000],
        "link": absolute(link, context.base),
        "image_link": main,
        "additional_image_link": more,
        "price": price,
        "sale_price": sale,
        "availability": _availability(variant),
        "brand": said(product.get("vendor")),
        "mpn": said(variant.get("sku")),
        **_options(product, variant),
    }
    barcode = said(variant.get("barcode"))
    if barcode.isdigit() and len(barcode) in _GTIN_LENGTHS:  # others are the shop's own
        values["gtin"] = barcode
    return {field: value for field, value in values.items() if value}


def _prices(variant: Mapping[str, object], currency: str) -> tuple[str, str]:
    """(price, sale price or empty)."""
    now, before = said(variant.get("price")), said(variant.get("compare_at_price"))
    try:
        reduced = bool(before) and Decimal(before) > Decimal(now)
    except InvalidOperation:
        reduced = False
    if not now:
        return "", ""
    return (f"{before} {currency}", f"{now} {currency}") if reduced else (f"{now} {currency}", "")


def _availability(variant: Mapping[str, object]) -> str:
    if isinstance(variant.get("available"), bool):
        return "in_stock" if variant["available"] else "out_of_stock"
    quantity = variant.get("inventory_quantity")
    if isinstance(quantity, int) and variant.get("inventory_management"):
        return "in_stock" if quantity > 0 or variant.get("inventory_policy") == "continue" else "out_of_stock"
    return "in_stock"


def _images(
    product: Mapping[str, object], variant: Mapping[str, object], context: FeedContext
) -> tuple[str, tuple[str, ...]]:
    """The variant's picture, else the product's first; and those that belong to no other variant."""
    shared: list[str] = []
    own: list[str] = []
    featured = variant.get("featured_image")
    for image in [*([featured] if featured else []), *listed(product.get("images"))]:
        if not isinstance(image, Mapping):
            continue
        source = absolute(said(image.get("src")), context.base)
        variants = listed(image.get("variant_ids"))
        if image is featured or variant.get("id") in variants or image.get("id") == variant.get("image_id"):
            own.append(source)
        elif not variants:
            shared.append(source)
    every = list(dict.fromkeys(source for source in own + shared if source))
    return (every[0], tuple(every[1 : 1 + _MORE])) if every else ("", ())


def _options(product: Mapping[str, object], variant: Mapping[str, object]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for number, option in enumerate(listed(product.get("options")), start=1):
        name = said(option.get("name") if isinstance(option, Mapping) else option).casefold()
        if name in _OPTIONS:
            found[_OPTIONS[name]] = said(variant.get(f"option{number}"))
    return found
