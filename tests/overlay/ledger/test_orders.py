from __future__ import annotations

import json
from pathlib import Path

import pytest

from overlay.ledger.orders import read_orders
from overlay.ledger.sqlite import SqliteLedger
from overlay.ledger.types import Kind

KNOWN = frozenset({"mug-01", "tea-02", "808950810"})
NOW_MS = 1_700_000_000_000
PURCHASE = {
    "transaction_id": "1001",
    "currency": "EUR",
    "items": [{"item_id": "mug-01", "quantity": 2, "price": 12.5}, {"item_id": "tea-02", "price": "4.20"}],
}
SHOPIFY = {
    "orders": [
        {
            "id": 450789469,
            "created_at": "2026-01-10T11:00:00-05:00",
            "currency": "USD",
            "email": "somebody@example.org",
            "line_items": [{"variant_id": 808950810, "sku": "ipod", "quantity": 1, "price": "199.00"}],
        },
        {"id": 450789470, "cancelled_at": "2026-01-10T12:00:00-05:00", "line_items": []},
    ]
}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def test_a_purchase_becomes_one_entry_a_product() -> None:
    found = read_orders(encoded(PURCHASE), KNOWN, NOW_MS)
    assert (found.orders, found.ignored, found.problems) == (1, 0, [])
    assert [(e.kind, e.product_id, e.value, e.currency, e.key, e.at_ms) for e in found.entries] == [
        (Kind.ORDER, "mug-01", 250_000, "EUR", "1001/mug-01", NOW_MS),
        (Kind.ORDER, "tea-02", 42_000, "EUR", "1001/tea-02", NOW_MS),
    ]
    assert {entry.viewer for entry in found.entries} == {"order/1001"}


def test_shopify_orders_are_found_by_variant_or_sku_and_nothing_of_the_buyer_is_kept() -> None:
    found = read_orders(encoded(SHOPIFY), KNOWN, NOW_MS)
    assert (found.orders, found.ignored, found.problems) == (1, 1, [])
    (entry,) = found.entries
    assert (entry.product_id, entry.at_ms) == ("808950810", 1_768_060_800_000)
    assert "somebody" not in repr(entry)
    by_sku = read_orders(encoded(SHOPIFY), {"ipod"}, NOW_MS)
    assert [entry.product_id for entry in by_sku.entries] == ["ipod"]


def test_a_viewer_and_a_show_that_the_shop_hands_back_are_kept() -> None:
    (entry, _) = read_orders(encoded([PURCHASE | {"stream": "demo", "viewer": "v-1"}]), KNOWN, NOW_MS).entries
    assert (entry.stream, entry.viewer) == ("demo", "v-1")


def test_json_lines_are_read_and_the_same_product_twice_is_one_entry() -> None:
    twice = PURCHASE | {"items": [{"item_id": "mug-01", "price": 1}, {"item_id": "mug-01", "price": 2}]}
    found = read_orders(encoded(PURCHASE) + b"\n\n" + encoded(twice), KNOWN, NOW_MS)
    assert found.orders == 2 and [entry.value for entry in found.entries] == [250_000, 42_000, 30_000]


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (PURCHASE | {"transaction_id": None}, "got no number"),
        (PURCHASE | {"currency": "EUX"}, "ISO 4217"),
        (PURCHASE | {"items": []}, "got no items"),
        (PURCHASE | {"items": [{"item_id": "unicorn"}]}, "'unicorn', not in the catalogue"),
        (PURCHASE | {"items": [{"item_id": "mug-01", "price": "free"}]}, "'free', expected a number"),
        (PURCHASE | {"items": [{"item_id": "mug-01", "price": "NaN"}]}, "expected a number"),
        (PURCHASE | {"items": [{"item_id": "mug-01", "quantity": 0}]}, ">= 1"),
        (PURCHASE | {"items": "mug-01"}, "Expected `array`"),
        (7, "Expected `object`"),
    ],
)
def test_what_is_wrong_is_said_and_the_other_orders_are_kept(order: object, why: str) -> None:
    found = read_orders(encoded([order, PURCHASE]), KNOWN, NOW_MS)
    assert found.orders == 1 and len(found.entries) == 2
    assert len(found.problems) == 1 and why in found.problems[0]


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b'{"orders": ', b"a\nb"])
def test_what_is_no_json_is_said(data: bytes) -> None:
    found = read_orders(data, KNOWN, NOW_MS)
    assert found.entries == [] and (found.problems or not data)


def test_orders_that_are_told_again_count_once_and_complete_each_other(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    for number in range(6):
        data = encoded(PURCHASE | {"transaction_id": f"{number}"})
        ledger.record(*read_orders(data, KNOWN, NOW_MS).entries)
        ledger.record(*read_orders(data, KNOWN, NOW_MS).entries)
    assert ledger.flush()
    assert {row.product_id: (row.orders, row.viewers) for row in ledger.summary()} == {
        "mug-01": (6, 0),
        "tea-02": (6, 0),
    }
    assert ledger.together("mug-01") == {"tea-02": pytest.approx(6 / 9)}
    ledger.close()
