"""Searches of viewers on the wire: what may be asked, what is answered, and in which words. Pure.

`docs/search.md` tells the same with examples. Boxes are ``[x0, y0, x1, y1]``, 0..1 of the displayed picture;
a moment is the key of the frame that was on the viewer's screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from inference.types import MatchState
from overlay.errors import MessageError
from overlay.messages import U32, Card, Unit
from overlay.types import Availability, Product

MAX_SEARCH_BYTES: Final = 1024
MIN_SIDE: Final = 0.02
"""Smaller regions show too little to tell anything by."""

Region: TypeAlias = tuple[Unit, Unit, Unit, Unit]
ProductId = Annotated[str, Meta(min_length=1, max_length=50)]
Count = Annotated[int, Meta(ge=1, le=24)]
Few = Meta(max_length=16)
Seller = Annotated[str, Meta(min_length=1, max_length=100)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
Amount = Annotated[float, Meta(ge=0)]


class Where(Struct, frozen=True, forbid_unknown_fields=True):
    """Which products may be found: those that fulfil all of it. What is left empty restricts nothing.

    Attributes:
        sellers: by the names that cards give.
        availability: stock.
        currencies: markets, by the currency of the price; ISO 4217.
        prices: least and most, as one pays (the sale price where there is one); needs one currency.
    """

    sellers: Annotated[frozenset[Seller], Few] = frozenset()
    availability: Annotated[frozenset[Availability], Few] = frozenset()
    currencies: Annotated[frozenset[Currency], Few] = frozenset()
    prices: tuple[Amount, Amount] | None = None

    def __post_init__(self) -> None:
        if self.prices is None:
            return
        if len(self.currencies) != 1:
            raise ValueError(
                f"prices: got {len(self.currencies)} currencies, expected one to compare them in"
            )
        if self.prices[0] > self.prices[1]:
            raise ValueError(f"prices: got {list(self.prices)}, expected [least, most]")

    def __bool__(self) -> bool:
        return bool(self.sellers or self.availability or self.currencies)

    def of_shop(self, own_seller: str) -> Where:
        """The same, for products as the catalogue has them: the shop's own may name no seller."""
        if own_seller not in self.sellers:
            return self
        return msgspec.structs.replace(self, sellers=self.sellers | {""})

    def allows(self, product: Product) -> bool:
        """Whether `product` may be found."""
        amount, _, currency = (product.sale_price or product.price).rpartition(" ")
        return (
            (not self.sellers or product.seller in self.sellers)
            and (not self.availability or product.availability in self.availability)
            and (not self.currencies or currency in self.currencies)
            and (self.prices is None or self.prices[0] <= float(amount) <= self.prices[1])
        )


ANY: Final = Where()


class Similar(Struct, frozen=True, tag_field="mode", tag="similar", forbid_unknown_fields=True):
    """What looks like this: a region of a moment, or a product."""

    epoch: U32 | None = None
    rtp: U32 | None = None
    box: Region | None = None
    product_id: ProductId | None = None
    k: Count = 8
    where: Where = ANY

    def __post_init__(self) -> None:
        moment = (self.epoch, self.rtp, self.box)
        if self.product_id is not None:
            if any(part is not None for part in moment):
                raise ValueError("got a product_id and a region, expected one of them")
        elif self.epoch is None or self.rtp is None or self.box is None:
            raise ValueError("expected epoch, rtp and box, or a product_id")
        else:
            check_region(self.box)


class Look(Struct, frozen=True, tag_field="mode", tag="look", forbid_unknown_fields=True):
    """All products of a moment, or those that one person wears or holds there."""

    epoch: U32
    rtp: U32
    person: Region | None = None
    k: Count = 3
    where: Where = ANY

    def __post_init__(self) -> None:
        if self.person is not None:
            check_region(self.person)


class Complete(Struct, frozen=True, tag_field="mode", tag="complete", forbid_unknown_fields=True):
    """What goes with a product."""

    product_id: ProductId
    k: Count = 8
    where: Where = ANY


SearchRequest: TypeAlias = Similar | Look | Complete


class Hit(Struct, frozen=True, omit_defaults=True):
    """One product.

    Attributes:
        card: what a viewer is shown of it; its ``pid`` is 0 where it is not in the show's list.
        state: exact, similar or unsure.
        score: cosine, or compatibility 0..1.
        words: how sure, in words.
        in_show: the host has it in this show's list.
        reason: why, where there is more to say.
    """

    card: Card
    state: str
    score: float
    words: str
    in_show: bool
    reason: str = ""


class Object(Struct, frozen=True, omit_defaults=True):
    """Something in the picture. `label` is ``product`` or ``person``; persons never have hits."""

    box: tuple[float, float, float, float]
    label: str
    hits: tuple[Hit, ...] = ()


class Related(Struct, frozen=True):
    """A while of the show in which something like it was shown.

    Attributes:
        product_id: what was shown.
        title: its title.
        epoch: of the moment at which it was largest.
        rtp: of that moment.
        ago_ms: how long ago that was, media time.
        seconds: for how long it was shown.
        recorded: the moment can still be looked at.
    """

    product_id: str
    title: str
    epoch: int
    rtp: int
    ago_ms: int
    seconds: float
    recorded: bool


class Answer(Struct, frozen=True, omit_defaults=True):
    """Answer to a search.

    Attributes:
        outcome: ``found``, ``nothing`` or ``refused``.
        message: for people, where the outcome needs words.
        code: of a refusal: ``person`` or ``face``.
        epoch: of the frame that was looked at.
        rtp: of the frame that was looked at.
        hits: best first.
        objects: of the frame, for `Look`.
        moments: of the show, related, where nothing was found.
        took_ms: milliseconds by stage: ``decode``, ``wait``, ``look``, ``all``.
    """

    mode: str
    outcome: str
    message: str = ""
    code: str = ""
    epoch: int = 0
    rtp: int = 0
    hits: tuple[Hit, ...] = ()
    objects: tuple[Object, ...] = ()
    moments: tuple[Related, ...] = ()
    took_ms: dict[str, float] = {}


_decoder: msgspec.json.Decoder[SearchRequest] = msgspec.json.Decoder(SearchRequest)

WORDS: Final = {
    MatchState.EXACT: "This product",
    MatchState.SIMILAR: "Looks alike",
    MatchState.UNSURE: "Loosely alike",
}
"""How sure a match is, in words."""


def check_region(box: Sequence[float]) -> None:
    """Whether a region can be searched.

    Raises:
        ValueError: corners the wrong way round, or too small.
    """
    x0, y0, x1, y1 = box
    if not (x1 > x0 and y1 > y0):
        raise ValueError(f"box: got {list(box)}, expected [x0, y0, x1, y1] with x1 > x0 and y1 > y0")
    if x1 - x0 < MIN_SIDE or y1 - y0 < MIN_SIDE:
        raise ValueError(
            f"box: got {x1 - x0:.3f} x {y1 - y0:.3f} of the picture, expected at least {MIN_SIDE} each way; "
            "draw a larger box"
        )


def decode_search(data: bytes) -> SearchRequest:
    """Decode a search.

    Raises:
        MessageError: too long, not JSON, or not one of the three modes; says which field.
    """
    if len(data) > MAX_SEARCH_BYTES:
        raise MessageError(
            f"search of {len(data)} bytes, expected at most {MAX_SEARCH_BYTES}",
            code="search-too-long",
            http_status=413,
        )
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(
            f'search not understood: {error}; expected {{"mode": "similar", "epoch": 1, "rtp": 0, '
            '"box": [x0, y0, x1, y1]} with corners 0..1, or mode look or complete',
            code="search-invalid",
        ) from None
