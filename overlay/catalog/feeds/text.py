"""What feeds of JSON and HTML share: values as text."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin

import msgspec

from overlay.errors import FeedError

_BREAKS = {"p", "br", "li", "div", "tr", "h1", "h2", "h3"}
_SILENT = {"script", "style"}


def parsed(text: str) -> object:
    """A JSON document.

    Raises:
        FeedError: it is none.
    """
    try:
        found: object = msgspec.json.decode(text.encode("utf-8", errors="surrogatepass"))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise FeedError(f"not JSON: {error}; save the feed again as UTF-8", code="feed-format") from None
    return found


def said(value: object) -> str:
    """A JSON string or number as text; empty for anything else."""
    return str(value).strip() if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def listed(value: object) -> list[object]:
    """A JSON array as it is, nothing as no entry, anything else as its only entry."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def absolute(link: str, base: str) -> str:
    """`link`, made absolute where the feed's address is known."""
    if not link or not base:
        return link
    try:
        return urljoin(base, link)
    except ValueError:  # the row's check says what is wrong with it
        return link


def plain(html: str) -> str:
    """The text of HTML, on one line."""
    if "<" not in html and "&" not in html:
        return " ".join(html.split())
    reader = _Text()
    reader.feed(html)
    reader.close()
    return " ".join("".join(reader.parts).split())


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        if tag in _BREAKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in _SILENT))

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)
