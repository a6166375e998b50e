"""The author's way to the bus: positions at once, events in order and until they are stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque

from msgspec.structs import replace

from overlay.bus.base import Bus, PositionsItem
from overlay.errors import BusError
from overlay.messages import Event, Positions, Snapshot, encode
from overlay.state import OverlayAuthor, fold
from overlay.types import HotspotFrame

log = logging.getLogger(__name__)

_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_PENDING = 4096


class StreamPublisher:
    """One stream's author on one bus. Event loop only.

    Every event goes out with the snapshot of its own moment. While the bus is unreachable events wait here,
    in order (at most 4096 of them), and `run` keeps trying: none is lost as long as the process lives. A bus
    that forgot the stream (a restart without persistence) is given its state again within `refresh_s`.
    """

    def __init__(self, author: OverlayAuthor, bus: Bus, *, refresh_s: float = 10.0) -> None:
        self.author = author
        self._bus = bus
        self._state = author.snapshot()
        self._pending: deque[tuple[Event | None, Snapshot]] = deque()
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._started = False
        self._refresh_s = refresh_s

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
            self._state = self.author.snapshot()
            self._pending.append((None, self._state))
        self._started = True

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
                await self._bus.publish(self.author.stream, event, snapshot)
                self._pending.popleft()

    async def run(self) -> None:
        """Send what `post` queues, for ever; retries while the bus is unreachable. Cancel to stop.

        Stores the first snapshot like `start`, so calling that before is only needed to wait for it.
        """
        self._begin()
        failures = 0
        while True:
            if not self._pending:
                await self._wait()
            try:
                await self.flush()
                failures = 0
            except BusError as error:
                if failures == 0:
                    log.warning("events wait for the bus", extra={"reason": str(error)})
                if error.code == "bus-gap":
                    await self._reset()
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1

    async def _wait(self) -> None:
        """Until there is an event; or until it is time to see that the bus still holds the state."""
        self._wake.clear()
        try:
            async with asyncio.timeout(self._refresh_s):
                await self._wake.wait()
        except TimeoutError:
            self._pending.append((None, self._state))

    async def _reset(self) -> None:
        """The bus holds an older state of this very log (it was restored from a copy): begin anew."""
        with contextlib.suppress(BusError):
            await self._bus.forget(self.author.stream)

    def positions(self, frame: HotspotFrame) -> Positions | None:
        """Send a frame's hotspots to whoever listens. Returns what was sent, None when it was out of date."""
        positions = self.author.positions(frame)
        if positions is not None:
            self._bus.post_positions(self.author.stream, PositionsItem(positions, encode(positions)))
        return positions
