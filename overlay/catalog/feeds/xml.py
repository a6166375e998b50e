"""XML feeds: RSS 2.0 and Atom with Merchant's ``g:`` fields (support.google.com/merchants, 160589).

Read as a stream with expat. One that declares entities or refers to other files is refused before either
is looked at, so it can neither grow (billion laughs) nor read anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from overlay.catalog.feeds.base import FeedContext
from overlay.catalog.rows import FeedRow, RowProblem, Value, field_name
from overlay.errors import FeedError

_GOOGLE = "http://base.google.com/ns/1.0"
_ATOM = "http://www.w3.org/2005/Atom"
_RECORDS = {"item", f"{_ATOM} entry", "http://purl.org/rss/1.0/ item"}
_MANY = "additional_image_link"
_CHUNK = 1 << 16
_DEPTH = 32
_TEXT = 100_000
"""Characters of one field; checks of rows refuse less, with a better message."""


def read_xml(text: str, context: FeedContext) -> Iterator[FeedRow | RowProblem]:
    """Rows of an XML feed. Where it is not well-formed it ends, with what was read before kept.

    Raises:
        FeedError: it declares entities, is too deep, or no product comes before its first error.
    """
    reader = _Reader()
    data = text.encode("utf-8", errors="replace")
    found = False
    for start in range(0, len(data), _CHUNK):
        problem = reader.feed(data[start : start + _CHUNK], start + _CHUNK >= len(data))
        found = found or bool(reader.rows)
        yield from reader.rows
        reader.rows.clear()
        if problem is not None:
            if not found:
                raise FeedError(f"line {problem.line}: {problem.message}", code="feed-format")
            yield problem
            return
    if not found:
        raise FeedError(
            "got XML without <item> or <entry>, expected RSS 2.0 or Atom with products", code="feed-format"
        )


class _Reader:
    """expat's events to rows.

    Attributes:
        rows: read and not yet taken.
    """

    def __init__(self) -> None:
        self.rows: list[FeedRow] = []
        self._path: list[str] = []
        self._record = 0
        self._line = 0
        self._own: dict[str, Value] = {}
        self._plain: dict[str, str] = {}
        self._text: list[str] = []
        self._size = 0
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.EntityDeclHandler = self._refuse
        parser.UnparsedEntityDeclHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse
        self._parser = parser

    def feed(self, data: bytes, last: bool) -> RowProblem | None:
        """Read on; what is wrong where it cannot go on."""
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            words = f"not well-formed XML ({expat.ErrorString(error.code)}); what follows is not read"
            return RowProblem(error.lineno, "", "", words)
        return None

    def _refuse(self, *_: object) -> int:
        raise FeedError(
            f"line {self._parser.CurrentLineNumber}: got an entity declaration, expected none; "
            "write its text where it is used",
            code="feed-entities",
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > _DEPTH:
            raise FeedError(f"got elements nested more than {_DEPTH} deep", code="feed-format")
        if name in _RECORDS and not self._record:
            self._record, self._line = len(self._path), self._parser.CurrentLineNumber
            self._own, self._plain = {}, {}
        self._text.clear()
        self._size = 0
        if name == f"{_ATOM} link" and self._inside and attributes.get("rel", "alternate") == "alternate":
            self._plain.setdefault("link", attributes.get("href", "").strip())

    @property
    def _inside(self) -> bool:
        """The element is a field of a record."""
        return bool(self._record) and len(self._path) == self._record + 1

    def _characters(self, text: str) -> None:
        if self._inside and self._size < _TEXT:
            self._size += len(text)
            self._text.append(text)

    def _end(self, name: str) -> None:
        if self._inside:
            self._field(name, "".join(self._text).strip())
        elif self._record and len(self._path) == self._record:
            self._record = 0
            values: dict[str, Value] = {key: value for key, value in self._plain.items() if value}
            self.rows.append(FeedRow(self._line, values | self._own))
        self._path.pop()

    def _field(self, name: str, text: str) -> None:
        space, _, local = name.rpartition(" ")
        if not text:
            return
        if space == _GOOGLE:
            field = field_name(local)
            if field == _MANY:
                held = self._own.get(field, ())
                self._own[field] = (*held, text) if isinstance(held, tuple) else (held, text)
            else:
                self._own.setdefault(field, text)
        elif space in ("", _ATOM, "http://purl.org/rss/1.0/"):
            field = "description" if local in ("summary", "content") else field_name(local)
            self._plain.setdefault(field, text)
