"""The other touch of aiortc's private parts: its sending loop is replaced by ours (see `stream.hooks`).

aiortc makes an object for every packet of every viewer, keeps the last 128 of them for each, and awaits
through five layers to send one. Here the payloads are shared by all viewers, and a packet is its header and
its encryption; those of a frame that are equally long share one system call, which costs more than all else.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiortc import RTCRtpCodecParameters, RTCRtpSender, clock
from aiortc.exceptions import InvalidStateError
from aiortc.rtcrtpsender import random_sequence_number
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, RtcpRrPacket, RtcpSrPacket

from stream.hooks import private

log = logging.getLogger(__name__)

_HEADER = struct.Struct("!BBHLL")
_SEQUENCE = struct.Struct("!H")
_LENGTH = struct.Struct("!HH")
_SENDER = "_RTCRtpSender__"
_UDP_SEGMENT = 103
_SEGMENTS = 48
_SEGMENT_BYTES = 60_000
"""The kernel takes 64 segments and 64 KiB at most (udp(7))."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet to send.

    Attributes:
        payload: after the payload format's packetisation.
        sequence: unsigned 16-bit sequence number.
        rtp: unsigned 32-bit timestamp.
        marker: last packet of its frame.
    """

    payload: bytes
    sequence: int
    rtp: int
    marker: bool


class RtpWriter:
    """Writes packets as one of aiortc's senders. Event loop only; nothing here waits.

    Attributes:
        first_sequence: sequence number to begin with (RFC 3550 section 5.1 wants a random one).
    """

    def __init__(self, sender: RTCRtpSender, codec: RTCRtpCodecParameters) -> None:
        self.first_sequence = random_sequence_number()
        self._sender = sender
        assert codec.payloadType is not None  # it was negotiated
        self._payload_type = codec.payloadType
        self._rtx_sequence = random_sequence_number()
        self._segments = sys.platform == "linux"
        self._dtls: Any = sender.transport
        self._srtp = private(self._dtls, "_tx_srtp")
        self._ice = private(self._dtls.transport, "_connection")
        private(self._ice, "_nominated")
        self._map: HeaderExtensionsMap = private(sender, f"{_SENDER}rtp_header_extensions_map")
        self._mid: str = private(sender, f"{_SENDER}mid")
        self._extensions_ms = -1
        self._extensions = b""
        probe = HeaderExtensions()
        probe.mid, probe.abs_send_time = self._mid, 0
        self._extended = bool(self._map.set(probe)[1])
        for name in ("octet_count", "packet_count", "ntp_timestamp", "rtp_timestamp"):
            private(sender, _SENDER + name)

    def write(self, packets: Sequence[Packet], now_ns: int) -> None:
        """Send packets, those of equal length in one system call where the kernel cuts them up again.

        Raises:
            ConnectionError: the connection is gone.
        """
        ssrc, block = self._sender._ssrc, self._extension_block(now_ns)
        self._send(
            [
                self._srtp.protect(
                    self._header(self._payload_type, ssrc, one.sequence, one) + block + one.payload
                )
                for one in packets
            ]
        )

    def write_again(self, packet: Packet, now_ns: int) -> None:
        """Send a packet again: on the retransmission stream where there is one (RFC 4588), else as it was.

        Raises:
            ConnectionError: the connection is gone.
        """
        rtx = private(self._sender, f"{_SENDER}rtx_payload_type")
        if rtx is None:
            self.write([packet], now_ns)
            return
        self._rtx_sequence = (self._rtx_sequence + 1) % 65536
        header = self._header(rtx, self._sender._rtx_ssrc, self._rtx_sequence, packet)
        original = _SEQUENCE.pack(packet.sequence)
        data = header + self._extension_block(now_ns) + original + packet.payload
        self._send([self._srtp.protect(data)])

    def account(self, rtp: int, age_ns: int, packets: int, octets: int) -> None:
        """Tell the sender reports about a frame that was sent.

        Args:
            rtp: its timestamp.
            age_ns: time since it arrived here: the reports relate its timestamp to then, not to now, so that
                sound and picture stay together while a viewer catches up.
            packets: it was sent in.
            octets: of their payloads.
        """
        sender: Any = self._sender
        now = clock.current_ntp_time() - (age_ns << 32) // 1_000_000_000
        setattr(sender, f"{_SENDER}ntp_timestamp", now)
        setattr(sender, f"{_SENDER}rtp_timestamp", rtp)
        for name, count in (("packet_count", packets), ("octet_count", octets)):
            setattr(sender, _SENDER + name, getattr(sender, _SENDER + name) + count)

    def _header(self, payload_type: int, ssrc: int, sequence: int, packet: Packet) -> bytes:
        first = 0x90 if self._extended else 0x80
        return _HEADER.pack(first, packet.marker << 7 | payload_type, sequence, packet.rtp, ssrc)

    def _extension_block(self, now_ns: int) -> bytes:
        """`mid` and `abs-send-time` (18 bits of fraction, any clock's), made anew each millisecond."""
        now_ms = now_ns // 1_000_000
        if self._extended and now_ms != self._extensions_ms:
            self._extensions_ms = now_ms
            values = HeaderExtensions()
            values.mid = self._mid
            values.abs_send_time = (now_ms << 18) // 1000 & 0xFFFFFF
            profile, block = self._map.set(values)
            self._extensions = _LENGTH.pack(profile, len(block) // 4) + block
        return self._extensions

    def _send(self, datagrams: list[bytes]) -> None:
        pair = self._ice._nominated.get(1)
        if pair is None or self._dtls.state != "connected":
            raise ConnectionError("the viewer's connection is gone")
        transport, address = pair.protocol.transport, pair.remote_addr
        for group in _equal(datagrams) if self._segments else ([one] for one in datagrams):
            if len(group) == 1 or not self._send_at_once(transport, group, address):
                for datagram in group:
                    transport.sendto(datagram, address)

    def _send_at_once(self, transport: Any, group: list[bytes], address: object) -> bool:
        """One system call for datagrams of equal length (UDP_SEGMENT, Linux 4.18); False: it did not send."""
        if transport.get_write_buffer_size():
            return False  # what waits there goes first
        size = struct.pack("@H", len(group[0]))
        try:
            sock = transport.get_extra_info("socket")._sock
            sock.sendmsg([b"".join(group)], [(socket.IPPROTO_UDP, _UDP_SEGMENT, size)], 0, address)
        except (BlockingIOError, InterruptedError):
            return False
        except (OSError, AttributeError):
            self._segments = False  # not this kernel, this device or this transport
            return False
        return True


def _equal(datagrams: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Groups in order: of equal length, but for the last one of each, which may be shorter."""
    group: list[bytes] = []
    for datagram in datagrams:
        full = len(group) >= _SEGMENTS or (len(group) + 1) * len(datagram) > _SEGMENT_BYTES
        if group and (full or len(datagram) > len(group[0]) or len(group[-1]) < len(group[0])):
            yield group
            group = []
        group.append(datagram)
    if group:
        yield group


def drive(
    sender: RTCRtpSender,
    run: Callable[[RtpWriter], Awaitable[None]],
    on_lost: Callable[[RtpWriter, int], None],
) -> None:
    """Have `run` send instead of aiortc's own loop, and `on_lost` answer what is asked for again.

    aiortc keeps doing ICE, DTLS, sender reports and goodbye. Call before the connection is established.

    Args:
        sender: of a transceiver that sends.
        run: called once connected; when it returns nothing more is sent. Cancelled at the end.
        on_lost: called on the loop with what `run` was given and the sequence number of a lost packet.
    """
    started: asyncio.Event = private(sender, f"{_SENDER}rtp_started")
    exited: asyncio.Event = private(sender, f"{_SENDER}rtp_exited")
    for name in ("_run_rtp", "_retransmit"):
        private(sender, name)
    writers: list[RtpWriter] = []

    async def run_rtp(codec: RTCRtpCodecParameters) -> None:
        started.set()
        try:
            writers.append(RtpWriter(sender, codec))
            await run(writers[0])
        except (asyncio.CancelledError, ConnectionError, InvalidStateError):
            pass  # stopped, or the other side has gone
        except Exception:
            log.exception("sending failed")
        finally:
            exited.set()  # aiortc waits for it when it stops the sender

    async def retransmit(sequence: int) -> None:
        if writers:
            on_lost(writers[0], sequence)

    sender._run_rtp = run_rtp  # type: ignore[method-assign]
    sender._retransmit = retransmit  # type: ignore[method-assign, assignment]


def on_report(sender: RTCRtpSender, callback: Callable[[], None]) -> None:
    """Call `callback` at each report of the receiver on what it gets (RFC 3550 section 6.4)."""
    original = private(sender, "_handle_rtcp_packet")

    async def handle(packet: object) -> None:
        await original(packet)
        if isinstance(packet, (RtcpRrPacket, RtcpSrPacket)):
            callback()

    sender._handle_rtcp_packet = handle  # type: ignore[method-assign]
