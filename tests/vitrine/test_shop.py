from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from overlay.catalog.store import CatalogStore
from overlay.errors import CatalogError
from overlay.types import Availability
from tests.fakes.clock import FakeClock
from tests.overlay.builders import product
from vitrine.config import CatalogConfig, Config, ServerConfig
from vitrine.shop import Shop


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    return CatalogStore(tmp_path)


@pytest.fixture
async def shop(tmp_path: Path, store: CatalogStore) -> AsyncIterator[Shop]:
    config = Config(server=ServerConfig(data_dir=tmp_path), catalog=CatalogConfig(own_seller="Us"))
    async with Shop(config, store, None, FakeClock()) as shop:
        yield shop
    store.close()


async def test_cards_are_as_the_catalogue_has_the_products_now(shop: Shop, store: CatalogStore) -> None:
    store.put(product("mug", price="12.00 EUR"), [], "")
    store.put(product("hat", seller="Them"), [], "")
    store.update(product("mug", price="9.00 EUR", availability=Availability.OUT_OF_STOCK), "", [])
    hat, mug = shop.cards(["hat", "gone", "mug"])
    assert (mug.price, mug.availability, mug.seller) == ("9.00 EUR", "out_of_stock", "Us")
    assert (hat.id, hat.label, hat.image) == ("hat", "Sold by Them", "")


async def test_a_node_without_a_catalogue_says_so_instead_of_sold_out(shop: Shop) -> None:
    with pytest.raises(CatalogError, match="no catalogue") as caught:
        shop.cards(["mug"])
    assert caught.value.http_status == 404
