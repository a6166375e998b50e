"""Errors. EngineError is the one root; each package adds its own branch in its own `errors.py`.

EngineError
├── SourceError          a source cannot be opened, or broke off
├── SdpError             an offer we cannot answer (http_status says which refusal)
├── PortsExhausted       no UDP port left in --udp-ports (503)
├── inference.errors.*   models, indexes
├── overlay.errors.*     messages, feeds, catalogue, shop
└── vitrine.errors.*     configuration, authentication
"""

from __future__ import annotations


class EngineError(Exception):
    """Root of all errors that Vitrine raises on purpose.

    Attributes:
        code: short, stable, machine-readable (``"sdp-no-video"``).
        retryable: the same call may succeed later without a change.
        http_status: what an HTTP edge should answer. The cores know nothing else of HTTP.
    """

    code = "engine-error"
    retryable = False
    http_status = 500

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable
        if http_status is not None:
            self.http_status = http_status


class SourceError(EngineError):
    """A video source cannot be opened or broke off for good."""

    code = "source"
    http_status = 502


class SdpError(EngineError):
    """An SDP offer or fragment that we cannot answer."""

    code = "sdp"
    http_status = 400


class PortsExhausted(EngineError):
    """Every UDP port of the configured range is taken."""

    code = "udp-ports-exhausted"
    retryable = True
    http_status = 503
