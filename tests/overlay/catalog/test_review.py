from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from overlay.catalog.drafts import Draft, with_drafts
from overlay.catalog.review import Decision, read_review, settle, write_review
from overlay.errors import CatalogError
from overlay.types import Product

MUG = Product("mug", "=Mug, größer", "1.00 EUR", "https://shop.example/m", "mug.jpg")
DRAFTS = [
    Draft("mug", "color", "Red/White", 0.8, "why"),
    Draft("mug", "description", "-10 %, red", 0.5, "why"),
]


@pytest.mark.parametrize("name", ["review.csv", "review.jsonl"])
def test_what_was_written_and_marked_comes_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_review(path, DRAFTS, {"mug": MUG})
    assert read_review(path).open == 2
    text = path.read_text(encoding="utf-8-sig")
    if name.endswith("csv"):
        text = text.replace("\n,mug", "\nyes,mug")
        assert "'=Mug" in text and "'-10 %" in text, "a spreadsheet must not run it"
    else:
        rows = [json.loads(line) | {"accept": True} for line in text.splitlines()]
        text = "\n".join(json.dumps(row) for row in rows)
    path.write_text(text, encoding="utf-8")
    review = read_review(path)
    assert review.decisions == (
        Decision("mug", "color", "Red/White"),
        Decision("mug", "description", "-10 %, red"),
    )
    assert (review.open, review.problems) == (0, ())


def test_what_spreadsheets_make_of_it_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        "\ufeffaccept;id;field;value;extra\r\nX;mug;color; Rot ;1;2\r\nno;mug;pattern;dots\r\n;a;b;c\r\n"
    )
    review = read_review(path)
    assert review.decisions == (Decision("mug", "color", "Rot"), Decision("mug", "pattern", ""))
    assert review.open == 1


def test_bad_rows_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    rows = [("perhaps", "mug", "color", "Red"), ("yes", "mug", "price", "1"), ("yes", "mug", "color", "")]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("accept", "id", "field", "value"), *rows])
    problems = read_review(path).problems
    assert [line for line, _ in problems] == [2, 3, 4]
    assert "expected yes, no or nothing" in problems[0][1] and "expected one of" in problems[1][1]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"id,field\n", "no column accept, value"),
        ("a.jsonl", b"{}\n[1]\n", "line 2"),
        ("a.csv", b"\xff\xfe\x00", "not UTF-8"),
        ("a.csv", None, "No such file"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogError, match=words):
        read_review(tmp_path / name)


def test_a_merchants_own_field_and_a_product_that_left_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        "accept,id,field,value\nyes,mug,color,Red\nyes,gone,color,Red\nno,mug,color,\nyes,mug,pattern,dots\n"
    )
    good, bad = settle(read_review(path), {"mug": replace(MUG, color="Green")})
    assert [decision.field for decision in good] == ["color", "pattern"] and good[0].value == ""
    assert [why for _, why in bad] == ["the merchant's own color stays", "no such product in the catalogue"]
    drafted = with_drafts(MUG, {"color": "Blue"})
    assert len(settle(read_review(path), {"mug": drafted})[0]) == 3, "a draft may be replaced"
