"""How boxes move between detections: a Kalman filter in seconds, and shifts from codec motion vectors.

The filter is a constant-velocity model per coordinate (centre x, centre y, width, height), so each
coordinate has its own 2x2 covariance and a whole set of tracks is a few array operations. Noise is relative
to the box's size, as in ByteTrack (arXiv 2110.06864), but per second instead of per call, so skipped frames
need no special case.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Motion = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """Noise of the filter, relative to the box's size.

    Attributes:
        measure: standard deviation of a detected coordinate.
        drift: growth of the position's variance per second.
        wander: growth of the velocity's variance per second.
        first_speed: standard deviation of an unknown velocity, sizes per second.
        fade_s: a velocity not confirmed by a measurement fades with this time constant.
        min_vectors: codec vectors inside a box that make its shift believable.
    """

    measure: float = 0.05
    drift: float = 0.02
    wander: float = 2.0
    first_speed: float = 1.0
    fade_s: float = 0.5
    min_vectors: int = 3


class KalmanBank:
    """The filters of all tracks of one stream, row by row.

    Attributes:
        state: float64 (n, 4): centre x, centre y, width, height, 0..1 of the picture.
        speed: float64 (n, 4): the same per second.
    """

    def __init__(self, settings: MotionSettings) -> None:
        self.settings = settings
        self.state: Floats = np.zeros((0, 4))
        self.speed: Floats = np.zeros((0, 4))
        self._cov: Floats = np.zeros((0, 4, 3))  # position variance, covariance, speed variance

    def __len__(self) -> int:
        return len(self.state)

    def add(self, boxes: NDArray[np.floating]) -> None:
        """Append filters for new boxes (m, 4), x0 y0 x1 y1, at rest."""
        state = to_centre(boxes)
        size = _size(state)
        cov = np.zeros((len(state), 4, 3))
        cov[:, :, 0] = (self.settings.measure * size) ** 2
        cov[:, :, 2] = (self.settings.first_speed * size) ** 2
        self.state = np.concatenate([self.state, state])
        self.speed = np.concatenate([self.speed, np.zeros_like(state)])
        self._cov = np.concatenate([self._cov, cov])

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop the filters where `rows` is False."""
        self.state, self.speed, self._cov = self.state[rows], self.speed[rows], self._cov[rows]

    def predict(self, dt_s: float, shift: Floats) -> None:
        """Advance by `dt_s` seconds, the centres by `shift` (n, 2); sizes stay, variances grow."""
        variance = _size(self.state) ** 2
        cov, settings = self._cov, self.settings
        self.state[:, :2] += shift
        cov[:, :, 0] += dt_s * (2 * cov[:, :, 1] + dt_s * cov[:, :, 2]) + variance * dt_s * settings.drift
        cov[:, :, 1] += dt_s * cov[:, :, 2]
        cov[:, :, 2] += variance * dt_s * settings.wander

    def believe_speed(self, speed: Floats) -> None:
        """Codec motion measured the centres' velocity (n, 2): take half of it over."""
        self.speed[:, :2] += 0.5 * (speed - self.speed[:, :2])

    def fade(self, rows: NDArray[np.bool_], dt_s: float) -> None:
        """Let the velocity of unmeasured tracks die away."""
        self.speed[rows] *= np.exp(-dt_s / self.settings.fade_s)

    def update(
        self, rows: NDArray[np.intp], boxes: NDArray[np.floating], scores: NDArray[np.floating]
    ) -> None:
        """Correct `rows` by measured boxes (m, 4), x0 y0 x1 y1; unsure ones (low scores) count less."""
        measured = to_centre(boxes)
        cov = self._cov[rows]
        doubt = self.settings.measure * (1.5 - np.clip(scores, 0.0, 1.0))[:, None]
        total = cov[:, :, 0] + (doubt * _size(measured)) ** 2
        gain, gain_speed = cov[:, :, 0] / total, cov[:, :, 1] / total
        surprise = measured - self.state[rows]
        self.state[rows] += gain * surprise
        self.speed[rows] += gain_speed * surprise
        after = np.empty_like(cov)
        after[:, :, 0] = (1 - gain) * cov[:, :, 0]
        after[:, :, 1] = (1 - gain) * cov[:, :, 1]
        after[:, :, 2] = cov[:, :, 2] - gain_speed * cov[:, :, 1]
        self._cov[rows] = after

    def restart(self, row: int, box: NDArray[np.floating], speed: Floats) -> None:
        """Set a filter anew after an absence: at `box`, moving at `speed` (the virtual path of OC-SORT)."""
        state = to_centre(box[None])
        size = _size(state)[0]
        self.state[row], self.speed[row] = state[0], speed
        self._cov[row, :, 0] = (self.settings.measure * size) ** 2
        self._cov[row, :, 1] = 0.0
        self._cov[row, :, 2] = (0.5 * self.settings.first_speed * size) ** 2

    def boxes(self) -> NDArray[np.float32]:
        """Current boxes, float32 (n, 4), x0 y0 x1 y1; may reach beyond the picture."""
        return to_corners(self.state)


def to_centre(boxes: NDArray[np.floating]) -> Floats:
    """x0 y0 x1 y1 to centre x, centre y, width, height."""
    low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    return np.concatenate([(low + high) / 2, np.maximum(high - low, 1e-6)], axis=1)


def to_corners(state: Floats) -> NDArray[np.float32]:
    """Centre x, centre y, width, height to x0 y0 x1 y1."""
    half = np.maximum(state[:, 2:], 1e-6) / 2
    return np.concatenate([state[:, :2] - half, state[:, :2] + half], axis=1).astype(np.float32)


def _size(state: Floats) -> Floats:
    """What noise is relative to: width, height, width, height."""
    size: Floats = np.maximum(np.concatenate([state[:, 2:], state[:, 2:]], axis=1), 1e-3)
    return size


def box_shift(boxes: NDArray[np.float32], motion: Motion, min_vectors: int) -> Floats:
    """How far each box moved: the median of the codec vectors whose blocks lie inside it.

    Args:
        boxes: (n, 4), x0 y0 x1 y1, at the end of the interval.
        motion: (m, 4), `Pixels.motion_vectors`.
        min_vectors: fewer inside a box give no answer.

    Returns:
        float64 (n, 2), dx and dy; NaN where there is no answer.
    """
    shifts = np.full((len(boxes), 2), np.nan)
    x, y = motion[:, 0], motion[:, 1]
    for row, (x0, y0, x1, y1) in enumerate(boxes):
        inside = motion[(x > x0) & (x < x1) & (y > y0) & (y < y1), 2:]
        if len(inside) >= min_vectors:
            shifts[row] = np.median(inside, axis=0)
    return shifts


@dataclass(slots=True)
class _Step:
    """Motion from one frame to the next, and what it did to the boxes of one generation."""

    start_ns: int
    end_ns: int
    motion: Motion | None
    generation: int = -1
    shift: Floats = field(default_factory=lambda: np.zeros((0, 2)))


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

    def add(self, motion: Motion | None, pts_ns: int) -> None:
        """The frame at `pts_ns` brought `motion` since the one before it. A frame seen before is ignored."""
        if pts_ns <= self._last_ns:
            return
        gap_ns = pts_ns - self._last_ns
        # A dropped frame leaves a gap that these vectors do not cover.
        self._frame_ns = min(gap_ns, int(self._frame_ns * 1.05)) if self._frame_ns else gap_ns
        if motion is not None and len(motion):
            self._steps.append(_Step(pts_ns - self._frame_ns, pts_ns, motion))
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
        total: Floats = np.zeros((len(bank), 2))
        if not len(bank):
            return total
        now_ns = self.base_ns
        speed = bank.speed[:, :2]
        for step in self._steps:
            if step.start_ns >= pts_ns:
                break
            if step.end_ns <= now_ns:
                continue
            total += speed * (max(0, step.start_ns - now_ns) / 1e9)
            self._work_out(step, bank, total)
            begin_ns, end_ns = max(step.start_ns, now_ns), min(step.end_ns, pts_ns)
            total = total + step.shift * ((end_ns - begin_ns) / (step.end_ns - step.start_ns))
            now_ns = end_ns
        return total + speed * (self._faded_s(now_ns, pts_ns))

    def _faded_s(self, from_ns: int, to_ns: int) -> float:
        """Seconds of full velocity that a fading one is worth."""
        fade_s = self._settings.fade_s
        return fade_s * (1.0 - float(np.exp(-max(0, to_ns - from_ns) / 1e9 / fade_s)))

    def _work_out(self, step: _Step, bank: KalmanBank, moved: Floats) -> None:
        if step.generation == self._generation:
            return
        assert step.motion is not None
        state = bank.state.copy()
        state[:, :2] += moved
        guess = bank.speed[:, :2] * ((step.end_ns - step.start_ns) / 1e9)
        state[:, :2] += guess
        found = box_shift(to_corners(state), step.motion, self._settings.min_vectors)
        step.shift = np.where(np.isnan(found), guess, found)
        step.generation = self._generation
