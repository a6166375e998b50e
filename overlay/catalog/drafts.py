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


def propose(product: Product, looks: Sequence[Look]) -> list[Draft]:
    """Drafts for the fields that the merchant left empty, from what each picture of the product shows."""
    count = len(looks)
    if not count:
        return []
    category = _agreed([look.category for look in looks])
    pattern = _agreed([look.pattern for look in looks]) if category.value else Guess(None, 0.0)  # of cloth
    packaging = _agreed([look.packaging for look in looks])
    colours = _colours(looks)
    seen = f"{count} picture{'s' if count > 1 else ''}"
    found: list[Draft] = []

    def add(field: str, guess: Guess, why: str) -> None:
        if guess.value and is_empty(product, field) and field not in product.drafts:
            value = guess.value[: LIMITS[field]]
            found.append(Draft(product.id, field, value, round(guess.confidence, 3), why))

    if category.value in CATEGORIES:
        path = f"Apparel & Accessories > {CATEGORIES[category.value]}"
        add(
            "google_product_category",
            Guess(path, category.confidence),
            f"looks like: {category.value} ({seen})",
        )
    add("color", colours, f"most of the product, {seen}")
    add("pattern", pattern, f"of the cloth, {seen}")
    add("packaging", packaging, f"seen in {seen}")
    thing = category if category.value else packaging
    words = _words(product, thing, pattern, colours)
    sure = min((guess.confidence for guess in (thing, pattern, colours) if guess.value), default=0.0)
    add("title", Guess(words[:1].upper() + words[1:], sure), "from brand, kind and colour")
    add("description", Guess(_sentence(product, words), sure), "from what is known; to be edited")
    return found


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


def _words(product: Product, thing: Guess, pattern: Guess, colours: Guess) -> str:
    """Such as "Fennmark striped dress, blue and white, size M"; empty without a thing to name."""
    if not thing.value:
        return ""
    noun = _WORDS.get(thing.value, thing.value)
    kind = f"{pattern.value} {noun}" if pattern.value and pattern.value != "plain" else noun
    colour = product.color.lower() or (colours.value or "").lower()
    parts = [f"{product.brand} {kind}".strip(), colour.replace("/", " and ")]
    return ", ".join([part for part in parts if part] + ([f"size {product.size}"] if product.size else []))


def _sentence(product: Product, words: str) -> str:
    """A description to start from; empty without anything to say."""
    if not words:
        return ""
    named = product.title if product.title != product.id else ""
    begin = f"{named}: {words}" if named else words[:1].upper() + words[1:]
    return f"{begin}." + (f" Sold by {product.seller}." if product.seller else "")
