from __future__ import annotations

from pathlib import Path

import pytest

from overlay.ledger.sqlite import SqliteLedger
from overlay.ledger.types import Entry, Kind


def together(path: Path, *entries: tuple[Kind, str, str, str], product: str = "dress") -> dict[str, float]:
    """Of entries (kind, stream, viewer, product)."""
    ledger = SqliteLedger(path / "ledger.db")
    for number, (kind, stream, viewer, product_id) in enumerate(entries):
        key = f"{number}" if kind is not Kind.IMPRESSION else ""
        ledger.record(Entry(kind, stream, product_id, viewer, number, key=key))
    assert ledger.flush()
    found = ledger.together(product)
    ledger.close()
    return found


def both(kind: Kind, count: int, *products: str) -> list[tuple[Kind, str, str, str]]:
    return [(kind, "show", f"viewer-{n}", product) for n in range(count) for product in products]


def test_nothing_goes_together_before_anybody_wanted_anything(tmp_path: Path) -> None:
    assert together(tmp_path) == {}


def test_the_more_want_both_the_stronger(tmp_path: Path) -> None:
    entries = both(Kind.TAP, 9, "dress", "shoes") + both(Kind.TAP, 1, "dress", "mug")
    entries += [(Kind.TAP, "show", f"other-{n}", "mug") for n in range(20)]
    found = together(tmp_path, *entries)
    assert found["shoes"] == pytest.approx(0.4 * 1.0 * 9 / 12)
    assert 0 < found["mug"] < 0.1 * found["shoes"]


def test_orders_say_more_than_carts_and_those_more_than_taps(tmp_path: Path) -> None:
    entries = [
        *both(Kind.ORDER, 5, "dress", "ordered"),
        *both(Kind.CART, 5, "dress", "carted"),
        *both(Kind.TAP, 5, "dress", "tapped"),
    ]
    found = together(tmp_path, *entries)
    assert found["ordered"] > found["carted"] > found["tapped"] > 0


def test_other_people_other_shows_and_mere_sight_do_not_count(tmp_path: Path) -> None:
    found = together(
        tmp_path,
        (Kind.TAP, "show", "anna", "dress"),
        (Kind.TAP, "show", "ben", "shoes"),
        (Kind.TAP, "other", "anna", "bag"),
        (Kind.TAP, "show", "", "dress"),
        (Kind.TAP, "show", "", "hat"),
        *both(Kind.IMPRESSION, 20, "dress", "mug"),
    )
    assert found == {}
