"""Feed formats: bytes to rows. A format never raises for one bad row; the rows around it are kept."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import Final, TypeAlias, cast

from overlay.catalog.rows import FeedRow, RowProblem
from overlay.errors import FeedError

MAX_FEED_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FeedContext:
    """What a feed may not say of itself.

    Attributes:
        base: its address, for relative links; empty for a file.
        currency: of its prices, for formats without one; empty where it is not known.
    """

    base: str = ""
    currency: str = ""


ReadFeed: TypeAlias = Callable[[str, FeedContext], Iterator[FeedRow | RowProblem]]
"""Text to rows. Raises FeedError where nothing can be read at all (no header, no required column)."""

FORMATS: Final = {
    "tsv": "overlay.catalog.feeds.delimited:read_tsv",
    "csv": "overlay.catalog.feeds.delimited:read_csv",
    "jsonl": "overlay.catalog.feeds.jsonl:read_jsonl",
    "xml": "overlay.catalog.feeds.xml:read_xml",
    "shopify": "overlay.catalog.feeds.shopify:read_shopify",
    "schema.org": "overlay.catalog.feeds.jsonld:read_jsonld",
}
_ENDINGS: Final = {
    ".tsv": "tsv",
    ".txt": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xml": "xml",
    ".rss": "xml",
    ".atom": "xml",
    ".jsonld": "schema.org",
    ".html": "schema.org",
    ".htm": "schema.org",
}
_HEAD: Final = 4096


def feed_format(name: str, wanted: str = "", data: bytes = b"") -> str:
    """The format of a feed: `wanted`, else by the ending of the file name, else by how `data` begins.

    Raises:
        FeedError: neither is known.
    """
    known = wanted or _ENDINGS.get(PurePath(name).suffix.lower(), "") or _sniffed(data)
    if known not in FORMATS:
        got = wanted or PurePath(name).suffix or "no ending"
        raise FeedError(
            f"feed format: got {got!r}, expected one of {', '.join(FORMATS)} "
            f"(by ending: {', '.join(_ENDINGS)}); name the format or rename the file",
            code="feed-format",
        )
    return known


def _sniffed(data: bytes) -> str:
    """The format of what begins so; empty where that does not tell."""
    head = data[:_HEAD].removeprefix(codecs.BOM_UTF8).lstrip()
    if head.startswith(b"<"):
        feed = re.search(rb"<(rss|feed|rdf:RDF)[\s>]", head)
        return "xml" if feed else "schema.org"
    if head.startswith((b"{", b"[")):
        if re.match(rb'\{\s*"products"\s*:', head):
            return "shopify"
        return "schema.org" if re.search(rb'"@(context|graph|type)"', head) else "jsonl"
    return ""


def reader(format_name: str) -> ReadFeed:
    """The function that reads a format; imported on use."""
    module, _, function = FORMATS[format_name].partition(":")
    return cast(ReadFeed, getattr(import_module(module), function))


def decode(data: bytes) -> str:
    """Feed bytes to text: UTF-8 with or without a byte order mark, UTF-16 with one, or as XML declares.

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
    declared = re.match(rb"""<\?xml[^>]{0,100}?encoding=["']([A-Za-z0-9._-]{1,40})["']""", data)
    if declared:
        try:
            return data.decode(declared[1].decode(), errors="replace")
        except LookupError:
            raise FeedError(
                f"got the encoding {declared[1].decode()!r}, which is not known; save it as UTF-8",
                code="feed-encoding",
            ) from None
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="surrogateescape")


def read_feed(
    data: bytes, format_name: str, context: FeedContext | None = None
) -> Iterator[FeedRow | RowProblem]:
    """All rows of a feed, good and bad, in order.

    Raises:
        FeedError: it cannot be read at all.
    """
    return reader(format_name)(decode(data), context or FeedContext())
