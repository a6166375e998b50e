"""How fast one viewer is sent packets, and how often the same one. Nothing here reads a clock."""

from __future__ import annotations

_STEP_NS = 2_000_000
"""Waits are at least this long, so that several packets go out at each wakeup."""


class Pacer:
    """A leaky bucket: a burst goes out at once, what is beyond it at a steady rate.

    A keyframe is ten times as large as the frames around it; sent in one go it overflows the queue of what
    is narrowest on its way (draft-ietf-rmcat-gcc-02 section 4 has senders pace for the same reason).

    Args:
        kbps: steady rate.
        burst_bytes: what may go at once after a pause.
    """

    def __init__(self, kbps: int, burst_bytes: int) -> None:
        self._ns_per_byte = 8_000_000 / kbps
        self._burst_ns = int(burst_bytes * self._ns_per_byte)
        self._paid_ns: float = 0.0

    def delay_ns(self, size: int, now_ns: int) -> int:
        """0 when `size` bytes may go now, which counts them as sent; else how long to wait and ask again."""
        self._paid_ns = max(self._paid_ns, now_ns - self._burst_ns)
        if self._paid_ns > now_ns:
            return max(int(self._paid_ns - now_ns), _STEP_NS)
        self._paid_ns += size * self._ns_per_byte
        return 0


class Resends:
    """Which of the packets a viewer asks for again it is given.

    A viewer that asks faster than answers reach it, or for more than its share, only makes its loss worse.

    Args:
        kbps: rate of retransmissions at most.
        again_ns: the same packet goes out again after so long at the earliest.
    """

    def __init__(self, kbps: int, again_ns: int = 20_000_000) -> None:
        self._pacer = Pacer(kbps, kbps * 1000 // 8 // 4)
        self._again_ns = again_ns
        self._sent_ns: dict[int, int] = {}

    def allow(self, number: int, size: int, now_ns: int) -> bool:
        """Whether to send packet `number` of the stream again; counted as sent if so."""
        sent_ns = self._sent_ns.get(number)
        if sent_ns is not None and now_ns - sent_ns < self._again_ns:
            return False
        if self._pacer.delay_ns(size, now_ns):
            return False
        self._sent_ns.pop(number, None)
        self._sent_ns[number] = now_ns
        if len(self._sent_ns) > 512:
            del self._sent_ns[next(iter(self._sent_ns))]
        return True
