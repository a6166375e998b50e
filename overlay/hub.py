"""What all viewers' connections of a node share: rooms, the tap desk, counts, the ticker, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from overlay.bus.base import Bus
from overlay.desk import TapDesk
from overlay.edge import (
    Admit,
    GatewaySettings,
    GatewayStatistics,
    OnPositionsSent,
    OnReport,
    OnSeen,
    OnTap,
)
from overlay.outbox import OutboxStatistics
from overlay.room import Member, Room
from overlay.session import CloseCode
from stream.clock import Clock
from stream.types import MediaTime, StreamId

log = logging.getLogger(__name__)

_TICK_S = 1.0
_NAP_S = 0.01


class Connection(Member, Protocol):
    """One viewer's connection, as the hub sees it."""

    def tick(self, now_ns: int) -> None:
        """Once a second."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Close with a code, unless that is under way."""

    def abort(self) -> None:
        """Drop the connection."""


@dataclass(frozen=True, slots=True)
class HubHooks:
    """Who decides and who listens; see `overlay.edge`."""

    admit: Admit
    on_tap: OnTap
    on_report: OnReport
    on_seen: OnSeen


class Hub:
    """Shared by all connections of a gateway. Event loop only.

    Attributes:
        on_positions_sent: told when positions of a frame were written to the first viewer of its stream.
        closing: no new viewers.
        closed: connections closed by the server, by close code.
        connections: accepted since the start.
    """

    def __init__(self, bus: Bus, clock: Clock, hooks: HubHooks, settings: GatewaySettings) -> None:
        self.on_positions_sent: OnPositionsSent | None = None
        self.settings = settings
        self.clock = clock
        self.hooks = hooks
        self.desk = TapDesk(clock, hooks.on_tap, settings)
        self.closing = False
        self.closed: Counter[int] = Counter()
        self._bus = bus
        self._rooms: dict[StreamId, Room] = {}
        self._followers: dict[Room, asyncio.Task[None]] = {}
        self._connections: dict[Connection, None] = {}
        self.connections = 0
        self._past = OutboxStatistics()
        self._ticker: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    def viewers(self, stream: StreamId) -> int:
        """Viewers of a stream on this node."""
        room = self._rooms.get(stream)
        return len(room) if room is not None else 0

    def watched(self) -> dict[StreamId, int]:
        """Viewers on this node of each stream that has any."""
        return {stream: len(room) for stream, room in self._rooms.items() if len(room)}

    def statistics(self) -> GatewayStatistics:
        """Counts since the start."""
        boxes = [self._past, *(connection.outbox.statistics for connection in self._connections)]
        return GatewayStatistics(
            viewers=sum(len(room) for room in self._rooms.values()),
            connections=self.connections,
            positions_sent=sum(box.positions_sent for box in boxes),
            positions_skipped=sum(box.positions_skipped for box in boxes),
            overflows=sum(box.overflows for box in boxes),
            taps=self.desk.answered,
            taps_late=self.desk.late,
            closed=dict(self.closed),
        )

    async def close(self, drain_s: float) -> None:
        """Refuse new viewers, close the present ones with 1001 evenly over `drain_s`, release everything."""
        self.closing = True
        connections = list(self._connections)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for number, connection in enumerate(connections, 1):
            connection.close(CloseCode.DRAINING, "server is draining")
            early_s = began_s + drain_s * number / len(connections) - loop.time()
            if early_s > _NAP_S or number % self.settings.chunk == 0:  # a nap for each would add up
                await asyncio.sleep(max(0.0, early_s))
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self.settings.close_ms / 1000)
        for connection in list(self._connections):
            connection.abort()
        if self._ticker is not None:
            self._ticker.cancel()
        followers = list(self._followers.values())
        for room in list(self._rooms.values()):
            self._release(room)
        await asyncio.gather(*followers, return_exceptions=True)
        await self.desk.close()

    # ---- for connections -----------------------------------------------------------------------------------

    def accepted(self, connection: Connection) -> None:
        """A connection is open."""
        self.connections += 1
        self._connections[connection] = None
        if self._ticker is None:
            self._ticker = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def lost(self, connection: Connection, room: Room | None) -> None:
        """A connection is gone."""
        if self._connections.pop(connection, connection) is None:
            self._past.add(connection.outbox.statistics)
        if self.closing and not self._connections:
            self._empty.set()
        if room is not None:
            room.leave(connection)
            if not len(room):
                linger_s = self.settings.linger_ms / 1000
                asyncio.get_running_loop().call_later(linger_s, self._release_if_empty, room)

    def room(self, stream: StreamId) -> Room:
        """The room of a stream; begins to follow the stream if nobody here watched it."""
        room = self._rooms.get(stream)
        if room is None:
            room = self._rooms[stream] = Room(stream, self._bus, self.clock, self.settings)
            room.on_sent = self._sent
            self._followers[room] = asyncio.get_running_loop().create_task(self._follow(room))
        return room

    async def _follow(self, room: Room) -> None:
        while True:
            try:
                await room.run()
            except Exception:
                log.exception("following a stream failed", extra={"stream": room.stream})
                await asyncio.sleep(_TICK_S)

    def _sent(self, stream: StreamId, time: MediaTime, now_ns: int) -> None:
        if self.on_positions_sent is not None:
            self.on_positions_sent(stream, time, now_ns)

    def _release_if_empty(self, room: Room) -> None:
        if not len(room) and self._rooms.get(room.stream) is room:
            self._release(room)

    def _release(self, room: Room) -> None:
        self._rooms.pop(room.stream, None)
        room.close()
        follower = self._followers.pop(room, None)
        if follower is not None:
            _stop(follower)

    def _tick(self) -> None:
        now_ns = self.clock.now_ns()
        for connection in list(self._connections):
            connection.tick(now_ns)
        waiting = bool(self._connections) and not self.closing
        self._ticker = asyncio.get_running_loop().call_later(_TICK_S, self._tick) if waiting else None


def _stop(task: asyncio.Task[None]) -> None:
    """Cancel until it has ended: a cancellation can get lost in `asyncio.wait_for` before Python 3.12."""
    if not task.done():
        task.cancel()
        asyncio.get_running_loop().call_later(0.5, _stop, task)
