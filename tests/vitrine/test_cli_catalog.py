"""``vitrine catalog``: documents as feeds, changes, export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from vitrine.cli import run
from vitrine.cli.output import Exit

PAGE = '<html><script type="application/ld+json">{}</script></html>'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    Image.new("RGB", (80, 80), (200, 40, 40)).save(tmp_path / "a.png")


def page(*products: tuple[str, str]) -> str:
    nodes = [
        {
            "@type": "Product",
            "sku": sku,
            "name": sku,
            "url": f"https://x.example/{sku}",
            "image": "a.png",
            "offers": {"@type": "Offer", "price": price, "priceCurrency": "EUR"},
        }
        for sku, price in products
    ]
    return PAGE.format(json.dumps(nodes))


def imported(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert run(["catalog", "import", "page.html", "--no-embed", "--json", *arguments]) == Exit.OK
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_page_is_imported_changed_pruned_and_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = tmp_path / "page.html"
    feed.write_text(page(("mug", "12"), ("cup", "3")))
    assert imported(capsys)["imported"] == 2
    feed.write_text(page(("mug", "10")))
    report = imported(capsys, "--prune")
    assert (report["imported"], report["updated"], report["removed"]) == (0, 1, 1)
    assert run(["catalog", "export", "--out", "out.jsonld"]) == Exit.OK
    assert capsys.readouterr().out == ""
    assert run(["catalog", "export"]) == Exit.OK
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((tmp_path / "out.jsonld").read_text())
    assert [(node["sku"], node["offers"]["price"]) for node in document["@graph"]] == [("mug", "10")]


def test_a_shopify_list_needs_a_currency(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variant = {"id": 7, "title": "Default Title", "price": "9.00", "available": True}
    product = {"id": 1, "title": "Cap", "url": "https://x.example/cap", "variants": [variant]}
    product["images"] = [{"src": "a.png"}]
    (tmp_path / "page.html").write_text(json.dumps({"products": [product]}))
    assert run(["catalog", "import", "page.html", "--format", "shopify", "--no-embed"]) == Exit.FAILED
    assert "--currency EUR" in capsys.readouterr().err
    assert imported(capsys, "--format", "shopify", "--currency", "eur")["imported"] == 1
    assert run(["catalog", "list"]) == Exit.OK
    assert "9.00 EUR" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--format", "csv"], ["--out", "absent/x.jsonld"]])
def test_an_export_that_cannot_be_written_is_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["catalog", "export", *arguments]) == Exit.USAGE
    assert capsys.readouterr().out == ""


def test_drafts_are_proposed_reviewed_and_applied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page.html").write_text(page(("mug", "10"), ("cup", "11")))
    imported(capsys)
    found = run_json(capsys, "tag", "--json")
    assert found["products"] == 2 and found["file"] == "review.csv"
    rows = (tmp_path / "review.csv").read_text(encoding="utf-8-sig")
    assert ",mug,color,Red," in rows
    (tmp_path / "review.csv").write_text(rows.replace(",mug,color,Red", "yes,mug,color,Crimson"))
    applied = run_json(capsys, "tag", "--apply", "review.csv", "--json")
    assert (applied["accepted"], applied["skipped"]) == (1, [])
    assert run(["catalog", "list", "--json"]) == Exit.OK
    colours = {
        one["id"]: (one["color"], one["drafts"]) for one in json.loads(capsys.readouterr().out)["products"]
    }
    assert colours == {"mug": ("Crimson", ["color"]), "cup": ("", [])}
    assert run(["catalog", "export"]) == Exit.OK
    mug, cup = json.loads(capsys.readouterr().out)["@graph"]
    assert mug["color"] == "Crimson" and mug["additionalProperty"]["value"] == "color"
    assert "additionalProperty" not in cup
    run_json(capsys, "tag", "cup", "--out", "cup.jsonl", "--json")
    assert {json.loads(line)["id"] for line in (tmp_path / "cup.jsonl").read_text().splitlines()} == {"cup"}


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert run(["catalog", *arguments]) == Exit.OK, capsys.readouterr().err
    value: dict[str, object] = json.loads(capsys.readouterr().out)
    return value


def test_a_review_with_bad_rows_fails_and_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.html").write_text(page(("mug", "10")))
    imported(capsys)
    (tmp_path / "r.csv").write_text("accept,id,field,value\nmaybe,mug,color,Red\nyes,mug,title,Better\n")
    assert run(["catalog", "tag", "--apply", "r.csv"]) == Exit.FAILED
    shown = capsys.readouterr()
    assert "1 accepted" in shown.out and "line 2: accept: got 'maybe'" in shown.err
    assert run(["catalog", "tag", "absent"]) == Exit.USAGE
    assert run(["catalog", "tag", "--apply", "r.csv", "--least", "0.5"]) == Exit.USAGE
    assert run(["catalog", "tag", "--out", "absent/r.csv"]) == Exit.USAGE
    assert run(["catalog", "tag", "--apply", "absent.csv"]) == Exit.FAILED
