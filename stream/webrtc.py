"""WebRTC sessions: `Ingest` takes a publisher in (WHIP), `Playback` serves a viewer (WHEP). No HTTP here."""

from __future__ import annotations

import asyncio

from aiortc import RTCConfiguration, RTCPeerConnection

from stream import hooks, hooks_send, sdp
from stream.clock import Clock
from stream.errors import SdpError
from stream.receiver import MediaReceiver
from stream.relay import Relay, RelaySubscription
from stream.sender import StreamSender
from stream.session import Session, StandInTrack, set_offer
from stream.settings import RtcSettings
from stream.types import StreamId, StreamSink

__all__ = ["Ingest", "Playback", "RtcSettings"]

_MS = 1_000_000
_VIEWER_TICK_S = 0.25
_DRAIN_S = 0.3


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
            await set_offer(pc, read)
            for transceiver in pc.getTransceivers():
                media.attach(transceiver.receiver, transceiver.kind, session._on_bye)
            hooks.media_is_consent(pc)
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

    async def _finish(self, reason: str) -> None:
        if reason == "bye":
            await self._media.drain(_DRAIN_S)

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
        self._senders: list[StreamSender] = []

    @classmethod
    async def accept(cls, *, offer: str, relay: Relay, settings: RtcSettings, clock: Clock) -> Playback:
        """Answer a viewer's offer and begin to send.

        Raises:
            SdpError: nothing is live (409, retryable), the viewer does not offer the stream's codec
                (406), or the offer cannot be answered (other 4xx).
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
            await set_offer(pc, read)
            answer = await session._negotiate(settings)
        except BaseException:
            await pc.close()
            raise
        session.answer = sdp.finish_answer(answer, read, public_ip=settings.public_ip)
        session._run()
        return session

    def statistics(self) -> dict[str, float]:
        """Frames this viewer was not sent; packets sent again, refused, and sent for it to begin with."""
        return {
            "dropped": float(self._subscription.dropped) if self._subscription else 0.0,
            "resent": float(sum(sender.resent for sender in self._senders)),
            "refused": float(sum(sender.refused for sender in self._senders)),
            "replayed": float(sum(sender.replayed for sender in self._senders)),
        }

    def _add_track(self, kind: str) -> None:
        transceiver = self._pc.addTransceiver(StandInTrack(kind), direction="sendonly")
        sender = StreamSender(kind, self.subscription, self._clock, self._settings)
        self._senders.append(sender)
        hooks_send.drive(transceiver.sender, sender.run, sender.lost)
        if kind == "video":
            hooks.on_keyframe_request(transceiver.sender, self._relay.request_keyframe)

    def subscription(self) -> RelaySubscription:
        """The subscription, made when the connection is up: nothing queues for a viewer that never is."""
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
