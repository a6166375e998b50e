"""This process among the others that share its bus: signs of life, leases, who watches, where to go instead.

Decisions are in `vitrine.studio`; here they are carried out. Alone on one machine the registry is a
`MemoryRegistry` and every answer is "here".
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from overlay.bus.registry import Registry
from overlay.errors import BusError
from stream.clock import Clock
from stream.errors import EngineError
from stream.types import StreamId
from vitrine.config import FleetConfig
from vitrine.errors import FleetError, TooManyStreams
from vitrine.studio import nodes
from vitrine.studio.lease import MS, HeldLease, Standing
from vitrine.studio.nodes import Node, NodeRecord
from vitrine.studio.placement import Here, There, least_loaded, place

log = logging.getLogger(__name__)

BEAT_S: Final = 1.0
_TICK_S: Final = 0.25
_FRESH_MS: Final = 1_000
_WATCH_BEATS: Final = 3
"""Unchanged numbers of viewers are repeated every so many beats."""


class Elsewhere(EngineError):
    """What was asked for is another node's.

    Attributes:
        node: which.
    """

    code = "elsewhere"
    retryable = True
    http_status = 503

    def __init__(self, node: Node) -> None:
        super().__init__(f"node {node.name} has it; ask {node.record.public}")
        self.node = node


def node_name(configured: str) -> str:
    """The name of this process: as configured, else one that no other has."""
    return configured or f"{socket.gethostname().split('.')[0][:40]}-{secrets.token_hex(3)}"


class Fleet:
    """This node's part in the fleet. Event loop only.

    Args:
        registry: shared with the other nodes.
        settings: as configured.
        clock: the engine's clock.

    Attributes:
        name: of this node.
        draining: it takes nothing new.
        on_lost: told of a stream that another node holds by now, in words.
        watched: viewers on this node by stream; asked every second.
        figures: what operators at other nodes are told of this one's streams; asked every second.
    """

    def __init__(self, registry: Registry, settings: FleetConfig, clock: Clock) -> None:
        self.name = node_name(settings.node)
        self.draining = False
        self.on_lost: Callable[[StreamId, str], None] = lambda stream, words: None
        self.watched: Callable[[], Mapping[StreamId, int]] = dict
        self.figures: Callable[[], bytes] = bytes
        self._registry, self._settings, self._clock = registry, settings, clock
        self._describe: Callable[[], NodeRecord] | None = None
        self._held: dict[StreamId, HeldLease] = {}
        self._claims: defaultdict[StreamId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._nodes: tuple[Node, ...] = ()
        self._nodes_ns = -_FRESH_MS * MS
        self._beaten_ns = clock.now_ns()
        self._told: dict[StreamId, int] = {}

    # ---- life ----------------------------------------------------------------------------------------------

    async def join(
        self, tasks: asyncio.TaskGroup, describe: Callable[[], NodeRecord]
    ) -> list[asyncio.Task[None]]:
        """Become known. The tasks returned keep this node and its leases alive; cancel them to stop.

        Args:
            tasks: where they run.
            describe: this node as it is now; its leases and viewers are filled in here.

        Raises:
            FleetError: another process has this name.
            BusError: the registry does not answer.
        """
        self._describe = describe
        deadline_ns = self._clock.now_ns() + (nodes.SILENT_MS + 1_500) * MS
        while any(node.name == self.name and node.alive for node in await self._read()):
            if self._clock.now_ns() > deadline_ns:
                raise FleetError(
                    f"another process calls itself {self.name!r}; give each a name of its own (fleet.node)",
                    code="fleet-name",
                )
            await asyncio.sleep(BEAT_S / 2)  # one that was killed just now falls silent
        await self._registry.beat(self.name, nodes.encode(self.record()))
        loops = (("beats", self._beat_for_ever()), ("leases", self._renew_for_ever()))
        return [tasks.create_task(loop, name=name) for name, loop in loops]

    async def leave(self) -> None:
        """Give up all streams and take one's leave."""
        try:
            await asyncio.gather(*(self.release(stream) for stream in list(self._held)))
            for stream in self._told:
                await self._registry.watch(stream, self.name, 0)
            await self._registry.leave(self.name)
        except BusError as error:
            log.warning("leaving without a word", extra={"reason": str(error)})

    async def drain(self) -> None:
        """Take nothing new from now on, and let everybody know.

        Raises:
            BusError: nobody could be told; nothing new is taken all the same.
        """
        self.draining = True
        if self._describe is not None:
            await self._beat()

    def record(self) -> NodeRecord:
        """This node as it is now; only after `join`."""
        assert self._describe is not None, "join first"
        now_ns, described = self._clock.now_ns(), self._describe()
        streams = tuple(
            replace(
                told,
                fence=held.lease.fence,
                lease_age_ms=held.age_ms(now_ns),
                certain=held.standing(now_ns) is Standing.HELD,
            )
            for told in described.streams
            if (held := self._held.get(StreamId(told.id))) is not None
        )
        viewers = {str(stream): count for stream, count in self.watched().items() if count}
        return replace(described, draining=self.draining, streams=streams, viewers=viewers)

    # ---- streams -------------------------------------------------------------------------------------------

    def holds(self, stream: StreamId) -> bool:
        """This node holds `stream`, as far as it knows."""
        return stream in self._held

    def viewers(self, stream: StreamId) -> int:
        """Viewers of a stream that this node holds, on all gateways."""
        held = self._held.get(stream)
        return max(held.lease.viewers if held else 0, self.watched().get(stream, 0))

    async def claim(self, stream: StreamId, *, insist: bool = False) -> int:
        """Hold `stream`; returns the fence to publish under.

        Args:
            stream: which.
            insist: also when this node is full.

        Raises:
            Elsewhere: it belongs to another node.
            TooManyStreams: no node takes it now.
            BusError: the registry does not answer.
        """
        async with self._claims[stream]:
            held = self._held.get(stream)
            if held is not None and not self.draining:
                return held.lease.fence
            record = self.record()
            me = Node(self.name, 0, replace(record, full="") if insist else record)
            placed = place(stream, me, await self.nodes(), await self._registry.holder(stream))
            if isinstance(placed, There):
                raise Elsewhere(placed.node)
            if not isinstance(placed, Here):
                raise TooManyStreams(placed.reason)
            return await self._acquire(stream)

    async def _acquire(self, stream: StreamId) -> int:
        asked_ns = self._clock.now_ns()
        lease = await self._registry.acquire(stream, self.name, self._settings.lease_ms)
        if lease.node != self.name:  # somebody was quicker
            raise TooManyStreams(f"node {lease.node} took {stream!r} just now; ask again")
        self._held[stream] = HeldLease(lease, asked_ns)
        log.info("stream held", extra={"stream": stream, "fence": lease.fence})
        return lease.fence

    async def release(self, stream: StreamId) -> None:
        """Give `stream` up, if it is held.

        Raises:
            BusError: the registry does not answer; the lease runs out by itself.
        """
        held = self._held.pop(stream, None)
        if held is not None:
            await self._registry.release(stream, held.lease)

    async def mine(self, stream: StreamId) -> bool:
        """Of all nodes, this one should take `stream` if nobody holds it: what sources are started by.

        Raises:
            BusError: the registry does not answer.
        """
        me = Node(self.name, 0, self.record())
        others = (node for node in await self.nodes() if node.name != self.name)
        chosen = least_loaded(stream, (me, *others))
        return chosen is None or chosen is me

    async def holder(self, stream: StreamId) -> Node | None:
        """The living node that holds `stream`; None when there is none, or it is this one."""
        lease = await self._registry.holder(stream)
        if lease is None or lease.node == self.name:
            return None
        found = {node.name: node for node in await self.nodes()}.get(lease.node)
        return found if found is not None and found.alive else None

    async def catalogue(self) -> Node | None:
        """A node that has the catalogue, for one that has none; None on a node that recognises itself."""
        if self.record().role != "gateway":
            return None
        able = [node for node in await self.nodes() if node.alive and node.ingests]
        return min(able, key=lambda node: node.record.load, default=None)

    async def nodes(self) -> tuple[Node, ...]:
        """All nodes, at most a second old.

        Raises:
            BusError: the registry does not answer.
        """
        if self._clock.now_ns() - self._nodes_ns >= _FRESH_MS * MS:
            await self._read()
        return self._nodes

    async def told(self) -> dict[str, bytes]:
        """What each node tells operators of its streams.

        Raises:
            BusError: the registry does not answer.
        """
        return await self._registry.figures()

    async def _read(self) -> tuple[Node, ...]:
        self._nodes = nodes.read(await self._registry.nodes())
        self._nodes_ns = self._clock.now_ns()
        return self._nodes

    def silent_ms(self) -> int:
        """How long the registry has not taken a sign of life of this node."""
        return (self._clock.now_ns() - self._beaten_ns) // MS

    # ---- loops ---------------------------------------------------------------------------------------------

    async def _beat_for_ever(self) -> None:
        beats = 0
        while True:
            try:
                await self._beat()
                await self._tell_viewers(everything=beats % _WATCH_BEATS == 0)
            except BusError as error:
                if self.silent_ms() < 2 * BEAT_S * 1000:
                    log.warning("no sign of life possible", extra={"reason": str(error)})
            beats += 1
            await asyncio.sleep(BEAT_S)

    async def _beat(self) -> None:
        await self._registry.beat(self.name, nodes.encode(self.record()), self.figures())
        self._beaten_ns = self._clock.now_ns()

    async def _tell_viewers(self, everything: bool) -> None:
        watched = dict(self.watched())
        for stream in {*watched, *self._told}:
            count = watched.get(stream, 0)
            if everything or count != self._told.get(stream):
                await self._registry.watch(stream, self.name, count)
        self._told = {stream: count for stream, count in watched.items() if count}

    async def _renew_for_ever(self) -> None:
        while True:
            now_ns = self._clock.now_ns()
            due = [stream for stream, held in self._held.items() if held.due(now_ns)]
            await asyncio.gather(*(self._renew(stream) for stream in due))
            await asyncio.sleep(_TICK_S)

    async def _renew(self, stream: StreamId) -> None:
        held, asked_ns = self._held[stream], self._clock.now_ns()
        held.asking(asked_ns)
        sure = held.standing(asked_ns)
        try:
            answer = await self._registry.renew(stream, held.lease, self._settings.lease_ms)
        except BusError as error:
            if sure is Standing.HELD and held.standing(self._clock.now_ns()) is Standing.UNSURE:
                log.warning("lease ran out unanswered", extra={"stream": stream, "reason": str(error)})
            return
        if self._held.get(stream) is held and held.answered(answer, asked_ns) is Standing.LOST:
            del self._held[stream]
            words = f"node {answer.node or '?'} holds it by now (lease {answer.fence})"
            log.warning("stream lost", extra={"stream": stream, "reason": words})
            self.on_lost(stream, words)
