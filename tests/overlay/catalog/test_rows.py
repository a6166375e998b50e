from __future__ import annotations

import pytest

from overlay.catalog.currency import CURRENCIES
from overlay.catalog.rows import (
    FeedRow,
    RowProblem,
    Value,
    amount,
    check_row,
    field_name,
    gtin_check_digit,
    price_problem,
)
from overlay.types import Availability, Product

GOOD: dict[str, Value] = {
    "id": "mug-01",
    "title": "Mug",
    "link": "https://shop.example/mug",
    "image_link": "pictures/mug.png",
    "price": "12.00 EUR",
}


def product(**changes: Value) -> Product:
    checked = check_row(FeedRow(2, {**GOOD, **changes}))
    assert isinstance(checked, Product), checked
    return checked


def problems(**changes: Value) -> list[RowProblem]:
    values = {name: value for name, value in {**GOOD, **changes}.items() if value}
    checked = check_row(FeedRow(2, values))
    assert isinstance(checked, list), checked
    return checked


def problem(**changes: Value) -> str:
    """Message of the one problem, which must name the one field that was changed."""
    (found,) = problems(**changes)
    assert found.field == next(iter(changes)) and (found.line, found.id) == (
        2,
        changes.get("id", "mug-01")[:50],
    )
    return found.message


def test_smallest_good_row() -> None:
    assert product() == Product("mug-01", "Mug", "12.00 EUR", "https://shop.example/mug", "pictures/mug.png")


def test_all_fields_are_taken_over() -> None:
    made = product(
        description="A mug",
        additional_image_link="a.png, https://shop.example/b.png",
        availability="In Stock",
        sale_price="9.50 eur",
        brand="Acme",
        gtin="4 006381 333931",
        mpn="M-1",
        condition="New",
        item_group_id="mugs",
        color="red",
        size="L",
        google_product_category="Home > Mugs",
        seller="Studio North",
        placement="paid",
        custom_label_0="ignored",
    )
    assert made.additional_image_link == ("a.png", "https://shop.example/b.png")
    assert made.availability is Availability.IN_STOCK and made.sale_price == "9.50 EUR"
    assert (made.gtin, made.condition, made.placement) == ("4006381333931", "new", "paid")


@pytest.mark.parametrize("field", ["id", "title", "link", "image_link", "price"])
def test_required_field_that_is_missing_is_named(field: str) -> None:
    (found,) = problems(**{field: ""})
    assert found.field == field and "required" in found.message


def test_every_problem_of_a_row_is_reported_at_once() -> None:
    found = problems(title="", price="12 euros", link="mug", gtin="123")
    assert {item.field for item in found} == {"title", "price", "link", "gtin"}


@pytest.mark.parametrize(
    "header", ["image_link", "Image Link", "image link", "IMAGE-LINK", "g:image_link", " image ", "Image URL"]
)
def test_columns_are_known_under_other_spellings(header: str) -> None:
    assert field_name(header) == "image_link"


@pytest.mark.parametrize(
    "price",
    ["12", "12,00 EUR", "EUR 12.00", "-1.00 EUR", "1.234.00 EUR", "12.00EUR", "", "1e3 EUR", "12.00 €"],
)
def test_price_that_is_none_is_refused_with_an_example(price: str) -> None:
    assert "'15.00 USD'" in price_problem(price)


@pytest.mark.parametrize(
    ("price", "part"),
    [("1.00 EUX", "ISO 4217"), ("1.005 EUR", "at most 2 decimals"), ("100.50 JPY", "at most 0 decimals")],
)
def test_price_in_an_impossible_currency_or_precision_is_refused(price: str, part: str) -> None:
    assert part in problem(price=price)


@pytest.mark.parametrize("price", ["12 EUR", "12.5 usd", "1.234 KWD", "500 JPY", "500.00 JPY", "0.00 EUR"])
def test_good_prices(price: str) -> None:
    assert price_problem(price) == ""
    assert product(price=price).price == price.upper()


def test_currencies_are_three_letters_and_none_twice() -> None:
    assert all(len(code) == 3 and code.isupper() for code in CURRENCIES)
    assert len(CURRENCIES) > 150 and {CURRENCIES[c] for c in ("USD", "JPY", "KWD")} == {2, 0, 3}


def test_amounts_compare_within_a_currency() -> None:
    assert amount("12.5 EUR") == (125_000, "EUR") and amount("12 EUR") == (120_000, "EUR")
    assert amount("1.234 KWD") == (12_340, "KWD")


@pytest.mark.parametrize(
    ("sale", "part"),
    [("13.00 EUR", "no more than the price"), ("9.00 USD", "currency of the price"), ("9", "'15.00 USD'")],
)
def test_sale_price_must_fit_the_price(sale: str, part: str) -> None:
    assert part in problem(sale_price=sale)


@pytest.mark.parametrize(
    "link", ["mug", "ftp://x.example/", "javascript:x", "https://", "https://x.example/a b"]
)
def test_link_must_be_a_web_address(link: str) -> None:
    assert "http or https" in problem(link=link)


@pytest.mark.parametrize(
    "image",
    ["/etc/passwd", "../mug.png", "a/../../mug.png", "C:\\mug.png", "file:///mug.png", "//x.example/a.png"],
)
def test_picture_must_lie_inside_the_feed_s_folder_or_on_the_web(image: str) -> None:
    assert "http" in problem(image_link=image)


def test_backslashes_in_picture_paths_are_folders() -> None:
    assert product(image_link="pictures\\mug.png").image_link == "pictures/mug.png"


def test_additional_pictures_are_checked_and_bounded() -> None:
    assert "inside the feed's folder" in problem(additional_image_link="a.png,../b.png")
    assert "at most 10" in problem(additional_image_link=tuple(f"{n}.png" for n in range(11)))


@pytest.mark.parametrize("gtin", ["4006381333931", "96385074", "036000291452", "10614141000415"])
def test_good_gtins(gtin: str) -> None:
    assert product(gtin=gtin).gtin == gtin
    assert gtin_check_digit(gtin[:-1]) == int(gtin[-1])


@pytest.mark.parametrize(
    ("gtin", "part"),
    [
        ("4006381333932", "expected 1"),
        ("12345", "8, 12, 13 or 14 digits"),
        ("40063813339३1", "digits"),
        ("abc", "digits"),
    ],
)
def test_gtin_with_a_mistyped_digit_is_refused(gtin: str, part: str) -> None:
    assert part in problem(gtin=gtin)


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("availability", "soon", "in_stock, out_of_stock, preorder, backorder"),
        ("condition", "shiny", "new, refurbished, used"),
        ("placement", "sponsored", "organic, paid"),
        ("id", "x" * 51, "at most 50"),
        ("title", "x" * 151, "at most 150"),
        ("title", "bell \x07", "control characters"),
        ("title", "caf\udce9", "UTF-8"),
    ],
)
def test_values_outside_their_list_or_length_are_refused(field: str, value: str, part: str) -> None:
    assert part in problem(**{field: value})
