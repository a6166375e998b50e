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
