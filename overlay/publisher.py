"""The author's way to the bus: positions at once, events in order and until they are stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TypeAlias

from msgspec.structs import replace

from overlay.bus.base import TAIL, Bus, PositionsItem, SnapshotItem
from overlay.errors import BusError, FencedError, GapError
from overlay.messages import Event, Positions, Snapshot, encode
from overlay.state import OverlayAuthor, fold
from overlay.types import HotspotFrame

log = logging.getLogger(__name__)

RETRY_S = (0.05, 0.1, 0.2, 0.5)
_PENDING = 4096

_Publication: TypeAlias = tuple[Event | None, Snapshot]
"""An event, and the state after it; None stands for a state alone."""


class StreamPublisher:
    """One stream's author on one bus. Event loop only.

    Every event goes out with the snapshot of its own moment. While the bus is unreachable events wait here,
    in order (at most 4096 of them), and `run` keeps trying: none is lost as long as the process lives. A bus
    that lost the newest events (a replica that was behind took over) or all of them (a restart without
    persistence) is given them again, the last 256 one by one, within `refresh_s`.

    Args:
        author: writes the events.
        bus: where they go.
        fence: number of the lease they are sent under; 0 for none.
        start: what the bus held of the stream when the author took over, so that it can be given back too.
        refresh_s: how often to see that the bus still holds them, and to make the author heard.

    Attributes:
        fenced: another node holds the stream by now: nothing of this author is stored any more.
    """

    def __init__(
        self,
        author: OverlayAuthor,
        bus: Bus,
        *,
        fence: int = 0,
        start: SnapshotItem | None = None,
        refresh_s: float = 2.0,
    ) -> None:
        self.author = author
        self.fenced = False
        self._bus = bus
        self._fence = fence
        self._state = author.snapshot()
        self._pending: deque[_Publication] = deque()
        self._stored: deque[_Publication] = deque()
        self._base = self._state
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._started = False
        self._refresh_s = refresh_s
        if start is not None:  # what led there is known by its events alone; each sets absolute values
            self._stored.extend((event, replace(self._state, seq=event.seq)) for event in start.tail)
            first = start.tail[0].seq if start.tail else self._state.seq + 1
            self._base = replace(self._state, seq=first - 1)

    @property
    def pending(self) -> int:
        """Events that are not stored yet."""
        return len(self._pending)

    async def start(self) -> None:
        """Store the first snapshot, so that viewers who come before the first event get one.

        Raises:
            BusError: the bus is unreachable.
        """
        self._begin()
        await self.flush()

    def _begin(self) -> None:
        if not self._started and not self._pending:
            if not self._stored:
                self._state = self.author.snapshot()
            self._pending.append(self._newest())
        self._started = True

    def _newest(self) -> _Publication:
        """What the bus should hold: the last event, or a state while there is none."""
        return self._stored[-1] if self._stored else (None, self._state)

    def post(self, event: Event | None) -> None:
        """Queue what an author's method returned (None is nothing); `run` or `flush` sends it.

        Every event of the author must come by here, in order.

        Raises:
            BusError: an event before this one was never posted; or the bus has been unreachable for so long
                that 4096 events wait.
        """
        if event is None:
            return
        if event.seq != self._state.seq + 1:
            raise BusError(
                f"got event {event.seq} after {self._state.seq}, expected the next one; post every event",
                code="bus-gap",
                retryable=False,
            )
        if len(self._pending) >= _PENDING:
            raise BusError(f"{_PENDING} events wait for the bus; is it reachable?", code="bus-full")
        self._state = replace(fold(self._state, event), pos=self.author.snapshot().pos)
        self._pending.append((event, self._state))
        self._wake.set()

    async def publish(self, event: Event | None) -> None:
        """Queue an event and send all that wait.

        Raises:
            BusError: not stored yet; it stays queued and `run` keeps trying.
        """
        self.post(event)
        await self.flush()

    async def flush(self) -> None:
        """Send all that wait, in order.

        Raises:
            BusError: the bus is unreachable; what was not stored stays queued.
        """
        async with self._lock:
            while self._pending:
                event, snapshot = self._pending[0]
                await self._bus.publish(self.author.stream, event, snapshot, self._fence)
                self._keep(self._pending.popleft())

    def _keep(self, stored: _Publication) -> None:
        """Remember the newest events that the bus has, in case it loses them."""
        event, _ = stored
        if event is None or event.seq <= (self._stored[-1][1].seq if self._stored else self._base.seq):
            return
        if len(self._stored) == TAIL:
            self._base = self._stored.popleft()[1]
        self._stored.append(stored)

    async def run(self) -> None:
        """Send what `post` queues until cancelled, or `fenced`; retries while the bus is unreachable.

        Stores the first snapshot like `start`, so calling that before is only needed to wait for it.
        """
        self._begin()
        failures = 0
        while not self.fenced:
            if not self._pending:
                await self._wait()
            try:
                await self.flush()
                failures = 0
                continue
            except GapError as gap:
                await self._rewind(gap.last)
                await asyncio.sleep(RETRY_S[0])  # soon: until then the bus lacks what another node may need
                continue
            except FencedError as error:
                self.fenced = True
                log.warning("fenced off", extra={"stream": self.author.stream, "reason": str(error)})
                return
            except BusError as error:
                if failures == 0:
                    log.warning("events wait for the bus", extra={"reason": str(error)})
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
            failures += 1

    async def _wait(self) -> None:
        """Until there is an event; or until it is time to see that the bus still holds the last one."""
        self._wake.clear()
        try:
            async with asyncio.timeout(self._refresh_s):
                await self._wake.wait()
        except TimeoutError:
            self._pending.append(self._newest())

    async def _rewind(self, last: int) -> None:
        """The bus has nothing after event `last` (0: nothing at all) of what it once had: send it again."""
        again = [stored for stored in self._stored if stored[1].seq > last]
        known = self._stored[-1][1].seq if self._stored else self._base.seq
        rest = [one for one in self._pending if one[0] is not None and one[1].seq > known]
        log.warning("the bus lost events, sending them again", extra={"events": len(again), "last": last})
        self._pending = deque([*again, *rest])
        if self._pending and self._pending[0][1].seq > last + 1:  # not all are known: begin before them
            with contextlib.suppress(BusError):
                await self._bus.forget(self.author.stream)
            self._pending.appendleft((None, self._base))

    def positions(self, frame: HotspotFrame) -> Positions | None:
        """Send a frame's hotspots to whoever listens. Returns what was sent, None when it was out of date."""
        positions = self.author.positions(frame)
        if positions is not None:
            item = PositionsItem(positions, encode(positions))
            self._bus.post_positions(self.author.stream, item, self._fence)
        return positions
