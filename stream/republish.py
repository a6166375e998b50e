"""Sends a stream on to an SFU by WHIP: the publisher's packets as they are, for as long as the engine runs.

RTP timestamps go through unchanged: what arrives at the SFU bears the timestamps that viewers of this engine
see (the publisher's plus the offset of `Relay.offset`), so overlays fit wherever the SFU passes them on.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from stream import hooks, hooks_send
from stream.clock import Clock
from stream.errors import SourceError
from stream.relay import Relay, RelaySubscription
from stream.sender import StreamSender
from stream.session import REFUSALS, StandInTrack
from stream.settings import RtcSettings
from stream.signalling import Endpoint, IceServer, Signalling
from stream.types import RepublishStatus

log = logging.getLogger(__name__)

_MS = 1_000_000
_TICK_S = 0.1
_STEADY_NS = 30_000 * _MS
_UNHEARD_NS = 10_000 * _MS


def backoff_s(failures: int, chance: float) -> float:
    """How long to wait after so many failures in a row: doubling from 1 to 30 s, half of it by chance.

    Args:
        failures: 1 and up.
        chance: 0..1, drawn anew each time, so that many clients of one server do not come back together.
    """
    whole: float = min(2.0 ** (failures - 1), 30.0)
    return whole * (0.5 + 0.5 * chance)


class Republisher:
    """Keeps one stream published at one endpoint.

    Args:
        relay: the stream.
        endpoint: of the SFU.
        clock: the one clock.
        settings: `udp_ports`, `pace_kbps`, `connect_timeout_ms`, and `viewer_grace_ms`: the connection stays
            so long after the publisher has gone.
        wait_s: seconds to wait after so many failures in a row; `backoff_s` by default.
    """

    def __init__(
        self,
        relay: Relay,
        endpoint: Endpoint,
        clock: Clock,
        settings: RtcSettings,
        wait_s: Callable[[int], float] | None = None,
    ) -> None:
        self._relay = relay
        self._endpoint = endpoint
        self._clock = clock
        self._settings = settings
        self._wait_s = wait_s or (lambda failures: backoff_s(failures, random.random()))
        self._ice: tuple[IceServer, ...] = ()
        self._state = "waiting"
        self._reason = ""
        self._connections = 0
        self._failures = 0

    def status(self) -> RepublishStatus:
        """How it is getting on."""
        return RepublishStatus(
            self._endpoint.host, self._state, self._reason, self._connections, self._failures
        )

    async def run(self) -> None:
        """Publish whenever there is something to, until cancelled."""
        in_a_row = 0
        while True:
            self._state = "waiting"
            while not self._relay.live:  # noqa: ASYNC110 - ten looks a second cost nothing
                await asyncio.sleep(_TICK_S)
            began_ns = self._clock.now_ns()
            try:
                self._reason = await self._once()
                in_a_row = 0
            except SourceError as error:
                in_a_row = 1 if self._clock.now_ns() - began_ns > _STEADY_NS else in_a_row + 1
                fields = {"stream": self._relay.stream, "reason": str(error), "failures": in_a_row}
                log.warning("re-publishing failed", extra=fields)
                await self._failed(str(error), in_a_row)
            except Exception as error:  # an odd endpoint must not end the engine
                in_a_row += 1
                log.exception("re-publishing failed", extra={"stream": self._relay.stream})
                await self._failed(type(error).__name__, in_a_row)

    async def _failed(self, reason: str, in_a_row: int) -> None:
        self._failures += 1
        self._reason, self._state = reason, "retrying"
        await asyncio.sleep(self._wait_s(in_a_row))

    async def _once(self) -> str:
        self._state = "connecting"
        connection = _Connection(self._relay, self._endpoint, self._clock, self._settings, self._ice)
        async with Signalling("WHIP", self._endpoint) as signalling:
            try:
                named = await connection.open(signalling)
                if not await connection.up():
                    raise self._not_up(named)
                self._connections += 1
                self._state = "sending"
                return await connection.until_over()
            finally:
                await connection.close(signalling)

    def _not_up(self, named: tuple[IceServer, ...]) -> SourceError:
        what = "check that UDP can pass between here and the server"
        if named and named != self._ice:
            self._ice = named  # gathering cannot begin anew in the same session: the next attempt has them
            what = "the next attempt goes through the ICE servers that it names"
        return SourceError(
            f"WHIP endpoint {self._endpoint.host}: no WebRTC connection came up; {what}",
            code="whip-no-connection",
            retryable=True,
        )


class _Connection:
    """One WHIP session."""

    def __init__(
        self,
        relay: Relay,
        endpoint: Endpoint,
        clock: Clock,
        settings: RtcSettings,
        ice: tuple[IceServer, ...],
    ) -> None:
        self._relay = relay
        self._endpoint = endpoint
        self._clock = clock
        self._settings = settings
        self._ice = ice
        servers = [RTCIceServer(s.url, s.username or None, s.credential or None) for s in ice]
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._subscription: RelaySubscription | None = None
        self._resource = ""
        self._heard_ns: int | None = None

    async def open(self, signalling: Signalling) -> tuple[IceServer, ...]:
        """Offer and take the answer; returns the ICE servers that came with it."""
        for kind in ("video", "audio"):
            self._add_track(kind)
        if not self._ice:
            loopback = self._settings.loopback and self._endpoint.on_this_machine
            hooks.limit_network(self._pc, loopback=loopback, udp_ports=self._settings.udp_ports)
        await self._pc.setLocalDescription(await self._pc.createOffer())
        answered = await signalling.offer(self._pc.localDescription.sdp)
        self._resource = answered.resource
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(answered.sdp, "answer"))
        except REFUSALS as error:
            raise SourceError(
                f"WHIP endpoint {self._endpoint.host}: got an answer that cannot be used: {error}",
                code="whip-answer",
            ) from error
        return answered.ice_servers

    async def up(self) -> bool:
        """Wait for the connection; False when it fails or does not come up in time."""
        deadline_ns = self._clock.now_ns() + self._settings.connect_timeout_ms * _MS
        while self._pc.connectionState not in ("connected", "failed", "closed"):
            if self._clock.now_ns() > deadline_ns:
                break
            await asyncio.sleep(_TICK_S)
        return self._pc.connectionState == "connected"

    async def until_over(self) -> str:
        """Wait while the stream and the connection last; returns why the stream was over.

        Raises:
            SourceError: the connection broke off.
        """
        live_ns = self._clock.now_ns()
        while True:
            await asyncio.sleep(_TICK_S)
            now_ns = self._clock.now_ns()
            live_ns = now_ns if self._relay.live else live_ns
            if self._subscription is not None and self._subscription.reason:
                return self._subscription.reason
            if now_ns - live_ns > self._settings.viewer_grace_ms * _MS:
                return "stream ended"
            if self._pc.connectionState != "connected":
                raise self._lost("the connection was closed")
            if self._heard_ns is not None and now_ns - self._heard_ns > _UNHEARD_NS:
                raise self._lost("it no longer reports what it receives")

    async def close(self, signalling: Signalling) -> None:
        """Release everything and end the session there."""
        if self._subscription is not None:
            self._relay.unsubscribe(self._subscription)
        await self._pc.close()
        await signalling.delete(self._resource)

    def _lost(self, why: str) -> SourceError:
        return SourceError(f"WHIP endpoint {self._endpoint.host}: {why}", code="whip-lost", retryable=True)

    def _add_track(self, kind: str) -> None:
        transceiver = self._pc.addTransceiver(StandInTrack(kind), direction="sendonly")
        sender = StreamSender(kind, self._subscribe, self._clock, self._settings)
        hooks_send.drive(transceiver.sender, sender.run, sender.lost)
        hooks_send.on_report(transceiver.sender, self._on_report)
        if kind == "video":
            hooks.on_keyframe_request(transceiver.sender, self._relay.request_keyframe)
            known = RTCRtpSender.getCapabilities("video").codecs
            names = (f"video/{self._relay.codec}".lower(), "video/rtx")
            transceiver.setCodecPreferences([c for c in known if c.mimeType.lower() in names])

    def _subscribe(self) -> RelaySubscription:
        if self._subscription is None:
            self._subscription = self._relay.subscribe()
        return self._subscription

    def _on_report(self) -> None:
        self._heard_ns = self._clock.now_ns()
