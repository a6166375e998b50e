from __future__ import annotations

from dataclasses import replace

import pytest

from overlay.catalog.drafts import Guess, Look, problem, propose, with_drafts
from overlay.types import Product

BARE = Product(
    "d-1", "Summer dress", "40.00 EUR", "https://shop.example/d", "d.jpg", brand="Nord", seller="Studio"
)
NONE = Guess(None, 0.4)


Colour = tuple[str, float, float]


def look(
    category: str | None = "dress", pattern: str | None = "striped", *colours: Colour, sure: float = 0.9
) -> Look:
    seen = colours or (("blue", 0.7, 0.6), ("white", 0.3, 0.9))
    return Look(Guess(category, sure), Guess(pattern, 0.8), NONE, seen)


def found(product: Product, *looks: Look) -> dict[str, str]:
    return {draft.field: draft.value for draft in propose(product, looks)}


def test_empty_fields_get_drafts_with_confidence_and_reason() -> None:
    drafts = {draft.field: draft for draft in propose(BARE, [look()])}
    assert drafts["google_product_category"].value == "Apparel & Accessories > Clothing > Dresses"
    assert (drafts["color"].value, drafts["color"].confidence) == ("Blue/White", 0.6)
    assert drafts["pattern"].value == "striped"
    assert drafts["description"].value == (
        "Summer dress by Nord: a striped dress in blue and white. Sold by Studio."
    )
    assert drafts["description"].confidence == 0.6, "no surer than its least sure part"
    assert drafts["google_product_category"].why == "the title says: dress"
    assert "title" not in drafts and "packaging" not in drafts


def test_a_merchants_own_words_are_never_proposed_over() -> None:
    full = replace(BARE, color="Navy", pattern="plain", google_product_category="2271", description="Cotton.")
    assert found(full, look()) == {}


def test_a_title_that_only_repeats_the_id_is_none() -> None:
    nameless = replace(BARE, title="d-1", color="Green")
    assert found(nameless, look())["title"] == "Nord striped dress, green"


def test_pictures_vote_and_disagreement_costs_confidence() -> None:
    wordless = replace(BARE, title="Summer 12")
    looks = [look(sure=0.9), look(sure=0.8), look("skirt", sure=0.95)]
    (draft,) = (d for d in propose(wordless, looks) if d.field == "google_product_category")
    assert draft.value.endswith("Dresses") and draft.why == "looks like: dress (3 pictures)"
    assert draft.confidence == pytest.approx(1.7 / 3, abs=0.001)


def category(product: Product, *looks: Look) -> tuple[str, float]:
    (draft,) = (d for d in propose(product, looks) if d.field == "google_product_category")
    return draft.value.rsplit(" > ", 1)[-1], draft.confidence


def test_words_and_pictures_that_agree_are_surer_and_words_go_first() -> None:
    assert category(BARE) == ("Dresses", 0.9)
    assert category(BARE, look(sure=0.8)) == ("Dresses", 0.98)
    assert category(BARE, look("skirt", sure=0.8)) == ("Dresses", 0.54)


def test_variants_of_an_article_tell_of_each_other() -> None:
    group = replace(BARE, item_group_id="g", color="Blue", size="S")
    path = "Apparel & Accessories > Clothing > Dresses"
    others = [replace(group, id="d-2", color="Red", size="M", google_product_category=path)]
    others.append(replace(others[0], id="d-3", size="L"))
    drafts = {d.field: d for d in propose(group, [look()], others)}
    assert drafts["google_product_category"].confidence == 0.95
    assert drafts["description"].value == (
        "Summer dress by Nord: a striped dress in blue. Also in red. Sizes S, M and L. Sold by Studio."
    )


def test_an_address_gives_a_title_and_colours_where_the_feed_has_none() -> None:
    linked = replace(BARE, title="", link="https://shop.example/products/summer-dress-navy?variant=7")
    drafts = {d.field: d for d in propose(linked, [])}
    assert (drafts["title"].value, drafts["title"].confidence) == ("Nord summer dress navy", 0.7)
    assert (drafts["color"].value, drafts["color"].why) == ("Navy", "the address says so")
    assert drafts["description"].value == "A dress in navy by Nord. Sold by Studio."


def test_small_shares_name_no_colour_and_three_are_the_most() -> None:
    four: list[Colour] = [(name, 0.24, 0.7) for name in ("red", "blue", "green", "pink")]
    many = look("dress", None, *four, ("white", 0.04, 1.0))
    assert found(BARE, many)["color"] == "Red/Blue/Green"
    assert "color" not in found(BARE, Look(NONE, NONE, NONE, ()))


def test_packaging_names_the_thing_where_there_is_no_garment() -> None:
    jar = Look(NONE, Guess("striped", 0.9), Guess("jar", 0.9), (("brown", 0.8, 0.8),))
    drafts = found(replace(BARE, title="Honey"), jar)
    assert drafts["packaging"] == "jar"
    assert drafts["description"] == "Honey by Nord: honey in brown. Comes in a jar. Sold by Studio."
    assert "pattern" not in drafts
    assert drafts["google_product_category"].endswith("Condiments & Sauces > Honey")
    bare = found(replace(BARE, title="d-1", brand=""), jar)
    assert (bare["title"], bare["description"]) == ("Jar, brown", "A jar in brown. Sold by Studio.")


def test_without_pictures_or_words_nothing_is_said() -> None:
    assert propose(replace(BARE, title="d-1"), []) == []


def test_accepted_drafts_fill_empty_fields_and_are_named() -> None:
    drafted = with_drafts(BARE, {"color": "Blue", "pattern": "striped", "seller": "Somebody"})
    assert (drafted.color, drafted.pattern, drafted.drafts, drafted.seller) == (
        "Blue",
        "striped",
        ("color", "pattern"),
        "Studio",
    )
    assert with_drafts(replace(BARE, color="Red"), {"color": "Blue"}).color == "Red"
    assert "color" not in found(drafted, look()), "what was accepted is not proposed again"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("price", "1", "expected one of"),
        ("color", " ", "got nothing"),
        ("title", "x" * 151, "at most 150"),
        ("color", "Red", ""),
    ],
)
def test_what_may_be_a_draft(field: str, value: str, words: str) -> None:
    assert words in problem(field, value) and bool(problem(field, value)) == bool(words)
