"""The registry in Redis. A lease stands in the slot of its stream: the bus checks it as it publishes."""

from __future__ import annotations

from typing import Any

from overlay.bus.redis import StreamKeys
from overlay.bus.redis_link import KEEP_MS, RedisLink
from overlay.bus.registry import FORGOTTEN_MS, WATCHED_MS, Lease, NodeSign
from overlay.bus.scripts import ACQUIRE, BEAT, FIGURES, HOLDER, LEAVE, NODES, RELEASE, RENEW, WATCH
from stream.types import StreamId

_NODES = ("vitrine:{nodes}:records", "vitrine:{nodes}:seen", "vitrine:{nodes}:figures")


class RedisRegistry:
    """A `Registry` over Redis. Event loop only.

    Args:
        link: the way to Redis; shared with the bus, which closes it.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def acquire(self, stream: StreamId, node: str, ttl_ms: int) -> Lease:
        """See `Registry`."""
        return _lease(await self._link.run(ACQUIRE, (StreamKeys.of(stream).lease,), node, ttl_ms, KEEP_MS))

    async def renew(self, stream: StreamId, lease: Lease, ttl_ms: int) -> Lease:
        """See `Registry`."""
        keys = StreamKeys.of(stream)
        terms = (lease.node, lease.fence, ttl_ms, KEEP_MS)
        return _lease(await self._link.run(RENEW, (keys.lease, keys.viewers), *terms))

    async def release(self, stream: StreamId, lease: Lease) -> None:
        """See `Registry`."""
        await self._link.run(RELEASE, (StreamKeys.of(stream).lease,), lease.fence)

    async def holder(self, stream: StreamId) -> Lease | None:
        """See `Registry`."""
        held = await self._link.run(HOLDER, (StreamKeys.of(stream).lease,))
        return _lease(held) if held else None

    async def watch(self, stream: StreamId, node: str, viewers: int) -> None:
        """See `Registry`."""
        await self._link.run(WATCH, (StreamKeys.of(stream).viewers,), node, viewers, WATCHED_MS)

    async def beat(self, node: str, record: bytes, figures: bytes = b"") -> None:
        """See `Registry`."""
        await self._link.run(BEAT, _NODES, node, record, figures)

    async def figures(self) -> dict[str, bytes]:
        """See `Registry`."""
        told = iter(await self._link.run(FIGURES, _NODES))
        return {node.decode(): figures for node, figures in zip(told, told, strict=True)}

    async def leave(self, node: str) -> None:
        """See `Registry`."""
        await self._link.run(LEAVE, _NODES, node)

    async def nodes(self) -> tuple[NodeSign, ...]:
        """See `Registry`."""
        found = await self._link.run(NODES, _NODES, FORGOTTEN_MS)
        return tuple(NodeSign(node.decode(), int(silent), record) for node, silent, record in found)

    async def close(self) -> None:
        """See `Registry`: the link is the bus's."""


def _lease(found: list[Any]) -> Lease:
    node, fence, left_ms, *viewers = found
    return Lease(node.decode(), int(fence), int(left_ms), int(viewers[0]) if viewers else 0)
