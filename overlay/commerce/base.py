"""The shop: what a product costs now, whether it is there, and where its cart is.

What every implementation guarantees, and `tests/overlay/commerce/test_contract.py` checks: an unknown product
is a CommerceError that is not retryable; a shop that does not answer in time, or answers nonsense, is a
CommerceError that is; nothing else is raised; links are http or https, or empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from overlay.messages import Card
from overlay.types import Availability

MAX_QUANTITY = 99


@dataclass(frozen=True, slots=True)
class ShopProduct:
    """What the shop says of a product right now.

    Attributes:
        price: amount and ISO 4217 currency ("15.00 USD").
        availability: whether it can be bought.
        sale_price: lower than `price`, or empty.
    """

    price: str
    availability: Availability
    sale_price: str = ""

    def on(self, card: Card) -> Card:
        """`card` with what the shop says now."""
        return replace(
            card, price=self.price, availability=self.availability.value, sale_price=self.sale_price
        )


class Commerce(Protocol):
    """A shop."""

    async def product(self, product_id: str) -> ShopProduct:
        """What the shop says of a product.

        Raises:
            CommerceError: unknown (not retryable), or no usable answer in time (retryable).
        """

    async def cart_url(self, product_id: str, quantity: int = 1) -> str:
        """Where a viewer is sent to buy it.

        Raises:
            CommerceError: the product is unknown, or `quantity` is not 1..99.
        """

    async def close(self) -> None:
        """Release connections."""
