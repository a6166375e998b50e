"""A shop behind HTTP.

``GET {base}/products/{id}`` answers ``{"price": "15.00 USD", "availability": "in_stock", "sale_price": ""}``
(other members are ignored) or 404; ``{base}/cart/{id}?quantity=n`` is where viewers are sent to buy.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
import msgspec

from overlay.catalog.rows import price_problem
from overlay.commerce.base import ShopProduct
from overlay.commerce.static import check_quantity
from overlay.errors import CommerceError
from overlay.policy import ShopPolicy
from overlay.types import Availability
from stream.clock import Clock

_MAX_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpCommerceSettings:
    """How the shop is asked.

    Attributes:
        base: address the paths are appended to.
        deadline_ms: for one answer.
        fresh_ms: how long an answer is used again; taps of many viewers on one product become one question.
        token: sent as a Bearer token; empty sends none.
    """

    base: str
    deadline_ms: int = 600
    fresh_ms: int = 3_000
    token: str = ""


class _Answer(msgspec.Struct):
    price: str
    availability: Availability
    sale_price: str = ""


_decoder = msgspec.json.Decoder(_Answer)


class HttpCommerce:
    """A `Commerce` over HTTP. Event loop only.

    Raises:
        CommerceError: `settings.base` is not an http or https address.
    """

    def __init__(self, settings: HttpCommerceSettings, clock: Clock) -> None:
        if not ShopPolicy().link(settings.base):
            raise CommerceError(
                f"shop address: got {settings.base[:80]!r}, expected http:// or https:// and a host",
                code="shop-address",
                retryable=False,
            )
        self._settings = settings
        self._base = settings.base.rstrip("/")
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._held: dict[str, tuple[int, ShopProduct]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def product(self, product_id: str) -> ShopProduct:
        """See `Commerce`."""
        lock = self._asking.setdefault(product_id, asyncio.Lock())
        try:
            async with asyncio.timeout(self._settings.deadline_ms / 1000), lock:
                held = self._held.get(product_id)
                now_ns = self._clock.now_ns()
                if held is not None and now_ns - held[0] < self._settings.fresh_ms * 1_000_000:
                    return held[1]
                found = await self._ask(product_id)
                self._held[product_id] = (self._clock.now_ns(), found)
                return found
        except TimeoutError:
            raise CommerceError(
                f"the shop did not answer within {self._settings.deadline_ms} ms", code="shop-late"
            ) from None
        except aiohttp.ClientError as error:
            raise CommerceError(f"the shop cannot be asked: {error}", code="shop-unreachable") from None
        finally:
            if not lock.locked():
                self._asking.pop(product_id, None)

    async def cart_url(self, product_id: str, quantity: int = 1) -> str:
        """See `Commerce`."""
        check_quantity(quantity)
        await self.product(product_id)
        return f"{self._base}/cart/{quote(product_id, safe='')}?quantity={quantity}"

    async def close(self) -> None:
        """See `Commerce`."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, product_id: str) -> ShopProduct:
        url = f"{self._base}/products/{quote(product_id, safe='')}"
        async with self._client().get(url, allow_redirects=False) as response:
            if response.status == 404:
                raise CommerceError(
                    f"the shop does not know product {product_id[:60]!r}; import its present feed",
                    code="product-unknown",
                    retryable=False,
                    http_status=404,
                )
            if response.status != 200:
                raise CommerceError(
                    f"the shop answered with status {response.status}, expected 200", code="shop-status"
                )
            body = await response.content.read(_MAX_ANSWER + 1)
            while len(body) <= _MAX_ANSWER and (more := await response.content.read(_MAX_ANSWER)):
                body += more
        if len(body) > _MAX_ANSWER:
            raise CommerceError(f"the shop answered with more than {_MAX_ANSWER} bytes", code="shop-answer")
        return _parse(body)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Accept": "application/json"}
            if self._settings.token:
                headers["Authorization"] = f"Bearer {self._settings.token}"
            self._session = aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def _parse(body: bytes) -> ShopProduct:
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommerceError(f"the shop's answer is not understood: {error}", code="shop-answer") from None
    for price in (answer.price, answer.sale_price or answer.price):
        problem = price_problem(price)
        if problem:
            raise CommerceError(f"the shop's answer is not understood: {problem}", code="shop-answer")
    return ShopProduct(answer.price, answer.availability, answer.sale_price)
