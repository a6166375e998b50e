"""Where a box that was *there* is *now*: the motion seen since it was detected.

Codec motion vectors (`inference.field`) move the boxes where a frame brought them, the filter's velocity
(`inference.kalman`) elsewhere.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from inference.field import Motion, MotionField
from inference.kalman import Floats, KalmanBank, MotionSettings, to_centre, to_corners

__all__ = ["KalmanBank", "MotionPath", "MotionSettings", "to_centre", "to_corners"]


@dataclass(slots=True)
class _Step:
    """Motion from one frame to the next, and what it did to the boxes of one generation."""

    start_ns: int
    end_ns: int
    field: MotionField
    generation: int = -1
    shift: Floats | None = None


class MotionPath:
    """The motion seen since the last detection: where a box that was *there* is *now*.

    Where a frame brought codec vectors they move the boxes; elsewhere the filter's velocity does. Kept raw,
    so a detection that arrives late is carried forward through what has been seen since its capture.

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

    @property
    def has_codec_motion(self) -> bool:
        """Codec vectors have been seen since `base_ns`."""
        return bool(self._steps)

    def add(self, motion: Motion | None, pts_ns: int, size: tuple[int, int] | None = None) -> None:
        """The frame at `pts_ns` brought `motion` since the one before it. A frame seen before is ignored."""
        if pts_ns <= self._last_ns:
            return
        gap_ns = pts_ns - self._last_ns
        # A dropped frame leaves a gap that these vectors do not cover.
        self._frame_ns = min(gap_ns, int(self._frame_ns * 1.05)) if self._frame_ns else gap_ns
        if motion is not None and len(motion):
            self._steps.append(_Step(pts_ns - self._frame_ns, pts_ns, MotionField(motion, size)))
        self._last_ns = pts_ns

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
        now_ns, speed = self.base_ns, bank.pace()
        total: Floats = np.zeros((len(bank), 2))
        if not len(bank) or now_ns == pts_ns:
            return total
        for step in self._steps:
            if step.start_ns >= pts_ns:
                break
            if step.end_ns <= now_ns:
                continue
            if step.start_ns > now_ns:
                total += speed * ((step.start_ns - now_ns) / 1e9)
            moved = self._work_out(step, bank, total)
            begin_ns, end_ns = max(step.start_ns, now_ns), min(step.end_ns, pts_ns)
            total += moved * ((end_ns - begin_ns) / (step.end_ns - step.start_ns))
            now_ns = end_ns
        if now_ns < pts_ns:
            total += speed * self._faded_s(now_ns, pts_ns)
        return total

    def _faded_s(self, from_ns: int, to_ns: int) -> float:
        """Seconds of full velocity that a fading one is worth."""
        fade_s = self._settings.fade_s
        return fade_s * (1.0 - math.exp(-max(0, to_ns - from_ns) / 1e9 / fade_s))

    def _work_out(self, step: _Step, bank: KalmanBank, moved: Floats) -> Floats:
        """What `step` does to boxes that have `moved` this far before it."""
        if step.shift is not None and step.generation == self._generation:
            return step.shift
        guess = bank.speed[:, :2] * ((step.end_ns - step.start_ns) / 1e9)
        state = bank.state.copy()
        state[:, :2] += moved + guess
        found = step.field.shift(to_corners(state), self._settings.min_vectors)
        step.shift, step.generation = np.where(np.isnan(found), guess, found), self._generation
        return step.shift
