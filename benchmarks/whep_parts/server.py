"""One server of `benchmarks.whep`: ``python -m benchmarks.whep_parts.server KIND CLIP``.

Plays CLIP in a loop as the stream ``show``, takes the stream ``live`` by WHIP, serves both by WHEP. Prints
``ready PORT ORIGIN_NS``: frame n of ``show`` is handed over at ORIGIN_NS + n / 30 s of the monotonic clock,
and bears the RTP timestamp n * 3000 (Vitrine). Ends with its standard input.

KIND: ``vitrine``; ``next-keyframe`` (Vitrine whose viewers begin at the next keyframe); ``aiortc`` (the plain
way: aiortc's MediaPlayer and MediaRelay, every viewer encoded for).
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer, MediaRelay
from aiortc.rtcrtpparameters import RTCRtpCodecCapability

from benchmarks.whep_parts.clip import FPS, TICKS
from stream import hooks
from stream.clock import MonotonicClock
from stream.packets import read_packets
from stream.relay import Relay
from stream.settings import RtcSettings
from stream.types import EncodedFrame, Frame, MediaTime, SourceInfo, StreamId
from stream.webrtc import Ingest, Playback


class Subject(Protocol):
    """What is measured."""

    async def play(self, stream: str, offer: str) -> str:
        """Answer a viewer."""

    async def publish(self, offer: str) -> str:
        """Answer the publisher of ``live``."""


class _Sink:
    """Passes a publisher's packets to a relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def on_started(self, epoch: int, info: SourceInfo) -> None:
        """Not needed."""

    def on_frame(self, frame: Frame) -> None:
        """Not needed."""

    def on_encoded(self, frame: EncodedFrame) -> None:
        """A packet of the publisher."""
        self._relay.push(frame)

    def wants_pictures(self) -> bool:
        """As if they were watched."""
        return True

    def next_epoch(self, epoch: int) -> int:
        """The next one."""
        return epoch + 1

    def on_dropped(self, reason: str, count: int = 1) -> None:
        """Not needed."""

    def on_ended(self, reason: str) -> None:
        """Not needed."""


class Vitrine:
    """The engine's own relay and sessions, without recognition."""

    def __init__(self, clip: Path, origin_ns: int, *, replay: bool) -> None:
        self._relays = {name: Relay(StreamId(name), replay=replay) for name in ("show", "live")}
        self._clock = MonotonicClock()
        self._sessions: list[object] = []
        self._task = asyncio.create_task(self._loop(list(read_packets(str(clip))), origin_ns))

    async def _loop(self, packets: list[Any], origin_ns: int) -> None:
        number = 0
        while True:
            packet = packets[number % len(packets)]
            wait_s = (origin_ns - time.monotonic_ns()) / 1e9 + number / FPS
            await asyncio.sleep(max(wait_s, 0.0))
            at = MediaTime(1, number * TICKS)
            frame = EncodedFrame("H264", at, packet.data, packet.keyframe, self._clock.now_ns())
            self._relays["show"].push(frame)
            number += 1

    async def play(self, stream: str, offer: str) -> str:
        """Answer a viewer."""
        relay = self._relays[stream]
        session = await Playback.accept(offer=offer, relay=relay, settings=RtcSettings(), clock=self._clock)
        self._sessions.append(session)
        return session.answer

    async def publish(self, offer: str) -> str:
        """Answer the publisher of ``live``."""
        relay = self._relays["live"]
        session = await Ingest.accept(
            offer=offer,
            stream=relay.stream,
            epoch=1,
            sink=_Sink(relay),
            clock=self._clock,
            settings=RtcSettings(),
        )
        relay.on_keyframe_request = session.request_keyframe
        self._sessions.append(session)
        return session.answer


class Aiortc:
    """aiortc as its examples use it: one track, a MediaRelay, an encoder for each viewer."""

    def __init__(self, clip: Path) -> None:
        self._relay = MediaRelay()
        self._tracks: dict[str, Any] = {"show": MediaPlayer(str(clip), loop=True).video}
        self._peers: list[RTCPeerConnection] = []

    async def play(self, stream: str, offer: str) -> str:
        """Answer a viewer."""
        pc = self._peer()
        await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        pc.addTrack(self._relay.subscribe(self._tracks[stream]))
        self._prefer_h264(pc)
        return await self._answer(pc)

    async def publish(self, offer: str) -> str:
        """Answer the publisher of ``live``."""
        pc = self._peer()
        pc.on("track", lambda track: self._tracks.__setitem__("live", track))
        await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        self._prefer_h264(pc)
        return await self._answer(pc)

    def _peer(self) -> RTCPeerConnection:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peers.append(pc)
        return pc

    def _prefer_h264(self, pc: RTCPeerConnection) -> None:
        for transceiver in pc.getTransceivers():
            if transceiver.kind == "video":
                known: list[RTCRtpCodecCapability] = transceiver.sender.getCapabilities("video").codecs
                names = ("video/h264", "video/rtx")
                transceiver.setCodecPreferences([c for c in known if c.mimeType.lower() in names])

    async def _answer(self, pc: RTCPeerConnection) -> str:
        hooks.limit_network(pc, loopback=True, udp_ports=None)
        await pc.setLocalDescription(await pc.createAnswer())
        return str(pc.localDescription.sdp)


async def serve(kind: str, clip: Path) -> None:
    """Until standard input ends."""
    origin_ns = time.monotonic_ns() + 300_000_000
    subject: Subject = (
        Aiortc(clip) if kind == "aiortc" else Vitrine(clip, origin_ns, replay=kind == "vitrine")
    )

    async def handle(request: web.Request) -> web.Response:
        offer, stream = await request.text(), request.match_info["stream"]
        if request.match_info["role"] == "whip":
            answer = await subject.publish(offer)
        else:
            answer = await subject.play(stream, offer)
        return web.Response(status=201, text=answer, content_type="application/sdp")

    app = web.Application()
    app.router.add_post("/{role:whip|whep}/{stream}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"ready {runner.addresses[0][1]} {origin_ns}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
