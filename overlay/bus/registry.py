"""The registry: which nodes there are, and which of them holds each stream.

What every implementation guarantees, and `tests/overlay/bus/test_registry.py` checks:

- **A lease** is held by one node at a time, for a limited time that its holder extends. Its number, the
  *fence*, is larger than that of every lease of the stream before it (Burrows 2006, "The Chubby lock
  service", section 2.4, sequencers; Kleppmann 2016). The bus refuses what is sent under a smaller one, so a
  node that was paused, or cut off, past the end of its lease does no harm when it wakes up.
- **A lease that ran out** stays with its holder until another node asks for it: losing touch with the
  registry moves nothing by itself.
- **Time** is measured by the registry alone, never compared between nodes.
- **Records** of nodes are kept until the node takes its leave, or has been silent for `FORGOTTEN_MS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stream.types import StreamId

FORGOTTEN_MS = 600_000
WATCHED_MS = 10_000
"""A gateway that does not repeat how many viewers it has, has none."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a stream.

    Attributes:
        node: its holder.
        fence: number of the lease.
        left_ms: how long it holds, unless it is extended; 0 or less: it ran out.
        viewers: of the stream, on all gateways; told to the holder only, when it extends.
    """

    node: str
    fence: int
    left_ms: int
    viewers: int = 0


@dataclass(frozen=True, slots=True)
class NodeSign:
    """A node's last sign of life.

    Attributes:
        node: its name.
        silent_ms: how long ago.
        record: what it said of itself (`vitrine.studio.nodes` knows the form).
    """

    node: str
    silent_ms: int
    record: bytes


class Registry(Protocol):
    """Shared by all nodes of a fleet. Every method may raise `BusError` (retryable): unreachable."""

    async def acquire(self, stream: StreamId, node: str, ttl_ms: int) -> Lease:
        """Ask for a stream; the answer is the lease as it is now: `node`'s own, anew, or another's."""

    async def renew(self, stream: StreamId, lease: Lease, ttl_ms: int) -> Lease:
        """Extend `lease`, also one that ran out; the answer names another holder when there is one by now."""

    async def release(self, stream: StreamId, lease: Lease) -> None:
        """Give a stream up; another node may have it at once. Does nothing when another has it already."""

    async def holder(self, stream: StreamId) -> Lease | None:
        """The lease of a stream, ran out or not; None when nobody holds it."""

    async def watch(self, stream: StreamId, node: str, viewers: int) -> None:
        """Tell the holder of a stream how many viewers a gateway has of it; to be repeated."""

    async def beat(self, node: str, record: bytes, figures: bytes = b"") -> None:
        """Give a sign of life.

        Args:
            node: whose.
            record: short: other nodes read all of them whenever they place a stream.
            figures: as long as it has to be: read only when somebody looks (`figures`).
        """

    async def figures(self) -> dict[str, bytes]:
        """What each node that is known told of its work last, where it told anything."""

    async def leave(self, node: str) -> None:
        """Take one's leave: no record is kept."""

    async def nodes(self) -> tuple[NodeSign, ...]:
        """All nodes that are known, the one that has been silent for longest first."""

    async def close(self) -> None:
        """Release what the registry itself holds."""


class MemoryRegistry:
    """A `Registry` within one process, which is its only node: nobody else can ask, so nothing runs out."""

    def __init__(self) -> None:
        self._leases: dict[StreamId, Lease] = {}
        self._last: dict[StreamId, int] = {}
        self._watched: dict[StreamId, dict[str, int]] = {}
        self._records: dict[str, bytes] = {}
        self._figures: dict[str, bytes] = {}

    async def acquire(self, stream: StreamId, node: str, ttl_ms: int) -> Lease:
        """See `Registry`."""
        held = self._leases.get(stream)
        if held is not None and held.node != node:
            return held
        self._last[stream] = fence = self._last.get(stream, 0) + 1
        self._leases[stream] = lease = Lease(node, fence, ttl_ms)
        return lease

    async def renew(self, stream: StreamId, lease: Lease, ttl_ms: int) -> Lease:
        """See `Registry`."""
        held = self._leases.get(stream)
        if held is None or held.fence != lease.fence:
            return held or Lease("", self._last.get(stream, 0), 0)
        viewers = sum(self._watched.get(stream, {}).values())
        return Lease(lease.node, lease.fence, ttl_ms, viewers)

    async def release(self, stream: StreamId, lease: Lease) -> None:
        """See `Registry`."""
        held = self._leases.get(stream)
        if held is not None and held.fence == lease.fence:
            del self._leases[stream]

    async def holder(self, stream: StreamId) -> Lease | None:
        """See `Registry`."""
        return self._leases.get(stream)

    async def watch(self, stream: StreamId, node: str, viewers: int) -> None:
        """See `Registry`."""
        watched = self._watched.setdefault(stream, {})
        watched[node] = viewers
        if not viewers:
            del watched[node]

    async def beat(self, node: str, record: bytes, figures: bytes = b"") -> None:
        """See `Registry`."""
        self._records[node] = record
        if figures:
            self._figures[node] = figures

    async def figures(self) -> dict[str, bytes]:
        """See `Registry`."""
        return dict(self._figures)

    async def leave(self, node: str) -> None:
        """See `Registry`."""
        self._records.pop(node, None)
        self._figures.pop(node, None)

    async def nodes(self) -> tuple[NodeSign, ...]:
        """See `Registry`."""
        return tuple(NodeSign(node, 0, record) for node, record in self._records.items())

    async def close(self) -> None:
        """See `Registry`."""
