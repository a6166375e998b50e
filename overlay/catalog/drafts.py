"""Drafts: what pictures say of a product where its merchant says nothing. A person accepts them. Pure.

A draft never stands in for a merchant's own words: it is proposed only for an empty field, it is looked past
as soon as a feed fills the field, and products name the fields that are drafts (`Product.drafts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from overlay.catalog.wording import colours_in, kind_of, listed, sentences, title, title_of
from overlay.types import Product

LIMITS: Final = {
    "title": 150,
    "description": 5000,
    "color": 100,
    "pattern": 100,
    "packaging": 100,
    "google_product_category": 750,
}
"""Fields that may be drafts, and how long each may be (Merchant product data specification)."""

CATEGORIES: Final = {
    "blazer": "Clothing > Outerwear > Coats & Jackets",
    "dress": "Clothing > Dresses",
    "hat": "Clothing Accessories > Hats",
    "hoodie": "Clothing > Shirts & Tops",
    "longsleeve": "Clothing > Shirts & Tops",
    "outwear": "Clothing > Outerwear",
    "pants": "Clothing > Pants",
    "polo": "Clothing > Shirts & Tops",
    "shirt": "Clothing > Shirts & Tops",
    "shoes": "Shoes",
    "shorts": "Clothing > Shorts",
    "skirt": "Clothing > Skirts",
    "t-shirt": "Clothing > Shirts & Tops",
    "undershirt": "Clothing > Underwear & Socks > Undershirts",
}
"""What a picture shows -> Google's product taxonomy, below Apparel & Accessories."""

_WORDS: Final = {"outwear": "jacket", "longsleeve": "long-sleeved shirt"}
_COLOURS: Final = 3
_LEAST_SHARE: Final = 0.2
_SAID, _ADDRESS, _RELATIVES = 0.9, 0.7, 0.95
"""How far the merchant's own words, the words of an address, and the variants of an article are believed."""


@dataclass(frozen=True, slots=True)
class Guess:
    """An answer and how sure it is.

    Attributes:
        value: None where there is none.
        confidence: 0..1.
    """

    value: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Look:
    """What one picture of a product shows.

    Attributes:
        category: "dress", "shoes"; no value for anything that is no apparel.
        pattern: of cloth: "plain", "striped".
        packaging: "bottle", "carton".
        colours: (name, share of the product 0..1, confidence), most of it first.
    """

    category: Guess
    pattern: Guess
    packaging: Guess
    colours: tuple[tuple[str, float, float], ...]


class Tagger(Protocol):
    """What looks at pictures; `inference.attributes` behind it."""

    def look(self, picture: NDArray[np.uint8]) -> Look:
        """What the product in an RGB picture uint8 (height, width, 3) is like. Blocking."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposal for one empty field.

    Attributes:
        product_id: whose.
        field: a key of `LIMITS`.
        value: the proposal.
        confidence: 0..1.
        why: in words for a person.
    """

    product_id: str
    field: str
    value: str
    confidence: float
    why: str


def propose(product: Product, looks: Sequence[Look], relatives: Sequence[Product] = ()) -> list[Draft]:
    """Drafts for the fields that the merchant left empty.

    From what each picture of the product shows, from the words there are, and from the other variants of the
    same article, whose merchant may have said more of them.

    Args:
        product: as the catalogue has it.
        looks: one for each of its pictures.
        relatives: other products of its `item_group_id`.
    """
    facts = _facts(product, looks, relatives)
    seen = f"{len(looks)} picture{'s' * (len(looks) != 1)}"
    found: list[Draft] = []

    def add(field: str, guess: Guess, why: str) -> None:
        if guess.value and is_empty(product, field) and field not in product.drafts:
            value = guess.value[: LIMITS[field]]
            found.append(Draft(product.id, field, value, round(guess.confidence, 3), why))

    add("google_product_category", facts.path, facts.why.format(seen=seen))
    add("color", facts.colours, facts.colours_why.format(seen=seen))
    add("pattern", facts.pattern, f"of the cloth, {seen}")
    add("packaging", facts.packaging, f"seen in {seen}")
    add("title", *_title(product, facts))
    add("description", _description(product, facts, relatives), "from what is known; to be edited")
    return found


@dataclass(frozen=True, slots=True)
class _Facts:
    """What pictures, words and relatives say together. `why`, `colours_why`: with "{seen}" in it."""

    path: Guess
    why: str
    noun: Guess
    pattern: Guess
    packaging: Guess
    colours: Guess
    colours_why: str


def _facts(product: Product, looks: Sequence[Look], relatives: Sequence[Product]) -> _Facts:
    nothing = Guess(None, 0.0)
    category = _agreed([look.category for look in looks])
    pattern = _agreed([look.pattern for look in looks]) if category.value else nothing  # of cloth
    packaging = _agreed([look.packaging for look in looks])
    path, noun, why = nothing, category, "looks like: " + (category.value or "") + " ({seen})"
    if category.value in CATEGORIES:
        path = Guess(f"Apparel & Accessories > {CATEGORIES[category.value]}", category.confidence)
    named = not is_empty(product, "title")
    text = product.title if named else title_of(product.link)
    kind = kind_of(text)
    if kind is not None:
        sure = _heard(_SAID if named else _ADDRESS, path, kind.path)
        path, noun = Guess(kind.path, sure), Guess(kind.noun, sure)
        why = f"the {'title' if named else 'address'} says: {kind.noun}"
    told = {one.google_product_category for one in relatives if not is_empty(one, "google_product_category")}
    if len(told) == 1:
        path, why = Guess(told.pop(), _RELATIVES), "as the other variants of the article"
    colours, colours_why = _colours(looks), "most of the product, {seen}"
    if product.color:
        colours = Guess(product.color, 1.0)
    elif said := colours_in(text):
        colours = Guess(said, _heard(_SAID if named else _ADDRESS, colours, said))
        colours_why = f"the {'title' if named else 'address'} says so"
    thing = noun if noun.value else packaging
    return _Facts(path, why, thing, pattern, packaging, colours, colours_why)


def _heard(words: float, pictures: Guess, said: str) -> float:
    """How sure words are beside what pictures say: surer where both agree, less where they do not."""
    if pictures.value is None:
        return words
    if pictures.value.lower() in said.lower() or said.lower() in pictures.value.lower():
        return 1.0 - (1.0 - words) * (1.0 - pictures.confidence)
    return words * (1.0 - pictures.confidence / 2)


def _thing(facts: _Facts) -> str:
    """Such as "striped dress"; empty where it is not known what it is."""
    noun = _WORDS.get(facts.noun.value or "", facts.noun.value or "")
    pattern = facts.pattern.value if facts.pattern.value != "plain" else None
    return f"{pattern} {noun}" if noun and pattern else noun


def _colour_words(facts: _Facts) -> str:
    return listed((facts.colours.value or "").lower().split("/"))


def _sure(facts: _Facts) -> float:
    return min(
        (guess.confidence for guess in (facts.noun, facts.pattern, facts.colours) if guess.value), default=0.0
    )


def _title(product: Product, facts: _Facts) -> tuple[Guess, str]:
    """From the address, which a person has named; else from brand, kind, colour and size."""
    named = title_of(product.link)
    if named and named.lower().replace(" ", "-") != product.id.lower():
        brand = product.brand if product.brand.lower() not in named.lower() else ""
        words = title(brand, [named[:1].lower() + named[1:] if brand else named], product.size)
        return Guess(words, _ADDRESS), "from the product's address"
    thing = _thing(facts)
    if not thing:
        return Guess(None, 0.0), ""
    return (
        Guess(title(product.brand, [thing, _colour_words(facts)], product.size), _sure(facts)),
        "from brand, kind and colour",
    )


def _description(product: Product, facts: _Facts, relatives: Sequence[Product]) -> Guess:
    name = "" if is_empty(product, "title") else product.title
    colours = listed(one.color.lower() for one in relatives if one.color.lower() != product.color.lower())
    sizes = listed(one.size for one in (product, *relatives))
    more = [f"Also in {colours}"] if colours else []
    more += [f"Sizes {sizes}" if " " in sizes else f"Size {sizes}"] if sizes else []
    if facts.packaging.value and facts.noun.value != facts.packaging.value and facts.noun.value:
        more.append(f"Comes in a {facts.packaging.value}")
    words = sentences(
        name, product.brand, _thing(facts), _colour_words(facts), more=more, seller=product.seller
    )
    return Guess(words or None, _sure(facts))


def is_empty(product: Product, field: str) -> bool:
    """The merchant has not filled `field` (a title that only repeats the id says nothing either)."""
    value = getattr(product, field)
    return not value or field in product.drafts or (field == "title" and value == product.id)


def with_drafts(product: Product, accepted: dict[str, str]) -> Product:
    """`product` with accepted drafts in its empty fields, which `Product.drafts` then names."""
    used: dict[str, Any] = {
        field: value for field, value in accepted.items() if field in LIMITS and is_empty(product, field)
    }
    return replace(product, **used, drafts=tuple(sorted(used))) if used else product


def problem(field: str, value: str) -> str:
    """Why `value` cannot be a draft of `field`, got and expected; empty when it can."""
    if field not in LIMITS:
        return f"field: got {field!r}, expected one of {', '.join(LIMITS)}"
    if not value.strip():
        return "value: got nothing, expected the words to accept"
    if len(value) > LIMITS[field]:
        return f"value: got {len(value)} characters, expected at most {LIMITS[field]}"
    return ""


def _agreed(guesses: Sequence[Guess]) -> Guess:
    """The label that most pictures are surest of; its confidence is the mean over all pictures."""
    votes: dict[str, float] = {}
    for guess in guesses:
        if guess.value:
            votes[guess.value] = votes.get(guess.value, 0.0) + guess.confidence
    if not votes:
        return Guess(None, 0.0)
    best = max(votes, key=lambda label: (votes[label], label))
    return Guess(best, votes[best] / len(guesses))


def _colours(looks: Sequence[Look]) -> Guess:
    """Up to three names, as feeds write them ("Red/White"), most of the product first."""
    share: dict[str, float] = {}
    sure: dict[str, float] = {}
    for look in looks:
        for name, part, confidence in look.colours:
            share[name] = share.get(name, 0.0) + part / len(looks)
            sure[name] = sure.get(name, 0.0) + confidence / len(looks)
    ordered = sorted((name for name in share if share[name] >= _LEAST_SHARE), key=lambda name: -share[name])
    if not ordered:
        return Guess(None, 0.0)
    names = "/".join(name.capitalize() for name in ordered[:_COLOURS])
    return Guess(names, min(1.0, sure[ordered[0]]))
