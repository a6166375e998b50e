"""Errors of `vitrine`.

EngineError
├── ConfigError     the configuration cannot be used; names the key and where it was set
├── AuthError       a credential is missing, unknown, expired or for something else (401, 403, 429)
├── TooManyStreams  no further stream is admitted (503)
├── FleetError      this process cannot be part of its fleet
├── UnknownStream   nothing was ever published under that name (404)
├── NoMoment        a moment of a stream that is not recorded (404, 409, 410)
├── Busy            searches have used up what they may; a moment later they may again (503)
├── FrontError      the public port cannot be opened, or its certificate cannot be used
└── PullError       a model cannot be pulled; what was there stays
    ├── WrongFile   what came is not the file that was wanted
    └── PullBrokeOff  the network gave out; pulling again goes on where it stopped
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


class FleetError(EngineError):
    """This process cannot be part of its fleet: its name is taken, or the registry does not answer."""

    code = "fleet"
    http_status = 503


class UnknownStream(EngineError):
    """Nothing was ever published under that name."""

    code = "unknown-stream"
    http_status = 404


class NoMoment(EngineError):
    """A moment is not recorded: too old, not here yet, or of no known publisher connection."""

    code = "moment-unknown"
    http_status = 404


class Busy(EngineError):
    """Searches have used up what they may take from the engine, or a viewer what one viewer may."""

    code = "search-busy"
    retryable = True
    http_status = 503


class PullError(EngineError):
    """A model cannot be pulled. What was there before stays as it was."""

    code = "pull"
    http_status = 502


class WrongFile(PullError):
    """What came has another hash than it should, or is plainly no model; it was thrown away."""

    code = "wrong-file"


class PullBrokeOff(PullError):
    """The network gave out; what came is kept, and pulling again goes on there."""

    code = "pull-broke-off"
    retryable = True
