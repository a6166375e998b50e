"""The review file: proposals that a person accepts, refuses or edits in a table or text editor."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from overlay.catalog.drafts import Draft, is_empty, problem
from overlay.errors import CatalogError
from overlay.types import Product

COLUMNS: Final = ("accept", "id", "field", "value", "confidence", "title", "why", "image")
YES: Final = frozenset({"yes", "y", "1", "true", "x", "ok"})
NO: Final = frozenset({"no", "n", "0", "false"})
_MOST_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Decision:
    """One row that a person decided.

    Attributes:
        product_id: whose.
        field: of the product.
        value: as accepted, perhaps edited; empty for a draft that is taken back.
    """

    product_id: str
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Review:
    """What a review file says.

    Attributes:
        decisions: rows with an answer, in order.
        open: rows without one.
        problems: (line, what is wrong) of rows that cannot be used.
    """

    decisions: tuple[Decision, ...]
    open: int
    problems: tuple[tuple[int, str], ...]


def write_review(path: Path, drafts: Sequence[Draft], products: Mapping[str, Product]) -> None:
    """Write proposals, the surest first within each product: CSV, or JSON Lines by the ending ``.jsonl``.

    Raises:
        OSError: it cannot be written.
    """
    rows = [_row(draft, products[draft.product_id]) for draft in drafts]
    if path.suffix.lower() == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        buffer = io.StringIO()
        table = csv.DictWriter(buffer, COLUMNS)
        table.writeheader()
        table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        text = "\ufeff" + buffer.getvalue()  # without the mark spreadsheets take UTF-8 for something else
    path.write_text(text, encoding="utf-8", newline="")


def _row(draft: Draft, product: Product) -> dict[str, str | float]:
    values = (draft.product_id, draft.field, draft.value, draft.confidence, product.title, draft.why)
    return dict(zip(COLUMNS, ("", *values, product.image_link), strict=True))


def _uncelled(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and _cell(cell[1:]) == cell else cell


def _cell(value: str | float) -> str | float:
    """A cell that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value


def read_review(path: Path) -> Review:
    """Read a review file back, CSV (comma, semicolon or tab) or JSON Lines.

    Raises:
        CatalogError: it cannot be read, or lacks a column.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CatalogError(f"{path}: more than {_MOST_BYTES >> 20} MiB, expected a review file")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise CatalogError(f"{path}: {why}; give the file that 'vitrine catalog tag' wrote") from None
    decisions: list[Decision] = []
    problems: list[tuple[int, str]] = []
    waiting = 0
    for line, row in _rows(path, text):
        answer = row.get("accept", "").strip().lower()
        field, value = row.get("field", "").strip(), row.get("value", "").strip()
        if not answer:
            waiting += 1
        elif answer in NO:
            decisions.append(Decision(row.get("id", ""), field, ""))
        elif answer not in YES:
            problems.append((line, f"accept: got {answer!r}, expected yes, no or nothing"))
        elif why := problem(field, value):
            problems.append((line, why))
        else:
            decisions.append(Decision(row.get("id", ""), field, value))
    return Review(tuple(decisions), waiting, tuple(problems))


def _rows(path: Path, text: str) -> Iterable[tuple[int, dict[str, str]]]:
    if path.suffix.lower() == ".jsonl":
        for line, entry in enumerate(text.splitlines(), 1):
            if entry.strip():
                yield line, _object(path, line, entry)
        return
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    table = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    missing = {"accept", "id", "field", "value"} - set(table.fieldnames or ())
    if missing:
        raise CatalogError(
            f"{path}: no column {', '.join(sorted(missing))}; give the file that 'vitrine catalog tag' wrote"
        )
    for row in table:
        cells = {name: cell for name, cell in row.items() if isinstance(name, str) and isinstance(cell, str)}
        yield (
            table.line_num,
            {n: c[1:] if c[:1] == "'" and c[1:2] in "=+-@\t" else c for n, c in cells.items()},
        )


def _object(path: Path, line: int, entry: str) -> dict[str, str]:
    try:
        row = json.loads(entry)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise CatalogError(f"{path}: line {line}: got {entry[:60]!r}, expected a JSON object on each line")
    return {str(name): "" if value is None else str(value) for name, value in row.items()}


def settle(
    review: Review, products: Mapping[str, Product]
) -> tuple[list[Decision], list[tuple[Decision, str]]]:
    """Split decisions into those that can be applied and those that cannot, with the reason.

    A product that is gone, and a field that the merchant has filled meanwhile, are left alone.
    """
    good: list[Decision] = []
    bad: list[tuple[Decision, str]] = []
    for decision in review.decisions:
        product = products.get(decision.product_id)
        if product is None:
            bad.append((decision, "no such product in the catalogue"))
        elif decision.value and not is_empty(product, decision.field):
            bad.append((decision, f"the merchant's own {decision.field} stays"))
        else:
            good.append(decision)
    return good, bad
