"""The catalogue for others: schema.org JSON-LD (schema.org/Product, schema.org/Offer)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from overlay.types import Availability, Product

_AVAILABILITY: Final = {
    Availability.IN_STOCK: "https://schema.org/InStock",
    Availability.OUT_OF_STOCK: "https://schema.org/OutOfStock",
    Availability.PREORDER: "https://schema.org/PreOrder",
    Availability.BACKORDER: "https://schema.org/BackOrder",
}
_CONDITION: Final = {
    "new": "https://schema.org/NewCondition",
    "refurbished": "https://schema.org/RefurbishedCondition",
    "used": "https://schema.org/UsedCondition",
}
_TEXTS: Final = {
    "description": "description",
    "mpn": "mpn",
    "color": "color",
    "size": "size",
    "gtin": "gtin",
    "pattern": "pattern",
}


def schema_org(products: Iterable[Product]) -> dict[str, object]:
    """All products as one JSON-LD document; `overlay.catalog.feeds.jsonld` reads it back."""
    return {"@context": "https://schema.org", "@graph": [_product(product) for product in products]}


def _product(product: Product) -> dict[str, object]:
    node: dict[str, object] = {
        "@type": "Product",
        "sku": product.id,
        "name": product.title,
        "url": product.link,
        "image": [product.image_link, *product.additional_image_link],
        "itemCondition": _CONDITION[product.condition],
        "offers": _offer(product),
    }
    node |= {name: text for field, name in _TEXTS.items() if (text := getattr(product, field))}
    if product.brand:
        node["brand"] = {"@type": "Brand", "name": product.brand}
    if product.item_group_id:
        node["isVariantOf"] = {"@type": "ProductGroup", "productGroupID": product.item_group_id}
    if product.google_product_category:
        node["category"] = product.google_product_category
    if product.drafts:  # nobody should take them for the merchant's own words
        marks = {"@type": "PropertyValue", "name": "drafts", "value": ", ".join(product.drafts)}
        node["additionalProperty"] = marks
    return node


def _offer(product: Product) -> dict[str, object]:
    amount, _, currency = (product.sale_price or product.price).partition(" ")
    offer: dict[str, object] = {
        "@type": "Offer",
        "url": product.link,
        "price": amount,
        "priceCurrency": currency,
        "availability": _AVAILABILITY[product.availability],
        "itemCondition": _CONDITION[product.condition],
    }
    if product.sale_price:
        offer["priceSpecification"] = {
            "@type": "UnitPriceSpecification",
            "priceType": "https://schema.org/ListPrice",
            "price": product.price.partition(" ")[0],
            "priceCurrency": currency,
        }
    if product.seller:
        offer["seller"] = {"@type": "Organization", "name": product.seller}
    return offer
