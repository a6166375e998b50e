from __future__ import annotations

import msgspec
import pytest

from overlay.errors import MessageError
from overlay.search import Complete, Look, Similar, Where, decode_search
from overlay.types import Availability
from tests.overlay.builders import product


def test_every_mode_is_understood() -> None:
    assert decode_search(b'{"mode":"similar","epoch":1,"rtp":4294967295,"box":[0,0.1,0.5,1]}') == Similar(
        1, 4294967295, (0, 0.1, 0.5, 1)
    )
    assert decode_search(b'{"mode":"similar","product_id":"mug","k":3}') == Similar(product_id="mug", k=3)
    assert decode_search(b'{"mode":"look","epoch":2,"rtp":0}') == Look(2, 0)
    assert decode_search(b'{"mode":"look","epoch":2,"rtp":0,"person":[0,0,1,1]}').person == (0, 0, 1, 1)  # type: ignore[union-attr]
    assert decode_search(b'{"mode":"complete","product_id":"mug"}') == Complete("mug")


MOMENT = {"mode": "similar", "epoch": 1, "rtp": 2}
LIKE = {"mode": "similar", "product_id": "mug"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "truncated"),
        (b"hello", "malformed"),
        (b"[1]", "object"),
        (b"\xff\xfe", "UTF-8|malformed"),
        (b'{"mode":"wish"}', "wish"),
        (b"{}", "mode"),
        (b'{"mode":"similar"}', "epoch, rtp and box, or a product_id"),
        (MOMENT, "epoch, rtp and box"),
        (MOMENT | {"box": [0, 0, 1, 1], "product_id": "mug"}, "one of them"),
        (MOMENT | {"box": [0, 0, 1]}, "length 4"),
        (MOMENT | {"box": [0, 0, 1.1, 1]}, r"<= 1.0.*box"),
        (MOMENT | {"box": [-0.1, 0, 1, 1]}, r">= 0.0.*box"),
        (MOMENT | {"box": [0.5, 0, 0.2, 1]}, "x1 > x0"),
        (MOMENT | {"box": [0.5, 0, 0.51, 1]}, "larger box"),
        (MOMENT | {"box": ["a", 0, 1, 1]}, "float"),
        (b'{"mode":"similar","epoch":1,"rtp":2,"box":[NaN,0,1,1]}', "malformed"),
        (b'{"mode":"similar","epoch":1,"rtp":2,"box":[0,0,1e999,1]}', "out of range"),
        (MOMENT | {"epoch": -1, "box": [0, 0, 1, 1]}, r">= 0.*epoch"),
        (MOMENT | {"rtp": 2**32, "box": [0, 0, 1, 1]}, r"rtp"),
        (MOMENT | {"rtp": 1.5, "box": [0, 0, 1, 1]}, "int"),
        (MOMENT | {"box": [0, 0, 1, 1], "k": 25}, r"<= 24.*k"),
        (MOMENT | {"box": [0, 0, 1, 1], "extra": 1}, "extra"),
        ({"mode": "complete", "product_id": ""}, "length >= 1"),
        ({"mode": "complete", "product_id": "x" * 51}, "length <= 50"),
        ({"mode": "look", "epoch": 1, "rtp": 2, "person": [1, 1, 0, 0]}, "x1 > x0"),
        (LIKE | {"where": {"colour": ["red"]}}, "colour"),
        (LIKE | {"where": {"availability": ["soon"]}}, "'soon'.*where.availability"),
        (LIKE | {"where": {"currencies": ["euro"]}}, "currencies"),
        (LIKE | {"where": {"sellers": [""]}}, "length >= 1.*sellers"),
        (LIKE | {"where": {"sellers": [f"s{n}" for n in range(17)]}}, "length <= 16.*sellers"),
        (LIKE | {"where": {"prices": [1, 2]}}, "0 currencies, expected one"),
        (LIKE | {"where": {"prices": [2, 1], "currencies": ["EUR"]}}, "expected .least, most.*where"),
        (LIKE | {"where": {"prices": [-1, 1], "currencies": ["EUR"]}}, ">= 0.*prices"),
    ],
)
def test_what_cannot_be_searched_says_why(body: bytes | dict[str, object], words: str) -> None:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    with pytest.raises(MessageError, match=words) as caught:
        decode_search(data)
    assert (caught.value.code, caught.value.http_status) == ("search-invalid", 400)


def test_a_search_is_short() -> None:
    with pytest.raises(MessageError, match="at most 1024") as caught:
        decode_search(b" " * 1025)
    assert caught.value.http_status == 413


def test_a_filter_holds_what_a_product_is_against_all_that_was_said() -> None:
    body = (
        b'{"mode":"complete","product_id":"x","where":{"sellers":["Us","Them"],"availability":["in_stock"],'
        b'"currencies":["EUR"],"prices":[5,10]}}'
    )
    where = decode_search(body).where
    assert where and not Where() and hash(where) == hash(decode_search(body).where)
    fits = product(seller="Them", price="9.00 EUR")
    assert where.allows(fits)
    for wrong in (
        product(seller="Others", price="9.00 EUR"),
        product(seller="Them", price="9.00 EUR", availability=Availability.BACKORDER),
        product(seller="Them", price="9.00 USD"),
        product(seller="Them", price="10.01 EUR"),
    ):
        assert not where.allows(wrong) and Where().allows(wrong)
    assert where.allows(product(seller="Them", price="20.00 EUR", sale_price="10.00 EUR")), "what one pays"
    assert not where.allows(product(seller="Them", price="9.00 EUR", sale_price="4.00 EUR"))


def test_products_without_a_seller_are_the_shops_own() -> None:
    where = Where(sellers=frozenset({"Us"}))
    assert not where.allows(product(seller=""))
    assert where.of_shop("Us").allows(product(seller="")) and where.of_shop("Us").allows(product(seller="Us"))
    assert not where.of_shop("Them").allows(product(seller=""))
