from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overlay.catalog.pictures import encode_jpeg
from overlay.catalog.store import CatalogStore
from overlay.compat import Item, Rating
from overlay.ledger.sqlite import SqliteLedger
from overlay.types import Availability, Product
from vitrine.company import Company


def product(product_id: str, title: str) -> Product:
    return Product(product_id, title, "1.00 EUR", "https://shop.example", f"{product_id}.jpg")


SHOWN = {
    one.id: one
    for one in (
        product("dress", "Summer dress"),
        product("shoes", "Running shoes"),
        product("bag", "Leather bag"),
        product("coffee", "House blend coffee"),
    )
}

COLOURS = [(120, 170, 220), (140, 180, 230), (90, 20, 10), (0, 0, 0)]
Parts = tuple[CatalogStore, SqliteLedger]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    store, ledger = CatalogStore(tmp_path), SqliteLedger(tmp_path / "ledger.db")
    for one, colour in zip(SHOWN.values(), COLOURS, strict=True):
        picture = np.full((64, 64, 3), 255, np.uint8)
        picture[8:56, 8:56] = colour
        store.put(one, [encode_jpeg(picture)], "")
    yield store, ledger
    ledger.close()
    store.close()


def test_what_goes_with_a_product_is_ranked_by_kind_and_colour(
    parts: Parts,
) -> None:
    found = Company(*parts).of(SHOWN["dress"], SHOWN)
    assert [name for name, _ in found] == ["shoes", "bag"]
    assert found[0][1].reason == "shoes for dress, colours in harmony"
    assert found[1][1].score < 0.5 * 0.9 / 0.8  # brown leather beside light blue


def test_what_is_hidden_sold_out_or_without_a_picture_is_dealt_with(
    parts: Parts,
) -> None:
    company = Company(*parts)
    assert [name for name, _ in company.of(SHOWN["dress"], SHOWN, {"shoes"})] == ["bag"]
    gone = SHOWN | {"bag": replace(SHOWN["bag"], availability=Availability.OUT_OF_STOCK)}
    assert [name for name, _ in company.of(SHOWN["dress"], gone)] == ["shoes"]
    plain = product("belt", "Belt")
    assert "belt" in [name for name, _ in company.of(SHOWN["dress"], SHOWN | {"belt": plain})]
    path = parts[0].picture_path("shoes", 0)
    assert path is not None
    path.write_bytes(b"no picture")
    assert "shoes" in [name for name, _ in Company(*parts).of(SHOWN["dress"], SHOWN)]


def test_a_learned_model_takes_the_place_of_the_rules(parts: Parts) -> None:
    class Learned:
        def __init__(self, together: Mapping[str, float]) -> None:
            self.together = together

        def rate(self, anchor: Item, others: Sequence[Item]) -> list[Rating]:
            return [Rating(0.9 if one.role == "coffee" else 0.0, "learned") for one in others]

    assert Company(*parts, make=Learned).of(SHOWN["dress"], SHOWN) == [("coffee", Rating(0.9, "learned"))]
