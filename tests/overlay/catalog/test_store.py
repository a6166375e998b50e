from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from overlay.catalog.store import CatalogStore, safe_id
from overlay.errors import CatalogError
from overlay.search import Where
from overlay.types import Availability
from tests.overlay.builders import product


def test_products_survive_reopening(tmp_path: Path) -> None:
    first = CatalogStore(tmp_path)
    first.put(product("b", brand="Acme", additional_image_link=("x.png",)), [b"jpeg"], "f1")
    first.close()
    again = CatalogStore(tmp_path)
    assert again.get("b") == product("b", brand="Acme", additional_image_link=("x.png",))
    assert again.fingerprint("b") == "f1" and len(again) == 1
    again.close()


def test_products_keep_the_order_of_their_first_import(store: CatalogStore) -> None:
    for product_id in ("c", "a", "b", "a"):
        store.put(product(product_id, title=product_id), [], "")
    assert [item.id for item in store.list()] == ["c", "a", "b"]


def test_unknown_product_is_named(store: CatalogStore) -> None:
    assert store.fingerprint("nothing") == ""
    with pytest.raises(CatalogError, match="'nothing' is not in the catalogue") as caught:
        store.get("nothing")
    assert caught.value.http_status == 404


def test_search_finds_every_word_in_any_field_and_takes_wildcards_literally(store: CatalogStore) -> None:
    store.put(product("m1", title="Red Mug", brand="Acme"), [], "")
    store.put(product("m2", title="Blue mug 100%", description="dishwasher"), [], "")
    assert [item.id for item in store.search("MUG")] == ["m1", "m2"]
    assert [item.id for item in store.search("acme mug")] == ["m1"]
    assert [item.id for item in store.search("100%")] == ["m2"]
    assert store.search("_") == [] and store.search("\\") == []
    assert len(store.search("")) == 2 and len(store.search("", limit=1)) == 1


def test_accepted_drafts_stand_in_for_what_the_merchant_left_out(store: CatalogStore) -> None:
    store.put(product("a"), [], "")
    store.put_draft("a", "color", "Turquoise")
    store.put_draft("a", "pattern", "striped")
    assert [one.color for one in (store.get("a"), *store.list())] == ["Turquoise"] * 2
    assert store.get("a").drafts == ("color", "pattern")
    assert [one.id for one in store.search("turquoise")] == ["a"]
    store.put(product("a", color="Red"), [], "")
    assert (store.get("a").color, store.get("a").drafts) == ("Red", ("pattern",))
    store.put_draft("a", "pattern", "")
    assert store.get("a").drafts == ()
    store.remove("a")
    store.put(product("a"), [], "")
    assert store.get("a").drafts == () and store.get("a").color == ""


def test_pictures_are_replaced_as_a_whole(store: CatalogStore) -> None:
    store.put(product("m"), [b"0", b"1", b"2"], "")
    path = store.picture_path("m", 2)
    assert path is not None and path.read_bytes() == b"2"
    store.put(product("m"), [b"new"], "")
    main = store.picture_path("m", 0)
    assert main is not None and main.read_bytes() == b"new"
    assert [store.picture_path("m", number) for number in (1, 2, -1)] == [None, None, None]


def test_vectors_belong_to_a_model_and_go_with_changed_pictures(store: CatalogStore) -> None:
    store.put(product("a"), [b"x"], "")
    store.put(product("b"), [b"x"], "")
    store.put_vectors("a", "model-1", np.eye(3, dtype=np.float32)[:2])
    assert [(name, vector.tolist()) for name, vector in store.vectors("model-1")] == [
        ("a", [1, 0, 0]),
        ("a", [0, 1, 0]),
    ]
    assert store.vectors("model-2") == [] and store.without_vectors("model-1") == ["b"]
    store.put_vectors("a", "model-1", np.eye(3, dtype=np.float32)[2:])
    assert len(store.vectors("model-1")) == 1
    store.put(product("a", title="Changed"), [b"y"], "")
    assert store.vectors("model-1") == []


def test_products_are_selected_by_seller_stock_and_market(store: CatalogStore) -> None:
    gone = Availability.OUT_OF_STOCK
    store.put(product("a", seller="one", price="1 EUR"), [], "")
    store.put(product("b", seller="two", price="1 EUR", availability=gone), [], "")
    store.put(product("c", seller="it's", price="1 USD"), [], "")
    assert store.ids() == {"a", "b", "c"} and store.ids(sellers=["two", "it's"]) == {"b", "c"}
    assert store.ids(availability=[Availability.IN_STOCK]) == {"a", "c"}
    assert store.ids(currencies=["EUR"], availability=[gone]) == {"b"}
    assert store.ids(currencies=["EUR"], sellers=["it's"]) == frozenset()


def test_a_selection_is_what_a_viewers_filter_allows(store: CatalogStore) -> None:
    offers = [
        ("5.00 EUR", ""),
        ("20.00 EUR", "9.99 EUR"),
        ("10.00 EUR", ""),
        ("7.00 USD", ""),
        ("1200 JPY", ""),
    ]
    stock = [Availability.IN_STOCK, Availability.PREORDER]
    every = [
        product(f"{at}-{seller}", seller=seller, price=price, sale_price=sale, availability=stock[at % 2])
        for at, (price, sale) in enumerate(offers)
        for seller in ("", "one")
    ]
    for one in every:
        store.put(one, [], "")
    low, jpy = (5.0, 9.99), (1200.0, 1200.0)
    for currencies, prices in (
        ((), None),
        (("EUR",), None),
        (("EUR",), low),
        (("JPY",), jpy),
        (("USD",), low),
    ):
        for sellers in ((), ("one",), ("",)):
            for wanted in ((), stock[:1], stock):
                where = Where(frozenset(sellers), frozenset(wanted), frozenset(currencies), prices)
                found = store.ids(sellers=sellers, availability=wanted, currencies=currencies, prices=prices)
                assert found == {one.id for one in every if where.allows(one)}, where
    assert store.ids(currencies=["EUR"], prices=low) == {"0-", "0-one", "1-", "1-one"}


def test_changes_are_told_whoever_made_them(store: CatalogStore, tmp_path: Path) -> None:
    store.put(product("a"), [], "")
    first = store.changes()
    store.list()
    assert store.changes() == first
    store.update(product("a", price="2.00 EUR"), "f", [])
    second = store.changes()
    other = CatalogStore(tmp_path / "data")
    other.remove("a")
    other.close()
    assert len({first, second, store.changes()}) == 3


def test_removed_product_leaves_nothing_behind(store: CatalogStore, tmp_path: Path) -> None:
    store.put(product("a"), [b"x"], "")
    store.put_vectors("a", "m", np.ones((1, 3), np.float32))
    store.remove("a")
    store.remove("a")
    assert len(store) == 0 and store.vectors("m") == [] and store.picture_path("a", 0) is None
    assert list((tmp_path / "data" / "images").iterdir()) == []


def test_folder_names_are_safe_and_never_shared() -> None:
    odd = ["../../etc", "a/b", "a_b", "A", "a", "ü", "x" * 50, "." * 3]
    names = [safe_id(item) for item in odd]
    assert len({name.lower() for name in names}) == len(odd)
    assert all(
        set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") for name in names
    )


def test_damaged_database_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(CatalogError, match="move it away and import the feed again"):
        CatalogStore(tmp_path)


def test_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CatalogError, match="choose a folder that can be written"):
        CatalogStore(tmp_path / "file" / "data")


def test_threads_may_write_together(store: CatalogStore) -> None:
    def write(name: str) -> None:
        for number in range(20):
            store.put(product(f"{name}{number}"), [b"x"], "")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store) == 60
