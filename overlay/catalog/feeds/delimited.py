"""Tab- and comma-separated feeds (RFC 4180 quoting). One broken row never swallows the next ones."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from overlay.catalog.feeds.base import FeedContext
from overlay.catalog.rows import REQUIRED, FeedRow, RowProblem, field_name
from overlay.errors import FeedError

_MAX_SPAN = 50
"""A quoted field may run over this many lines; a quote left open would otherwise eat the rest of the feed."""

csv.field_size_limit(1_000_000)


def read_tsv(text: str, context: FeedContext | None = None) -> Iterator[FeedRow | RowProblem]:
    """Rows of a tab-separated feed."""
    return _read(text, "\t")


def read_csv(text: str, context: FeedContext | None = None) -> Iterator[FeedRow | RowProblem]:
    """Rows of a comma-separated feed (or semicolons, where the header has more of those)."""
    header = text.lstrip("\r\n").split("\n", 1)[0]
    return _read(text, ";" if header.count(";") > header.count(",") else ",")


def _read(text: str, delimiter: str) -> Iterator[FeedRow | RowProblem]:
    lines = re.split(r"\r\n|\n|\r", text)
    names: list[str] = []
    at = 0
    while at < len(lines):
        line = at + 1
        if not lines[at].strip():
            at += 1
            continue
        record, span, broken = _record(lines, at, delimiter, len(names))
        at += span
        if record is None:
            if not names:
                raise FeedError(f"header line {line}: {broken}", code="feed-header")
            yield RowProblem(line, "", "", broken)
        elif not names:
            names = _header(record, line)
        elif len(record) > len(names) and any(value.strip() for value in record[len(names) :]):
            yield RowProblem(
                line,
                record[names.index("id")].strip()[:50],
                "",
                f"got {len(record)} columns, expected {len(names)}; quote fields that contain the separator",
            )
        else:
            pairs = zip(names, (value.strip() for value in record), strict=False)
            yield FeedRow(line, {name: value for name, value in pairs if name and value})


def _header(record: list[str], line: int) -> list[str]:
    plain = [re.sub(r"[\s\-]+", "_", cell.strip().lower()) for cell in record]
    names = [field_name(cell) for cell in record]
    # A column under another name gives way to the one under its own.
    names = ["" if name != own and name in plain else name for name, own in zip(names, plain, strict=True)]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise FeedError(
            f"header line {line}: got columns {', '.join(names)[:300]}; expected also {', '.join(missing)}; "
            "name the columns as in the Merchant specification, or choose the right format",
            code="feed-header",
        )
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise FeedError(
            f"header line {line}: got {', '.join(sorted(twice))} twice, expected each column once",
            code="feed-header",
        )
    return names


def _record(lines: list[str], at: int, delimiter: str, columns: int) -> tuple[list[str] | None, int, str]:
    """One record beginning at line index `at`: (cells or None, lines it took, what is broken)."""
    window = (lines[index] + "\n" for index in range(at, min(len(lines), at + _MAX_SPAN)))
    parser = csv.reader(window, delimiter=delimiter, strict=True)
    try:
        record = next(parser)
        return record, parser.line_num, ""
    except (csv.Error, StopIteration) as error:
        plain = lines[at].split(delimiter)
        if columns and len(plain) == columns:  # quotes that are part of the text, as many exports write them
            return plain, 1, ""
        return None, 1, f"quotes do not match ({error}); double a quote inside a quoted field"
