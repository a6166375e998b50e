"""What a stream sent lately, kept once for all its viewers: for who joins, and for who lost a packet.

A frame is cut into RTP payloads once. Its packets are numbered through the whole stream; each viewer has
sequence numbers of its own, which follow each other without gaps whatever the viewer was not sent, and a
`SequenceMap` leads from them back to the stream's numbers. So one store answers every viewer's NACK, and its
size does not depend on how many there are.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_SEQUENCES = 1 << 16
_RUNS = 64


@dataclass(frozen=True, slots=True, eq=False)
class RelayedFrame:
    """A frame as viewers get it, cut into payloads once for all of them.

    Attributes:
        payloads: RTP payloads in order; the last one's packet bears the marker.
        rtp: unsigned 32-bit timestamp on the outgoing timeline.
        keyframe: decoding may start here.
        first: number of its first packet in the stream, counted from 0.
        arrived_ns: `Clock.now_ns` of the publisher's last packet of it.
    """

    payloads: tuple[bytes, ...]
    rtp: int
    keyframe: bool
    first: int
    arrived_ns: int

    @property
    def size(self) -> int:
        """Bytes of all payloads."""
        return sum(map(len, self.payloads))


class FrameHistory:
    """The newest packets by number, and every frame since the newest keyframe.

    Both are bounded; the frames since a keyframe are given up, not cut short, when they outgrow `max_replay`:
    a part of them would be of no use.

    Args:
        max_packets: packets kept for retransmission.
        max_replay: packets of the frames since the keyframe; 0 keeps none. Below 1000, which is as many as
            a browser asks for again before it asks for a keyframe instead.
    """

    def __init__(self, *, max_packets: int = 2048, max_replay: int = 900) -> None:
        self._max_packets = max_packets
        self._max_replay = max_replay
        self._next = 0
        self._packets: dict[int, tuple[RelayedFrame, int]] = {}
        self._since_key: list[RelayedFrame] = []

    def add(self, payloads: tuple[bytes, ...], rtp: int, keyframe: bool, arrived_ns: int) -> RelayedFrame:
        """Number a frame's packets and keep them."""
        frame = RelayedFrame(payloads, rtp, keyframe, self._next, arrived_ns)
        for index in range(len(payloads)):
            self._packets[self._next] = frame, index
            self._packets.pop(self._next - self._max_packets, None)
            self._next += 1
        if keyframe:
            self.forget_keyframe()
        if keyframe or self._since_key:
            self._since_key.append(frame)
            if self._next - self._since_key[0].first > self._max_replay:
                self.forget_keyframe()
        return frame

    def packet(self, number: int) -> tuple[RelayedFrame, int] | None:
        """The frame of packet `number` and its place in it; None when it is too old, or not there yet."""
        return self._packets.get(number)

    def since_keyframe(self) -> tuple[RelayedFrame, ...]:
        """The newest keyframe and all that followed; empty where there is none, or it is too long ago."""
        return tuple(self._since_key)

    def forget_keyframe(self) -> None:
        """What follows cannot be decoded from what was kept."""
        self._since_key.clear()


class SequenceMap:
    """One viewer's RTP sequence numbers: consecutive, and back to the stream's packet numbers.

    Args:
        first: sequence number (u16) of the first packet.
    """

    def __init__(self, first: int) -> None:
        self._next = first % _SEQUENCES
        self._expected = -1
        self._runs: deque[tuple[int, int]] = deque(maxlen=_RUNS)

    def take(self, number: int) -> int:
        """The sequence number (u16) under which packet `number` of the stream is sent now."""
        if number != self._expected:
            self._runs.append((self._next, number))
        sequence = self._next
        self._expected = number + 1
        self._next += 1
        return sequence % _SEQUENCES

    def number(self, sequence: int) -> int | None:
        """The stream's number of the packet sent as `sequence`; None when it was not, or too long ago."""
        behind = (self._next - sequence) % _SEQUENCES
        if not 0 < behind <= _SEQUENCES // 2:
            return None
        at = self._next - behind
        for start, number in reversed(self._runs):
            if at >= start:
                return number + at - start
        return None
