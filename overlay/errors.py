"""Errors of `overlay`.

EngineError
├── MessageError    a message from a viewer or a host that cannot be accepted
├── FeedError       a catalogue feed that cannot be read at all (single rows are reported, not raised)
├── CatalogError    an unknown product, a damaged store
├── CommerceError   the shop did not answer, or refused
└── BusError        the bus is unreachable
"""

from __future__ import annotations

from stream.errors import EngineError


class MessageError(EngineError):
    """A message that cannot be accepted."""

    code = "message"
    http_status = 400


class FeedError(EngineError):
    """A feed that cannot be read at all."""

    code = "feed"
    http_status = 422


class CatalogError(EngineError):
    """An unknown product or a damaged catalogue store."""

    code = "catalog"
    http_status = 404


class CommerceError(EngineError):
    """The shop did not answer in time, or refused."""

    code = "commerce"
    retryable = True
    http_status = 502


class BusError(EngineError):
    """The bus is unreachable."""

    code = "bus"
    retryable = True
    http_status = 503
