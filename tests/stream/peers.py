"""WebRTC peers for the tests: bare aiortc on 127.0.0.1."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import aiohttp
import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from stream import hooks
from stream.assembler import RtpIn
from stream.clock import MonotonicClock

IDR = b"\x00\x00\x00\x01\x67\x42\xe0\x1f" + b"\x00\x00\x00\x01\x65" + b"\x88" * 20


class ScriptedTrack(MediaStreamTrack):
    """Sends what `put` is given: (payload, RTP timestamp)."""

    def __init__(self, kind: str = "video") -> None:
        super().__init__()
        self.kind = kind
        self._queue: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()

    def put(self, data: bytes, rtp: int) -> None:
        self._queue.put_nowait((data, rtp))

    async def recv(self) -> av.Packet[Any]:
        item = await self._queue.get()
        if item is None:
            raise MediaStreamError
        packet = av.Packet(item[0])
        packet.pts = item[1]
        packet.time_base = Fraction(1, 90_000 if self.kind == "video" else 48_000)
        return packet


def connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


@dataclass
class Pair:
    """A sender and a receiver of one video track, connected; packets are tapped."""

    sending: RTCPeerConnection
    receiving: RTCPeerConnection
    track: ScriptedTrack
    packets: list[RtpIn] = field(default_factory=list)
    byes: list[int] = field(default_factory=list)
    alive: list[int] = field(default_factory=list)

    @property
    def receiver(self) -> RTCRtpReceiver:
        return self.receiving.getTransceivers()[0].receiver

    @property
    def sender(self) -> Any:
        return self.sending.getTransceivers()[0].sender


@asynccontextmanager
async def connected_pair(
    prepare: Callable[[RTCPeerConnection], None] | None = None,
) -> AsyncIterator[Pair]:
    """H264 from one aiortc peer to another; `prepare` sees the receiving one before it connects."""
    pair = Pair(connection(), connection(), ScriptedTrack())
    transceiver = pair.sending.addTransceiver(pair.track, direction="sendonly")
    known = transceiver.sender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([c for c in known if c.mimeType in ("video/H264", "video/rtx")])
    hooks.wire_timestamps(transceiver.sender)
    try:
        hooks.limit_network(pair.sending, loopback=True, udp_ports=None)
        await pair.sending.setLocalDescription(await pair.sending.createOffer())
        offer = pair.sending.localDescription
        await pair.receiving.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        hooks.limit_network(pair.receiving, loopback=True, udp_ports=None)
        if prepare is not None:
            prepare(pair.receiving)
        hooks.tap_packets(pair.receiver, MonotonicClock().now_ns, pair.packets.append)
        hooks.watch_sender(pair.receiver, lambda: pair.byes.append(1), lambda: pair.alive.append(1))
        await pair.receiving.setLocalDescription(await pair.receiving.createAnswer())
        answer = pair.receiving.localDescription
        await pair.sending.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        yield pair
    finally:
        await pair.sending.close()
        await pair.receiving.close()


@dataclass
class Viewer:
    """A WHEP player on bare aiortc that keeps the packets it gets."""

    pc: RTCPeerConnection
    answer: str = ""
    resource: str = ""
    video: list[RtpIn] = field(default_factory=list)
    audio: list[RtpIn] = field(default_factory=list)

    @property
    def ordered(self) -> list[RtpIn]:
        """The video packets in the order they were numbered in, each once."""
        return sorted({packet.seq: packet for packet in self.video}.values(), key=lambda packet: packet.seq)

    @property
    def frames(self) -> list[int]:
        """Timestamps of the frames whose end is there, in order."""
        return [packet.rtp for packet in self.ordered if packet.marker]

    @property
    def receiver(self) -> RTCRtpReceiver:
        return self.pc.getTransceivers()[0].receiver

    @property
    def ended(self) -> bool:
        return self.pc.connectionState in ("closed", "failed")


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[Viewer]:
    """A viewer of the test server's stream."""
    viewer = Viewer(connection())
    now_ns = MonotonicClock().now_ns
    for kind, into in (("video", viewer.video), ("audio", viewer.audio)):
        hooks.tap_packets(viewer.pc.addTransceiver(kind, direction="recvonly").receiver, now_ns, into.append)
    try:
        hooks.limit_network(viewer.pc, loopback=True, udp_ports=None)
        await viewer.pc.setLocalDescription(await viewer.pc.createOffer())
        async with aiohttp.ClientSession() as http:
            body, headers = viewer.pc.localDescription.sdp, {"Content-Type": "application/sdp"}
            async with http.post(f"{url}/whep/show", data=body, headers=headers) as reply:
                viewer.answer = await reply.text()
                assert reply.status == 201, viewer.answer
                viewer.resource = url + reply.headers["Location"]
        await viewer.pc.setRemoteDescription(RTCSessionDescription(viewer.answer, "answer"))
        yield viewer
    finally:
        await viewer.pc.close()
