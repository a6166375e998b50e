"""Many cheap viewers: ``python -m benchmarks.whep_parts.swarm PORT COUNT ORIGIN_NS``.

A viewer makes a real connection (ICE, DTLS) with aiortc; then its socket is taken away and read by one thread
for all, which looks at the RTP headers only: frames, holes, and how old a frame is when its last packet is
here. Nothing is decrypted, so that many fit beside the server. Prints ``ready COUNT``; at ``count SECONDS``
prints one JSON object. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import select
import socket
import sys
import threading
import time
from typing import Any

import aiohttp
import psutil
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from benchmarks.stats import percentile
from stream import hooks

_TOGETHER = 8


class Reader(threading.Thread):
    """Reads every viewer's socket.

    Attributes:
        counting: whether what arrives is counted now.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, origin_ns: int) -> None:
        super().__init__(daemon=True, name="reader")
        self.counting = False
        self._loop = loop
        self._origin_ns = origin_ns
        self._epoll = select.epoll()
        self._sockets: dict[int, tuple[socket.socket, Any]] = {}
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self.frames = self.packets = self.octets = 0
        self.ages_ms: list[float] = []
        self.seen: dict[int, tuple[int, int, int]] = {}

    def add(self, sock: socket.socket, protocol: Any) -> None:
        """Read `sock` from now on; what is not media goes to `protocol`, on the loop."""
        self._sockets[sock.fileno()] = sock, protocol
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Until the process ends."""
        buffer = bytearray(2048)
        while True:
            for fd, _ in self._epoll.poll(1.0):
                sock, protocol = self._sockets[fd]
                for _ in range(64):
                    try:
                        size, address = sock.recvfrom_into(buffer)
                    except BlockingIOError:
                        break
                    if 128 <= buffer[0] < 192:
                        if self.counting and not 192 <= buffer[1] <= 223:
                            self._media(fd, buffer, size)
                    else:
                        data = bytes(buffer[:size])
                        self._loop.call_soon_threadsafe(protocol.datagram_received, data, address)

    def _media(self, fd: int, buffer: bytearray, size: int) -> None:
        sequence = buffer[2] << 8 | buffer[3]
        first, newest, count = self.seen.get(fd, (sequence, sequence, 0))
        ahead = (sequence - newest) & 0xFFFF
        newest = newest + ahead if ahead < 32_768 else newest
        self.seen[fd] = first, newest, count + 1
        self.packets += 1
        self.octets += size
        if buffer[1] & 0x80:
            self.frames += 1
            rtp = int.from_bytes(buffer[4:8], "big")
            age_ms = (time.monotonic_ns() - self._origin_ns) / 1e6 - rtp / 90
            self.ages_ms.append(age_ms)


async def join(port: int, reader: Reader, peers: list[RTCPeerConnection]) -> None:
    """Connect one viewer and hand its socket to the reader."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peers.append(pc)
    pc.addTransceiver("video", direction="recvonly")
    hooks.limit_network(pc, loopback=True, udp_ports=None)
    await pc.setLocalDescription(await pc.createOffer())
    async with aiohttp.ClientSession() as http:
        url, headers = f"http://127.0.0.1:{port}/whep/show", {"Content-Type": "application/sdp"}
        async with http.post(url, data=pc.localDescription.sdp, headers=headers) as reply:
            await pc.setRemoteDescription(RTCSessionDescription(await reply.text(), "answer"))
    while pc.connectionState != "connected":  # noqa: ASYNC110 - setting up, not measured
        await asyncio.sleep(0.02)
    connection = pc.getTransceivers()[0].receiver.transport.transport._connection
    protocol = connection._nominated[1].protocol
    sock = protocol.transport.get_extra_info("socket")._sock
    asyncio.get_running_loop()._remove_reader(sock.fileno())  # type: ignore[attr-defined]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    reader.add(sock, protocol)


async def main(port: int, count: int, origin_ns: int) -> None:
    """Join, then obey."""
    loop = asyncio.get_running_loop()
    reader = Reader(loop, origin_ns)
    reader.start()
    peers: list[RTCPeerConnection] = []
    for begin in range(0, count, _TOGETHER):
        together = range(begin, min(begin + _TOGETHER, count))
        await asyncio.gather(*(join(port, reader, peers) for _ in together))
    print(f"ready {count}", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        seconds, me = float(line.split()[1]), psutil.Process()
        reader.reset()
        used = sum(me.cpu_times()[:2])
        reader.counting = True
        await asyncio.sleep(seconds)
        reader.counting = False
        expected = sum(newest - first + 1 for first, newest, _ in reader.seen.values())
        found = {
            "frames": reader.frames,
            "packets": reader.packets,
            "octets": reader.octets,
            "missing": expected - reader.packets,
            "p50_ms": percentile(reader.ages_ms, 50),
            "p95_ms": percentile(reader.ages_ms, 95),
            "cpu_s": sum(me.cpu_times()[:2]) - used,
        }
        print("counts " + json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*(int(word) for word in sys.argv[1:4])))
