from __future__ import annotations

import pytest

from overlay.catalog.wording import colours_in, kind_of, listed, sentences, title, title_of


@pytest.mark.parametrize(
    ("text", "noun"),
    [
        ("Morrow Stoneware Mug 350 ml", "mug"),
        ("Lumen Vitamin C Glow Serum 30 ml", "serum"),
        ("Tide Hand Cream Sea Kelp & Mint", "cream"),
        ("Cream T-Shirt", "t-shirt"),
        ("Ice cream", None),
        ("Leather bag belt", "belt"),
        ("Two vases", "vase"),
        ("Gift card", None),
        ("", None),
    ],
)
def test_the_last_word_that_names_a_kind_decides(text: str, noun: str | None) -> None:
    kind = kind_of(text)
    assert (kind.noun if kind else None) == noun
    assert kind is None or kind.path.count(" > ") >= 1


def test_colours_are_named_as_feeds_write_them() -> None:
    assert colours_in("Blue and white striped dress, blue") == "Blue/White"
    assert colours_in("Hand cream") == "" and colours_in("Cream dress") == "Cream"


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("https://shop.example/products/blue-stoneware-mug?variant=1", "Blue stoneware mug"),
        ("https://shop.example/p/summer_dress.html", "Summer dress"),
        ("https://shop.example/p/summer-dress-1234/", "Summer dress"),
        ("https://shop.example/p/1234", ""),
        ("https://shop.example/p/a1-b2-c3", ""),
        ("https://shop.example/", ""),
        ("https://shop.example/mug", ""),
    ],
)
def test_an_address_ends_with_a_title_or_with_none(link: str, words: str) -> None:
    assert title_of(link) == words


def test_titles_and_sentences_are_put_together_from_what_is_known() -> None:
    assert title("Nord", ["striped dress", "blue"], "M") == "Nord striped dress, blue, size M"
    assert title("", ["dress", ""], "") == "Dress"
    assert sentences("", "Nord", "shorts", "olive") == "Shorts in olive by Nord."
    assert sentences("Nord Coat", "Nord", "overcoat", "", ["Sizes S and M"]) == (
        "Nord Coat: an overcoat. Sizes S and M."
    )
    assert sentences("Nord Coat", "Nord", "", "blue") == ""
    assert listed(["red", "", "blue", "red", "green"]) == "red, blue and green" and listed([]) == ""
