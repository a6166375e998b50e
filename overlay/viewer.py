"""One viewer: carries out what its session and outbox decide. Knows no websockets, only a wire."""

from __future__ import annotations

from typing import Protocol

from overlay.edge import Admission
from overlay.hub import Hub
from overlay.messages import Resume, TapResult, encode
from overlay.outbox import Need, Outbox, PositionsFrame, text_frame
from overlay.room import Room
from overlay.session import (
    Action,
    AskTap,
    Close,
    CloseCode,
    Reply,
    State,
    Sync,
    TakeReport,
    TakeSeen,
    TakeWant,
    ViewerSession,
)

_MS = 1_000_000


class Wire(Protocol):
    """A websocket.

    Attributes:
        clear: it is open, and everything written so far went to the kernel.
    """

    clear: bool

    def write(self, frames: bytes) -> None:
        """Write encoded frames."""

    def shut(self, code: int, reason: str) -> None:
        """Begin the closing handshake; the connection is dropped if the viewer does not answer."""

    def abort(self) -> None:
        """Drop the connection."""


class Viewer:
    """One admitted viewer.

    Attributes:
        outbox: what waits to be sent to it.
        compact: positions go to it in the binary encoding.
        predictions: it draws predictions and is to be sent them.
    """

    __slots__ = (
        "_admission",
        "_back_ms",
        "_hub",
        "_last_ns",
        "_resume",
        "_room",
        "_session",
        "_waits_since_ns",
        "_wire",
        "compact",
        "outbox",
        "predictions",
    )

    def __init__(self, hub: Hub, admission: Admission, wire: Wire, *, compact: bool = False) -> None:
        now_ns = hub.clock.now_ns()
        self.compact = compact
        self.predictions = True
        self.outbox = Outbox(hub.settings.outbox, hub.connections)
        self._hub = hub
        self._admission = admission
        self._wire = wire
        self._session = ViewerSession(now_ns, hub.settings.session)
        self._room: Room | None = None
        self._resume: Resume | None = None
        self._back_ms = 0
        self._waits_since_ns: int | None = None
        self._last_ns = now_ns

    # ---- inbound -------------------------------------------------------------------------------------------

    def text(self, message: bytes) -> None:
        """A text message came."""
        self._do(self._session.receive(message, self._hub.clock.now_ns()))

    def binary(self) -> None:
        """A binary message came."""
        self._do(self._session.binary())

    def ping(self) -> None:
        """A ping came; the wire answers it."""
        self._do(self._session.ping(self._hub.clock.now_ns()))

    def pong(self, payload: bytes) -> None:
        """A pong came."""
        self.outbox.acknowledge(payload)
        self.flush(self._hub.clock.now_ns())

    def marked(self, number: int) -> None:
        """A pong with a payload of four bytes came: nearly all of what viewers send."""
        self.outbox.acknowledge_number(number)
        if self.outbox.waiting:
            self.flush(self._hub.clock.now_ns())

    def writable(self) -> None:
        """The wire takes more again."""
        self.flush(self._hub.clock.now_ns())

    def tick(self, now_ns: int) -> None:
        """Once a second."""
        settings = self._hub.settings
        if self._session.state is State.HELLO:
            self._do(self._session.tick(now_ns))
        if self._waits_since_ns is not None and now_ns - self._waits_since_ns >= settings.sync_ms * _MS:
            self.close(CloseCode.NO_STREAM, "no such stream")
        elif self._room is not None and self._room.replica is not None:
            self.sync()
        quiet = now_ns - self._last_ns >= settings.keepalive_ms * _MS
        if quiet and self._sendable() and not self.outbox.awaits_pong:
            self._last_ns = now_ns
            self._wire.write(self.outbox.ping(now_ns))
        if self.outbox.busy:
            self.flush(now_ns)

    def lost(self) -> None:
        """The connection is gone."""
        self._hub.lost(self, self._room)
        self._room = None

    # ---- for the room, the hub and the desk ----------------------------------------------------------------

    def show(self, frame: PositionsFrame, now_ns: int) -> bool:
        """Take the newest positions. Whether they were written at once; else they wait in the outbox."""
        wire = self._wire
        if wire.clear:
            data = self.outbox.through(frame, now_ns)
            if data is not None:
                self._last_ns = now_ns
                wire.write(data)
                return True
        self.outbox.positions(frame)
        self.flush(now_ns)
        return False

    def flush(self, now_ns: int) -> None:
        """Write what can be written now."""
        outbox, wire = self.outbox, self._wire
        if outbox.stale:
            self._relieve(now_ns)
        while True:
            if not wire.clear:
                outbox.block()
                break
            taken = outbox.take(now_ns)
            if taken is None:
                break
            data, positions = taken
            self._last_ns = now_ns
            wire.write(data)
            if positions is not None:  # they go last: nothing else waits
                if self._room is not None:
                    self._room.sent(positions)
                return
        self._relieve(now_ns)

    def _relieve(self, now_ns: int) -> None:
        """Do what the outbox cannot do by itself."""
        need = self.outbox.need(now_ns)
        if need is Need.SLOW:
            self.close(CloseCode.SLOW, "too slow")
        elif need is Need.SNAPSHOT and self._room is not None:
            self.outbox.snapshot(self._room.catch_up(None))

    def sync(self) -> None:
        """Send the snapshot that was asked for; the stream's state is there."""
        if self._room is None or self._waits_since_ns is None:
            return
        waited_ns = self._hub.clock.now_ns() - self._waits_since_ns
        if self._room.behind(self._resume) and waited_ns < self._hub.settings.catch_up_ms * _MS:
            return
        self._waits_since_ns = None
        past = self._room.past(self._back_ms) if self._back_ms else []
        self.outbox.snapshot([*self._room.catch_up(self._resume), *past])
        self._room.go_live(self)
        self._session.synced()
        self.flush(self._hub.clock.now_ns())

    def answer(self, result: TapResult) -> None:
        """Send a tap's answer."""
        self.outbox.reply(text_frame(encode(result)))
        self.flush(self._hub.clock.now_ns())

    def close(self, code: CloseCode, reason: str) -> None:
        """Close with a code, unless that is under way."""
        self._do(self._session.close(code, reason))

    def abort(self) -> None:
        """Drop the connection."""
        self._wire.abort()

    # ---- actions -------------------------------------------------------------------------------------------

    def _do(self, actions: list[Action]) -> None:
        stream, viewer = self._admission.stream, self._admission.viewer
        for action in actions:
            match action:
                case Sync(resume, back_ms):
                    self._begin_sync(resume, back_ms)
                case AskTap(tap):
                    if self._room is not None and self._room.replica is not None:
                        self._hub.desk.ask(stream, viewer, tap, self._room.replica, self)
                case TakeReport(report):
                    self._hub.hooks.on_report(stream, viewer, report)
                case TakeSeen(seen):
                    self._take_seen(seen.pids)
                case TakeWant(want):
                    self.predictions = want.predicted
                case Reply(message):
                    self._wire.write(text_frame(encode(message)))
                case Close(code, reason):
                    self._hub.closed[int(code)] += 1
                    self._wire.shut(int(code), reason)

    def _begin_sync(self, resume: Resume | None, back_ms: int) -> None:
        self._resume, self._back_ms = resume, back_ms
        self._waits_since_ns = self._hub.clock.now_ns()
        self._room = self._hub.room(self._admission.stream)
        self._room.join(self)
        if self._room.replica is not None:
            self.sync()

    def _take_seen(self, pids: tuple[int, ...]) -> None:
        if self._room is None or self._room.replica is None:
            return
        cards = [self._room.replica.product(pid) for pid in dict.fromkeys(pids)]
        ids = tuple(card.id for card in cards if card is not None)
        if ids:
            self._hub.hooks.on_seen(self._admission.stream, self._admission.viewer, ids)

    def _sendable(self) -> bool:
        return self._session.state is not State.CLOSING and self._wire.clear
