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


class GapError(BusError):
    """An event does not follow the last one that the bus holds.

    Attributes:
        last: number of that one, 0 when the bus holds nothing of this log (any more).
    """

    code = "bus-gap"
    retryable = False

    def __init__(self, seq: int, last: int) -> None:
        super().__init__(
            f"event {seq} does not follow {last} in the log of this stream; publish the missing ones first"
        )
        self.last = last


class FencedError(BusError):
    """Sent under a lease that another node has taken over since: that node speaks for the stream now."""

    code = "bus-fenced"
    retryable = False
