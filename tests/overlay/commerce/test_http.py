"""What only a shop behind HTTP can do wrong."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from overlay.commerce.http import HttpCommerce, HttpCommerceSettings
from overlay.errors import CommerceError
from tests.overlay.builders import FakeClock

GOOD = '{"price": "12.00 EUR", "availability": "in_stock"}'


class Shop:
    """A shop that answers as told."""

    def __init__(self) -> None:
        self.body = GOOD
        self.status = 200
        self.takes_s = 0.0
        self.asked: list[str] = []
        self.tokens: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        self.tokens.append(request.headers.get("Authorization"))
        await asyncio.sleep(self.takes_s)
        return web.Response(text=self.body, status=self.status, headers={"Location": "/elsewhere"})


@pytest.fixture
async def shop() -> Shop:
    return Shop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def commerce(shop: Shop, clock: FakeClock) -> AsyncIterator[HttpCommerce]:
    app = web.Application()
    app.router.add_get("/{path:.*}", shop.answer)
    server = TestServer(app)
    await server.start_server()
    settings = HttpCommerceSettings(str(server.make_url("/api/")), deadline_ms=100, token="secret")
    made = HttpCommerce(settings, clock)
    yield made
    await made.close()
    await server.close()


@pytest.mark.parametrize(
    ("status", "body", "part"),
    [
        (500, GOOD, "status 500"),
        (302, GOOD, "status 302"),
        (200, "", "not understood"),
        (200, "<html>", "not understood"),
        (200, "[]", "not understood"),
        (200, '{"price": "12.00 EUR"}', "availability"),
        (200, '{"price": 12, "availability": "in_stock"}', "price"),
        (200, '{"price": "12.00 EUR", "availability": "soon"}', "availability"),
        (200, '{"price": "cheap", "availability": "in_stock"}', "'15.00 USD'"),
        (200, '{"price": "1 EUR", "availability": "in_stock", "sale_price": "x"}', "'15.00 USD'"),
        (200, GOOD + " " * 70_000, "65536 bytes"),
    ],
)
async def test_answer_that_makes_no_sense_is_an_error_worth_repeating(
    commerce: HttpCommerce, shop: Shop, status: int, body: str, part: str
) -> None:
    shop.status, shop.body = status, body
    with pytest.raises(CommerceError, match=part) as caught:
        await commerce.product("mug-01")
    assert caught.value.retryable
    shop.status, shop.body = 200, GOOD
    assert (await commerce.product("mug-01")).price == "12.00 EUR"


async def test_late_answer_is_an_error_at_the_deadline(commerce: HttpCommerce, shop: Shop) -> None:
    shop.takes_s = 5
    async with asyncio.timeout(1):
        with pytest.raises(CommerceError, match="within 100 ms"):
            await commerce.product("mug-01")


async def test_unreachable_shop_is_an_error(clock: FakeClock) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    commerce = HttpCommerce(HttpCommerceSettings(f"http://127.0.0.1:{port}"), clock)
    with pytest.raises(CommerceError, match="cannot be asked"):
        await commerce.product("mug-01")
    await commerce.close()


async def test_many_taps_at_once_ask_the_shop_once_until_the_answer_is_old(
    commerce: HttpCommerce, shop: Shop, clock: FakeClock
) -> None:
    shop.takes_s = 0.02
    answers = await asyncio.gather(*(commerce.product("mug-01") for _ in range(50)))
    assert len(set(answers)) == 1 and shop.asked == ["/api/products/mug-01"]
    clock.advance_ms(2_999)
    await commerce.product("mug-01")
    assert len(shop.asked) == 1
    clock.advance_ms(1)
    await commerce.product("mug-01")
    assert len(shop.asked) == 2


async def test_token_is_sent_and_ids_stay_one_path_segment(commerce: HttpCommerce, shop: Shop) -> None:
    await commerce.product("../admin")
    assert shop.tokens == ["Bearer secret"]
    assert shop.asked[0].startswith("/api/products/")


@pytest.mark.parametrize("base", ["", "shop.example", "ftp://shop.example", "http://user:pw@shop.example"])
def test_address_that_is_none_is_refused(base: str, clock: FakeClock) -> None:
    with pytest.raises(CommerceError, match="expected http"):
        HttpCommerce(HttpCommerceSettings(base), clock)
