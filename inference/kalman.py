"""A Kalman filter in seconds for the boxes of many tracks at once. Pure numpy.

A constant-velocity model per coordinate (centre x, centre y, width, height): each coordinate has its own 2x2
covariance, so a whole set of tracks is a few array operations. Noise is relative to the box's size, as in
ByteTrack (arXiv 2110.06864), but per second instead of per call, so skipped frames need no special case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.doubt import Doubt
from inference.place import PlaceBank, grown

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """Noise of the filter, relative to the box's size.

    Attributes:
        measure: standard deviation of a coordinate detected with score 0.83...
        slope: ...each point of score changes it by this share, down to half of it for the surest, as far as
            low scores turn out to tell of boxes that lie further off (`inference.doubt`).
        drift: growth of the position's variance per second.
        wander: growth of the velocity's variance per second.
        first_speed: standard deviation of an unknown velocity, sizes per second.
        fade_s: a velocity not confirmed by a measurement fades with this time constant.
        shrink: a velocity within its own standard error counts for 1 / (1 + shrink) of itself.
        told: movement, in sizes, from which on velocities are judged by what they foretold.
        first_told: share of a velocity believed before that.
        told_keep: share of what was learned that stays with the next measurement.
        turn: a sure detection further off than this many standard deviations is a turn, not an error...
        turn_score: ...of one with at least this score, or one that lies as well.
    """

    measure: float = 0.025
    slope: float = 3.0
    drift: float = 0.02
    wander: float = 2.0
    first_speed: float = 1.0
    fade_s: float = 0.8
    shrink: float = 0.5
    told: float = 0.05
    first_told: float = 0.7
    told_keep: float = 0.9
    turn: float = 1.0
    turn_score: float = 0.8


class KalmanBank:
    """The filters of all tracks of one stream, row by row.

    Attributes:
        state: float64 (n, 4): centre x, centre y, width, height, 0..1 of the picture.
        speed: float64 (n, 4): the same per second.
        place: where they are shown.
    """

    def __init__(self, settings: MotionSettings) -> None:
        self.settings = settings
        self.place = PlaceBank(settings.drift, settings.turn)
        self.state: Floats = np.zeros((0, 4))
        self.speed: Floats = np.zeros((0, 4))
        # Variance of the position, its covariance with the speed, variance of the speed: (n, 4) each.
        self._place: Floats = np.zeros((0, 4))
        self._cross: Floats = np.zeros((0, 4))
        self._pace: Floats = np.zeros((0, 4))
        # How well velocities foretold where boxes went: sums of foretold * true and foretold squared, (n, 2).
        self._told: Floats = np.zeros((0, 2))
        self._from: tuple[Floats, Floats] | None = None
        # Measured at the last update: what they do next says how good detections are.
        self._steady: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._doubt = Doubt(settings.measure, settings.slope)
        self._turn_noise = float(self._doubt.foretold(np.array([settings.turn_score]))[0]) + 1e-9

    def __len__(self) -> int:
        return len(self.state)

    def add(self, boxes: NDArray[np.floating]) -> None:
        """Append filters for new boxes (m, 4), x0 y0 x1 y1, at rest."""
        state = to_centre(boxes)
        size, rest = _size(state), np.zeros_like(state)
        self.state = np.concatenate((self.state, state))
        self.speed = np.concatenate((self.speed, rest))
        variance = (self.settings.measure * size) ** 2
        self._place = np.concatenate((self._place, variance))
        self.place.add(state, variance)
        self._cross = np.concatenate((self._cross, rest))
        self._pace = np.concatenate((self._pace, (self.settings.first_speed * size) ** 2))
        prior = (self.settings.told * size[:, :2]) ** 2
        self._told = np.concatenate(
            (self._told, prior.sum(axis=1)[:, None] * [self.settings.first_told, 1.0])
        )
        self._steady = np.concatenate((self._steady, np.ones(len(state), np.bool_)))
        self._from = None

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop the filters where `rows` is False."""
        self.state, self.speed = self.state[rows], self.speed[rows]
        self._place, self._cross, self._pace = self._place[rows], self._cross[rows], self._pace[rows]
        self._told, self._steady, self._from = self._told[rows], self._steady[rows], None
        self.place.keep(rows)

    def predict(self, dt_s: float, shift: Floats, sure: Floats | None = None) -> None:
        """Advance by `dt_s` seconds, the centres by `shift` (n, 2); sizes stay, variances grow.

        Args:
            dt_s: seconds.
            shift: of the centres.
            sure: how much of it the picture showed, (n,) in 0..1; none of it where that is not told.
        """
        if not len(self.state) or dt_s <= 0:
            return
        size = _size(self.state)
        noise = size * size * dt_s
        fade_s = self.settings.fade_s
        foretold = self.speed[:, :2] * (fade_s * (1.0 - math.exp(-dt_s / fade_s)))
        self._from = (self.state[:, :2].copy(), foretold)
        self.place.predict(dt_s, size, shift, sure)
        self.state[:, :2] += shift
        fresh = self._pace * dt_s
        self._place += dt_s * (2 * self._cross + fresh) + noise * self.settings.drift
        self._cross += fresh
        self._pace += noise * self.settings.wander

    def believe_speed(self, speed: Floats, sure: Floats) -> None:
        """The picture showed the centres' velocity (n, 2): take half of it over where it is `sure` (n,)."""
        self.speed[:, :2] += 0.5 * sure[:, None] * (speed - self.speed[:, :2])

    def fade(self, rows: NDArray[np.bool_], dt_s: float) -> None:
        """Let the velocity of unmeasured tracks die away."""
        self.speed[rows] *= np.exp(-dt_s / self.settings.fade_s)
        self._steady[rows] = False

    def update(
        self, rows: NDArray[np.intp], boxes: NDArray[np.floating], scores: NDArray[np.floating]
    ) -> None:
        """Correct `rows` by measured boxes (m, 4), x0 y0 x1 y1; unsure ones (low scores) count less."""
        measured = to_centre(boxes)
        size, relative = _size(measured), self._doubt.noise(scores)
        noise = relative[:, None] * size
        surprise = measured - self.state[rows]
        self._learn_doubt(rows, scores, surprise, size)
        sure = relative <= self._turn_noise
        self.place.update(rows, measured, noise, sure)
        growth = grown(self._place[rows], surprise, noise, sure, self.settings.turn)
        self._pace[rows] *= growth
        place, cross = growth * self._place[rows], growth * self._cross[rows]
        total = place + noise * noise
        gain, gain_speed = place / total, cross / total
        if self._from is not None:
            self._learn(rows, measured)
        self.state[rows] += gain * surprise
        self.speed[rows] += gain_speed * surprise
        rest = 1 - gain
        self._place[rows] = rest * place
        self._cross[rows] = rest * cross
        self._pace[rows] -= gain_speed * cross
        self._steady[rows] = True

    def _learn_doubt(
        self, rows: NDArray[np.intp], scores: NDArray[np.floating], surprise: Floats, size: Floats
    ) -> None:
        """How far off detections of these scores are, as far as the prediction is to be relied on."""
        steady = self._steady[rows]
        if not steady.all():
            rows, scores, surprise, size = rows[steady], scores[steady], surprise[steady], size[steady]
        size = size[:, :2]
        off, usual = np.abs(surprise[:, :2]) / size, (self.settings.measure * size) ** 2
        weight = usual / (self._place[rows, :2] + usual)
        self._doubt.learn(scores, 0.5 * (off[:, 0] + off[:, 1]), 0.5 * (weight[:, 0] + weight[:, 1]))

    def _learn(self, rows: NDArray[np.intp], measured: Floats) -> None:
        """Compare where the velocities would have taken the boxes with where they went."""
        assert self._from is not None
        before, foretold = self._from[0][rows], self._from[1][rows]
        went = measured[:, :2] - before
        told = np.stack(((foretold * went).sum(axis=1), (foretold * foretold).sum(axis=1)), axis=1)
        self._told[rows] = self.settings.told_keep * self._told[rows] + told

    @property
    def told(self) -> float:
        """How far the scores of detections tell how far off they are, 0..1."""
        return self._doubt.told

    def pace(self) -> Floats:
        """Velocity of the centres (n, 2), as far as it is known: within its own error it counts for less."""
        speed = self.speed[:, :2]
        square = speed * speed
        return speed * (square / (square + self.settings.shrink * self._pace[:, :2] + 1e-12))

    def proven(self) -> Floats:
        """The pace, as far as such paces have foretold where boxes went: jerky objects stay, steady go on.

        What is shown between detections follows it; the association expects the whole pace.
        """
        gain = np.minimum(np.maximum(self._told[:, :1] / (self._told[:, 1:] + 1e-12), 0.0), 1.0)
        return self.pace() * gain

    def returned(self, row: int, box: NDArray[np.floating], seen: NDArray[np.floating], gap_s: float) -> None:
        """After an absence of `gap_s` a filter goes on along the straight path from `seen` to `box`."""
        speed = (to_centre(box[None])[0] - to_centre(seen[None])[0]) / gap_s
        speed[2:] = 0.0
        self.restart(row, box, 0.5 * speed)

    def restart(self, row: int, box: NDArray[np.floating], speed: Floats) -> None:
        """Set a filter anew after an absence: at `box`, moving at `speed` (the virtual path of OC-SORT)."""
        state = to_centre(box[None])
        size = _size(state)[0]
        self.state[row], self.speed[row], self._steady[row] = state[0], speed, False
        self._place[row] = (self.settings.measure * size) ** 2
        self._cross[row] = 0.0
        self._pace[row] = (0.5 * self.settings.first_speed * size) ** 2
        self.place.restart(row, state[0], self._place[row])

    def boxes(self) -> NDArray[np.float32]:
        """Boxes where they are taken to be, float32 (n, 4), x0 y0 x1 y1; may reach beyond the picture."""
        return to_corners(self.state)

    def shown(self) -> NDArray[np.float32]:
        """Boxes where they are shown, float32 (n, 4), x0 y0 x1 y1; may reach beyond the picture."""
        return to_corners(self.place.state)


def to_centre(boxes: NDArray[np.floating]) -> Floats:
    """x0 y0 x1 y1 to centre x, centre y, width, height."""
    out = np.empty((len(boxes), 4))
    low, high = boxes[:, :2], boxes[:, 2:]
    np.add(low, high, out=out[:, :2], dtype=np.float64)
    out[:, :2] *= 0.5
    np.subtract(high, low, out=out[:, 2:], dtype=np.float64)
    np.maximum(out[:, 2:], 1e-6, out=out[:, 2:])
    return out


def to_corners(state: Floats) -> NDArray[np.float32]:
    """Centre x, centre y, width, height to x0 y0 x1 y1."""
    out = np.empty((len(state), 4), np.float32)
    half = np.maximum(state[:, 2:], 1e-6) * 0.5
    out[:, :2] = state[:, :2] - half
    out[:, 2:] = state[:, :2] + half
    return out


def _size(state: Floats) -> Floats:
    """What noise is relative to: width, height, width, height."""
    size: Floats = np.maximum(state[:, [2, 3, 2, 3]], 1e-3)
    return size
