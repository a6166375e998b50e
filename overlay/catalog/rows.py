"""One feed row to one product, or to what is wrong with it.

Field names and rules: Google Merchant product data specification (support.google.com/merchants, 7052112).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from overlay.catalog.currency import CURRENCIES
from overlay.policy import ShopPolicy
from overlay.types import Availability, Product

ALIASES: Final = {
    "image": "image_link",
    "image_url": "image_link",
    "additional_image": "additional_image_link",
    "additional_images": "additional_image_link",
    "additional_image_links": "additional_image_link",
    "url": "link",
    "product_link": "link",
    "name": "title",
    "product_id": "id",
    "product_title": "title",
    "saleprice": "sale_price",
    "item_group": "item_group_id",
    "colour": "color",
    "ean": "gtin",
    "upc": "gtin",
}
REQUIRED: Final = ("id", "title", "link", "image_link", "price")
_LENGTHS: Final = {"id": 50, "title": 150, "description": 5000, "brand": 70, "mpn": 70, "seller": 100}
_CONDITIONS: Final = ("new", "refurbished", "used")
_PLACEMENTS: Final = ("organic", "paid")
_PRICE = re.compile(r"(\d{1,9})(?:\.(\d{1,4}))? ([A-Za-z]{3})")
_ANY = ShopPolicy()
MAX_IMAGES: Final = 11

Value = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One row as read.

    Attributes:
        line: 1-based line of the file where it begins; the number of the product where there are none.
        values: by normalised field name; empty fields are absent.
    """

    line: int
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What is wrong with a row.

    Attributes:
        line: 1-based line of the file where the row begins; the number of the product where there are none.
        id: the product's id as far as it could be read.
        field: which field, empty when it is the row itself.
        message: what was got, what was expected, how to fix it.
    """

    line: int
    id: str
    field: str
    message: str


def field_name(header: str) -> str:
    """A column's header as a field name: ``"Image Link"`` and ``"g:image_link"`` are ``"image_link"``."""
    name = re.sub(r"[\s\-]+", "_", header.strip().lower().removeprefix("g:"))
    return ALIASES.get(name, name)


class _Bad(Exception):
    """A field's value that cannot be accepted."""


def check_row(row: FeedRow) -> Product | list[RowProblem]:
    """The product of a row, or every problem found in it."""
    texts = {name: value if isinstance(value, str) else ",".join(value) for name, value in row.values.items()}
    product_id = texts.get("id", "")[:50]
    problems: list[RowProblem] = []

    def bad(field: str, message: str) -> None:
        problems.append(RowProblem(row.line, product_id, field, message))

    for field in REQUIRED:
        if not texts.get(field):
            bad(field, "got nothing, expected a value; the field is required")
    cleaned: dict[str, str] = {}
    for field, clean in _CLEANERS.items():
        if texts.get(field):
            try:
                cleaned[field] = clean(field, texts[field])
            except _Bad as error:
                bad(field, str(error))
    images: tuple[str, ...] = ()
    try:
        images = _images(row.values.get("additional_image_link", ()))
    except _Bad as error:
        bad("additional_image_link", str(error))
    if not problems:
        try:
            _check_sale(cleaned)
        except _Bad as error:
            bad("sale_price", str(error))
    if problems:
        return problems
    availability = Availability(cleaned.pop("availability", Availability.IN_STOCK.value))
    return Product(availability=availability, additional_image_link=images, drafts=(), **cleaned)


def amount(price: str) -> tuple[int, str]:
    """A checked price as (ten-thousandths of the unit, currency): comparable within a currency."""
    found = _PRICE.fullmatch(price)
    assert found is not None
    whole, fraction, currency = found.groups(default="")
    return int(whole) * 10_000 + int(fraction.ljust(4, "0") or 0), currency


def price_problem(price: str) -> str:
    """What is wrong with a price; empty when nothing is."""
    try:
        _price("price", price)
    except _Bad as error:
        return str(error)
    return ""


def gtin_check_digit(digits: str) -> int:
    """Check digit of a GTIN without it (GS1 General Specifications, 7.9): weights 3 and 1 from the right."""
    total = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(digits)))
    return -total % 10


# ---- fields ------------------------------------------------------------------------------------------------


def _text(field: str, value: str) -> str:
    limit = _LENGTHS.get(field, 750)
    if any(0xDC80 <= ord(char) <= 0xDCFF for char in value):
        raise _Bad("got bytes that are not UTF-8; save the feed as UTF-8")
    if len(value) > limit:
        raise _Bad(f"got {len(value)} characters, expected at most {limit}; shorten it")
    if any(ord(char) < 0x20 and char not in "\t\r\n" for char in value):
        raise _Bad("got control characters, expected plain text; remove them")
    return value


def _price(field: str, value: str) -> str:
    found = _PRICE.fullmatch(value)
    if found is None:
        raise _Bad(f"got {value[:40]!r}, expected an amount and a currency, such as '15.00 USD'")
    whole, fraction, currency = found.groups(default="")
    currency = currency.upper()
    places = CURRENCIES.get(currency)
    if places is None:
        raise _Bad(f"got currency {currency!r}, expected an ISO 4217 code such as USD, EUR, CNY")
    if len(fraction.rstrip("0")) > places:
        raise _Bad(f"got {value[:40]!r}, expected at most {places} decimals for {currency}")
    return f"{whole}{'.' + fraction if fraction else ''} {currency}"


def _link(field: str, value: str) -> str:
    if not _ANY.link(value):
        raise _Bad(f"got {value[:80]!r}, expected an http or https address without spaces or credentials")
    return value


def _image(field: str, value: str) -> str:
    if "://" in value or value.startswith("//"):
        return _link(field, value)
    path = PurePosixPath(value.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", value):
        raise _Bad(f"got {value[:80]!r}, expected a path inside the feed's folder, or an http address")
    return _text(field, str(path))


def _images(value: Value) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    links = [_image("additional_image_link", item.strip()) for item in items if item.strip()]
    if len(links) > MAX_IMAGES - 1:
        raise _Bad(f"got {len(links)} pictures, expected at most {MAX_IMAGES - 1}")
    return tuple(links)


def _availability(field: str, value: str) -> str:
    name = re.sub(r"[\s\-]+", "_", value.strip().lower())
    known = [item.value for item in Availability]
    if name not in known:
        raise _Bad(f"got {value[:40]!r}, expected one of {', '.join(known)}")
    return name


def _gtin(field: str, value: str) -> str:
    digits = re.sub(r"[\s\-]", "", value)
    if not digits.isascii() or not digits.isdigit() or len(digits) not in (8, 12, 13, 14):
        raise _Bad(f"got {value[:40]!r}, expected 8, 12, 13 or 14 digits")
    expected = gtin_check_digit(digits[:-1])
    if int(digits[-1]) != expected:
        raise _Bad(f"got check digit {digits[-1]} in {digits}, expected {expected}; a digit is mistyped")
    return digits


def _choice(field: str, value: str) -> str:
    allowed = _CONDITIONS if field == "condition" else _PLACEMENTS
    if value.lower() not in allowed:
        raise _Bad(f"got {value[:40]!r}, expected one of {', '.join(allowed)}")
    return value.lower()


def _check_sale(cleaned: Mapping[str, str]) -> None:
    if "sale_price" not in cleaned:
        return
    (sale, sale_currency), (price, currency) = amount(cleaned["sale_price"]), amount(cleaned["price"])
    if sale_currency != currency:
        raise _Bad(f"got {sale_currency}, expected the currency of the price, {currency}")
    if sale > price:
        raise _Bad(f"got {cleaned['sale_price']}, expected no more than the price, {cleaned['price']}")


_CLEANERS: Final = {
    "id": _text,
    "title": _text,
    "description": _text,
    "link": _link,
    "image_link": _image,
    "price": _price,
    "sale_price": _price,
    "availability": _availability,
    "brand": _text,
    "gtin": _gtin,
    "mpn": _text,
    "condition": _choice,
    "item_group_id": _text,
    "color": _text,
    "size": _text,
    "pattern": _text,
    "google_product_category": _text,
    "seller": _text,
    "placement": _choice,
}
