"""What every shop guarantees (overlay/commerce/base.py), over every implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from overlay.catalog.store import CatalogStore
from overlay.commerce.base import Commerce, ShopProduct
from overlay.commerce.http import HttpCommerce, HttpCommerceSettings
from overlay.commerce.static import StaticCommerce
from overlay.errors import CommerceError
from overlay.policy import ShopPolicy
from overlay.types import Availability
from stream.clock import MonotonicClock
from tests.overlay.builders import card, product

ODD_ID = "a/b ?&ü"


async def _shop(request: web.Request) -> web.Response:
    known = {
        "mug-01": {"price": "12.00 EUR", "availability": "in_stock", "sale_price": "9.00 EUR", "stock": 4},
        ODD_ID: {"price": "500 JPY", "availability": "out_of_stock"},
    }
    found = known.get(request.match_info["id"])
    return web.json_response(found) if found else web.json_response({}, status=404)


@pytest.fixture(params=["static", "http"])
async def commerce(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Commerce]:
    if request.param == "static":
        store = CatalogStore(tmp_path)
        store.put(product("mug-01", sale_price="9.00 EUR"), [], "")
        store.put(product(ODD_ID, price="500 JPY", availability=Availability.OUT_OF_STOCK), [], "")
        yield StaticCommerce(store)
        store.close()
        return
    app = web.Application()
    app.router.add_get("/products/{id:.*}", _shop)
    server = TestServer(app)
    await server.start_server()
    made = HttpCommerce(HttpCommerceSettings(base=str(server.make_url("/"))), MonotonicClock())
    yield made
    await made.close()
    await server.close()


async def test_product_has_price_stock_and_sale(commerce: Commerce) -> None:
    assert await commerce.product("mug-01") == ShopProduct("12.00 EUR", Availability.IN_STOCK, "9.00 EUR")
    assert await commerce.product(ODD_ID) == ShopProduct("500 JPY", Availability.OUT_OF_STOCK)


async def test_unknown_product_is_an_error_that_is_not_worth_repeating(commerce: Commerce) -> None:
    for ask in (commerce.product, commerce.cart_url):
        with pytest.raises(CommerceError, match="nothing") as caught:
            await ask("nothing")
        assert not caught.value.retryable and caught.value.code == "product-unknown"


async def test_cart_is_somewhere_on_the_web(commerce: Commerce) -> None:
    for product_id in ("mug-01", ODD_ID):
        url = await commerce.cart_url(product_id, 2)
        assert ShopPolicy().link(url) == url != ""


@pytest.mark.parametrize("quantity", [0, -1, 100])
async def test_quantity_nobody_buys_is_refused(commerce: Commerce, quantity: int) -> None:
    with pytest.raises(CommerceError, match="expected 1 to 99"):
        await commerce.cart_url("mug-01", quantity)


async def test_answer_goes_onto_the_card(commerce: Commerce) -> None:
    updated = (await commerce.product("mug-01")).on(card(1))
    assert (updated.price, updated.sale_price, updated.availability) == ("12.00 EUR", "9.00 EUR", "in_stock")
    assert updated.title == card(1).title
