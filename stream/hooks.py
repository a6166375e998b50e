"""Every touch of aiortc's and aioice's private parts, here and in `stream.hooks_send`.

aiortc (pinned to an exact version) decodes in a thread behind unbounded queues, waits for the next frame
before it completes one, discards the RTP origin, and chooses ports and addresses itself. Each function
below changes one such thing on one object and nothing globally; each is covered by a test that fails when
aiortc changes underneath.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from aioice import ice, stun
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpSender, clock
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RTCP_PSFB_APP, RtcpByePacket, RtcpPsfbPacket, RtpPacket, pack_remb_fci

from stream.assembler import RtpIn
from stream.ports import bind_udp


class HookError(RuntimeError):
    """aiortc or aioice no longer looks the way this file expects."""


def private(owner: object, name: str) -> Any:
    """The attribute, or a `HookError` that says which version is wanted."""
    try:
        return getattr(owner, name)
    except AttributeError:
        raise HookError(
            f"{type(owner).__name__} has no {name}: not the pinned aiortc; install the pinned one"
        ) from None


# --- receiving


class _PacketTap(JitterBuffer):
    """Stands in for a receiver's jitter buffer: packets go to `on_packet`, nothing to aiortc's decoder."""

    def __init__(self, now_ns: Callable[[], int], on_packet: Callable[[RtpIn], None]) -> None:
        super().__init__(capacity=2)
        self._now_ns = now_ns
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Hand on; never returns a frame, so aiortc's decoder thread and its queues stay empty."""
        self._on_packet(
            RtpIn(
                ssrc=packet.ssrc,
                payload_type=packet.payload_type,
                seq=packet.sequence_number,
                rtp=packet.timestamp,
                marker=bool(packet.marker),
                data=private(packet, "_data"),
                arrived_ns=self._now_ns(),
            )
        )
        return False, None


def tap_packets(
    receiver: RTCRtpReceiver, now_ns: Callable[[], int], on_packet: Callable[[RtpIn], None]
) -> None:
    """Deliver every depayloaded packet of `receiver` to `on_packet` instead of aiortc's jitter buffer.

    aiortc keeps doing SRTP, retransmission unwrapping, NACK for new gaps, bandwidth estimation and receiver
    reports. Call before the connection is established.
    """
    private(receiver, "_RTCRtpReceiver__jitter_buffer")
    receiver._RTCRtpReceiver__jitter_buffer = _PacketTap(now_ns, on_packet)  # type: ignore[attr-defined]


def watch_sender(receiver: RTCRtpReceiver, on_bye: Callable[[], None], on_alive: Callable[[], None]) -> None:
    """Call `on_bye` at an RTCP BYE (RFC 3550 section 6.6) and `on_alive` at each sender report."""
    original = private(receiver, "_handle_rtcp_packet")

    async def handle(packet: object) -> None:
        await original(packet)
        if isinstance(packet, RtcpByePacket):
            on_bye()
        else:
            on_alive()

    receiver._handle_rtcp_packet = handle  # type: ignore[method-assign]


def on_nack(receiver: RTCRtpReceiver, callback: Callable[[int], None]) -> None:
    """Call `callback` with the number of packets each time some are asked for again."""
    original = private(receiver, "_send_rtcp_nack")

    async def send(media_ssrc: int, lost: list[int]) -> None:
        callback(len(lost))
        await original(media_ssrc, lost)

    receiver._send_rtcp_nack = send  # type: ignore[method-assign]


def codec_names(receiver: RTCRtpReceiver) -> dict[int, str]:
    """Negotiated payload type -> codec name (``"H264"``, ``"VP8"``, ``"opus"``, ``"rtx"``)."""
    return {pt: codec.name for pt, codec in private(receiver, "_RTCRtpReceiver__codecs").items()}


async def send_pli(receiver: RTCRtpReceiver, ssrc: int) -> None:
    """Ask the sender for a keyframe (picture loss indication, RFC 4585 section 6.3.1)."""
    await private(receiver, "_send_rtcp_pli")(ssrc)


async def send_nack(receiver: RTCRtpReceiver, ssrc: int, lost: list[int]) -> None:
    """Ask again for lost packets: aiortc itself asks only when a new gap appears (RFC 4585 section 6.2.1).

    Sorted, because aiortc fails on numbers that fall, as those around a wrap do.
    """
    await private(receiver, "_send_rtcp_nack")(ssrc, sorted(lost))


async def send_remb(receiver: RTCRtpReceiver, ssrc: int, bits_per_second: int) -> None:
    """Tell the sender the bitrate it may use (draft-alvestrand-rmcat-remb-03)."""
    own = private(receiver, "_RTCRtpReceiver__rtcp_ssrc")
    if own is None:
        return
    fci = pack_remb_fci(bits_per_second, [ssrc])
    packet = RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=own, media_ssrc=0, fci=fci)
    await private(receiver, "_send_rtcp")(packet)


def start_estimate(receiver: RTCRtpReceiver, bits_per_second: int) -> None:
    """Let aiortc's own bandwidth estimate go on from this rate instead of climbing from nothing."""
    estimator = private(receiver, "_RTCRtpReceiver__remote_bitrate_estimator")
    private(estimator, "rate_control").set_estimate(bits_per_second, clock.current_ms())


def has_bandwidth_estimate(receiver: RTCRtpReceiver) -> bool:
    """Whether the sender stamps packets with `abs-send-time`: then aiortc estimates bandwidth itself."""
    estimator = private(receiver, "_RTCRtpReceiver__remote_bitrate_estimator")
    return bool(private(estimator, "ssrcs"))


@dataclass(frozen=True, slots=True)
class ReceptionCounts:
    """Totals of one SSRC: packets expected and received, interarrival jitter in RTP ticks (RFC 3550 A.8)."""

    expected: int
    received: int
    jitter: int


def reception_counts(receiver: RTCRtpReceiver, ssrc: int) -> ReceptionCounts:
    """Receiver statistics aiortc keeps of `ssrc`; zeros before its first packet."""
    stream = private(receiver, "_RTCRtpReceiver__remote_streams").get(ssrc)
    if stream is None or stream.max_seq is None:
        return ReceptionCounts(0, 0, 0)
    return ReceptionCounts(stream.packets_expected, stream.packets_received, stream.jitter)


# --- sending


class _WireTimestamp(int):
    """A timestamp that stays what it is when aiortc adds its random origin.

    `origin + timestamp` asks the right operand first because its type is a subclass of the left one's.
    """

    def __radd__(self, origin: int) -> int:
        return int(self)


def wire_timestamps(sender: RTCRtpSender) -> None:
    """Put `pts` of the track's packets (in RTP ticks) on the wire unchanged, without a random origin."""
    original = private(sender, "_next_encoded_frame")

    async def next_frame(codec: object) -> object:
        frame = await original(codec)
        if frame is not None:
            frame.timestamp = _WireTimestamp(frame.timestamp)
        return frame

    sender._next_encoded_frame = next_frame  # type: ignore[method-assign, assignment]


def on_keyframe_request(sender: RTCRtpSender, callback: Callable[[], None]) -> None:
    """Call `callback` when the receiver asks for a keyframe (PLI or FIR); there is no encoder to force."""
    private(sender, "_send_keyframe")
    sender._send_keyframe = callback  # type: ignore[method-assign]


# --- staying connected


def media_is_consent(pc: RTCPeerConnection) -> None:
    """Keep a publisher that answers no consent checks (RFC 7675); its media says whether it is still there.

    FFmpeg's WHIP answers none once connected, and aioice would cut it off after half a minute; silence is
    noticed by the media timeout. The checks still go out and keep NAT bindings open. Call before connecting.
    """
    for transceiver in pc.getTransceivers():
        connection = private(transceiver.receiver.transport.transport.iceGatherer, "_connection")
        private(connection, "query_consent")
        connection.query_consent = partial(_probe, connection)


async def _probe(connection: ice.Connection) -> None:
    password = connection.remote_password
    assert password is not None  # checks begin once the remote side is known
    while True:
        await asyncio.sleep(ice.CONSENT_INTERVAL)
        for pair in list(private(connection, "_nominated").values()):
            request, key = connection.build_request(pair, nominate=False), password.encode()
            with suppress(stun.TransactionError):
                await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=0)


# --- addresses and ports


def limit_network(
    pc: RTCPeerConnection,
    *,
    loopback: bool,
    udp_ports: tuple[int, int] | None,
    through_own_addresses: bool = False,
) -> None:
    """Choose the addresses and UDP ports `pc` gathers. Call after its transceivers exist, before it gathers.

    Args:
        pc: the connection; its ICE servers must be an empty list.
        loopback: gather 127.0.0.1 only.
        udp_ports: first and last port to use, or None for any.
        through_own_addresses: with `loopback`, gather the machine's addresses after all, but ignore every
            datagram that does not come from one of them. For Firefox, which never connects to 127.0.0.1.
    """
    for transceiver in pc.getTransceivers():
        transport = transceiver.receiver.transport.transport
        connection = private(transport.iceGatherer, "_connection")
        connection.get_component_candidates = _Gather(connection, loopback, udp_ports, through_own_addresses)


class _OwnMachineProtocol(ice.StunProtocol):
    """Hears nothing from other machines."""

    def __init__(self, receiver: ice.Connection, own: frozenset[str]) -> None:
        super().__init__(receiver)
        self._own = own

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if addr[0] in self._own:
            super().datagram_received(data, addr)


class _Gather:
    """Gathers host candidates on chosen addresses and ports, in place of aioice's own method."""

    def __init__(
        self,
        connection: ice.Connection,
        loopback: bool,
        udp_ports: tuple[int, int] | None,
        through_own_addresses: bool,
    ) -> None:
        self._connection = connection
        self._loopback = loopback
        self._udp_ports = udp_ports
        self._through_own = through_own_addresses

    def _protocol(self, own: frozenset[str]) -> ice.StunProtocol:
        if self._loopback:
            return _OwnMachineProtocol(self._connection, own)
        return ice.StunProtocol(self._connection)

    async def __call__(self, component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
        loop = asyncio.get_running_loop()
        protocols: list[ice.StunProtocol] = private(self._connection, "_protocols")
        own = frozenset((*addresses, "127.0.0.1"))
        if self._loopback and not (self._through_own and addresses):
            addresses = ["127.0.0.1"]
        candidates: list[Candidate] = []
        for address in addresses:
            sock = bind_udp(address, self._udp_ports)
            if sock is None:
                continue
            _, protocol = await loop.create_datagram_endpoint(lambda: self._protocol(own), sock=sock)
            host, port = sock.getsockname()[:2]
            protocol.local_candidate = Candidate(
                foundation=candidate_foundation("host", "udp", host),
                component=component,
                transport="udp",
                priority=candidate_priority(component, "host"),
                host=host,
                port=port,
                type="host",
            )
            protocols.append(protocol)
            candidates.append(protocol.local_candidate)
        return candidates
