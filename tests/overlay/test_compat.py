from __future__ import annotations

import pytest

from overlay.compat import (
    Compatibility,
    Item,
    RuleCompatibility,
    Shade,
    colour_harmony,
    complement,
    harmony,
    role_of,
)
from overlay.types import Product


def product(title: str, category: str = "", description: str = "") -> Product:
    return Product("p", title, "1.00 EUR", "", "", description, google_product_category=category)


@pytest.mark.parametrize(
    ("title", "category", "role"),
    [
        ("Alda Small Leather Handbag Cognac", "3032", "bag"),
        ("Strid Court Sneaker White / Red", "187", "shoes"),
        ("Kova House Blend Coffee, Whole Beans 250 g", "1868", "coffee"),
        ("Morrow Stoneware Mug Good Day", "", "mug"),
        ("Coffee mug", "", "mug"),
        ("Lumen Vitamin C Glow Serum 30 ml", "567", "serum"),
        ("Linen one, long", "Apparel & Accessories > Clothing > Dresses", "dress"),
        ("Number Seven", "204", "bottom"),
        ("Something else", "99999", ""),
        ("", "", ""),
    ],
)
def test_the_kind_of_a_product_is_read_from_what_is_known(title: str, category: str, role: str) -> None:
    assert role_of(product(title, category)) == role


def test_the_description_helps_where_nothing_else_tells() -> None:
    assert role_of(product("Fjell 2", "", "A warm jacket for the mountains.")) == "outerwear"


def test_complements_are_mutual_and_nothing_complements_its_own_kind() -> None:
    assert complement("dress", "shoes") == complement("shoes", "dress") == 1.0
    assert complement("shoes", "shoes") == complement("coffee", "dress") == complement("", "") == 0.0


def lab(lightness: float, a: float, b: float) -> tuple[float, float, float]:
    return lightness, a, b


def test_colours_harmonise_as_the_published_model_says() -> None:
    light_blues = colour_harmony(lab(80, -10, -20), lab(75, -8, -22))
    dark_clash = colour_harmony(lab(30, 10, 35), lab(32, 50, 25))
    assert light_blues > 0.5 > 0.0 > dark_clash
    # the same two colours further apart in lightness agree better (their term H-delta-L)
    assert colour_harmony(lab(40, 0, 0), lab(70, 0, 0)) > colour_harmony(lab(55, 0, 0), lab(55, 0, 0))
    # two mid greys, by hand: chroma .392, sum of lightness -.127, step -.005, hue twice .018 * -.257
    assert colour_harmony(lab(50, 0, 0), lab(50, 0, 0)) == pytest.approx(0.251, abs=0.002)


def test_harmony_of_products_weighs_their_shades() -> None:
    blue, clash = Shade(lab(80, -10, -20), 0.9), Shade(lab(30, 50, 25), 0.1)
    assert 0.5 < harmony((blue, clash), (blue,)) < harmony((blue,), (blue,)) < 1.0


DRESS = Item("dress-1", "dress", "dress", (Shade(lab(80, -10, -20), 1.0),))


def rate(other: Item, together: dict[str, float] | None = None) -> tuple[float, str]:
    judge: Compatibility = RuleCompatibility(together)
    (rating,) = judge.rate(DRESS, [other])
    return rating.score, rating.reason


def test_what_complements_goes_with_it_and_what_is_alike_does_not() -> None:
    score, words = rate(Item("shoes-1", "shoes"))
    assert score == pytest.approx(0.5 / 0.8) and words == "shoes for dress"
    assert rate(Item("dress-2", "dress"))[0] == 0.0
    assert rate(Item("coffee-1", "coffee"))[0] == 0.0
    assert rate(Item("dress-1", "dress"))[0] == 0.0
    assert (
        rate(Item("shoes-2", "shoes", "dress"), {"shoes-2": 0.9})[0] == 0.0
    )  # a variant of the same article


def test_agreeing_colours_lift_and_clashing_ones_lower() -> None:
    plain, _ = rate(Item("bag", "bag"))
    agreeing, words = rate(Item("bag", "bag", shades=(Shade(lab(75, -8, -22), 1.0),)))
    clashing, _ = rate(Item("bag", "bag", shades=(Shade(lab(28, 40, 38), 1.0),)))
    assert "harmony" in words and clashing < agreeing
    assert clashing < plain


def test_what_was_wanted_together_goes_together_whatever_the_rules_know() -> None:
    alone, _ = rate(Item("shoes-1", "shoes"))
    bought, words = rate(Item("shoes-1", "shoes"), {"shoes-1": 0.5})
    assert bought > alone and words == "shoes for dress, often wanted together"
    score, words = rate(Item("coffee-1", "coffee"), {"coffee-1": 0.6})
    assert score == pytest.approx(0.3 * 0.6 / 0.8) and words == "often wanted together"
