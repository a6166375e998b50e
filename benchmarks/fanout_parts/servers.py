"""Servers of `benchmarks.fanout` that need nothing but Vitrine's own environment.

``python -m benchmarks.fanout_parts.servers vitrine|websockets|raw``
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.fanout_parts.serving import (
    BACKLOG,
    SPOTS,
    accept,
    corners,
    message,
    obey,
    raise_limits,
    text_frame,
)
from inference.types import Box, MatchState
from overlay.bus.memory import MemoryBus
from overlay.edge import Admission
from overlay.gateway import Gateway
from overlay.messages import Card, Report, TapResult
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from overlay.taps import TapOutcome
from overlay.types import Hotspot, HotspotFrame
from stream.clock import MonotonicClock
from stream.types import MediaTime, StreamId

STREAM = StreamId("bench")


def _admit(_path: str, _headers: Mapping[str, str]) -> Admission | tuple[int, str]:
    return Admission(STREAM, "viewer")


async def _on_tap(_stream: StreamId, _viewer: str, outcome: TapOutcome) -> TapResult:
    return outcome.result()


def _ignore_report(_stream: StreamId, _viewer: str, _report: Report) -> None:
    return None


def _ignore_seen(_stream: StreamId, _viewer: str, _products: tuple[str, ...]) -> None:
    return None


def hotspots(rtp: int) -> HotspotFrame:
    """What `serving.message` says, as the engine has it."""
    spots = tuple(
        Hotspot(
            spot, spot, f"product-{spot}", MatchState.EXACT, Box(*(c / 10_000 for c in corners(spot, rtp)))
        )
        for spot in range(1, SPOTS + 1)
    )
    return HotspotFrame(STREAM, MediaTime(1, rtp), True, spots)


async def vitrine() -> None:
    """Author, bus and gateway, as they are in `vitrine serve`."""
    author, bus = OverlayAuthor(STREAM, "log"), MemoryBus()
    publisher = StreamPublisher(author, bus)
    await publisher.start()
    cards = [
        Card(n, f"product-{n}", f"Product {n}", "12.00 EUR", "", "", "Shop") for n in range(1, SPOTS + 1)
    ]
    await publisher.publish(author.set_products(cards))
    await publisher.publish(author.live(1, 0, 120))
    gateway = Gateway(
        bus=bus,
        clock=MonotonicClock(),
        admit=_admit,
        on_tap=_on_tap,
        on_report=_ignore_report,
        on_seen=_ignore_seen,
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(gateway.protocol, "127.0.0.1", 0, backlog=BACKLOG)

    def publish(rtp: int) -> None:
        publisher.positions(hotspots(rtp))

    await obey(server.sockets[0].getsockname()[1], publish)


async def websockets_broadcast() -> None:
    """What the documentation of `websockets` suggests for many viewers, without compression."""
    viewers: set[ServerConnection] = set()

    async def handler(viewer: ServerConnection) -> None:
        viewers.add(viewer)
        try:
            await viewer.wait_closed()
        finally:
            viewers.discard(viewer)

    async with serve(handler, "127.0.0.1", 0, compression=None, backlog=BACKLOG) as server:
        await obey(
            next(iter(server.sockets)).getsockname()[1],
            lambda rtp: broadcast(viewers, message(rtp), text=True),
        )


class RawViewer(asyncio.Protocol):
    """No protocol at all after the upgrade: what asyncio and the kernel take by themselves."""

    everybody: dict[asyncio.Transport, None] = {}

    def __init__(self) -> None:
        self._head = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer the request; ignore the rest."""
        if self._transport is None or self._transport in self.everybody:
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._transport.write(accept(self._head))
            self.everybody[self._transport] = None
            self._head = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport."""
        if self._transport is not None:
            self.everybody.pop(self._transport, None)


async def raw() -> None:
    """One frame written to every transport."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(RawViewer, "127.0.0.1", 0, backlog=BACKLOG)

    def publish(rtp: int) -> None:
        frame = text_frame(message(rtp))
        for transport in RawViewer.everybody:
            transport.write(frame)

    await obey(server.sockets[0].getsockname()[1], publish)


KINDS = {"vitrine": vitrine, "websockets": websockets_broadcast, "raw": raw}

if __name__ == "__main__":
    raise_limits()
    asyncio.run(KINDS[sys.argv[1]]())
