"""An ingest node without video: holds the stream under a real lease and authors positions and events.

    python -m benchmarks.fleet_parts.ingest REDIS NAME

Obeys lines on standard input: ``claim`` asks until it holds the stream (as a publisher's client would ask)
and goes on with what the bus holds of it; prints ``claimed EPOCH AFTER_MS``. ``stop`` authors no further
event and prints ``last SEQ`` once the last one is stored.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time

from inference.types import Box, MatchState
from overlay.bus.redis import RedisBus
from overlay.bus.redis_registry import RedisRegistry
from overlay.messages import Card
from overlay.publisher import StreamPublisher
from overlay.state import OverlayAuthor
from overlay.types import Hotspot, HotspotFrame
from stream.clock import MonotonicClock
from stream.errors import EngineError
from stream.types import MediaTime, StreamId
from vitrine.fleet import Fleet
from vitrine.studio.nodes import NodeRecord, StreamRecord
from vitrine.studio.settings import FleetConfig

STREAM = StreamId("bench")
POSITIONS_HZ = 15
EVENTS_HZ = 4
SPOTS = 5


class Ingest:
    """One node; `serve` obeys its input."""

    def __init__(self, url: str, name: str) -> None:
        self._bus = RedisBus(url)
        self._name = name
        self._fleet = Fleet(RedisRegistry(self._bus.link), FleetConfig(node=name), MonotonicClock())
        self._publisher: StreamPublisher | None = None
        self._authoring = True
        self._epoch = 0

    async def serve(self) -> None:
        """Until input ends."""
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        async with asyncio.TaskGroup() as tasks:
            running = await self._fleet.join(tasks, self._record)
            print("ready", flush=True)
            while line := (await lines.readline()).decode().strip():
                if line == "claim":
                    running += await self._claim(tasks)
                elif line == "stop":
                    await self._stop()
            for task in running:
                task.cancel()
        await self._fleet.leave()
        await self._bus.close()

    async def _claim(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        began = time.monotonic()
        while True:
            try:
                fence = await self._fleet.claim(STREAM)
                held = await self._bus.read(STREAM)
                break
            except EngineError:
                await asyncio.sleep(0.2)
        state = held.snapshot if held else None
        author = OverlayAuthor(STREAM, state.log if state else secrets.token_urlsafe(6), state)
        self._publisher = StreamPublisher(author, self._bus, fence=fence, start=held)
        self._epoch = author.epoch + 1
        cards = [
            Card(pid, f"p{pid}", f"Product {pid}", "9 EUR", f"https://x.example/{pid}", "", "")
            for pid in range(1, SPOTS + 1)
        ]
        self._publisher.post(author.set_products(cards))
        self._publisher.post(author.live(self._epoch, 0, 100))
        print(f"claimed {self._epoch} {(time.monotonic() - began) * 1000:.0f}", flush=True)
        loops = (self._publisher.run(), self._author_positions(), self._author_events())
        return [tasks.create_task(loop) for loop in loops]

    async def _author_positions(self) -> None:
        publisher = self._publisher
        assert publisher is not None
        while True:
            now_us = time.monotonic_ns() // 1000
            x = 0.1 + now_us % 100_000 / 1e6
            spots = tuple(
                Hotspot(pid, pid, f"p{pid}", MatchState.EXACT, Box(x, 0.1 * pid, x + 0.1, 0.1 * pid + 0.08))
                for pid in range(1, SPOTS + 1)
            )
            media = MediaTime(self._epoch, now_us * 9 // 100 & 0xFFFF_FFFF)
            publisher.positions(HotspotFrame(STREAM, media, True, spots))
            await asyncio.sleep(1 / POSITIONS_HZ)

    async def _author_events(self) -> None:
        publisher = self._publisher
        assert publisher is not None
        turn = 0
        while self._authoring:
            publisher.post(publisher.author.latency(100 + turn % 50))
            turn += 1
            await asyncio.sleep(1 / EVENTS_HZ)

    async def _stop(self) -> None:
        self._authoring = False
        publisher = self._publisher
        assert publisher is not None
        await asyncio.sleep(2 / EVENTS_HZ)
        await publisher.flush()
        print(f"last {publisher.author.snapshot().seq}", flush=True)

    def _record(self) -> NodeRecord:
        held = (StreamRecord(id=STREAM, fence=0, epoch=self._epoch, live=True),) if self._publisher else ()
        address = f"http://127.0.0.1/{self._name}"
        return NodeRecord(role="ingest", version="bench", address=address, public=address, streams=held)


if __name__ == "__main__":
    asyncio.run(Ingest(sys.argv[1], sys.argv[2]).serve())
