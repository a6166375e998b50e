"""A WHIP client that publishes a file's encoded packets in real time, not re-encoded."""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from stream import hooks
from stream.errors import SourceError
from stream.packets import MediaPacket, open_media, read_packets, require_passthrough
from stream.signalling import Endpoint, Signalling
from stream.types import RTP_CLOCK_HZ

_WRAP = 1 << 32
_AUDIO_HZ = 48_000
_CONNECT_TIMEOUT_S = 15.0
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a publication is.

    Attributes:
        frames: video frames sent so far.
        media_s: seconds of media sent, over all loops.
        loops: complete passes through the file.
    """

    frames: int
    media_s: float
    loops: int


class _PacketTrack(MediaStreamTrack):
    """Encoded packets handed in, taken out by aiortc's sender."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.wanted = asyncio.Event()
        self._queue: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue(maxsize=64)
        self._base = Fraction(1, RTP_CLOCK_HZ if kind == "video" else _AUDIO_HZ)

    async def put(self, data: bytes, rtp: int) -> None:
        """Queue one packet; waits while the sender is behind."""
        await self._queue.put((data, rtp))

    async def finish(self) -> None:
        """No more packets."""
        await self._queue.put(None)

    async def recv(self) -> av.Packet[Any]:
        """The next packet, pts being the wire's RTP timestamp."""
        self.wanted.set()
        item = await self._queue.get()
        if item is None:
            self.stop()
            raise MediaStreamError
        packet = av.Packet(item[0])
        packet.pts, packet.time_base = item[1], self._base
        return packet


class Publisher:
    """Publishes one file to one WHIP endpoint.

    Args:
        url: WHIP endpoint.
        key: bearer key, or ``""`` for none.
        path: file with H264 without B-frames or VP8; Opus audio goes along.
        loop: begin again at the end.
        loopback: gather 127.0.0.1 only.
        on_progress: called about once a second.

    Attributes:
        origin: RTP timestamp (u32) of the file's beginning on the wire; random per publisher.
    """

    def __init__(
        self,
        url: str,
        key: str,
        path: str,
        *,
        loop: bool = False,
        loopback: bool = True,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.origin = secrets.randbits(32)
        self._endpoint = Endpoint(url, key)
        self._path = path
        self._loop = loop
        self._loopback = loopback
        self._on_progress = on_progress
        self._ticks: list[int] = []
        self._loop_ticks: int | None = None
        self._loops = 0
        self._sound = -_WRAP
        self._frames = 0

    def frame_index(self, rtp: int) -> int | None:
        """Frame of the file (from 0) that a wire RTP timestamp belongs to; None when it is no frame's."""
        ticks = (rtp - self.origin) % _WRAP
        if self._loop_ticks is not None:
            ticks %= self._loop_ticks
        at = bisect_left(self._ticks, ticks)
        return at if at < len(self._ticks) and self._ticks[at] == ticks else None

    async def run(self) -> Progress:
        """Publish until the end of the file (never, when looping) or cancelled.

        Raises:
            SourceError: the file cannot be published, the server refuses, or the connection breaks off.
        """
        codec, has_audio = await asyncio.to_thread(self._probe)
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        tracks = {"video": _PacketTrack("video")}
        if has_audio:
            tracks["audio"] = _PacketTrack("audio")
        async with Signalling("WHIP", self._endpoint) as signalling:
            resource = ""
            try:
                resource = await self._connect(pc, signalling, tracks, codec)
                return await self._until_lost(pc, tracks)
            finally:
                await pc.close()
                await signalling.delete(resource)

    def _probe(self) -> tuple[str, bool]:
        with open_media(self._path) as container:
            codec = require_passthrough(container)
            audio = any(s.codec_context.name in ("opus", "libopus") for s in container.streams.audio[:1])
            return codec, audio

    async def _connect(
        self, pc: RTCPeerConnection, signalling: Signalling, tracks: dict[str, _PacketTrack], codec: str
    ) -> str:
        for kind, track in tracks.items():
            transceiver = pc.addTransceiver(track, direction="sendonly")
            hooks.wire_timestamps(transceiver.sender)
            if kind == "video":
                known = RTCRtpSender.getCapabilities("video").codecs
                names = (f"video/{codec}".lower(), "video/rtx")
                transceiver.setCodecPreferences([c for c in known if c.mimeType.lower() in names])
        hooks.limit_network(pc, loopback=self._loopback, udp_ports=None)
        await pc.setLocalDescription(await pc.createOffer())
        answered = await signalling.offer(pc.localDescription.sdp)
        await pc.setRemoteDescription(RTCSessionDescription(answered.sdp, "answer"))
        return answered.resource

    async def _until_lost(self, pc: RTCPeerConnection, tracks: dict[str, _PacketTrack]) -> Progress:
        lost = asyncio.Event()

        def changed() -> None:
            if pc.connectionState in ("failed", "closed"):
                lost.set()

        pc.on("connectionstatechange", changed)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await tracks["video"].wanted.wait()
        except TimeoutError:
            raise SourceError(
                "WebRTC connection: none within 15 s; check that UDP can pass between here and the server",
                code="whip-no-connection",
            ) from None
        pump = asyncio.create_task(self._pump(tracks))
        watch = asyncio.create_task(lost.wait())
        try:
            await asyncio.wait((pump, watch), return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                return pump.result()
            raise SourceError("WebRTC connection: the server ended it", code="whip-lost", retryable=True)
        finally:
            for task in (pump, watch):
                task.cancel()
            await asyncio.gather(pump, watch, return_exceptions=True)

    async def _pump(self, tracks: dict[str, _PacketTrack]) -> Progress:
        clock = asyncio.get_running_loop()
        start = clock.time()
        offset_ns, loops = 0, 0
        reported = start
        while True:
            last_ns, step_ns, previous_ns = 0, 0, None
            packets = read_packets(self._path)
            while batch := await asyncio.to_thread(_take, packets, _BATCH):
                for packet in batch:
                    if packet.kind not in tracks or not tracks[packet.kind].wanted.is_set():
                        continue
                    if packet.kind == "video":
                        step_ns = step_ns if previous_ns is None else packet.pts_ns - previous_ns
                        previous_ns = last_ns = packet.pts_ns
                    await self._send(tracks[packet.kind], packet, start, offset_ns)
                    if self._on_progress is not None and clock.time() - reported >= 1.0:
                        reported = clock.time()
                        self._on_progress(Progress(self._frames, (offset_ns + last_ns) / 1e9, loops))
            duration_ns = last_ns + (step_ns or 33_333_333)
            if not self._loop or not self._ticks:
                await asyncio.gather(*(track.finish() for track in tracks.values()))
                return Progress(self._frames, (offset_ns + duration_ns) / 1e9, loops + 1)
            if self._loop_ticks is None:
                self._loop_ticks = round(duration_ns * RTP_CLOCK_HZ / 1e9)
            loops += 1
            offset_ns = loops * self._loop_ticks * 1_000_000_000 // RTP_CLOCK_HZ
            self._loops = loops

    async def _send(self, track: _PacketTrack, packet: MediaPacket, start: float, offset_ns: int) -> None:
        delay = start + (offset_ns + packet.pts_ns) / 1e9 - asyncio.get_running_loop().time()
        if delay > 0:
            await asyncio.sleep(delay)
        if packet.kind == "audio":
            sound = packet.ticks(_AUDIO_HZ) + offset_ns * _AUDIO_HZ // 1_000_000_000
            if sound > self._sound:  # audio that outlasts the video is cut where the next loop's begins
                self._sound = sound
                await track.put(packet.data, (self.origin + sound) % _WRAP)
            return
        ticks = packet.ticks()
        if packet.index == len(self._ticks):
            self._ticks.append(ticks)
        base = 0 if self._loop_ticks is None else self._loops * self._loop_ticks
        await track.put(packet.data, (self.origin + base + ticks) % _WRAP)
        self._frames += 1


def _take(packets: Iterator[MediaPacket], count: int) -> list[MediaPacket]:
    return list(islice(packets, count))


async def publish(
    url: str,
    key: str,
    path: str,
    *,
    loop: bool,
    loopback: bool,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Publish a file; see `Publisher`."""
    return await Publisher(url, key, path, loop=loop, loopback=loopback, on_progress=on_progress).run()
