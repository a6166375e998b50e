"""Errors of `vitrine`.

EngineError
├── ConfigError     the configuration cannot be used; names the key and where it was set
├── AuthError       a credential is missing, unknown, expired or for something else (401, 403, 429)
├── TooManyStreams  no further stream is admitted (503)
├── UnknownStream   nothing was ever published under that name (404)
└── FrontError      the public port cannot be opened, or its certificate cannot be used
"""

from __future__ import annotations

from stream.errors import EngineError


class ConfigError(EngineError):
    """The configuration cannot be used.

    Attributes:
        key: dotted path of the setting (``"server.port"``), ``""`` when the file itself is at fault.
        origin: where the value came from: a file's path, ``environment variable ...``, ``command line``.
    """

    code = "config"
    http_status = 500

    def __init__(self, message: str, *, key: str = "", origin: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.origin = origin


class AuthError(EngineError):
    """A credential was refused. The message never says which part was wrong."""

    code = "auth"
    http_status = 401


class FrontError(EngineError):
    """The public port cannot be opened, or its certificate cannot be used."""

    code = "front"
    http_status = 500


class TooManyStreams(EngineError):
    """No further stream is admitted."""

    code = "too-many-streams"
    retryable = True
    http_status = 503


class UnknownStream(EngineError):
    """Nothing was ever published under that name."""

    code = "unknown-stream"
    http_status = 404
