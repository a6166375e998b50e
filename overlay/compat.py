"""What goes with a product: compatibility, which is another thing than similarity. Pure.

Three kinds of evidence: the kinds of product complement each other (shoes for a dress, a mug for coffee),
their colours agree, and the same people wanted both in past shows. A learned model can take the place of all
three: it only has to be a `Compatibility`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from overlay.types import Product

Lab = tuple[float, float, float]
"""CIE 1976 L* a* b*, D65; L* 0..100."""

ROLES: Final[dict[str, tuple[frozenset[int], str]]] = {
    "dress": (frozenset({2271, 5250}), "dress dresses gown jumpsuit romper"),
    "top": (frozenset({212}), "shirt shirts t-shirt tee blouse sweater hoodie cardigan polo pullover"),
    "bottom": (frozenset({204, 207, 1581}), "trousers pants jeans skirt shorts leggings chinos"),
    "outerwear": (frozenset({203, 5598}), "jacket coat blazer parka anorak raincoat vest"),
    "shoes": (
        frozenset({187}),
        "shoe shoes sneaker sneakers boot boots sandal sandals loafer heels trainers",
    ),
    "bag": (frozenset({3032, 100}), "bag handbag backpack clutch tote purse satchel"),
    "belt": (frozenset({169}), "belt belts suspenders"),
    "hat": (frozenset({173}), "hat cap beanie beret"),
    "scarf": (frozenset({177, 170}), "scarf shawl gloves mittens"),
    "jewellery": (frozenset({188, 189, 191, 194, 196, 200, 201}), "necklace earrings bracelet ring watch"),
    "eyewear": (frozenset({178}), "sunglasses glasses"),
    "serum": (frozenset(), "serum essence ampoule"),
    "cream": (frozenset({2592, 567}), "cream lotion moisturiser moisturizer balm"),
    "cleanser": (frozenset(), "cleanser soap toner scrub"),
    "make-up": (frozenset({477}), "lipstick mascara foundation blush eyeshadow concealer"),
    "fragrance": (frozenset({479}), "perfume fragrance cologne"),
    "coffee": (frozenset({1868}), "coffee espresso"),
    "tea": (frozenset({2073}), "tea oolong matcha rooibos"),
    "mug": (frozenset({2169, 6049}), "mug mugs cup teacup"),
    "brewer": (frozenset({736, 1388, 751, 3988}), "kettle teapot grinder dripper cafetiere"),
    "sweetener": (frozenset({4947}), "honey sugar syrup jam"),
    "treat": (frozenset({4748, 2188, 2194}), "chocolate biscuit biscuits cookie cookies cake shortbread"),
    "soft drink": (frozenset({2628, 2887}), "soda lemonade juice tonic"),
    "tableware": (frozenset({3553, 3498}), "plate plates bowl tray vase"),
}
"""Kind of product -> numbers of the Google product taxonomy (2021-09-21), words that give it away."""

_PAIRS: Final = {
    "top": {"bottom": 1.0, "outerwear": 0.8, "shoes": 0.7, "jewellery": 0.6, "bag": 0.6, "scarf": 0.5},
    "bottom": {"shoes": 0.9, "outerwear": 0.7, "belt": 0.8, "bag": 0.6},
    "dress": {"shoes": 1.0, "bag": 0.9, "outerwear": 0.8, "jewellery": 0.8, "hat": 0.5, "belt": 0.5},
    "shoes": {"bag": 0.8, "belt": 0.6, "outerwear": 0.5},
    "outerwear": {"scarf": 0.9, "hat": 0.7, "bag": 0.6},
    "bag": {"eyewear": 0.6, "scarf": 0.5, "jewellery": 0.5, "belt": 0.5},
    "hat": {"eyewear": 0.6, "scarf": 0.7},
    "serum": {"cream": 1.0, "cleanser": 0.9, "make-up": 0.5},
    "cream": {"cleanser": 0.9, "make-up": 0.6},
    "make-up": {"cleanser": 0.7, "fragrance": 0.4},
    "coffee": {"mug": 1.0, "brewer": 1.0, "treat": 0.7, "sweetener": 0.4},
    "tea": {"mug": 0.9, "brewer": 1.0, "sweetener": 0.9, "treat": 0.7},
    "mug": {"brewer": 0.7, "treat": 0.5, "tableware": 0.7, "sweetener": 0.4},
    "sweetener": {"treat": 0.4, "tableware": 0.3},
    "soft drink": {"treat": 0.6},
}
_SEEN_TOGETHER: Final = frozenset(
    "top bottom dress shoes outerwear bag belt hat scarf jewellery eyewear mug tableware".split()
)
"""Kinds whose colours one sees side by side when they are used."""

CATEGORY, COLOUR, TOGETHER = 0.5, 0.2, 0.3
"""Weights of the three kinds of evidence."""
LEAST: Final = 0.15
"""Compatibility below which nothing is said."""
_WORD = re.compile(r"[a-z][a-z-]*")


class Shade(NamedTuple):
    """A dominant colour: where it is in Lab, and its share of the product."""

    lab: Lab
    share: float


@dataclass(frozen=True, slots=True)
class Item:
    """What is known of a product when its company is judged.

    Attributes:
        product_id: catalogue id.
        role: a key of `ROLES`; empty where it is not known.
        group: variants of one article share it.
        shades: dominant colours, most first; may be empty.
    """

    product_id: str
    role: str
    group: str = ""
    shades: tuple[Shade, ...] = ()


@dataclass(frozen=True, slots=True)
class Rating:
    """How well two products go together: 0..1, and why in words."""

    score: float
    reason: str


class Compatibility(Protocol):
    """Judges what goes with what. Pure and quick: called for some hundred products at once.

    A learned model implements this; pictures or vectors it needs it looks up by product id.
    """

    def rate(self, anchor: Item, others: Sequence[Item]) -> list[Rating]:
        """One rating per item of `others`, in their order; 0 for what does not go with `anchor`."""


class RuleCompatibility:
    """A `Compatibility` by rules: complementing kinds, colours in harmony, wanted together before.

    Args:
        together: how often each product was wanted with the anchor, 0..1 (`overlay.ledger.together`).
    """

    def __init__(self, together: Mapping[str, float] | None = None) -> None:
        self._together = together or {}

    def rate(self, anchor: Item, others: Sequence[Item]) -> list[Rating]:
        """As `Compatibility.rate`."""
        return [self._rate(anchor, other) for other in others]

    def _rate(self, anchor: Item, other: Item) -> Rating:
        if other.product_id == anchor.product_id or (anchor.group and anchor.group == other.group):
            return Rating(0.0, "")
        kind, wanted = complement(anchor.role, other.role), self._together.get(other.product_id, 0.0)
        parts, weights = [(CATEGORY, kind), (TOGETHER, wanted)], CATEGORY + TOGETHER
        reasons = [f"{other.role} for {anchor.role}"] if kind > 0 else []
        if kind > 0 and {anchor.role, other.role} <= _SEEN_TOGETHER and anchor.shades and other.shades:
            agree = harmony(anchor.shades, other.shades)
            parts.append((COLOUR, agree))
            weights += COLOUR
            if agree >= 0.6:
                reasons.append("colours in harmony")
        if wanted >= 0.05:
            reasons.append("often wanted together")
        score = sum(weight * value for weight, value in parts) / weights
        return Rating(score, ", ".join(reasons)) if score >= LEAST and reasons else Rating(0.0, "")


# ---- kinds of product --------------------------------------------------------------------------------------


def role_of(product: Product) -> str:
    """What kind of product it is, a key of `ROLES`; empty where nothing tells.

    The last word of the title that means something decides ("leather bag for shoes" aside, kinds come last in
    English titles); then the category, as a number or a path; then the description.
    """
    words = _WORD.findall(product.title.lower())
    told = [_BY_WORD[word] for word in words if word in _BY_WORD]
    if told:
        return told[-1]
    category = product.google_product_category.strip()
    if category.isdigit():
        return next((role for role, (numbers, _) in ROLES.items() if int(category) in numbers), "")
    for text in (category.rsplit(">", 1)[-1], product.description):
        for word in _WORD.findall(text.lower()):
            if word in _BY_WORD or word.removesuffix("s") in _BY_WORD:
                return _BY_WORD.get(word) or _BY_WORD[word.removesuffix("s")]
    return ""


_BY_WORD: Final = {word: role for role, (_, words) in ROLES.items() for word in words.split()}


def complement(one: str, other: str) -> float:
    """How much two kinds of product complement each other, 0..1; a kind does not complement itself."""
    return max(_PAIRS.get(one, {}).get(other, 0.0), _PAIRS.get(other, {}).get(one, 0.0))


# ---- colours -----------------------------------------------------------------------------------------------


def harmony(one: Iterable[Shade], other: Iterable[Shade]) -> float:
    """How well two products' colours go together, 0..1: all pairs of shades, weighed by their shares."""
    pairs = [(a.share * b.share, colour_harmony(a.lab, b.lab)) for a in one for b in other]
    weight = sum(share for share, _ in pairs)
    mean = sum(share * value for share, value in pairs) / weight if weight else 0.0
    return 1.0 / (1.0 + math.exp(-2.0 * mean))


def colour_harmony(one: Lab, other: Lab) -> float:
    """Harmony of two colours: Ou and Luo, "A colour harmony model for two-colour combinations", 2006.

    Color Research and Application 31(3), equations for CIELAB: agreement of chroma and hue, of lightness, and
    the appeal of each hue. About -1.5 (discord) to 1.5 (harmony).
    """
    chroma = math.hypot(one[1], one[2]), math.hypot(other[1], other[2])
    squared = (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2 - (chroma[0] - chroma[1]) ** 2
    apart = math.sqrt(max(0.0, squared) + ((chroma[0] - chroma[1]) / 1.46) ** 2)
    by_chroma = 0.04 + 0.53 * math.tanh(0.8 - 0.045 * apart)
    by_sum = 0.28 + 0.54 * math.tanh(-3.88 + 0.029 * (one[0] + other[0]))
    by_step = 0.14 + 0.15 * math.tanh(-2.0 + 0.2 * abs(one[0] - other[0]))
    return by_chroma + by_sum + by_step + _hue_appeal(one) + _hue_appeal(other)


def _hue_appeal(colour: Lab) -> float:
    lightness, a, b = colour
    hue = math.degrees(math.atan2(b, a)) % 360.0
    strength = 0.5 + 0.5 * math.tanh(-2.0 + 0.5 * math.hypot(a, b))
    by_hue = -0.08 - 0.14 * math.sin(math.radians(hue + 50)) - 0.07 * math.sin(math.radians(2 * hue + 90))
    around = (90.0 - hue) / 10.0
    yellow = (0.22 * lightness - 12.8) / 10.0 * math.exp(around - math.exp(around))
    return strength * (by_hue + yellow)
