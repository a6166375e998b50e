"""What waits to be sent to one viewer. No socket, no clock.

Three rules bound both memory and age. Positions: one slot, latest wins; who cannot take all of them gets
fewer, evenly (`pace`). Events and replies: a queue; when it overflows everything is replaced by one fresh
snapshot, and a viewer that does not even take that is slow. Age: a ping marker follows every few messages,
and while too many are not yet acknowledged by a pong nothing more is written, because what is written
already sits in buffers that cannot be taken back.

Measured with readers that take half of what they are sent (15 messages a second): without markers the age of
what they show grows without limit; with these limits it stays below 1.3 s.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from overlay.pace import PER_SECOND, Pace, PaceLimits
from stream.types import MediaTime


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Bounds of one viewer's outbox.

    Attributes:
        items: events and replies waiting at most.
        octets: bytes of them at most.
        marker_every: messages between two ping markers.
        unacknowledged: messages written after the newest acknowledged one, at most.
        calm_marker_every: messages between two markers for a viewer whose pongs have always come before they
            were needed: a pong costs a third of a delivery.
        calm_unacknowledged: messages written to such a viewer after the newest acknowledged one, at most.
        slow_ms: how long a snapshot or an acknowledgement may be overdue.
        pace: when a viewer is sent fewer positions.
    """

    items: int = 64
    octets: int = 32 * 1024
    marker_every: int = 4
    unacknowledged: int = 8
    calm_marker_every: int = 10
    calm_unacknowledged: int = 12
    slow_ms: int = 5_000
    pace: PaceLimits = field(default_factory=PaceLimits)


@dataclass(frozen=True, slots=True)
class PositionsFrame:
    """An encoded positions message, shared by all viewers.

    Attributes:
        data: the websocket frame.
        times: frames whose samples are new in it.
    """

    data: bytes
    times: tuple[MediaTime, ...] = ()


class Need(Enum):
    """What the outbox cannot do by itself."""

    NOTHING = "nothing"
    SNAPSHOT = "snapshot"
    """Make a fresh snapshot and give it to `snapshot`."""
    SLOW = "slow"
    """Close with 3008."""


@dataclass(slots=True)
class OutboxStatistics:
    """Counts since the connection began."""

    positions_sent: int = 0
    positions_skipped: int = 0
    others_sent: int = 0
    overflows: int = 0

    @property
    def messages_sent(self) -> int:
        """Positions, events, snapshots and replies."""
        return self.positions_sent + self.others_sent

    def add(self, other: OutboxStatistics) -> None:
        """Add another connection's counts to these."""
        self.positions_sent += other.positions_sent
        self.positions_skipped += other.positions_skipped
        self.others_sent += other.others_sent
        self.overflows += other.overflows


class Outbox:
    """One viewer's outgoing messages, as encoded websocket frames.

    Args:
        limits: its bounds.
        number: of the viewer. Neighbours are marked in different rounds: their pongs would all come at once.
    """

    __slots__ = (
        "_acknowledged",
        "_blocked",
        "_credits",
        "_due",
        "_limits",
        "_marked",
        "_markers",
        "_octets",
        "_ordered",
        "_pace",
        "_replies",
        "_slot",
        "_slow_ns",
        "_stale_ns",
        "_stride",
        "_written",
        "statistics",
    )

    def __init__(self, limits: OutboxLimits | None = None, number: int = 0) -> None:
        self.statistics = OutboxStatistics()
        self._limits = limits or OutboxLimits()
        if self._limits.marker_every > self._limits.unacknowledged:
            raise ValueError(
                f"got a marker every {self._limits.marker_every} messages and {self._limits.unacknowledged} "
                "unacknowledged, expected at least as many: nothing would ever be acknowledged"
            )
        self._slow_ns = self._limits.slow_ms * 1_000_000
        self._credits = max(self._limits.calm_unacknowledged, self._limits.unacknowledged)
        self._stride = min(max(self._limits.calm_marker_every, self._limits.marker_every), self._credits)
        self._ordered: deque[bytes] = deque()
        self._replies: deque[bytes] = deque()
        self._octets = 0
        self._slot: PositionsFrame | None = None
        self._blocked = False
        self._pace = Pace(self._limits.pace)
        self._written = 0
        self._acknowledged = 0
        self._marked = 0
        self._due = self._stride - number % self._stride
        self._markers: deque[tuple[int, int]] = deque()
        self._stale_ns: int | None = None

    def __len__(self) -> int:
        return len(self._ordered) + len(self._replies) + (self._slot is not None)

    # ---- in ------------------------------------------------------------------------------------------------

    def positions(self, frame: PositionsFrame) -> None:
        """The newest positions. What waited is gone."""
        if self._slot is not None:
            self.statistics.positions_skipped += 1
            if self._blocked:
                self._blocked = False
                self._pace.crowded_out()
        self._slot = frame

    def push(self, frame: bytes, now_ns: int) -> None:
        """An event, in order. On overflow the waiting events are dropped and a snapshot is due."""
        if self._stale_ns is not None:
            return
        if self._fits(frame):
            self._ordered.append(frame)
            self._octets += len(frame)
            return
        self._octets -= sum(map(len, self._ordered))
        self._ordered.clear()
        self._stale_ns = now_ns
        self.statistics.overflows += 1

    def reply(self, frame: bytes) -> bool:
        """An answer to this viewer alone. False when there was no room for it."""
        if not self._fits(frame):
            return False
        self._replies.append(frame)
        self._octets += len(frame)
        return True

    def snapshot(self, frames: list[bytes]) -> None:
        """The state anew, whatever its size: replaces waiting events and positions, not replies."""
        self._ordered = deque(frames)
        self._octets = sum(map(len, frames)) + sum(map(len, self._replies))
        self._slot = None
        self._stale_ns = None

    def acknowledge(self, payload: bytes) -> None:
        """A pong came back. Payloads that are not ours are ignored."""
        if len(payload) == 4:
            self.acknowledge_number(int.from_bytes(payload, "big"))

    def acknowledge_number(self, number: int) -> None:
        """The same for a payload of four bytes, as a number."""
        if not self._acknowledged < number <= self._marked:
            return
        self._acknowledged = number
        while self._markers and self._markers[0][0] <= number:
            self._markers.popleft()

    def _fits(self, frame: bytes) -> bool:
        waiting = len(self._ordered) + len(self._replies)
        return waiting < self._limits.items and self._octets + len(frame) <= self._limits.octets

    # ---- out -----------------------------------------------------------------------------------------------

    def need(self, now_ns: int) -> Need:
        """What must happen before anything else can be sent."""
        stale_ns, markers = self._stale_ns, self._markers
        if stale_ns is None and (not markers or now_ns - markers[0][1] < self._slow_ns):
            return Need.NOTHING
        oldest_ns = markers[0][1] if markers else now_ns
        if now_ns - min(oldest_ns, now_ns if stale_ns is None else stale_ns) >= self._slow_ns:
            return Need.SLOW
        return Need.SNAPSHOT if stale_ns is not None and self._credit() else Need.NOTHING

    def take(self, now_ns: int) -> tuple[bytes, PositionsFrame | None] | None:
        """The next bytes to write, with the positions they carry if any. None: nothing, or no credit left.

        Call only while the transport's own buffer is empty.
        """
        if self._written - self._acknowledged >= self._credits:
            self._blocked = self._slot is not None
            if self.waiting:
                self._stride, self._credits = self._limits.marker_every, self._limits.unacknowledged
                self._due = min(self._due, self._marked + self._stride)
            if self._markers:
                return None
            return self.ping(now_ns), None  # else nothing would ever be acknowledged
        carried: PositionsFrame | None = None
        if self._ordered or self._replies:
            data = (self._ordered or self._replies).popleft()
            self._octets -= len(data)
            self.statistics.others_sent += 1
        elif self._slot is not None:
            if self._pace.active and not self._pace.due(now_ns):
                return None
            carried, self._slot, self._blocked = self._slot, None, False
            data = carried.data
            self.statistics.positions_sent += 1
        else:
            return None
        self._written += 1
        if self._written >= self._due:
            data += self.ping(now_ns)
        return data, carried

    def through(self, frame: PositionsFrame, now_ns: int) -> bytes | None:
        """The bytes to write of the newest positions, past the slot, where nothing is in their way.

        This is `positions` and `take` in one, for nearly every delivery there is: what it costs is what a
        viewer costs. None: something waits or has to be decided; go the long way.
        """
        written = self._written
        if (
            written - self._acknowledged >= self._credits
            or self._ordered
            or self._replies
            or self._slot is not None
            or self._stale_ns is not None
            or self._pace.active
        ):
            return None
        self._written = written = written + 1
        self.statistics.positions_sent += 1
        return frame.data if written < self._due else frame.data + self.ping(now_ns)

    def ping(self, now_ns: int) -> bytes:
        """A marker: a ping that carries the number of the last message written (RFC 6455, 5.5.2)."""
        self._written = max(self._written, self._marked + 1)
        self._marked = self._written
        self._due = self._marked + self._stride
        self._markers.append((self._marked, now_ns))
        return b"\x89\x04" + self._marked.to_bytes(4, "big")

    def block(self) -> None:
        """Nothing can be written now. Positions overwritten meanwhile count against the pace."""
        self._blocked = self._slot is not None

    @property
    def positions_per_second(self) -> int | None:
        """How many positions this viewer is sent at most, None for all; adapts to what it can take."""
        return PER_SECOND[self._pace.level]

    @property
    def waiting(self) -> bool:
        """There is something to write, or a snapshot due."""
        return bool(self._slot or self._ordered or self._replies or self._stale_ns is not None)

    @property
    def stale(self) -> bool:
        """A snapshot is due."""
        return self._stale_ns is not None

    @property
    def busy(self) -> bool:
        """Something waits, or a marker is not acknowledged yet: it may become slow."""
        return self.waiting or bool(self._markers)

    @property
    def awaits_pong(self) -> bool:
        """A marker is not acknowledged yet."""
        return bool(self._markers)

    def _credit(self) -> bool:
        return self._written - self._acknowledged < self._credits


def text_frame(payload: bytes) -> bytes:
    """One unmasked, unfragmented websocket text frame (RFC 6455, 5.2)."""
    return _frame(0x81, payload)


def binary_frame(payload: bytes) -> bytes:
    """The same as a binary frame."""
    return _frame(0x82, payload)


def _frame(head: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 0x10000:
        return bytes((head, 126)) + size.to_bytes(2, "big") + payload
    return bytes((head, 127)) + size.to_bytes(8, "big") + payload
