"""What the gateway is given and what it tells: types of its seams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from overlay.messages import Report, TapResult
from overlay.outbox import OutboxLimits
from overlay.session import SessionLimits
from overlay.taps import TapOutcome
from stream.types import MediaTime, StreamId


@dataclass(frozen=True, slots=True)
class Admission:
    """A viewer who may watch.

    Attributes:
        stream: what they watch.
        viewer: opaque id for the ledger; the same for the same viewer where that is known.
    """

    stream: StreamId
    viewer: str


Admit: TypeAlias = Callable[[str, Mapping[str, str]], Admission | tuple[int, str]]
"""(path with query, headers by lower-case name) -> admitted, or (HTTP status, message).

Called before the upgrade is accepted. Browsers cannot read the status of a refused upgrade, so 401, 403 and
404 are told as close codes 4401 and 4404 (docs/protocol.md); every other status refuses over HTTP.
"""

OnTap: TypeAlias = Callable[[StreamId, str, TapOutcome], Awaitable[TapResult]]
"""(stream, viewer, what the tap met) -> the answer. Called once per tap id, under `tap_deadline_ms`."""

OnReport: TypeAlias = Callable[[StreamId, str, Report], None]
"""A viewer's own measurements."""

OnSeen: TypeAlias = Callable[[StreamId, str, tuple[str, ...]], None]
"""Impressions: catalogue ids of the products."""

OnPositionsSent: TypeAlias = Callable[[StreamId, MediaTime, int], None]
"""(stream, frame, now_ns): positions of a frame were written to the first viewer's transport."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Limits of the gateway.

    Attributes:
        tap_deadline_ms: for `OnTap`; later, the answer is what the show's own list says.
        taps_in_flight: waiting for `OnTap` at once; beyond it they are answered from the list.
        sync_ms: how long a viewer waits for a stream's snapshot before 4404.
        catch_up_ms: how long a viewer who saw more elsewhere waits for this node to catch up.
        keepalive_ms: a quiet connection is pinged this often.
        close_ms: how long a closing handshake may take.
        linger_ms: how long a stream is followed after its last viewer left, so that one who comes back finds
            the history of what was shown.
        keep_ms: samples of so long are kept: taps on older frames are not known any more.
        chunk: viewers written to before other work gets its turn.
        not_sent_low_water: bytes the kernel may hold that are not sent yet (TCP_NOTSENT_LOWAT).
    """

    session: SessionLimits = field(default_factory=SessionLimits)
    outbox: OutboxLimits = field(default_factory=OutboxLimits)
    tap_deadline_ms: int = 800
    taps_in_flight: int = 1_000
    sync_ms: int = 5_000
    catch_up_ms: int = 1_000
    keepalive_ms: int = 20_000
    close_ms: int = 2_000
    linger_ms: int = 10_000
    keep_ms: int = 20_000
    chunk: int = 256
    not_sent_low_water: int = 2_048


@dataclass(frozen=True, slots=True)
class GatewayStatistics:
    """Counts since the start, and who is there now.

    Attributes:
        viewers: connections that follow a stream now.
        connections: accepted since the start.
        positions_sent: positions messages written.
        positions_skipped: positions overwritten by newer ones before they could be written.
        overflows: event queues that overflowed into a snapshot.
        taps: taps answered.
        taps_late: of those, without the shop because it missed the deadline or failed.
        closed: connections closed by the server, by close code.
    """

    viewers: int = 0
    connections: int = 0
    positions_sent: int = 0
    positions_skipped: int = 0
    overflows: int = 0
    taps: int = 0
    taps_late: int = 0
    closed: Mapping[int, int] = field(default_factory=dict)
