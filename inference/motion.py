"""Where a box that was *there* is *now*: the motion seen since it was detected.

What the picture shows moves the boxes where it shows anything: codec motion vectors (`inference.field`) or
optical flow (`inference.flow`). Elsewhere the filter's velocity (`inference.kalman`) does.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.field import Motion, MotionField, Moved
from inference.flow import FlowField, Luma, Pyramid
from inference.kalman import Floats, KalmanBank, MotionSettings, to_centre, to_corners

__all__ = ["Followed", "KalmanBank", "MotionPath", "MotionSettings", "to_centre", "to_corners"]

LIES = 0.3
"""Codec vectors that agree with the optical flow less often than this are not what moved."""

CHECK_SHARE = 0.25
"""Weight of the newest check of the vectors."""

STILL = 0.008
"""Share of the picture below which a shift says nothing about who is right: the flow sees 160 pixels."""

SURE = 0.5
"""Confidence of both from which a contradiction counts."""

CUT_SHARE = 0.2
"""A frame with fewer than this share of the usual codec vectors is new altogether."""

WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]])


class Field(Protocol):
    """The motion from one frame to the next."""

    def shift(self, boxes: NDArray[np.floating], guess: Floats) -> Moved:
        """How far boxes of the frame before moved and grew, and how believable that is."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What happened between two instants.

    Attributes:
        shift: how far the boxes' centres moved, float64 (n, 2).
        grown: factor of their sizes, (n,).
        sure: how much of that the picture showed, (n,) in 0..1; the rest is the filter's guess.
        camera: how far the picture as a whole moved, (2,).
        cut: another scene began in between.
    """

    shift: Floats
    grown: Floats
    sure: Floats
    camera: Floats
    cut: bool


@dataclass(slots=True)
class _Step:
    """Motion from one frame to the next, and what it did to the boxes of one generation."""

    start_ns: int
    end_ns: int
    field: Field
    cut: bool
    dear: bool = False
    other: Field | None = None
    generation: int = -1
    moved: Moved | None = None


class MotionPath:
    """The motion seen since the last detection: where a box that was *there* is *now*.

    Kept raw, so a detection that arrives late is carried forward through what has been seen since its
    capture.

    Attributes:
        base_ns: media time at which the boxes were last known.
    """

    def __init__(self, settings: MotionSettings, limit: int = 60) -> None:
        self.base_ns = 0
        self._settings = settings
        self._steps: deque[_Step] = deque(maxlen=limit)
        self._last_ns = 0
        self._frame_ns = 0
        self._generation = 0
        self._usual = 0.0
        self._picture: tuple[int, Pyramid] | None = None
        self._trust = 1.0

    @property
    def vectors_lie(self) -> bool:
        """The codec's vectors are not what the picture shows: an encoder may choose them as it likes."""
        return self._trust < LIES

    @property
    def newest_ns(self) -> int:
        """Media time of the newest frame."""
        return self._last_ns

    def coasted(self, pts_ns: int) -> bool:
        """A frame came between the last detections and `pts_ns`: viewers saw predicted boxes on it."""
        return 0 < self.base_ns < pts_ns - 1.5 * self._frame_ns

    @property
    def has_motion(self) -> bool:
        """The picture's motion has been seen since `base_ns`."""
        return bool(self._steps)

    def add(
        self,
        motion: Motion | None,
        pts_ns: int,
        *,
        size: tuple[int, int] | None = None,
        luma: Luma | None = None,
    ) -> None:
        """The frame at `pts_ns` came. One seen before is ignored.

        Args:
            motion: codec vectors since the frame before, if any: `Pixels.motion_vectors`.
            pts_ns: of the frame.
            size: of the picture in pixels, for the vectors.
            luma: a small picture, uint8 (height, width), always of the same size: looked at where there are
                no vectors. A frame may go without. Two frames in a row that have both check the vectors.
        """
        if pts_ns <= self._last_ns:
            return
        gap_ns = pts_ns - self._last_ns
        # A dropped frame leaves a gap that these vectors do not cover.
        self._frame_ns = min(gap_ns, int(self._frame_ns * 1.05)) if self._frame_ns else gap_ns
        picture = Pyramid(luma) if luma is not None else None
        flow, since_ns = self._flow(picture)
        if motion is not None and len(motion):
            cut = len(motion) < CUT_SHARE * self._usual
            self._usual += 0.1 * (len(motion) - self._usual) if self._usual else len(motion)
            told, begin_ns = MotionField(motion, size), pts_ns - self._frame_ns
            if flow is None or since_ns != self._last_ns:
                self._steps.append(_Step(begin_ns, pts_ns, told, cut))
            elif self.vectors_lie:
                self._steps.append(_Step(begin_ns, pts_ns, flow, cut, dear=True, other=told))
            else:
                self._steps.append(_Step(begin_ns, pts_ns, told, cut, other=flow))
        elif flow is not None:
            self._steps.append(_Step(since_ns, pts_ns, flow, flow.cut, dear=True))
        self._picture = (pts_ns, picture) if picture is not None else None
        self._last_ns = pts_ns

    def _flow(self, picture: Pyramid | None) -> tuple[FlowField | None, int]:
        """The optical flow to `picture`, and from when."""
        if picture is None or self._picture is None:
            return None, 0
        since_ns, before = self._picture
        same = before.luma.shape == picture.luma.shape
        return (FlowField(before, picture) if same else None), since_ns

    def rebase(self, pts_ns: int) -> None:
        """The boxes are known anew at `pts_ns`; later motion stays and applies to them."""
        self.base_ns = pts_ns
        while self._steps and self._steps[0].end_ns <= pts_ns:
            self._steps.popleft()
        self.changed()

    def changed(self) -> None:
        """The set of boxes changed; forget what was worked out for the old one."""
        self._generation += 1

    def shift(self, bank: KalmanBank, pts_ns: int) -> Floats:
        """How far the centres move from `base_ns` to `pts_ns`, float64 (n, 2)."""
        return self.follow(bank, pts_ns).shift

    def follow(
        self, bank: KalmanBank, pts_ns: int, speed: Floats | None = None, *, thrifty: bool = False
    ) -> Followed:
        """What happened to the boxes between `base_ns` and `pts_ns`.

        Args:
            bank: the boxes.
            pts_ns: until when.
            speed: (n, 2), moves them where the picture shows nothing: the bank's pace unless given.
            thrifty: work out no optical flow over a single frame: a detection of it is at hand.
        """
        now_ns, speed = self.base_ns, bank.pace() if speed is None else speed
        total: Floats = np.zeros((len(bank) + 1, 2))  # the last row is the whole picture: the camera
        sure: Floats = np.zeros(len(bank) + 1)
        grown: Floats = np.ones(len(bank) + 1)
        seen: Floats = bank.speed[:, :2].copy()
        cut = False
        thrifty = thrifty and pts_ns - self.base_ns <= 1.5 * self._frame_ns
        for step in self._steps:
            if step.start_ns >= pts_ns:
                break
            if step.end_ns <= now_ns:
                continue
            if step.start_ns > now_ns:
                total[:-1] += speed * ((step.start_ns - now_ns) / 1e9)
            cut = cut or step.cut
            if thrifty and step.dear:
                continue
            begin_ns, end_ns = max(step.start_ns, now_ns), min(step.end_ns, pts_ns)
            moved = self._work_out(step, bank, (total, grown, seen))
            part = (end_ns - begin_ns) / (step.end_ns - step.start_ns)
            speed_seen = moved.shift[:-1] / ((step.end_ns - step.start_ns) / 1e9)
            seen += moved.sure[:-1, None] * (speed_seen - seen)
            total += moved.shift * part
            grown *= 1.0 + (moved.grown - 1.0) * part
            sure += moved.sure * ((end_ns - begin_ns) / (pts_ns - self.base_ns))
            now_ns = end_ns
        if now_ns < pts_ns:
            total[:-1] += speed * self._faded_s(now_ns, pts_ns)
        return Followed(total[:-1], grown[:-1], sure[:-1], total[-1], cut)

    def _faded_s(self, from_ns: int, to_ns: int) -> float:
        """Seconds of full velocity that a fading one is worth."""
        fade_s = self._settings.fade_s
        return fade_s * (1.0 - math.exp(-max(0, to_ns - from_ns) / 1e9 / fade_s))

    def _work_out(self, step: _Step, bank: KalmanBank, so_far: tuple[Floats, Floats, Floats]) -> Moved:
        """What `step` does to the boxes and to the whole picture.

        Args:
            step: the motion.
            bank: the boxes.
            so_far: how far boxes and picture went before the step, how much they grew, and at what velocity
                the boxes were seen to move last.
        """
        if step.moved is not None and step.generation == self._generation:
            return step.moved
        before, grown, seen = so_far
        guess = np.zeros_like(before)
        guess[:-1] = seen * ((step.end_ns - step.start_ns) / 1e9)
        state = bank.state.copy()
        state[:, :2] += before[:-1]
        state[:, 2:] *= grown[:-1, None]
        boxes = np.concatenate((to_corners(state), WHOLE))
        moved = step.moved = step.field.shift(boxes, guess)
        step.generation = self._generation
        camera = moved.shift[-1]
        if moved.sure[-1] > SURE and float(np.abs(camera).max()) > STILL:
            # what nobody tells of moves with the picture rather than as it did before the camera moved
            moved.shift[moved.sure == 0] = camera
        if step.other is not None:
            told = step.other.shift(boxes[:-1], guess[:-1])
            self._check((moved.shift[:-1], moved.sure[:-1]), (told.shift, told.sure))
            step.other = None
        return moved

    def _check(self, one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> None:
        """Two sources' word on the same boxes: vectors that contradict the flow lose their credit."""
        longest = np.maximum(np.abs(one[0]), np.abs(other[0])).max(axis=1)
        telling = (one[1] > SURE) & (other[1] > SURE) & (longest > STILL)
        if not telling.any():
            return
        apart = np.abs(one[0] - other[0]).max(axis=1)
        agree = float((apart[telling] <= np.maximum(STILL, 0.5 * longest[telling])).mean())
        self._trust += CHECK_SHARE * (agree - self._trust)
