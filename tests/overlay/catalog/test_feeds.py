from __future__ import annotations

import pytest

from overlay.catalog.feeds.base import FORMATS, decode, feed_format, read_feed, reader
from overlay.catalog.rows import FeedRow, RowProblem
from overlay.errors import FeedError

HEADER = "id\ttitle\tlink\timage_link\tprice\n"
ROW = "a\tMug\thttps://x.example/a\ta.png\t1.00 EUR\n"
CSV_HEADER = "id,title,link,image_link,price\n"
CSV_ROW = "a,Mug,https://x.example/a,a.png,1.00 EUR\n"


def rows(text: str | bytes, name: str = "tsv") -> list[FeedRow]:
    data = text.encode() if isinstance(text, str) else text
    return [row for row in read_feed(data, name) if isinstance(row, FeedRow)]


def problems(text: str, name: str = "tsv") -> list[RowProblem]:
    return [row for row in read_feed(text.encode(), name) if isinstance(row, RowProblem)]


def titles(text: str | bytes, name: str = "tsv") -> list[object]:
    return [row.values.get("title") for row in rows(text, name)]


def test_every_format_of_the_registry_can_be_read() -> None:
    assert {name: callable(reader(name)) for name in FORMATS} == dict.fromkeys(FORMATS, True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.tsv", "tsv"), ("a.TXT", "tsv"), ("b.csv", "csv"), ("b.jsonl", "jsonl"), ("c.ndjson", "jsonl")],
)
def test_format_follows_the_ending(name: str, expected: str) -> None:
    assert feed_format(name) == expected
    assert feed_format("feed", expected) == expected


def test_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(FeedError, match=r"got '\.xlsx', expected one of tsv, csv, jsonl"):
        feed_format("feed.xlsx")
    with pytest.raises(FeedError, match="got 'xls'"):
        feed_format("feed.tsv", "xls")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_feed_may_begin_with_a_byte_order_mark(encoding: str) -> None:
    text = HEADER + ROW.replace("Mug", "Müg")
    assert titles(text.encode(encoding)) == ["Müg"]


def test_bytes_that_are_not_utf8_spoil_only_their_own_row() -> None:
    data = (HEADER + ROW).encode() + ROW.replace("Mug", "M\xe9g").encode("latin-1") + ROW.encode()
    assert titles(data) == ["Mug", "M\udce9g", "Mug"]


@pytest.mark.parametrize("data", [b"", b"  \n "])
def test_empty_feed_is_refused(data: bytes) -> None:
    with pytest.raises(FeedError, match="empty"):
        decode(data)


def test_damaged_utf16_is_refused() -> None:
    with pytest.raises(FeedError, match="UTF-16"):
        decode(b"\xff\xfea\x00b")


def test_line_numbers_count_blank_lines_and_every_line_ending() -> None:
    text = HEADER.replace("\n", "\r\n") + "\r\n" + ROW + "\n\n" + ROW
    assert [row.line for row in rows(text)] == [3, 6]


def test_missing_columns_are_named() -> None:
    with pytest.raises(FeedError, match="expected also image_link, price"):
        rows("id\ttitle\tlink\n")


def test_feed_in_the_wrong_format_says_so_at_the_header() -> None:
    with pytest.raises(FeedError, match="choose the right format"):
        rows(CSV_HEADER + CSV_ROW, "tsv")


def test_column_given_twice_is_refused() -> None:
    with pytest.raises(FeedError, match="id twice"):
        rows("id\tid\ttitle\tlink\timage_link\tprice\n")


def test_column_under_its_own_name_wins_over_its_alias() -> None:
    text = "id\tname\ttitle\tlink\timage_link\tprice\na\tWrong\tRight\tl\ti\tp\n"
    assert titles(text) == ["Right"]


def test_row_with_too_many_columns_is_reported_and_the_rest_read() -> None:
    text = HEADER + ROW.replace("Mug", "Mug\textra") + ROW
    assert titles(text) == ["Mug"]
    (found,) = problems(text)
    assert (found.line, found.id) == (2, "a") and "got 6 columns, expected 5" in found.message


def test_short_row_leaves_fields_out() -> None:
    (row,) = rows(HEADER + "a\tMug\n")
    assert dict(row.values) == {"id": "a", "title": "Mug"}


def test_trailing_separators_do_no_harm() -> None:
    assert titles(HEADER + ROW.rstrip("\n") + "\t\t\n") == ["Mug"]


def test_quoted_fields_may_hold_separators_quotes_and_lines() -> None:
    text = CSV_HEADER + 'a,"Mug, ""big""\nand red",https://x.example/a,a.png,1.00 EUR\n' + CSV_ROW
    assert titles(text, "csv") == ['Mug, "big"\nand red', "Mug"]
    assert [row.line for row in rows(text, "csv")] == [2, 4]


def test_semicolons_are_separators_where_the_header_has_them() -> None:
    assert titles((CSV_HEADER + CSV_ROW).replace(",", ";"), "csv") == ["Mug"]


def test_quote_left_open_spoils_only_its_own_row() -> None:
    text = CSV_HEADER + CSV_ROW.replace("Mug", '"Mug') + CSV_ROW * 200
    assert len(rows(text, "csv")) >= 199
    assert len(rows(text, "csv")) + len(problems(text, "csv")) == 201


def test_unmatched_quotes_are_reported() -> None:
    text = CSV_HEADER + 'a,"Mug" red,x,extra,y,z\n' + CSV_ROW
    (found,) = problems(text, "csv")
    assert found.line == 2 and "quotes do not match" in found.message
    assert titles(text, "csv") == ["Mug"]


def test_inch_marks_in_tab_separated_text_are_text() -> None:
    assert titles(HEADER + ROW.replace("Mug", '"Big" mug 3.5"')) == ['"Big" mug 3.5"']


def test_json_lines() -> None:
    text = (
        '{"id": 7, "title": "Mug", "imageLink": "a.png", "price": {"value": "1.00", "currency": "EUR"},'
        ' "additionalImageLinks": ["b.png", "c.png"], "brand": null, "adult": false}\n\n{"id": "b"}\n'
    )
    first, second = rows(text, "jsonl")
    assert dict(first.values) == {
        "id": "7",
        "title": "Mug",
        "image_link": "a.png",
        "price": "1.00 EUR",
        "additional_image_link": ("b.png", "c.png"),
        "adult": "false",
    }
    assert (second.line, dict(second.values)) == (3, {"id": "b"})


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        ('{"id": "a", "title": {"de": "Tasse"}}', "got dict, expected text"),
        ('{"id": "a", "title": [1, 2]}', "got list, expected text"),
    ],
)
def test_bad_json_line_is_reported_and_the_rest_read(line: str, part: str) -> None:
    text = f'{{"id": "first"}}\n{line}\n{{"id": "last"}}\n'
    assert [row.values["id"] for row in rows(text, "jsonl")] == ["first", "last"]
    (found,) = problems(text, "jsonl")
    assert found.line == 2 and part in found.message


def test_json_array_is_refused_with_the_fix() -> None:
    with pytest.raises(FeedError, match="one object per line"):
        rows('[{"id": "a"}]', "jsonl")
