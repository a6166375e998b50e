"""RTP packets to access units: completed on the marker bit, bounded in time and memory, honest about loss.

RFC 6184 (H264) and RFC 7741 (VP8) set the marker on the last packet of an access unit, so a frame is
known to be complete when that packet is here; waiting for the next frame's first packet would cost one
frame interval.
"""

from __future__ import annotations

from dataclasses import dataclass

_HALF16 = 1 << 15


@dataclass(frozen=True, slots=True)
class RtpIn:
    """One received RTP packet, payload descriptors already removed.

    Attributes:
        ssrc: its sender.
        payload_type: negotiated payload type.
        seq: unsigned 16-bit sequence number.
        rtp: unsigned 32-bit timestamp.
        marker: last packet of the access unit.
        data: payload; empty for padding.
        arrived_ns: `Clock.now_ns` at reception.
    """

    ssrc: int
    payload_type: int
    seq: int
    rtp: int
    marker: bool
    data: bytes
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class Assembled:
    """One complete access unit.

    Attributes:
        rtp: its timestamp.
        payload_type: of its packets.
        data: payloads joined.
        arrived_ns: arrival of the packet that arrived last.
        broken: packets before it were lost for good: decoding may go wrong until a keyframe.
    """

    rtp: int
    payload_type: int
    data: bytes
    arrived_ns: int
    broken: bool


class FrameAssembler:
    """Puts the packets of one SSRC in order and cuts them into access units.

    A hole is waited for at most `patience_ns` or `capacity` packets; then everything of the frames it
    touches is given up and the next frame is marked `broken`.

    Args:
        patience_ns: how long a retransmission may take.
        capacity: packets held behind a hole at most.

    Attributes:
        lost: packets given up.
        late: packets that came after they were given up, or twice.
    """

    def __init__(self, *, patience_ns: int = 200_000_000, capacity: int = 1024) -> None:
        self.lost = 0
        self.late = 0
        self._patience_ns = patience_ns
        self._capacity = capacity
        self._ssrc: int | None = None
        self._next = 0
        self._highest = 0
        self._ahead: dict[int, RtpIn] = {}
        self._hole_since_ns = 0
        self._parts: list[RtpIn] = []
        self._broken = False
        self._skip_rtp: int | None = None

    def add(self, packet: RtpIn) -> list[Assembled]:
        """Take a packet in; returns the access units it completes, in order."""
        if packet.ssrc != self._ssrc:
            self._reset(packet)
        seq = self._unwrap(packet.seq)
        if abs(seq - self._next) > 2 * self._capacity:  # the sender restarted its numbering
            self._reset(packet)
            seq = self._next
        if seq < self._next or seq in self._ahead:
            self.late += 1
            return []
        done: list[Assembled] = []
        if seq > self._next:
            if not self._ahead:
                self._hole_since_ns = packet.arrived_ns
            self._ahead[seq] = packet
        else:
            self._take(packet, done)
            self._follow(packet.arrived_ns, done)
        self._give_up(packet.arrived_ns, done)
        return done

    def missing(self, limit: int = 64) -> list[int]:
        """Sequence numbers (u16) of the packets now waited for, oldest first, `limit` at most."""
        if not self._ahead:
            return []
        end = max(self._ahead)
        wanted = (seq for seq in range(self._next, end) if seq not in self._ahead)
        return [seq & 0xFFFF for seq, _ in zip(wanted, range(limit), strict=False)]

    def _reset(self, packet: RtpIn) -> None:
        self._broken = self._ssrc is not None
        self._ssrc = packet.ssrc
        self._next = self._highest = packet.seq
        self._ahead.clear()
        self._parts.clear()
        self._skip_rtp = None

    def _unwrap(self, seq: int) -> int:
        delta = ((seq - self._highest + _HALF16) & 0xFFFF) - _HALF16
        unwrapped = self._highest + delta
        self._highest = max(self._highest, unwrapped)
        return unwrapped

    def _take(self, packet: RtpIn, done: list[Assembled]) -> None:
        self._next += 1
        if self._skip_rtp is not None:
            if packet.rtp == self._skip_rtp:
                return
            self._skip_rtp = None
        if self._parts and self._parts[0].rtp != packet.rtp:
            self._emit(done)
        self._parts.append(packet)
        if packet.marker:
            self._emit(done)

    def _follow(self, now_ns: int, done: list[Assembled]) -> None:
        moved = False
        while (packet := self._ahead.pop(self._next, None)) is not None:
            self._take(packet, done)
            moved = True
        if moved and self._ahead:
            self._hole_since_ns = now_ns

    def _give_up(self, now_ns: int, done: list[Assembled]) -> None:
        while self._ahead and (
            now_ns - self._hole_since_ns > self._patience_ns or len(self._ahead) > self._capacity
        ):
            resume = min(self._ahead)
            self.lost += resume - self._next
            self._parts.clear()
            self._broken = True
            # Whether this packet begins its frame cannot be known: the frame is given up with the hole.
            self._skip_rtp = self._ahead[resume].rtp
            self._next = resume
            self._follow(now_ns, done)

    def _emit(self, done: list[Assembled]) -> None:
        parts, self._parts = self._parts, []
        data = parts[0].data if len(parts) == 1 else b"".join(part.data for part in parts)
        if not data:
            return  # padding only
        done.append(
            Assembled(
                rtp=parts[0].rtp,
                payload_type=parts[0].payload_type,
                data=data,
                arrived_ns=max(part.arrived_ns for part in parts),
                broken=self._broken,
            )
        )
        self._broken = False
