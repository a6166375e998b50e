"""Orders as shops tell them, for the ledger. Pure.

Two forms are read, one order or many: GA4's ``purchase`` (``transaction_id``, ``items`` with ``item_id``) and
the Shopify Admin API's orders (``id``, ``line_items`` with ``variant_id`` and ``sku``). Nothing of the buyer
is kept: what was ordered together is told by the number of the order, or by the viewer's opaque id where the
shop hands it back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from overlay.catalog.currency import CURRENCIES
from overlay.ledger.types import Entry, Kind

MOST_ITEMS: Final = 500
MOST_BYTES: Final = 64 * 1024 * 1024
EXAMPLE: Final = '{"transaction_id": "1001", "currency": "EUR", "items": [{"item_id": "mug", "price": 12}]}'

_Id = Annotated[str, Meta(max_length=100)] | int | None
_Text = Annotated[str, Meta(max_length=200)]


class _Item(Struct):
    """One line of an order, in either form."""

    item_id: _Id = None
    variant_id: _Id = None
    sku: _Id = None
    product_id: _Id = None
    quantity: Annotated[int, Meta(ge=1, le=100_000)] = 1
    price: Annotated[str, Meta(max_length=32)] | int | float = "0"

    def ids(self) -> Iterator[str]:
        """What the catalogue may call the product, the likeliest first."""
        for one in (self.item_id, self.variant_id, self.sku, self.product_id):
            if one not in (None, ""):
                yield str(one)


class _Order(Struct):
    """One order, in either form."""

    transaction_id: _Id = None
    id: _Id = None
    currency: Annotated[str, Meta(max_length=3)] = ""
    items: Annotated[list[_Item], Meta(max_length=MOST_ITEMS)] = []
    line_items: Annotated[list[_Item], Meta(max_length=MOST_ITEMS)] = []
    created_at: Annotated[str, Meta(max_length=40)] | None = None
    cancelled_at: str | None = None
    test: bool = False
    stream: _Text = ""
    viewer: _Text = ""


@dataclass(slots=True)
class Orders:
    """What was read.

    Attributes:
        entries: for the ledger, one for each product of each order.
        orders: that hold at least one product of the catalogue.
        read: that are well-formed, those included that hold none.
        ignored: cancelled ones and tests.
        problems: what was left out and why, in words.
    """

    entries: list[Entry] = field(default_factory=list)
    orders: int = 0
    read: int = 0
    ignored: int = 0
    problems: list[str] = field(default_factory=list)


def read_orders(data: bytes, known: Collection[str], now_ms: int) -> Orders:
    """Orders in JSON (one, a list, ``{"orders": [...]}``) or JSON Lines.

    Args:
        data: UTF-8.
        known: ids of the catalogue's products.
        now_ms: Unix time, for orders that do not say when they were placed.
    """
    found = Orders()
    for number, value in enumerate(_values(data, found), 1):
        try:
            order = msgspec.convert(value, _Order)
        except msgspec.ValidationError as error:
            found.problems.append(f"order {number}: {error}; expected such as {EXAMPLE}")
            continue
        _add(order, number, known, now_ms, found)
    return found


def _values(data: bytes, found: Orders) -> Iterator[Any]:
    try:
        values = [msgspec.json.decode(data)]
    except msgspec.DecodeError as whole:
        try:
            values = [msgspec.json.decode(line) for line in data.splitlines() if line.strip()]
        except msgspec.DecodeError:
            found.problems.append(f"no JSON and no JSON Lines: {whole}; expected such as {EXAMPLE}")
            return
    for value in values:
        inner = value.get("orders", value) if isinstance(value, dict) else value
        yield from inner if isinstance(inner, list) else [inner]


def _add(order: _Order, number: int, known: Collection[str], now_ms: int, found: Orders) -> None:
    if order.cancelled_at or order.test:
        found.ignored += 1
        found.read += 1
        return
    name = next((str(one) for one in (order.transaction_id, order.id) if one not in (None, "")), "")
    problem = _problem(order, name)
    if problem:
        found.problems.append(f"order {name or number}: {problem}")
        return
    found.read += 1
    lines: dict[str, Decimal] = {}
    for item in order.items or order.line_items:
        product = next((one for one in item.ids() if one in known), "")
        price = _decimal(item.price)
        if not product or price is None:
            what = f"price {str(item.price)!r}" if product else f"product {next(item.ids(), '')!r}"
            why = "expected a number such as 12.50" if product else "not in the catalogue"
            found.problems.append(f"order {name}: got {what}, {why}")
            continue
        lines[product] = lines.get(product, Decimal(0)) + price * item.quantity
    found.orders += bool(lines)
    at_ms = _at_ms(order.created_at, now_ms)
    viewer, currency = order.viewer or f"order/{name}", order.currency.upper()
    for product, price in lines.items():
        key, value = f"{name}/{product}", int(price * 10_000) if currency else 0
        found.entries.append(
            Entry(Kind.ORDER, order.stream, product, viewer, at_ms, key=key, value=value, currency=currency)
        )


def _problem(order: _Order, name: str) -> str:
    if not name:
        return "got no number, expected transaction_id or id"
    if order.currency and order.currency.upper() not in CURRENCIES:
        return f"currency: got {order.currency!r}, expected a code of ISO 4217 such as EUR"
    if not (order.items or order.line_items):
        return "got no items, expected items or line_items"
    return ""


def _decimal(price: str | int | float) -> Decimal | None:
    try:
        value = Decimal(str(price))
    except InvalidOperation:
        return None
    return value if value.is_finite() and 0 <= value < 10**9 else None


def _at_ms(text: str | None, now_ms: int) -> int:
    try:
        return int(datetime.fromisoformat(text or "").timestamp() * 1000)
    except ValueError:
        return now_ms
