"""One copy of a stream from an SFU or another engine, pulled by WHEP (draft-ietf-wish-whep-04)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription

from stream import hooks
from stream.clock import Clock
from stream.errors import SourceError
from stream.receiver import MediaReceiver
from stream.session import REFUSALS
from stream.settings import RtcSettings
from stream.signalling import Endpoint, Signalling
from stream.types import StreamId, StreamSink

_DRAIN_S = 0.3


class WhepSource:
    """A viewer of somebody else's WHEP endpoint.

    Timestamps are those on the wire: MediaMTX and this engine pass the publisher's on. An endpoint that does
    not like the offer may make one of its own (406), which is answered.

    Args:
        url: `whep://host/path` (http) or `wheps://host/path` (https); `whep://TOKEN@host/path` sends a
            bearer token.
        stream: whose media it will be.
        clock: the one clock.
        loop: ignored: a live stream has no end.
        epoch: number of this connection.
    """

    def __init__(
        self, url: str, stream: StreamId, clock: Clock, *, loop: bool = False, epoch: int = 1
    ) -> None:
        self._endpoint = Endpoint.parse(url)
        self._stream = stream
        self._clock = clock
        self._epoch = epoch
        self._settings = RtcSettings(loopback=self._endpoint.on_this_machine)
        self._media: MediaReceiver | None = None

    def request_keyframe(self) -> None:
        """Ask the endpoint for a keyframe (PLI); at most two a second reach it."""
        if self._media is not None:
            self._media.request_keyframe()

    async def run(self, sink: StreamSink) -> None:
        """Deliver until the endpoint says goodbye; see `stream.types.VideoSource`."""
        media = self._media = MediaReceiver(
            self._stream, self._epoch, sink, self._clock, self._settings, f"WHEP {self._endpoint.host}"
        )
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        reason = "bye"
        async with Signalling("WHEP", self._endpoint) as signalling, AsyncExitStack() as stack:
            try:
                await self._connect(signalling, stack, media, ended)
                reason = await self._receive(media, ended)
                await media.drain(_DRAIN_S)
                if reason != "bye":
                    raise SourceError(f"WHEP endpoint: {reason}", code="whep-lost", retryable=True)
            except SourceError as error:
                reason = f"error: {error.code}"
                raise
            finally:
                media.close()
                self._media = None
                sink.on_ended(reason)

    async def _connect(
        self,
        signalling: Signalling,
        stack: AsyncExitStack,
        media: MediaReceiver,
        ended: asyncio.Future[str],
    ) -> None:
        pc = self._connection(stack, ended)
        for kind in ("video", "audio"):
            transceiver = pc.addTransceiver(kind, direction="recvonly")
            media.attach(transceiver.receiver, kind, lambda: _end(ended, "bye"))
            if kind == "video":
                known = RTCRtpReceiver.getCapabilities("video")
                codecs = known.codecs if known is not None else []
                h264_first = sorted(codecs, key=lambda c: c.mimeType.lower() != "video/h264")
                transceiver.setCodecPreferences(h264_first)
        hooks.limit_network(pc, loopback=self._settings.loopback, udp_ports=None)
        await pc.setLocalDescription(await pc.createOffer())
        answered = await signalling.offer(str(pc.localDescription.sdp))
        stack.push_async_callback(signalling.delete, answered.resource)
        if not answered.counter:
            await self._apply(pc, answered.sdp, "answer")
            return
        await pc.close()
        answer = await self._answer(self._connection(stack, ended), answered.sdp, media, ended)
        await signalling.answer(answered.resource, answer)

    def _connection(self, stack: AsyncExitStack, ended: asyncio.Future[str]) -> RTCPeerConnection:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        stack.push_async_callback(pc.close)
        made: list[str] = []

        def changed() -> None:
            made.append(pc.connectionState)
            if pc.connectionState == "failed":
                _end(ended, "connection failed")
            elif pc.connectionState == "closed" and "connecting" in made:
                _end(ended, "bye")

        pc.on("connectionstatechange", changed)
        return pc

    async def _answer(
        self, pc: RTCPeerConnection, offer: str, media: MediaReceiver, ended: asyncio.Future[str]
    ) -> str:
        await self._apply(pc, offer, "offer")
        for transceiver in pc.getTransceivers():
            transceiver.direction = "recvonly"
            media.attach(transceiver.receiver, transceiver.kind, lambda: _end(ended, "bye"))
        hooks.limit_network(pc, loopback=self._settings.loopback, udp_ports=None)
        try:
            await pc.setLocalDescription(await pc.createAnswer())
        except REFUSALS as error:
            raise _unusable("offer", error) from error
        return str(pc.localDescription.sdp)

    async def _apply(self, pc: RTCPeerConnection, sdp: str, kind: str) -> None:
        try:
            await pc.setRemoteDescription(RTCSessionDescription(sdp, kind))
        except REFUSALS as error:
            raise _unusable(kind, error) from error

    async def _receive(self, media: MediaReceiver, ended: asyncio.Future[str]) -> str:
        def check(now_ns: int) -> None:
            reason = media.silent(now_ns)
            if reason:
                _end(ended, reason)

        feedback = asyncio.create_task(media.run(check))
        try:
            await asyncio.wait((feedback, ended), return_when=asyncio.FIRST_COMPLETED)
            if feedback.done():
                feedback.result()
            return ended.result()
        finally:
            feedback.cancel()
            await asyncio.gather(feedback, return_exceptions=True)


def _end(ended: asyncio.Future[str], reason: str) -> None:
    if not ended.done():
        ended.set_result(reason)


def _unusable(kind: str, error: Exception) -> SourceError:
    return SourceError(f"WHEP endpoint: got an {kind} that cannot be used: {error}", code="whep-answer")
