"""A whole overlay on loopback: author, publisher, bus, gateway, and viewers with a real websockets client."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from overlay.bus.base import Bus
from overlay.bus.memory import MemoryBus
from overlay.edge import Admission, GatewaySettings
from overlay.gateway import Gateway
from overlay.messages import Report, TapResult
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from overlay.taps import TapOutcome
from stream.clock import Clock, MonotonicClock
from stream.types import StreamId, stream_id
from tests.overlay.builders import STREAM, card


class Stage:
    """Everything between an author and viewers, with what the hooks were told."""

    def __init__(self, bus: Bus, settings: GatewaySettings | None = None, clock: Clock | None = None) -> None:
        self.bus = bus
        self.author = OverlayAuthor(STREAM, "log-1")
        self.publisher = StreamPublisher(self.author, bus)
        self.outcomes: list[TapOutcome] = []
        self.reports: list[Report] = []
        self.seen: list[tuple[str, ...]] = []
        self.refusal: tuple[int, str] | None = None
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.shop_takes_s = 0.0
        self.shop_error: Exception | None = None
        self.gateway = Gateway(
            bus=bus,
            clock=clock or MonotonicClock(),
            admit=self._admit,
            on_tap=self._on_tap,
            on_report=lambda stream, viewer, report: self.reports.append(report),
            on_seen=lambda stream, viewer, ids: self.seen.append(ids),
            settings=settings or GatewaySettings(),
        )
        self.port = 0

    async def start_show(self, products: int = 3) -> None:
        await self.publisher.start()
        await self.publisher.publish(self.author.set_products(card(pid) for pid in range(1, products + 1)))
        await self.publisher.publish(self.author.live(1, 0, 120))

    def publish_over(self, bus: Bus) -> None:
        """Let the author be on another node than the gateway."""
        self.publisher = StreamPublisher(self.author, bus)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop run until `condition` holds, three seconds at most."""
        deadline_s = asyncio.get_running_loop().time() + 3
        while not condition():
            assert asyncio.get_running_loop().time() < deadline_s, "the condition never came true"
            await asyncio.sleep(0.005)  # noqa: ASYNC110 - what is waited for has no event

    def _admit(self, path: str, headers: Mapping[str, str]) -> Admission | tuple[int, str]:
        self.asked.append((path, headers))
        if self.refusal is not None:
            return self.refusal
        return Admission(stream_id(path.split("?")[0].removeprefix("/ws/")), "viewer-1")

    async def _on_tap(self, stream: StreamId, viewer: str, outcome: TapOutcome) -> TapResult:
        self.outcomes.append(outcome)
        await asyncio.sleep(self.shop_takes_s)
        if self.shop_error is not None:
            raise self.shop_error
        return outcome.result()

    @contextlib.asynccontextmanager
    async def viewer(
        self, hello: dict[str, Any] | None = None, path: str = "/ws/demo", offers: tuple[str, ...] = ()
    ) -> AsyncIterator[Viewer]:
        offered = [Subprotocol(name) for name in offers] or None
        address = f"ws://127.0.0.1:{self.port}{path}"
        async with connect(address, ping_interval=None, subprotocols=offered) as wire:
            client = Viewer(wire)
            if hello is not None:
                await client.send(hello)
            yield client


class Viewer:
    """A viewer's side, speaking JSON."""

    def __init__(self, wire: ClientConnection) -> None:
        self.wire = wire

    async def send(self, message: dict[str, Any]) -> None:
        await self.wire.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(3):
            message = json.loads(await self.wire.recv())
        assert isinstance(message, dict)
        return message

    async def until(self, tag: str) -> dict[str, Any]:
        """The next message with this tag; others are skipped."""
        while (message := await self.receive())["t"] != tag:
            pass
        return message

    async def close_code(self) -> int:
        """Wait for the server to close."""
        async with asyncio.timeout(10):
            await self.wire.wait_closed()
        assert self.wire.close_code is not None
        return self.wire.close_code


HELLO: dict[str, Any] = {"t": "hello", "v": 1}


@contextlib.asynccontextmanager
async def staged(
    settings: GatewaySettings | None = None, bus: Bus | None = None, clock: Clock | None = None
) -> AsyncIterator[Stage]:
    """A stage on a free port; everything is released at the end."""
    own = bus or MemoryBus()
    stage = Stage(own, settings, clock)
    server = await asyncio.get_running_loop().create_server(stage.gateway.protocol, "127.0.0.1", 0)
    stage.port = server.sockets[0].getsockname()[1]
    try:
        yield stage
    finally:
        server.close()
        await stage.gateway.close(0)
        if bus is None:
            await own.close()
