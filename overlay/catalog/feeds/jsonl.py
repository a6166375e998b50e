"""JSON Lines feeds: one object per line; Merchant names, or camel case and price objects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from overlay.catalog.feeds.base import FeedContext
from overlay.catalog.rows import FeedRow, RowProblem, Value, field_name
from overlay.errors import FeedError


def read_jsonl(text: str, context: FeedContext | None = None) -> Iterator[FeedRow | RowProblem]:
    """Rows of a JSON Lines feed."""
    if text.lstrip().startswith("["):
        raise FeedError(
            "got a JSON array, expected one object per line; write each product on a line of its own",
            code="feed-format",
        )
    for line, content in enumerate(re.split(r"\r\n|\n", text), start=1):
        if content.strip():
            yield _row(line, content)


def _row(line: int, content: str) -> FeedRow | RowProblem:
    try:
        decoded: object = msgspec.json.decode(content.encode("utf-8", errors="surrogateescape"))
    except (msgspec.DecodeError, UnicodeError) as error:
        return RowProblem(line, "", "", f"not JSON: {error}")
    if not isinstance(decoded, dict):
        return RowProblem(line, "", "", f"got {type(decoded).__name__}, expected an object in braces")
    values: dict[str, Value] = {}
    product_id = str(decoded.get("id", ""))[:50]
    for key, raw in decoded.items():
        name = field_name(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(key)))
        value = _value(raw)
        if value is None:
            return RowProblem(
                line,
                product_id,
                name,
                f"got {type(raw).__name__}, expected text, a number or a list",
            )
        if value and (name == key or name not in values):
            values[name] = value
    return FeedRow(line, values)


def _value(raw: object) -> Value | None:
    """A JSON value as feed text; None where it cannot be one."""
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, (str, int, float)):
        return str(raw).strip()
    if isinstance(raw, list) and all(isinstance(item, str) for item in raw):
        return tuple(item.strip() for item in raw if item.strip())
    if isinstance(raw, Mapping) and set(raw) == {"value", "currency"}:
        return f"{raw['value']} {raw['currency']}"
    return None
