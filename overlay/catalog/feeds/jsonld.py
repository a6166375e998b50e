"""schema.org products as JSON-LD, in a file or in the pages of a shop.

Not a JSON-LD processor: contexts are not fetched. Plain names and ``schema:`` names are understood, and nodes
that refer to others of the same document by ``@id``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from overlay.catalog.feeds.base import FeedContext
from overlay.catalog.feeds.text import absolute, listed, parsed, plain, said
from overlay.catalog.rows import FeedRow, RowProblem, Value
from overlay.errors import FeedError

Node: TypeAlias = Mapping[str, object]

AVAILABILITY: Final = {
    "instock": "in_stock",
    "limitedavailability": "in_stock",
    "onlineonly": "in_stock",
    "instoreonly": "in_stock",
    "madetoorder": "in_stock",
    "outofstock": "out_of_stock",
    "soldout": "out_of_stock",
    "discontinued": "out_of_stock",
    "reserved": "out_of_stock",
    "preorder": "preorder",
    "presale": "preorder",
    "backorder": "backorder",
}
_CONDITIONS: Final = {
    "newcondition": "new",
    "refurbishedcondition": "refurbished",
    "usedcondition": "used",
    "damagedcondition": "used",
}
_PRODUCTS = {"Product", "IndividualProduct", "ProductModel", "SomeProducts", "Vehicle", "Book"}
_GTINS = ("gtin", "gtin13", "gtin14", "gtin12", "gtin8")
_DEPTH = 24


def read_jsonld(text: str, context: FeedContext) -> Iterator[FeedRow | RowProblem]:
    """Products of a page or a file; the line of a row is the number of the product.

    Raises:
        FeedError: there is no product in it.
    """
    number = 0
    for document in _documents(text):
        if isinstance(document, str):
            number += 1
            yield RowProblem(number, "", "", document)
            continue
        named: dict[str, Node] = {}
        found: list[tuple[Node, Node | None]] = []
        _collect(document, named, found, None, 0)
        for node, group in found:
            number += 1
            yield FeedRow(number, _Product(node, group, named, context).values())
    if not number:
        raise FeedError(
            'found no schema.org Product, expected JSON-LD (in a page: <script type="application/ld+json">)',
            code="feed-format",
        )


def _documents(text: str) -> Iterator[object]:
    """Every JSON document; as text what is wrong with one."""
    if not text.lstrip().startswith("<"):
        yield parsed(text)
        return
    page = _Scripts()
    page.feed(text)
    page.close()
    for script in page.scripts:
        try:
            document = parsed(script)
        except FeedError as error:
            yield str(error)
        else:
            yield document


class _Scripts(HTMLParser):
    """The JSON-LD in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kind = (dict(attrs).get("type") or "").partition(";")[0].strip().lower()
        self._inside = tag == "script" and kind == "application/ld+json"
        if self._inside:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data


def _types(node: Node) -> set[str]:
    return {said(kind).rpartition("/")[2].removeprefix("schema:") for kind in listed(node.get("@type"))}


def _collect(
    value: object,
    named: dict[str, Node],
    found: list[tuple[Node, Node | None]],
    group: Node | None,
    depth: int,
) -> None:
    """All products below `value` with the group they are variants of, and all nodes by their id."""
    if depth > _DEPTH:
        return
    if isinstance(value, list):
        for item in value:
            _collect(item, named, found, group, depth + 1)
    if not isinstance(value, Mapping):
        return
    if len(value) > 1 and said(value.get("@id")):
        named.setdefault(said(value["@id"]), value)
    kinds = _types(value)
    grouped = "ProductGroup" in kinds and bool(value.get("hasVariant"))
    if not grouped and (kinds & _PRODUCTS or ("ProductGroup" in kinds and value.get("offers"))):
        found.append((value, group))
    for name, inner in value.items():
        # What a product is similar to, or made for, is another thing.
        if name not in (
            "isRelatedTo",
            "isSimilarTo",
            "isAccessoryOrSparePartFor",
            "isConsumableFor",
            "review",
        ):
            within = value if grouped and name == "hasVariant" else None
            _collect(inner, named, found, within, depth + 1)


class _Product:
    """One product node, read."""

    def __init__(
        self, node: Node, group: Node | None, named: Mapping[str, Node], context: FeedContext
    ) -> None:
        self._node, self._group, self._named, self._context = node, group, named, context

    def values(self) -> dict[str, Value]:
        """By Merchant's names; empty ones left out."""
        offer = self._offer()
        images = tuple(dict.fromkeys(filter(None, map(self._image, listed(self._get("image"))))))
        link = self._link(said(self._get("url")) or said(offer.get("url")) or self._context.base)
        values: dict[str, Value] = {
            "id": self._id(link),
            "title": plain(said(self._get("name"))),
            "description": plain(said(self._get("description")))[:5000],
            "link": link,
            "image_link": images[0] if images else "",
            "additional_image_link": images[1:11],
            "price": _price(offer),
            "availability": _word(offer.get("availability"), AVAILABILITY),
            "condition": _word(offer.get("itemCondition") or self._get("itemCondition"), _CONDITIONS),
            "brand": self._name(self._get("brand")),
            "mpn": said(self._get("mpn")),
            "gtin": next((said(self._get(name)) for name in _GTINS if self._get(name)), ""),
            "color": said(self._get("color")),
            "size": self._name(self._get("size")),
            "seller": self._name(offer.get("seller")),
            "item_group_id": self._group_id(),
        }
        return {field: value for field, value in values.items() if value}

    def _get(self, name: str) -> object:
        for node in (self._node, self._group or {}):
            for key in (name, f"schema:{name}"):
                if node.get(key) not in (None, "", []):
                    return node[key]
        return None

    def _node_of(self, value: object) -> Node:
        if isinstance(value, Mapping):
            return self._named.get(said(value.get("@id")), value) if len(value) == 1 else value
        return {}

    def _offer(self) -> Node:
        """The offer that a buyer gets: one in stock before others; of an aggregate its lowest price."""
        offers = [self._node_of(value) for value in listed(self._get("offers"))]
        for offer in list(offers):
            if "AggregateOffer" in _types(offer) and not _price(offer):
                offers += [self._node_of(value) for value in listed(offer.get("offers"))]
        priced = [offer for offer in offers if _price(offer)] or offers
        stocked = [one for one in priced if _word(one.get("availability"), AVAILABILITY) in ("", "in_stock")]
        return next(iter(stocked or priced), {})

    def _id(self, link: str) -> str:
        for name in ("sku", "productID", "identifier", "mpn", *_GTINS):
            text = said(self._node.get(name))
            if text:
                return text
        for address in (said(self._node.get("@id")), said(self._node.get("url")), link):
            parts = urlsplit(address)
            tail = parts.path.rstrip("/").rpartition("/")[2] or parts.fragment
            if tail:
                return tail[:50]
        return ""

    def _group_id(self) -> str:
        group = self._group or self._node_of(self._get("isVariantOf"))
        return (said(group.get("productGroupID")) or said(self._get("inProductGroupWithID")))[:50]

    def _name(self, value: object) -> str:
        first = next(iter(listed(value)), None)
        return said(first) or said(self._node_of(first).get("name"))

    def _image(self, value: object) -> str:
        node = self._node_of(value)
        return self._link(said(value) or said(node.get("contentUrl")) or said(node.get("url")))

    def _link(self, link: str) -> str:
        return absolute(link, self._context.base)


def _price(offer: Node) -> str:
    """``"15.00 USD"``; empty where the offer has none."""
    for node in (
        offer,
        *(one for one in listed(offer.get("priceSpecification")) if isinstance(one, Mapping)),
    ):
        amount = said(node.get("price")) or said(node.get("lowPrice"))
        if amount:
            currency = said(node.get("priceCurrency")) or said(offer.get("priceCurrency"))
            return f"{amount} {currency}".strip()
    return ""


def _word(value: object, words: Mapping[str, str]) -> str:
    """An enumeration member of schema.org in Merchant's words; as it is where it is not known."""
    text = said(value) or (said(value.get("@id")) if isinstance(value, Mapping) else "")
    name = text.rstrip("/").rpartition("/")[2].removeprefix("schema:")
    return words.get(name.lower(), name)
