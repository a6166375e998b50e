"""Viewers who do not read: what they see stays young, memory stays bounded, others do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from overlay.edge import GatewaySettings
from overlay.outbox import OutboxLimits
from tests.overlay.builders import card, frame, hotspot
from tests.overlay.stage import HELLO, Stage, Viewer, staged

RATE_HZ = 200
WITHOUT_ANSWER = OutboxLimits().calm_unacknowledged


class Laggard:
    """A viewer that reads only when told to; its small receive buffer stands for a narrow network."""

    def __init__(self, port: int) -> None:
        self.close_code: int | None = None
        self._protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/ws/demo"))
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)

    async def connect(self, port: int) -> None:
        await asyncio.get_running_loop().sock_connect(self._socket, ("127.0.0.1", port))
        self._protocol.send_request(self._protocol.connect())
        await self._send()
        await self.read(0.1)
        self._protocol.send_text(json.dumps(HELLO).encode())
        await self._send()
        assert [message["t"] for message in await self.read(0.2)] == ["snap"]

    async def read(self, seconds: float, answer_pings: bool = True) -> list[dict[str, Any]]:
        """Everything that comes within `seconds`."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + seconds
        messages: list[dict[str, Any]] = []
        while loop.time() < until_s:
            try:
                async with asyncio.timeout_at(until_s):
                    data = await loop.sock_recv(self._socket, 65536)
            except (TimeoutError, ConnectionResetError):
                break
            if not data:
                break
            self._protocol.receive_data(data)
            messages += self._messages()
            if answer_pings:
                await self._send()
        return messages

    def _messages(self) -> Iterator[dict[str, Any]]:
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                yield json.loads(bytes(event.data))
            elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                self.close_code = int.from_bytes(event.data[:2], "big")

    async def _send(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def close(self) -> None:
        self._socket.close()


@contextlib.asynccontextmanager
async def lagging(stage: Stage, count: int = 1) -> AsyncIterator[list[Laggard]]:
    """Laggards that got their snapshot and read nothing since."""
    laggards = [Laggard(stage.port) for _ in range(count)]
    try:
        await asyncio.gather(*(laggard.connect(stage.port) for laggard in laggards))
        yield laggards
    finally:
        for laggard in laggards:
            laggard.close()


async def play(stage: Stage, frames: int, first: int = 1) -> None:
    """Send positions at RATE_HZ; the frame's number is its timestamp."""
    for number in range(first, first + frames):
        stage.publisher.positions(frame(*(hotspot(spot_id) for spot_id in range(1, 9)), rtp=number))
        await asyncio.sleep(1 / RATE_HZ)


def newest(message: dict[str, Any]) -> int:
    return int(message["s"][-1][1])


async def numbers(viewer: Viewer, until: int) -> list[int]:
    """Numbers of the frames a viewer is sent until it gets `until`."""
    got: list[int] = []
    while not got or got[-1] < until:
        got.append(newest(await viewer.until("pos")))
    return got


async def test_reader_that_stalls_then_reads_finds_a_few_old_positions_and_then_the_newest() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with lagging(stage) as (laggard,), stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            quick = asyncio.ensure_future(numbers(viewer, 200))
            await play(stage, 200)
            late = [newest(message) for message in await laggard.read(0.5) if message["t"] == "pos"]
            assert len(late) <= WITHOUT_ANSWER + 1, "more waited than the unacknowledged and the newest"
            assert late[-1] == 200 and late[0] < 20
            assert len(await quick) >= 180, "a viewer who reads must not pay for one who does not"


async def test_age_of_what_a_narrow_reader_sees_is_bounded() -> None:
    """Reads every 100 ms what fits into its buffer, at 200 positions a second."""
    async with staged() as stage:
        await stage.start_show()
        async with lagging(stage) as (laggard,):
            sending = asyncio.ensure_future(play(stage, 2 * RATE_HZ))
            ages = []
            while not sending.done():
                await asyncio.sleep(0.1)
                for message in await laggard.read(0.005):
                    if message["t"] == "pos":
                        positions = stage.author.snapshot().pos
                        assert positions is not None
                        ages.append((positions.s[-1].rtp - newest(message)) / RATE_HZ)
            await sending
        assert len(ages) >= 20
        assert max(ages) < 1.3, f"{max(ages):.2f} s: positions pile up where they cannot be taken back"
        assert max(ages[len(ages) // 2 :]) < 0.6, "the age must not grow with time"


async def test_reader_that_never_answers_is_closed_with_3008() -> None:
    settings = GatewaySettings(outbox=OutboxLimits(slow_ms=200), close_ms=300)
    async with staged(settings) as stage:
        await stage.start_show()
        async with lagging(stage) as (laggard,):
            await play(stage, 60)
            messages = await laggard.read(1.0, answer_pings=False)
            assert len([message for message in messages if message["t"] == "pos"]) <= WITHOUT_ANSWER
            assert laggard.close_code == 3008
            await stage.until(lambda: stage.gateway.statistics().viewers == 0)
            assert stage.gateway.statistics().closed == {3008: 1}


async def test_reader_that_missed_too_many_events_gets_one_snapshot_instead() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with lagging(stage) as (laggard,):
            for ms in range(1, 400):
                await stage.publisher.publish(stage.author.latency(ms))
                await asyncio.sleep(0)
            await stage.publisher.publish(stage.author.set_products(card(pid) for pid in range(1, 6)))
            messages = await laggard.read(0.5)
            at = [message["t"] for message in messages].index("snap")
            assert messages[at]["seq"] == stage.author.snapshot().seq and len(messages[at]["products"]) == 5
            assert not messages[at]["recovered"] and at <= WITHOUT_ANSWER
            assert stage.gateway.statistics().overflows >= 1
            await stage.publisher.publish(stage.author.pin(1, True))
            events = [message for message in await laggard.read(0.3) if message["t"] == "evt"]
            assert [event["seq"] for event in events] == [messages[at]["seq"] + 1]


async def test_stuck_readers_do_not_make_the_server_hold_data_for_them() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with lagging(stage, 20):
            await play(stage, 100)
            figures = stage.gateway.statistics()
            assert figures.viewers == 20
            assert figures.positions_sent <= 20 * WITHOUT_ANSWER
            assert figures.positions_skipped >= 20 * 80
