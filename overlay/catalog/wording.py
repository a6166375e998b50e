"""What a product's own words already say of it, and how facts become a title and a sentence. Pure.

Names of kinds lead to Google's product taxonomy (version 2021-09-21). In English titles the kind comes last
("leather bag strap"), so the last word that names one decides; an address ends with a title, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

_APPAREL: Final = "Apparel & Accessories > "
_CLOTHING: Final = _APPAREL + "Clothing > "
_WORN: Final = _APPAREL + "Clothing Accessories > "
_JEWELRY: Final = _APPAREL + "Jewelry > "
_COSMETICS: Final = "Health & Beauty > Personal Care > Cosmetics > "
_DRINKS: Final = "Food, Beverages & Tobacco > Beverages > "
_FOOD: Final = "Food, Beverages & Tobacco > Food Items > "
_KITCHEN: Final = "Home & Garden > Kitchen & Dining > "

_PATHS: Final = {
    _CLOTHING + "Dresses": "dress dresses gown",
    _CLOTHING + "One-Pieces > Jumpsuits & Rompers": "jumpsuit romper",
    _CLOTHING + "Shirts & Tops": "shirt t-shirt tee blouse sweater hoodie cardigan polo pullover top",
    _CLOTHING + "Pants": "trousers pants jeans leggings chinos",
    _CLOTHING + "Shorts": "shorts",
    _CLOTHING + "Skirts": "skirt",
    _CLOTHING + "Outerwear > Coats & Jackets": "jacket coat blazer parka anorak raincoat",
    _APPAREL + "Shoes": "shoe shoes sneaker sneakers boot boots sandal sandals loafers heels trainers",
    _APPAREL + "Handbags, Wallets & Cases > Handbags": "handbag bag clutch tote purse",
    _APPAREL + "Handbags, Wallets & Cases > Wallets & Money Clips": "wallet",
    "Luggage & Bags > Backpacks": "backpack",
    _WORN + "Belts": "belt",
    _WORN + "Hats": "hat cap beanie beret",
    _WORN + "Scarves & Shawls > Scarves": "scarf",
    _WORN + "Gloves & Mittens": "gloves mittens",
    _WORN + "Sunglasses": "sunglasses",
    _JEWELRY + "Necklaces": "necklace",
    _JEWELRY + "Earrings": "earrings",
    _JEWELRY + "Bracelets": "bracelet",
    _JEWELRY + "Rings": "ring",
    _JEWELRY + "Watches": "watch",
    _COSMETICS + "Skin Care > Lotion & Moisturizer": "cream lotion moisturiser moisturizer balm",
    _COSMETICS + "Skin Care": "serum essence ampoule toner",
    _COSMETICS + "Makeup": "lipstick mascara foundation blush eyeshadow concealer",
    _COSMETICS + "Perfume & Cologne": "perfume fragrance cologne",
    _COSMETICS + "Bath & Body > Bar Soap": "soap",
    _DRINKS + "Coffee": "coffee espresso",
    _DRINKS + "Tea & Infusions": "tea oolong matcha rooibos",
    _DRINKS + "Juice": "juice",
    _DRINKS + "Soda": "soda lemonade cola",
    _DRINKS + "Milk": "milk",
    _FOOD + "Dairy Products > Yogurt": "yoghurt yogurt",
    _FOOD + "Condiments & Sauces > Honey": "honey",
    _FOOD + "Candy & Chocolate": "chocolate",
    _FOOD + "Bakery > Cookies": "biscuits cookies shortbread",
    _KITCHEN + "Tableware > Drinkware > Mugs": "mug",
    _KITCHEN + "Tableware > Drinkware > Coffee & Tea Cups": "cup teacup",
    _KITCHEN + "Tableware > Dinnerware > Plates": "plate",
    _KITCHEN + "Tableware > Dinnerware > Bowls": "bowl",
    _KITCHEN + "Tableware > Coffee & Tea Pots": "teapot",
    "Home & Garden > Decor > Vases": "vase",
    "Home & Garden > Lighting > Lamps": "lamp",
}
_COLOURS: Final = frozenset(
    "black white grey gray red orange yellow green turquoise blue navy purple pink beige brown silver gold "
    "cream olive burgundy violet".split()
)
_SEVERAL: Final = frozenset(
    "shoes sneakers boots sandals loafers heels trainers trousers pants jeans leggings chinos shorts gloves "
    "mittens sunglasses earrings biscuits cookies".split()
)
_MASS: Final = frozenset(
    "coffee espresso tea oolong matcha rooibos juice soda lemonade cola milk yoghurt yogurt honey chocolate "
    "shortbread soap cream lotion blush concealer foundation mascara".split()
)
_UNLIKE: Final = {"cream": frozenset({"hand", "face", "body", "day", "night", "eye", "skin", "foot"})}
"""Words that name a kind only after one of these, and are colours, food or nothing otherwise."""
_WORD: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_SLUG: Final = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+){1,11}")


class Kind(NamedTuple):
    """What sort of thing: the word that says so, and Google's category."""

    noun: str
    path: str


_KINDS: Final = {word: Kind(word, path) for path, words in _PATHS.items() for word in words.split()}


def kind_of(text: str) -> Kind | None:
    """What `text` (a title) is about; None where no word tells."""
    words = [word.lower() for word in _WORD.findall(text)]
    for place in range(len(words) - 1, -1, -1):
        word = words[place]
        singular = word.removesuffix("s")
        kind = _KINDS.get(word) or _KINDS.get(singular)
        before = _UNLIKE.get(word)
        if kind is not None and (before is None or (place and words[place - 1] in before)):
            return kind
    return None


def colours_in(text: str) -> str:
    """Colours that `text` names, as feeds write them ("Blue/White"); empty where it names none."""
    words = [word.lower() for word in _WORD.findall(text)]
    named = [
        word
        for place, word in enumerate(words)
        if word in _COLOURS and not (word in _UNLIKE and place and words[place - 1] in _UNLIKE[word])
    ]
    return "/".join(word.capitalize() for word in dict.fromkeys(named))


def title_of(link: str) -> str:
    """The title that an address ends with ("/p/blue-mug.html": "Blue mug"); empty where it has none."""
    path = unquote(urlsplit(link).path).rstrip("/").lower()
    slug = re.sub(r"\.[a-z]{2,5}$", "", path.rsplit("/", 1)[-1])
    if _SLUG.fullmatch(slug) is None:
        return ""
    words = re.split(r"[-_]", slug)
    while words and words[-1].isdigit():  # numbers at the end are the shop's
        words.pop()
    named = [word for word in words if word.isalpha() and len(word) > 1]
    if len(named) < 2 or len(named) < 0.6 * len(words):
        return ""
    return " ".join(words).capitalize()


def title(brand: str, words: Sequence[str], size: str) -> str:
    """A title in the order that Merchant recommends for apparel: brand, kind, colour, size."""
    text = ", ".join(part for part in (f"{brand} {words[0]}".strip(), *words[1:]) if part)
    text = f"{text}, size {size}" if size and text else text
    return text[:1].upper() + text[1:]


def sentences(
    name: str, brand: str, thing: str, colour: str, more: Iterable[str] = (), seller: str = ""
) -> str:
    """A description to start from ("Summer dress by Nord: a striped dress in blue and white.").

    Args:
        name: the product's title; empty where it has none.
        brand: left out where the title names it.
        thing: what it is ("striped dress"); empty: nothing is said.
        colour: in words ("blue and white"); may be empty.
        more: further facts, each a sentence without its full stop.
        seller: who sells it.
    """
    if not thing:
        return ""
    what = f"{_article(thing)}{thing}" + (f" in {colour}" if colour else "")
    by = f" by {brand}" if brand and brand.lower() not in name.lower() else ""
    first = f"{name}{by}: {what}" if name else f"{what[:1].upper()}{what[1:]}{by}"
    told = [first, *more, *([f"Sold by {seller}"] if seller else [])]
    return " ".join(f"{fact}." for fact in told)


def listed(words: Iterable[str]) -> str:
    """Such as "a, b and c"; each word once, empty ones left out."""
    once = list(dict.fromkeys(word for word in words if word))
    return " and ".join([", ".join(once[:-1]), once[-1]] if len(once) > 1 else once)


def _article(thing: str) -> str:
    last = thing.rsplit(" ", 1)[-1]
    if last in _SEVERAL or last in _MASS:
        return ""
    return "an " if thing[:1].lower() in "aeiou" else "a "
