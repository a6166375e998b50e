"""The streams that this node runs, each under its lease: taken, gone on with, handed over, given up."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from overlay.bus.base import Bus, SnapshotItem
from overlay.errors import BusError
from stream.clock import Clock
from stream.errors import EngineError
from stream.sources.base import open_source
from stream.types import StreamId
from stream.webrtc import Ingest, Playback
from vitrine.fleet import Elsewhere, Fleet
from vitrine.hub import Hub, StreamRuntime

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_SOURCE_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_FLUSH_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Start:
    """What a stream's runtime begins with.

    Attributes:
        fence: number of the lease it publishes under; 0 for none.
        held: what the bus held of it; None for a new one.
    """

    fence: int = 0
    held: SnapshotItem | None = None


class Streams:
    """Runtimes and leases together. Event loop only.

    Args:
        hub: the runtimes.
        fleet: the leases.
        bus: where the state of a stream is read from when this node takes it.
        clock: the engine's clock.
        idle_ms: a stream without a publisher is given up after so long; None keeps it for ever.
    """

    def __init__(self, hub: Hub, fleet: Fleet, bus: Bus, clock: Clock, idle_ms: int | None) -> None:
        self.hub = hub
        self.fleet = fleet
        self._bus, self._clock = bus, clock
        self._idle_ns = None if idle_ms is None else idle_ms * 1_000_000
        self._busy_ns: dict[StreamId, int] = {}
        self._starts: dict[StreamId, Start] = {}
        self._lost: set[StreamId] = set()
        self._opening = asyncio.Lock()
        fleet.on_lost = self._on_lost

    def start_of(self, stream: StreamId) -> Start:
        """What the runtime of `stream`, which is being made, begins with."""
        return self._starts.pop(stream, Start())

    async def open(self, stream: StreamId, *, insist: bool = False) -> StreamRuntime:
        """The runtime of `stream`, held by this node; goes on where its last holder stopped.

        Raises:
            Elsewhere: it belongs to another node.
            TooManyStreams: no node takes it now.
            BusError: the registry or the bus does not answer.
        """
        async with self._opening:
            runtime = self.hub.find(stream)
            if runtime is not None and self.fleet.holds(stream) and not self.fleet.draining:
                return runtime
            fence = await self.fleet.claim(stream, insist=insist)
            if runtime is not None and self._idle_ns is None:
                return runtime  # alone: nobody else had it meanwhile
            await self.hub.end(stream, "lost")
            self._starts[stream] = Start(fence, await self._bus.read(stream))
            self._busy_ns[stream] = self._clock.now_ns()
            return self.hub.open(stream)

    async def publish(self, stream: StreamId, offer: str, *, force: bool = False) -> Ingest:
        """Accept a WHIP offer; see `open` and `Hub.publish`."""
        await self.open(stream, insist=force)
        return await self.hub.publish(stream, offer, force=force)

    async def play(self, stream: StreamId, offer: str) -> Playback:
        """Accept a WHEP offer.

        Raises:
            Elsewhere: another node has the stream.
            UnknownStream: nobody publishes it.
            SdpError, PortsExhausted: see `Hub.play`.
        """
        await self.require(stream)
        return await self.hub.play(stream, offer)

    async def pull(self, stream: StreamId, url: str) -> None:
        """Run a pulled source for ever, on the one node that holds it; begin again when it breaks off."""
        failures = 0
        while True:
            try:
                if self.fleet.holds(stream) or await self.fleet.mine(stream):
                    await self.open(stream)
                    await self.hub.pull(
                        stream, lambda epoch: open_source(url, stream, self._clock, epoch=epoch)
                    )
                failures = 0
            except Elsewhere:  # it runs there; begin here when that node is gone
                failures = 1
            except EngineError as error:
                log.warning("source broke off", extra={"stream": stream, "reason": str(error)})
            await asyncio.sleep(_SOURCE_RETRY_S[min(failures, len(_SOURCE_RETRY_S) - 1)])
            failures += 1

    async def require(self, stream: StreamId) -> None:
        """See that this node runs `stream`.

        Raises:
            Elsewhere: another node does.
        """
        if self.hub.find(stream) is None and (node := await self.fleet.holder(stream)) is not None:
            raise Elsewhere(node)

    async def hand_over(self) -> None:
        """Let all publishers go once their last events are stored: they come back to other nodes."""
        for runtime in list(self.hub):
            await self._give_up(runtime.stream, "draining")

    async def run(self) -> None:
        """Give up what is idle, and end what was lost, until cancelled."""
        while True:
            for stream in list(self._lost):
                await self.hub.end(stream, "replaced")
                self._lost.discard(stream)
            now_ns = self._clock.now_ns()
            for runtime in self.hub:
                if runtime.show.fenced:
                    self._lost.add(runtime.stream)
                elif runtime.relay.live or runtime.ingests:
                    self._busy_ns[runtime.stream] = now_ns
                elif self._idle(runtime.stream, now_ns):
                    await self._give_up(runtime.stream, "idle")
            await asyncio.sleep(_LOOK_S)

    def _idle(self, stream: StreamId, now_ns: int) -> bool:
        since_ns = self._busy_ns.setdefault(stream, now_ns)
        return self._idle_ns is not None and now_ns - since_ns >= self._idle_ns

    async def _give_up(self, stream: StreamId, reason: str) -> None:
        async with self._opening:
            await self.hub.end(stream, reason, flush_s=_FLUSH_S)
            self._busy_ns.pop(stream, None)
            try:
                await self.fleet.release(stream)
            except BusError as error:
                log.warning("lease left to run out", extra={"stream": stream, "reason": str(error)})

    def _on_lost(self, stream: StreamId, words: str) -> None:
        self._lost.add(stream)
