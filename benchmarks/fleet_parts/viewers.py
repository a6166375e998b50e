"""Viewers that count what they miss: each comes back with what it saw last, to whichever gateway is there.

    python -m benchmarks.fleet_parts.viewers COUNT SEED PORT[,PORT...]

Obeys lines on standard input: ``phase`` prints ``result JSON`` of the time since the last one, ``drop SHARE``
cuts connections, ``caught SEQ`` waits until all have event SEQ (20 s at most) and prints ``behind COUNT``.
Prints ``joined`` once every viewer has its first snapshot.

*Lost* are events that a viewer was never sent: a number was skipped, or a snapshot that is not `recovered`
stands in for them. *Reordered* are events or snapshots that go back.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.fanout_parts.serving import raise_limits
from benchmarks.stats import percentile

BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0)
DRAINED_S = (0.2, 3.0)
"""As the element waits (docs/protocol.md, close codes)."""
_AT_ONCE = 200
_SNAP = re.compile(rb'"log":"([^"]*)","seq":(\d+)')
_EVENT = re.compile(rb'"seq":(\d+)')


@dataclass
class Counted:
    """What happened since the last report."""

    lost: int = 0
    reordered: int = 0
    events: int = 0
    positions: int = 0
    reconnects: int = 0
    resumed: int = 0
    closes: Counter[int] = field(default_factory=Counter)


class Crowd:
    """All viewers of this process."""

    def __init__(self, count: int, seed: int, ports: list[int]) -> None:
        self.random = random.Random(seed)
        self.ports = ports
        self.counted = Counted()
        self.connecting = asyncio.Semaphore(_AT_ONCE)
        self.viewers = [Viewer(self, ports[n % len(ports)]) for n in range(count)]

    async def join(self) -> None:
        """Connect all, and wait until each has its first snapshot."""
        for viewer in self.viewers:
            viewer.start()
        await asyncio.gather(*(viewer.joined.wait() for viewer in self.viewers))

    def report(self) -> dict[str, object]:
        """Counts and longest gaps since the last call."""
        now = time.monotonic()
        gaps: dict[str, float] = {}
        for kind in ("positions", "events"):
            longest = sorted(viewer.gap(kind, now) * 1000 for viewer in self.viewers)
            gaps |= {
                f"{kind}_gap_ms_p50": round(percentile(longest, 50), 1),
                f"{kind}_gap_ms_max": round(longest[-1], 1),
            }
        told, self.counted = self.counted, Counted()
        return {
            "lost": told.lost,
            "reordered": told.reordered,
            "events": told.events,
            "positions": told.positions,
            "reconnects": told.reconnects,
            "resumed": told.resumed,
            **gaps,
            "closes": dict(told.closes),
        }

    def drop(self, share: float) -> None:
        """Cut connections, as a network would."""
        for viewer in self.random.sample(self.viewers, int(share * len(self.viewers))):
            viewer.cut()

    async def behind(self, seq: int) -> int:
        """Viewers that do not have event `seq` even 20 seconds from now."""
        deadline = time.monotonic() + 20
        while True:
            late = sum((viewer.seq or 0) < seq for viewer in self.viewers)
            if not late or time.monotonic() > deadline:
                return late
            await asyncio.sleep(0.1)


class Viewer:
    """One viewer over all its connections."""

    def __init__(self, crowd: Crowd, port: int) -> None:
        self.seq: int | None = None
        self.joined = asyncio.Event()
        self._crowd, self._port = crowd, port
        self._log = b""
        self._wire: Wire | None = None
        self._attempts = 0
        self._drained = False
        self._task: asyncio.Task[None] | None = None
        now = time.monotonic()
        self._at = {"positions": now, "events": now}
        self._longest = {"positions": 0.0, "events": 0.0}

    def start(self) -> None:
        """Connect, and again whenever that is lost."""
        self._task = asyncio.ensure_future(self._connect())

    def cut(self) -> None:
        """Lose the connection."""
        if self._wire is not None:
            self._wire.abort()

    def gap(self, kind: str, now: float) -> float:
        """Longest time without `kind` since the last call, in seconds; what goes on now counts."""
        longest = max(self._longest[kind], now - self._at[kind])
        self._longest[kind] = 0.0
        return longest

    async def _connect(self) -> None:
        """Full jitter, doubling; another gateway each time."""
        loop = asyncio.get_running_loop()
        while True:
            if self._attempts:
                span = (0.0, BACKOFF_S[min(self._attempts, len(BACKOFF_S)) - 1])
                if self._drained:
                    span, self._drained = DRAINED_S, False
                await asyncio.sleep(self._crowd.random.uniform(*span))
                ports = self._crowd.ports
                self._port = ports[(ports.index(self._port) + 1) % len(ports)]
            self._attempts += 1
            try:
                async with self._crowd.connecting:
                    _, self._wire = await loop.create_connection(
                        lambda: Wire(self, self._port), "127.0.0.1", self._port
                    )
                return
            except OSError:
                continue

    def lost(self) -> None:
        """The connection is gone: come back."""
        self._wire = None
        self._crowd.counted.reconnects += 1
        self.start()

    def hello(self) -> bytes:
        """What to say first."""
        hello: dict[str, object] = {"t": "hello", "v": 1}
        if self.seq is not None:
            hello["resume"] = {"log": self._log.decode(), "seq": self.seq}
        return json.dumps(hello).encode()

    def closing(self, code: int) -> None:
        """The gateway closes."""
        self._crowd.counted.closes[code] += 1
        self._drained = code == 1001

    def take(self, payload: bytes) -> None:
        """One message."""
        if payload.startswith(b'{"t":"pos"'):
            self._crowd.counted.positions += 1
            self._note("positions")
        elif payload.startswith(b'{"t":"evt"'):
            self._event(payload)
        elif payload.startswith(b'{"t":"snap"'):
            self._snapshot(payload)

    def _note(self, kind: str) -> None:
        now = time.monotonic()
        self._longest[kind] = max(self._longest[kind], now - self._at[kind])
        self._at[kind] = now

    def _event(self, payload: bytes) -> None:
        found = _EVENT.search(payload)
        assert found is not None and self.seq is not None
        seq = int(found[1])
        self._crowd.counted.events += 1
        self._note("events")
        if seq <= self.seq:
            self._crowd.counted.reordered += 1
            return
        self._crowd.counted.lost += seq - self.seq - 1
        self.seq = seq

    def _snapshot(self, payload: bytes) -> None:
        found = _SNAP.search(payload)
        assert found is not None
        log, seq = found[1], int(found[2])
        self._attempts = 1
        if self.seq is not None and b'"recovered":true' not in payload:
            if log != self._log:
                self._crowd.counted.lost += max(1, seq)
            elif seq < self.seq:
                self._crowd.counted.reordered += 1
                return
            else:
                self._crowd.counted.lost += seq - self.seq
        elif self.seq is not None:
            self._crowd.counted.resumed += 1
        self._log, self.seq = log, seq
        self.joined.set()


class Wire(asyncio.Protocol):
    """One connection: websockets by hand, so that it costs little."""

    def __init__(self, viewer: Viewer, port: int) -> None:
        self._viewer, self._port = viewer, port
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._open = False

    def abort(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /ws/bench HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer, then frames."""
        data = self._data + data if self._data else data
        if not self._open:
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                self._data = data
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.abort()
                return
            self._open, data = True, rest
            self._send(0x81, self._viewer.hello())
        self._data = self._frames(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the viewer."""
        self._transport = None
        self._viewer.lost()

    def _send(self, head: int, payload: bytes) -> None:
        if self._transport is not None:  # a mask of zeros leaves the payload as it is
            self._transport.write(bytes((head, 0x80 | len(payload))) + b"\0\0\0\0" + payload)

    def _frames(self, data: bytes) -> bytes:
        """Take whole frames; returns what is left."""
        while len(data) >= 2:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            elif size == 127:
                size, start = int.from_bytes(data[2:10], "big"), 10
            if len(data) < start + size:
                break
            self._frame(data[0] & 15, data[start : start + size])
            data = data[start + size :]
        return data

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self._send(0x8A, payload)
        elif opcode == 8:
            self._viewer.closing(int.from_bytes(payload[:2], "big"))
            self.abort()
        else:
            self._viewer.take(payload)


async def main() -> None:
    """Obey standard input until it ends."""
    raise_limits()
    count, seed, ports = int(sys.argv[1]), int(sys.argv[2]), [int(port) for port in sys.argv[3].split(",")]
    crowd = Crowd(count, seed, ports)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await crowd.join()
    print("joined", flush=True)
    while line := (await lines.readline()).decode().split():
        if line[0] == "phase":
            print(f"result {json.dumps(crowd.report())}", flush=True)
        elif line[0] == "drop":
            crowd.drop(float(line[1]))
        elif line[0] == "caught":
            print(f"behind {await crowd.behind(int(line[1]))}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
