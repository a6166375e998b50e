"""Feed formats: bytes to rows. A format never raises for one bad row; the rows around it are kept."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import PurePath
from typing import Final, TypeAlias, cast

from overlay.catalog.rows import FeedRow, RowProblem
from overlay.errors import FeedError

MAX_FEED_BYTES: Final = 256 * 1024 * 1024

ReadFeed: TypeAlias = Callable[[str], Iterator[FeedRow | RowProblem]]
"""Text to rows. Raises FeedError where nothing can be read at all (no header, no required column)."""

FORMATS: Final = {
    "tsv": "overlay.catalog.feeds.delimited:read_tsv",
    "csv": "overlay.catalog.feeds.delimited:read_csv",
    "jsonl": "overlay.catalog.feeds.jsonl:read_jsonl",
}
_ENDINGS: Final = {
    ".tsv": "tsv",
    ".txt": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


def feed_format(name: str, wanted: str = "") -> str:
    """The format of a feed: `wanted`, else by the ending of the file name.

    Raises:
        FeedError: neither is known.
    """
    known = wanted or _ENDINGS.get(PurePath(name).suffix.lower(), "")
    if known not in FORMATS:
        got = wanted or PurePath(name).suffix or "no ending"
        raise FeedError(
            f"feed format: got {got!r}, expected one of {', '.join(FORMATS)} "
            f"(by ending: {', '.join(_ENDINGS)}); name the format or rename the file",
            code="feed-format",
        )
    return known


def reader(format_name: str) -> ReadFeed:
    """The function that reads a format; imported on use."""
    module, _, function = FORMATS[format_name].partition(":")
    return cast(ReadFeed, getattr(import_module(module), function))


def decode(data: bytes) -> str:
    """Feed bytes to text: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Bytes that are not UTF-8 become lone surrogates, so that only their own rows are refused.

    Raises:
        FeedError: empty, too big, or UTF-16 that is cut off.
    """
    if not data.strip():
        raise FeedError("the feed is empty, expected a header and rows", code="feed-empty")
    if len(data) > MAX_FEED_BYTES:
        raise FeedError(
            f"feed of {len(data)} bytes, expected at most {MAX_FEED_BYTES}; split it", code="feed-too-big"
        )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise FeedError(
                f"feed is not valid UTF-16: {error}; save it as UTF-8", code="feed-encoding"
            ) from None
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="surrogateescape")


def read_feed(data: bytes, format_name: str) -> Iterator[FeedRow | RowProblem]:
    """All rows of a feed, good and bad, in order.

    Raises:
        FeedError: it cannot be read at all.
    """
    return reader(format_name)(decode(data))
