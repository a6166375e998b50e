"""The last minutes of a stream as they were published, to look at again ([C], no clock).

Encoded frames are kept as they came: nothing is decoded or encoded until a moment is asked for, and then
only from the keyframe before it. So that this is never far, a publisher is asked for a keyframe now and then
(as MediaMTX does every two seconds). Whole groups of pictures are forgotten, the oldest first, by age and by
bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from overlay.samples import Absent
from stream.timeline import signed_delta
from stream.types import RTP_CLOCK_HZ, EncodedFrame, MediaTime

UNIT_BYTES: Final = 256
"""What a kept frame takes beside its data."""
NEAR_TICKS: Final = RTP_CLOCK_HZ // 2
"""A frame stays on screen for at most this long: later than that after the last frame there was none."""


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """What is kept.

    Attributes:
        keep_ns: frames that arrived longer ago are forgotten.
        max_bytes: all that is kept takes at most this much.
        keyframe_ns: longest wanted time between keyframes; 0 never asks for one.
    """

    keep_ns: int = 180_000_000_000
    max_bytes: int = 64 << 20
    keyframe_ns: int = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a moment is decoded from.

    Attributes:
        codec: ``"H264"`` or ``"VP8"``.
        units: access units, the first a keyframe, the last that of the moment.
        time: exact key of the moment.
        arrived_ns: when its last packet had arrived.
    """

    codec: str
    units: tuple[bytes, ...]
    time: MediaTime
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class RecorderStatistics:
    """What is held now, and what was not kept.

    Attributes:
        bytes: taken.
        frames: held.
        groups: held; each begins with a keyframe.
        span_ns: from the oldest frame to the newest, by arrival.
        skipped: frames that could not be kept, because no keyframe was before them.
    """

    bytes: int
    frames: int
    groups: int
    span_ns: int
    skipped: int


class Mark(NamedTuple):
    """A moment that is cheap to look at: a keyframe."""

    time: MediaTime
    arrived_ns: int


class _Unit(NamedTuple):
    rtp: int
    arrived_ns: int
    data: bytes


@dataclass(slots=True)
class _Group:
    """A keyframe and what depends on it. `ticks` counts from the keyframe and is parallel to `units`."""

    epoch: int
    codec: str
    units: list[_Unit] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    bytes: int = 0

    def add(self, frame: EncodedFrame) -> None:
        first = self.units[0].rtp if self.units else frame.time.rtp
        self.units.append(_Unit(frame.time.rtp, frame.arrived_ns, frame.data))
        self.ticks.append(signed_delta(frame.time.rtp, first))
        self.bytes += len(frame.data) + UNIT_BYTES

    def stretch(self, at: int) -> Stretch:
        """Up to unit number `at`."""
        unit = self.units[at]
        data = tuple(one.data for one in self.units[: at + 1])
        return Stretch(self.codec, data, MediaTime(self.epoch, unit.rtp), unit.arrived_ns)


class Recorder:
    """Keeps the encoded video of one stream. Event loop only; a frame costs microseconds."""

    def __init__(self, settings: RecorderSettings = RecorderSettings()) -> None:
        self.settings = settings
        self._groups: deque[_Group] = deque()
        self._open = False
        self._bytes = 0
        self._skipped = 0
        self._asked_ns: int | None = None

    def add(self, frame: EncodedFrame) -> bool:
        """Keep a frame. Returns whether a keyframe should be asked for now."""
        if frame.codec == "opus":
            return False
        newest = self._groups[-1] if self._groups else None
        same = newest is not None and (newest.epoch, newest.codec) == (frame.time.epoch, frame.codec)
        if frame.keyframe:
            self._groups.append(_Group(frame.time.epoch, frame.codec))
            self._open = True
        elif not (self._open and same):
            self._skipped += 1
            self._open = False
            return self._ask(frame.arrived_ns)
        group = self._groups[-1]
        before = group.bytes
        group.add(frame)
        self._bytes += group.bytes - before
        self.prune(frame.arrived_ns)
        if not self._open:
            return self._ask(frame.arrived_ns)
        late = frame.arrived_ns - group.units[0].arrived_ns >= self.settings.keyframe_ns
        return late and self._ask(frame.arrived_ns)

    def prune(self, now_ns: int) -> None:
        """Forget what is too old or too much. A single group that is too much is given up whole."""
        oldest_ns = now_ns - self.settings.keep_ns
        while self._groups:
            group = self._groups[0]
            if self._bytes <= self.settings.max_bytes and group.units[-1].arrived_ns >= oldest_ns:
                return
            self._bytes -= group.bytes
            self._groups.popleft()
        self._open = False

    def stretch(self, time: MediaTime) -> Stretch | Absent:
        """The frame that was on screen at `time`, and what it is decoded from; or why there is none."""
        groups = [group for group in self._groups if group.epoch == time.epoch]
        if not groups:
            past = bool(self._groups) and time.epoch < self._groups[0].epoch
            return Absent.TOO_OLD if past else Absent.UNKNOWN_EPOCH
        for group in reversed(groups):
            ticks = signed_delta(time.rtp, group.units[0].rtp)
            if ticks < 0:
                continue
            at = bisect_right(group.ticks, ticks) - 1
            if group is groups[-1] and ticks - group.ticks[at] > NEAR_TICKS:
                return Absent.TOO_NEW
            return group.stretch(at)
        return Absent.TOO_OLD

    def marks(self) -> tuple[Mark, ...]:
        """Every keyframe held, oldest first."""
        return tuple(
            Mark(MediaTime(group.epoch, group.units[0].rtp), group.units[0].arrived_ns)
            for group in self._groups
        )

    def statistics(self) -> RecorderStatistics:
        """What is held now."""
        span_ns = 0
        if self._groups:
            span_ns = self._groups[-1].units[-1].arrived_ns - self._groups[0].units[0].arrived_ns
        frames = sum(len(group.units) for group in self._groups)
        return RecorderStatistics(self._bytes, frames, len(self._groups), span_ns, self._skipped)

    def _ask(self, now_ns: int) -> bool:
        """Whether to ask for a keyframe: not again before the last request had its time."""
        every_ns = self.settings.keyframe_ns
        if not every_ns or (self._asked_ns is not None and now_ns - self._asked_ns < every_ns):
            return False
        self._asked_ns = now_ns
        return True
