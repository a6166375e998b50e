"""WebRTC sessions: `Ingest` takes one publisher in (WHIP), `Playback` serves one viewer (WHEP). No HTTP here."""

from __future__ import annotations

import asyncio
import logging
import secrets
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp

from stream import hooks, sdp
from stream.clock import Clock
from stream.errors import SdpError
from stream.receiver import MediaReceiver
from stream.relay import AUDIO_CLOCK_HZ, Relay, RelaySubscription
from stream.settings import RtcSettings
from stream.trickle import read_fragment
from stream.types import RTP_CLOCK_HZ, StreamId, StreamSink

__all__ = ["Ingest", "Playback", "RtcSettings"]

log = logging.getLogger(__name__)

_MS = 1_000_000
_CLOSE_S = 5.0
_VIEWER_TICK_S = 0.25


class Session:
    """What publishers' and viewers' sessions share: answer, trickle, and ending exactly once.

    Attributes:
        id: random, URL-safe: the session's resource name.
        answer: SDP answer.
        offer: what was offered.
    """

    def __init__(self, pc: RTCPeerConnection, offer: sdp.Offer) -> None:
        self.id = secrets.token_urlsafe(24)
        self.answer = ""
        self.offer = offer
        self._pc = pc
        self._reason: str | None = None
        self._stopping = asyncio.Event()
        self._closed = asyncio.Event()
        self._main_task: asyncio.Task[None] | None = None
        pc.on("connectionstatechange", self._on_state)

    @property
    def connected(self) -> bool:
        """ICE and DTLS are up."""
        return self._pc.connectionState == "connected"

    async def trickle(self, fragment: str) -> None:
        """Add the candidates of a trickle fragment (RFC 8840).

        Raises:
            SdpError: malformed (400, 413), or it belongs to another ICE session: restarts are not supported (422).
        """
        parsed = read_fragment(fragment)
        if parsed.ufrag is not None and parsed.ufrag not in self.offer.ufrags:
            raise SdpError(
                "trickle fragment: got a new ice-ufrag, expected the session's; ICE restart is not supported, "
                "end this session and start another",
                code="ice-restart",
                http_status=422,
            )
        for candidate in parsed.candidates:
            try:
                found = candidate_from_sdp(candidate.line)
                found.sdpMid = candidate.mid if candidate.mid in self.offer.mids else self.offer.mids[0]
                await self._pc.addIceCandidate(found)
            except (ValueError, IndexError, AssertionError) as error:
                raise SdpError(
                    f"trickle fragment: got candidate {candidate.line[:80]!r}: {error}",
                    code="trickle-malformed",
                ) from None

    async def close(self, reason: str) -> None:
        """End the session; returns when everything is released. Idempotent: the first reason counts."""
        self._end(reason)
        await self._closed.wait()

    async def wait_closed(self) -> None:
        """Wait until the session has ended and everything is released."""
        await self._closed.wait()

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
            self._stopping.set()

    def _on_state(self) -> None:
        state = self._pc.connectionState
        if state == "failed":
            self._end("error: connection failed")
        elif state == "closed":
            self._end("bye")

    async def _negotiate(self, settings: RtcSettings) -> str:
        """Answer the offer that was set; returns the stack's answer."""
        hooks.limit_network(self._pc, loopback=settings.loopback, udp_ports=settings.udp_ports)
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return str(self._pc.localDescription.sdp)

    def _run(self) -> None:
        self._main_task = asyncio.create_task(self._main(), name=f"{type(self).__name__}-{self.id[:6]}")

    async def _main(self) -> None:
        work = asyncio.create_task(self._work())
        work.add_done_callback(self._work_done)
        try:
            await self._stopping.wait()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            try:
                self._ended(self._reason or "error: cancelled")
                async with asyncio.timeout(_CLOSE_S):
                    await self._pc.close()
            except TimeoutError:
                log.warning("closing a WebRTC connection took too long")
            finally:
                self._closed.set()

    def _work_done(self, work: asyncio.Task[None]) -> None:
        if not work.cancelled() and (error := work.exception()) is not None:
            log.error("WebRTC session failed", exc_info=error)
            self._end(f"error: {type(error).__name__}")

    async def _work(self) -> None:
        """What runs while the session is open; ends it by `_end`."""
        raise NotImplementedError

    def _ended(self, reason: str) -> None:
        """Called once, before the connection is closed."""
        raise NotImplementedError


class Ingest(Session):
    """One publisher connection (WHIP). Made by `accept`."""

    def __init__(
        self,
        pc: RTCPeerConnection,
        offer: sdp.Offer,
        media: MediaReceiver,
        sink: StreamSink,
        settings: RtcSettings,
    ) -> None:
        super().__init__(pc, offer)
        self._media = media
        self._sink = sink
        self._settings = settings

    @classmethod
    async def accept(
        cls,
        *,
        offer: str,
        stream: StreamId,
        epoch: int,
        sink: StreamSink,
        clock: Clock,
        settings: RtcSettings,
    ) -> Ingest:
        """Answer a publisher's offer and begin to receive.

        Raises:
            SdpError: the offer cannot be answered; its `http_status` says which 4xx.
            PortsExhausted: no UDP port is free (503).
        """
        read = sdp.read_publisher_offer(offer)
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        name = ", ".join(part for part in ("WHIP", read.publisher) if part)
        media = MediaReceiver(stream, epoch, sink, clock, settings, name)
        session = cls(pc, read, media, sink, settings)
        try:
            await _set_offer(pc, read)
            for transceiver in pc.getTransceivers():
                media.attach(transceiver.receiver, transceiver.kind, session._on_bye)
            answer = await session._negotiate(settings)
        except BaseException:
            media.close()
            await pc.close()
            raise
        session.answer = sdp.finish_answer(
            answer,
            read,
            start_kbps=settings.start_bitrate_kbps,
            max_kbps=settings.max_bitrate_kbps,
            public_ip=settings.public_ip,
        )
        session._run()
        return session

    def request_keyframe(self) -> None:
        """Ask the publisher for a keyframe (PLI); at most two a second reach it."""
        self._media.request_keyframe()

    def statistics(self) -> dict[str, float]:
        """Packets, bytes, frames, keyframes, nacks, plis, lost, packet_loss, jitter_ms, bitrate_kbps."""
        return self._media.statistics()

    def _on_bye(self) -> None:
        self._end("bye")

    async def _work(self) -> None:
        await self._media.run(self._check)

    def _check(self, now_ns: int) -> None:
        reason = self._media.silent(now_ns)
        if reason:
            self._end(reason)

    def _ended(self, reason: str) -> None:
        self._media.close()
        self._sink.on_ended(reason)


class Playback(Session):
    """One viewer (WHEP): the publisher's packets passed on. Made by `accept`."""

    def __init__(
        self, pc: RTCPeerConnection, offer: sdp.Offer, relay: Relay, settings: RtcSettings, clock: Clock
    ):
        super().__init__(pc, offer)
        self._relay = relay
        self._settings = settings
        self._clock = clock
        self._subscription: RelaySubscription | None = None

    @classmethod
    async def accept(cls, *, offer: str, relay: Relay, settings: RtcSettings, clock: Clock) -> Playback:
        """Answer a viewer's offer and begin to send.

        Raises:
            SdpError: nothing is live (409, retryable), the viewer does not offer the stream's codec (406), or the
                offer cannot be answered (other 4xx).
            PortsExhausted: no UDP port is free (503).
        """
        if not relay.live:
            raise SdpError(
                f"stream {relay.stream!r}: nothing is live; try again when the host has started",
                code="not-live",
                retryable=True,
                http_status=409,
            )
        read = sdp.read_viewer_offer(offer, relay.codec)
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        session = cls(pc, read, relay, settings, clock)
        try:
            session._add_track("video")
            if read.audio_mid is not None:
                session._add_track("audio")
            await _set_offer(pc, read)
            answer = await session._negotiate(settings)
        except BaseException:
            await pc.close()
            raise
        session.answer = sdp.finish_answer(answer, read, public_ip=settings.public_ip)
        session._run()
        return session

    def statistics(self) -> dict[str, float]:
        """Frames this viewer was not sent."""
        return {"dropped": float(self._subscription.dropped) if self._subscription else 0.0}

    def _add_track(self, kind: str) -> None:
        transceiver = self._pc.addTransceiver(_RelayTrack(kind, self), direction="sendonly")
        hooks.wire_timestamps(transceiver.sender)
        if kind == "video":
            hooks.on_keyframe_request(transceiver.sender, self._relay.request_keyframe)

    def subscription(self) -> RelaySubscription:
        """The subscription, made when the connection is up: nothing waits for a viewer that never connects."""
        if self._subscription is None:
            self._subscription = self._relay.subscribe()
        return self._subscription

    async def _work(self) -> None:
        opened_ns = live_ns = self._clock.now_ns()
        while True:
            await asyncio.sleep(_VIEWER_TICK_S)
            now_ns = self._clock.now_ns()
            if self._relay.live:
                live_ns = now_ns
            if self._subscription is not None and self._subscription.reason:
                self._end(self._subscription.reason)
            elif self._subscription is None and now_ns - opened_ns > self._settings.connect_timeout_ms * _MS:
                self._end("timeout")
            elif now_ns - live_ns > self._settings.viewer_grace_ms * _MS:
                self._end("stream ended")

    def _ended(self, reason: str) -> None:
        if self._subscription is not None:
            self._relay.unsubscribe(self._subscription)


class _RelayTrack(MediaStreamTrack):
    """A relayed stream as encoded packets, which aiortc's sender packs without an encoder."""

    def __init__(self, kind: str, playback: Playback) -> None:
        super().__init__()
        self.kind = kind
        self._playback = playback
        self._time_base = Fraction(1, RTP_CLOCK_HZ if kind == "video" else AUDIO_CLOCK_HZ)

    async def recv(self) -> av.Packet[Any]:
        """The next packet, pts being the wire's RTP timestamp."""
        subscription = self._playback.subscription()
        frame = await (subscription.video() if self.kind == "video" else subscription.audio())
        if frame is None:
            self.stop()
            raise MediaStreamError
        packet = av.Packet(frame.data)
        packet.pts = frame.rtp
        packet.time_base = self._time_base
        return packet


async def _set_offer(pc: RTCPeerConnection, offer: sdp.Offer) -> None:
    try:
        await pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
    except (
        ValueError,
        AssertionError,
        AttributeError,
        IndexError,
        KeyError,
        StopIteration,
        TypeError,
        InvalidAccessError,
        InvalidStateError,
        OperationError,
    ) as error:
        raise SdpError(
            f"SDP: the offer cannot be applied ({type(error).__name__}: {str(error)[:120]}); "
            "send an unchanged offer of a WebRTC implementation",
            code="sdp-malformed",
        ) from error
