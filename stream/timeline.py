"""The time base: publishers' RTP timestamps to one media time per stream, and to viewers' timelines.

RTP timestamps are unsigned 32-bit, start anywhere and wrap every 13.25 hours at 90 kHz (RFC 3550 section
5.1). Nothing here reads a clock: arrival times are arguments.
"""

from __future__ import annotations

from stream.types import RTP_CLOCK_HZ

_WRAP = 1 << 32
_HALF = 1 << 31
_NS = 1_000_000_000

JUMP_NS = 10 * _NS
"""A longer forward step is a break of the sender's clock, not a pause: the wall gap is used instead."""

LATE_NS = _NS
"""A backward step up to this may be one reordered frame; a longer one is a sender that began again."""

LATE_FRAMES = 3
"""So many frames in a row behind the newest one mean that the sender's clock really stepped back."""


def signed_delta(newer: int, older: int) -> int:
    """`newer - older` of two u32 timestamps as the shortest signed distance, -2^31 .. 2^31 - 1 ticks."""
    return ((newer - older + _HALF) % _WRAP) - _HALF


class Timeline:
    """Maps `(epoch, rtp)` to a strictly increasing `pts_ns` that continues across wraps, breaks and epochs.

    Args:
        clock_hz: RTP clock rate, ticks per second.
    """

    def __init__(self, clock_hz: int = RTP_CLOCK_HZ) -> None:
        self._hz = clock_hz
        self._epoch: int | None = None
        self._rtp = 0
        self._anchor_pts_ns = 0
        self._ticks = 0
        self._last_pts_ns = 0
        self._last_arrived_ns = 0
        self._late = 0

    def map(self, epoch: int, rtp: int, arrived_ns: int) -> int:
        """Media time of a frame.

        The first frame is 0. A wrap continues. A frame slightly behind the newest one is given the newest
        time plus one nanosecond; three in a row, a step back of more than a second or a jump ahead of
        more than ten re-anchor the timeline with the time that passed on the wall, and so does a new
        epoch.

        Args:
            epoch: number of the publisher connection.
            rtp: unsigned 32-bit timestamp of the frame on that connection.
            arrived_ns: `Clock.now_ns` of its last packet.
        """
        if self._epoch is None:
            self._start(epoch, rtp, 0)
        elif epoch != self._epoch:
            self._restart(epoch, rtp, arrived_ns)
        else:
            step = signed_delta(rtp, self._rtp)
            step_ns = step * _NS // self._hz
            if step > 0 and step_ns <= JUMP_NS:
                self._late = 0
                self._rtp = rtp
                self._ticks += step
                pts_ns = self._anchor_pts_ns + self._ticks * _NS // self._hz
                self._last_pts_ns = max(pts_ns, self._last_pts_ns + 1)
            elif -LATE_NS <= step_ns <= 0 and self._late < LATE_FRAMES - 1:
                self._late += 1
                self._last_pts_ns += 1
            else:
                self._restart(epoch, rtp, arrived_ns)
        self._last_arrived_ns = arrived_ns
        return self._last_pts_ns

    def _restart(self, epoch: int, rtp: int, arrived_ns: int) -> None:
        gap_ns = max(arrived_ns - self._last_arrived_ns, 1)
        self._start(epoch, rtp, self._last_pts_ns + gap_ns)

    def _start(self, epoch: int, rtp: int, pts_ns: int) -> None:
        self._epoch = epoch
        self._rtp = rtp
        self._anchor_pts_ns = self._last_pts_ns = pts_ns
        self._ticks = 0
        self._late = 0


class OutgoingTimeline:
    """One continuous RTP timeline towards viewers, made of the timelines of successive publishers.

    `wire = (rtp + offset(epoch)) mod 2^32`. The first epoch's offset is 0; a later one's is chosen at its
    first frame so that the outgoing clock goes on by the time that passed on the wall. Within an epoch
    the offset never changes, so `(epoch, rtp)` and the wire value determine each other.

    Args:
        clock_hz: RTP clock rate, ticks per second (90000 video, 48000 Opus).
    """

    def __init__(self, clock_hz: int = RTP_CLOCK_HZ) -> None:
        self._hz = clock_hz
        self._offsets: dict[int, int] = {}
        self._wire: int | None = None
        self._arrived_ns = 0

    def offset(self, epoch: int) -> int | None:
        """The epoch's offset in ticks, or None before its first frame."""
        return self._offsets.get(epoch)

    def map(self, epoch: int, rtp: int, arrived_ns: int) -> int:
        """Wire timestamp (u32) of a frame; chooses the offset at the first frame of an epoch."""
        offset = self._offsets.get(epoch)
        if offset is None:
            offset = 0
            if self._wire is not None:
                gap = max((arrived_ns - self._arrived_ns) * self._hz // _NS, 1)
                offset = (self._wire + gap - rtp) % _WRAP
            self._offsets[epoch] = offset
            while len(self._offsets) > 16:
                del self._offsets[next(iter(self._offsets))]
        wire = (rtp + offset) % _WRAP
        if self._wire is None or signed_delta(wire, self._wire) > 0:
            self._wire = wire
            self._arrived_ns = arrived_ns
        return wire
