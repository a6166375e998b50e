"""One viewer's side of the protocol: HELLO -> SYNC -> LIVE -> CLOSING, as a table. No socket, no clock.

Messages in, actions out; the shell carries them out. `docs/protocol.md` has the close codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TypeAlias

from overlay.errors import MessageError
from overlay.messages import (
    VERSION,
    ErrorMessage,
    Hello,
    Report,
    Resume,
    Seen,
    Tap,
    TapResult,
    ViewerMessage,
    Want,
    decode_viewer,
)

_SECOND_NS = 1_000_000_000


class CloseCode(IntEnum):
    """Why the server closes, and so whether the viewer should come back."""

    BYE = 1000
    DRAINING = 1001
    SLOW = 3008
    NOT_UNDERSTOOD = 4400
    REFUSED = 4401
    NO_STREAM = 4404
    NO_HELLO = 4408
    TOO_MANY = 4429


class State(Enum):
    """Where a viewer's connection is."""

    HELLO = "hello"
    """Connected; its hello is awaited."""
    SYNC = "sync"
    """Said hello; its snapshot is being made."""
    LIVE = "live"
    """Follows the stream."""
    CLOSING = "closing"
    """A close was sent; whatever comes is ignored."""


@dataclass(frozen=True, slots=True)
class Sync:
    """Make the snapshot, send it, then call `ViewerSession.synced`."""

    resume: Resume | None
    back_ms: int = 0


@dataclass(frozen=True, slots=True)
class AskTap:
    """Resolve a tap and answer it."""

    tap: Tap


@dataclass(frozen=True, slots=True)
class TakeReport:
    """A viewer's measurements."""

    report: Report


@dataclass(frozen=True, slots=True)
class TakeSeen:
    """Impressions."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class TakeWant:
    """Which positions the viewer needs."""

    want: Want


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this."""

    message: TapResult | ErrorMessage


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""

    code: CloseCode
    reason: str


Action: TypeAlias = Sync | AskTap | TakeReport | TakeSeen | TakeWant | Reply | Close


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `burst` at once, then `per_second`."""

    per_second: float
    burst: float


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one viewer may do.

    Attributes:
        hello_ms: time for the hello.
        messages: of any kind; beyond it the connection is closed with 4429.
        taps: beyond it a tap is answered "too many taps".
        reports: beyond it ignored; also for seen.
        faults: messages that are not understood, before the connection is closed with 4400.
    """

    hello_ms: int = 5_000
    messages: Rate = Rate(20, 40)
    taps: Rate = Rate(5, 10)
    reports: Rate = Rate(1, 5)
    faults: int = 5


class TokenBucket:
    """A rate limit. Time is given."""

    def __init__(self, rate: Rate, now_ns: int) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at_ns = now_ns

    def take(self, now_ns: int) -> bool:
        """Take one token, if there is one."""
        earned = (now_ns - self._at_ns) / _SECOND_NS * self._rate.per_second
        self._tokens = min(self._rate.burst, self._tokens + max(0.0, earned))
        self._at_ns = max(self._at_ns, now_ns)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


@dataclass(slots=True)
class ViewerSession:
    """The protocol state of one viewer.

    Attributes:
        state: where it is; changed by the methods only.
        began_ns: when the connection was accepted.
        limits: what it may do.
    """

    began_ns: int
    limits: SessionLimits = field(default_factory=SessionLimits)
    state: State = State.HELLO
    _faults: int = 0
    _messages: TokenBucket = field(init=False)
    _taps: TokenBucket = field(init=False)
    _reports: TokenBucket = field(init=False)

    def __post_init__(self) -> None:
        self._messages = TokenBucket(self.limits.messages, self.began_ns)
        self._taps = TokenBucket(self.limits.taps, self.began_ns)
        self._reports = TokenBucket(self.limits.reports, self.began_ns)

    def receive(self, data: bytes, now_ns: int) -> list[Action]:
        """One inbound text message."""
        if self.state is State.CLOSING:
            return []
        if not self._messages.take(now_ns):
            rate = self.limits.messages
            return self._close(
                CloseCode.TOO_MANY, f"more than {rate.burst:g} messages at once or {rate.per_second:g}/s"
            )
        try:
            message = decode_viewer(data)
        except MessageError as error:
            return self._fault(error.code, str(error))
        return _TABLE[self.state, type(message)](self, message, now_ns)

    def binary(self) -> list[Action]:
        """An inbound binary message: there are none, also where positions go out in binary."""
        if self.state is State.CLOSING:
            return []
        return self._fault("message-binary", "got a binary message, expected JSON text")

    def ping(self, now_ns: int) -> list[Action]:
        """An inbound ping. It is answered, and counts as a message."""
        if self.state is State.CLOSING or self._messages.take(now_ns):
            return []
        return self._close(CloseCode.TOO_MANY, "too many pings")

    def synced(self) -> None:
        """The snapshot was sent."""
        if self.state is State.SYNC:
            self.state = State.LIVE

    def tick(self, now_ns: int) -> list[Action]:
        """Time passed. Closes when no hello came in time."""
        if self.state is State.HELLO and now_ns - self.began_ns >= self.limits.hello_ms * 1_000_000:
            return self._close(CloseCode.NO_HELLO, f"no hello within {self.limits.hello_ms} ms")
        return []

    def close(self, code: CloseCode, reason: str) -> list[Action]:
        """The server wants to close. Nothing when it is closing already."""
        return [] if self.state is State.CLOSING else self._close(code, reason)

    # ---- transitions ---------------------------------------------------------------------------------------

    def _close(self, code: CloseCode, reason: str) -> list[Action]:
        self.state = State.CLOSING
        return [Close(code, reason)]

    def _fault(self, code: str, text: str) -> list[Action]:
        self._faults += 1
        told: list[Action] = [Reply(ErrorMessage(code, text))]
        if self.state is State.HELLO or self._faults >= self.limits.faults:
            told += self._close(CloseCode.NOT_UNDERSTOOD, "messages not understood")
        return told

    def _hello(self, message: ViewerMessage, _now_ns: int) -> list[Action]:
        assert isinstance(message, Hello)
        if message.v != VERSION:
            text = f"got protocol version {message.v}, expected {VERSION}; reload the page"
            return [
                Reply(ErrorMessage("version", text)),
                *self._close(CloseCode.NOT_UNDERSTOOD, "protocol version"),
            ]
        self.state = State.SYNC
        return [Sync(message.resume, message.back_ms)]

    def _hello_again(self, _message: ViewerMessage, _now_ns: int) -> list[Action]:
        return self._fault("hello-twice", "got a second hello, expected one per connection; reconnect")

    def _too_early(self, message: ViewerMessage, _now_ns: int) -> list[Action]:
        return self._fault("hello-missing", f"got {type(message).__name__.lower()}, expected hello first")

    def _wait(self, message: ViewerMessage, _now_ns: int) -> list[Action]:
        if isinstance(message, Tap):
            return [Reply(TapResult(message.id, False, reason="not-ready"))]
        return []

    def _tap(self, message: ViewerMessage, now_ns: int) -> list[Action]:
        assert isinstance(message, Tap)
        if not self._taps.take(now_ns):
            return [Reply(TapResult(message.id, False, reason="too-many-taps"))]
        return [AskTap(message)]

    def _report(self, message: ViewerMessage, now_ns: int) -> list[Action]:
        assert isinstance(message, Report)
        return [TakeReport(message)] if self._reports.take(now_ns) else []

    def _seen(self, message: ViewerMessage, now_ns: int) -> list[Action]:
        assert isinstance(message, Seen)
        return [TakeSeen(message)] if self._reports.take(now_ns) else []

    def _want(self, message: ViewerMessage, _now_ns: int) -> list[Action]:
        assert isinstance(message, Want)
        return [TakeWant(message)]


_Handler: TypeAlias = Callable[[ViewerSession, ViewerMessage, int], list[Action]]

_TABLE: dict[tuple[State, type], _Handler] = {
    (State.HELLO, Hello): ViewerSession._hello,
    (State.HELLO, Tap): ViewerSession._too_early,
    (State.HELLO, Report): ViewerSession._too_early,
    (State.HELLO, Seen): ViewerSession._too_early,
    (State.HELLO, Want): ViewerSession._too_early,
    (State.SYNC, Hello): ViewerSession._hello_again,
    (State.SYNC, Tap): ViewerSession._wait,
    (State.SYNC, Report): ViewerSession._wait,
    (State.SYNC, Seen): ViewerSession._wait,
    (State.SYNC, Want): ViewerSession._want,
    (State.LIVE, Hello): ViewerSession._hello_again,
    (State.LIVE, Tap): ViewerSession._tap,
    (State.LIVE, Report): ViewerSession._report,
    (State.LIVE, Seen): ViewerSession._seen,
    (State.LIVE, Want): ViewerSession._want,
}
