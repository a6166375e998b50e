"""Shopify's product list comes in pages; here they become one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from overlay.catalog.feeds.base import MAX_FEED_BYTES
from overlay.catalog.feeds.text import parsed

_PER_PAGE = 250
_PAGES = 400


def is_product_list(address: str) -> bool:
    """`address` is a shop's ``products.json``, and not one certain page of it."""
    parts = urlsplit(address)
    return parts.path.endswith("/products.json") and "page" not in dict(parse_qsl(parts.query))


async def all_pages(address: str, get: Callable[[str], Awaitable[bytes]]) -> bytes:
    """All products at `address`, as one document. Ends at a page that is not full, or is no product list.

    Raises whatever `get` raises, and FeedError where a page is not JSON.
    """
    parts = urlsplit(address)
    asked = dict(parse_qsl(parts.query)) | {"limit": str(_PER_PAGE)}
    every: list[msgspec.Raw] = []
    size = 0
    for page in range(1, _PAGES + 1):
        query = urlencode(asked | {"page": str(page)})
        data = await get(urlunsplit(parts._replace(query=query)))
        document = parsed(data.decode("utf-8", errors="replace"))
        products = document.get("products") if isinstance(document, Mapping) else None
        if not isinstance(products, list):
            return data
        every += (msgspec.Raw(msgspec.json.encode(product)) for product in products)
        size += len(data)
        if len(products) < _PER_PAGE or size > MAX_FEED_BYTES:
            break
    return msgspec.json.encode({"products": every})
