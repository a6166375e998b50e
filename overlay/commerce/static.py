"""A shop that is the catalogue itself: prices and stock as the feed gave them, carts are product pages."""

from __future__ import annotations

import asyncio

from overlay.catalog.store import CatalogStore
from overlay.commerce.base import MAX_QUANTITY, ShopProduct
from overlay.errors import CatalogError, CommerceError
from overlay.policy import ShopPolicy
from overlay.types import Product


class StaticCommerce:
    """A `Commerce` over a catalogue store."""

    def __init__(self, store: CatalogStore, policy: ShopPolicy | None = None) -> None:
        self._store = store
        self._policy = policy or ShopPolicy()

    async def product(self, product_id: str) -> ShopProduct:
        """See `Commerce`."""
        found = await asyncio.to_thread(self._get, product_id)
        return ShopProduct(found.price, found.availability, found.sale_price)

    async def cart_url(self, product_id: str, quantity: int = 1) -> str:
        """See `Commerce`: the product page."""
        check_quantity(quantity)
        found = await asyncio.to_thread(self._get, product_id)
        return self._policy.link(found.link)

    async def close(self) -> None:
        """See `Commerce`."""

    def _get(self, product_id: str) -> Product:
        try:
            return self._store.get(product_id)
        except CatalogError as error:
            known = error.code != "product-unknown"
            raise CommerceError(
                str(error), code=error.code, retryable=known, http_status=502 if known else 404
            ) from None


def check_quantity(quantity: int) -> None:
    """Refuse what nobody buys.

    Raises:
        CommerceError: not 1..99.
    """
    if not 1 <= quantity <= MAX_QUANTITY:
        raise CommerceError(
            f"quantity: got {quantity}, expected 1 to {MAX_QUANTITY}",
            code="quantity",
            retryable=False,
            http_status=422,
        )
