from __future__ import annotations

import pytest

from overlay.policy import Consent, ShopPolicy
from overlay.types import Availability, ShowList
from tests.overlay.builders import product

SHOP = ShopPolicy(own_seller="Studio North", partners=frozenset({"Partner"}))
SHOWN = ShowList(pids={"mug-01": 1, "cap-02": 2}, hidden=frozenset({"cap-02"}))


def test_recognition_is_off_until_a_show_starts_with_products() -> None:
    assert not Consent().limit(SHOWN).recognition
    assert not Consent.of_show(0).limit(SHOWN).recognition
    assert Consent.of_show(3).limit(SHOWN).recognition


def test_kill_switches_suppress_one_product_or_everything() -> None:
    agreed = Consent.of_show(2)
    assert agreed.stop("mug-01").limit(SHOWN).hidden == {"mug-01", "cap-02"}
    assert agreed.stop("mug-01").limit(SHOWN).recognition
    assert not Consent(recognition=True, all_stopped=True).limit(SHOWN).recognition


def test_consent_never_grants_what_the_show_does_not() -> None:
    assert not Consent.of_show(2).limit(ShowList(recognition=False)).recognition


@pytest.mark.parametrize(
    ("seller", "placement", "label", "third_party"),
    [
        ("", "organic", "", False),
        ("Studio North", "organic", "", False),
        ("Studio North", "paid", "Paid placement by Studio North", False),
        ("Stranger", "organic", "Sold by Stranger", True),
        ("Stranger", "paid", "Paid placement by Stranger", True),
    ],
)
def test_card_discloses_who_sells_and_who_paid(
    seller: str, placement: str, label: str, third_party: bool
) -> None:
    card = SHOP.card(product(seller=seller, placement=placement), 1, "/images/mug-01/0")
    assert (card.label, card.third_party) == (label, third_party)
    assert card.seller == (seller or "Studio North")


def test_paid_product_without_a_seller_is_labelled_all_the_same() -> None:
    assert SHOP.label(product(placement="paid")) == "Paid placement by the seller"
    assert SHOP.label(product(placement="paid", brand="Acme")) == "Paid placement by Acme"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://shop.example/",
        "//shop.example/",
        "/local",
        "http://",
        "https://user:secret@shop.example/",
        "https://shop.example/a b",
        "https://shop.example/\n",
        "https://[::1",
        "https://shop.example:99999/",
        "https://shop.example/" + "a" * 2048,
    ],
)
def test_links_that_viewers_must_not_follow_are_dropped(url: str) -> None:
    assert SHOP.link(url) == ""
    assert SHOP.card(product(link=url), 1, "").link == ""


@pytest.mark.parametrize(
    "url", ["https://shop.example/mug?x=1#y", "http://127.0.0.1:8080/", "https://ü.example/"]
)
def test_web_links_pass(url: str) -> None:
    assert SHOP.link(url) == url


def test_links_keep_to_the_allowed_hosts() -> None:
    shop = ShopPolicy(link_hosts=frozenset({"shop.example"}))
    assert shop.link("https://shop.example/a") and shop.link("https://www.shop.example/a")
    assert not shop.link("https://badshop.example/a") and not shop.link("https://shop.example.evil.example/")


def test_own_shop_goes_before_partners_before_strangers() -> None:
    own, partner, stranger = (product(seller=s) for s in ("Studio North", "Partner", "Stranger"))
    assert SHOP.route([stranger, partner, own]) is own
    assert SHOP.route([stranger, partner]) is partner
    assert SHOP.route([stranger]) is stranger
    with pytest.raises(ValueError, match="no offers"):
        SHOP.route([])


def test_cards_carry_stream_numbers_and_encoded_picture_addresses() -> None:
    odd = product("a/b ?")
    (card,) = SHOP.cards([odd], {"a/b ?": 9})
    assert (card.pid, card.image) == (9, "/images/a%2Fb%20%3F/0")
    assert SHOP.card(product(availability=Availability.BACKORDER), 1, "").availability == "backorder"
