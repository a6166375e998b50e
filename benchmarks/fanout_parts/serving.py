"""What every subject of `benchmarks.fanout` shares on the side of the server. Standard library only.

Prints ``ready PORT``, then obeys lines on standard input: ``go SECONDS RATE`` publishes positions (and
prints ``sent COUNT``), end of input ends it. A message's RTP timestamp is the publishing time, in
microseconds of the monotonic clock modulo 2^32, so that whoever receives it knows how old it is.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import resource
import sys
import time
from collections.abc import Callable

SPOTS = 5
BACKLOG = 4096
Publish = Callable[[int], None]
"""Sends the positions of "frame" `rtp` to everybody."""


def corners(spot: int, rtp: int) -> tuple[int, int, int, int]:
    """Where hotspot `spot` (1..5) is at `rtp`, 0..10000."""
    x = 400 + 1700 * (spot - 1) + rtp // 1000 % 300
    return x, 3000, x + 1400, 7100


def message(rtp: int) -> bytes:
    """Positions as the engine writes them: one measured sample of five hotspots, JSON."""
    spots = ",".join(
        f"[{spot},{spot},0,0,{','.join(map(str, corners(spot, rtp)))}]" for spot in range(1, SPOTS + 1)
    )
    return f'{{"t":"pos","s":[[1,{rtp},1,[{spots}]]]}}'.encode()


def text_frame(payload: bytes) -> bytes:
    """A websocket text frame of 126 to 65535 bytes (RFC 6455, 5.2)."""
    return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


def accept(head: bytes) -> bytes:
    """The answer to a websocket upgrade (RFC 6455, 4.2.2)."""
    field = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    key = field.split(b":", 1)[1].strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(hashlib.sha1(key).digest()) + b"\r\n\r\n"
    )


def raise_limits() -> None:
    """As many descriptors as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def obey(port: int, publish: Publish) -> None:
    """Say that the server is ready and publish as told, until standard input ends."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(f"ready {port}", flush=True)
    while line := (await lines.readline()).split():
        seconds, rate = float(line[1]), float(line[2])
        begin, sent = loop.time(), 0
        while sent < seconds * rate:
            await asyncio.sleep(max(0.0, begin + sent / rate - loop.time()))
            publish(time.monotonic_ns() // 1000 & 0xFFFF_FFFF)
            sent += 1
        print(f"sent {sent}", flush=True)
