"""Where tracks are shown: a calmer filter than the one that foretells where to look next. Pure.

A velocity foretells where to look, and pays for it: errors of detections look like movement to it, and it
overshoots where an object stops. What is shown needs none where its detection is at hand. So the shown place
is a random walk (the local level model: Durbin and Koopman, Time Series Analysis by State Space Methods,
chapter 2) with the noise of the other filter, moved by what the picture showed: it trembles less and lies
nearer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class PlaceBank:
    """Shown places of all tracks of one stream, row by row as in `inference.kalman.KalmanBank`.

    Args:
        drift: growth of the variance per second, relative to the size.
        turn: a sure detection further off than this many standard deviations is a move, not an error.

    Attributes:
        state: float64 (n, 4): centre x, centre y, width, height, 0..1 of the picture.
    """

    def __init__(self, drift: float, turn: float) -> None:
        self.state: Floats = np.zeros((0, 4))
        self._drift, self._turn = drift, turn
        self._variance: Floats = np.zeros((0, 4))
        # How far the centres were moved last beyond what the picture showed: taken back of what is measured.
        self._guessed: Floats = np.zeros((0, 2))

    def add(self, state: Floats, variance: Floats) -> None:
        """Append places (m, 4), known with `variance` (m, 4)."""
        self.state = np.concatenate((self.state, state))
        self._variance = np.concatenate((self._variance, variance))
        self._guessed = np.concatenate((self._guessed, np.zeros((len(state), 2))))

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop the places where `rows` is False."""
        self.state, self._variance = self.state[rows], self._variance[rows]
        self._guessed = self._guessed[rows]

    def restart(self, row: int, state: Floats, variance: Floats) -> None:
        """Set a place anew: `state` and `variance` (4,)."""
        self.state[row], self._variance[row], self._guessed[row] = state, variance, 0.0

    def predict(self, dt_s: float, size: Floats, shift: Floats, sure: Floats | None) -> None:
        """Advance by `dt_s` seconds, the centres by `shift` (n, 2); variances grow.

        Args:
            dt_s: seconds.
            size: what noise is relative to, (n, 4).
            shift: how far the centres are taken to go...
            sure: ...and how much of that the picture showed, (n,) in 0..1, None for nothing; where they are
                is uncertain by as much as the rest.
        """
        self._guessed = shift.copy() if sure is None else (1.0 - sure[:, None]) * shift
        self.state[:, :2] += shift
        self._variance += size * size * (dt_s * self._drift)
        self._variance[:, :2] += self._guessed * self._guessed

    def update(
        self, rows: NDArray[np.intp], measured: Floats, noise: Floats, sure: NDArray[np.bool_]
    ) -> None:
        """Correct `rows` by `measured` (m, 4) of standard deviation `noise` (m, 4), `sure` (m,) or not."""
        self.state[rows, :2] -= self._guessed[rows]
        self._guessed[rows] = 0.0
        surprise, variance = measured - self.state[rows], self._variance[rows]
        variance *= grown(variance, surprise, noise, sure, self._turn)
        gain = variance / (variance + noise * noise)
        self.state[rows] += gain * surprise
        self._variance[rows] = (1 - gain) * variance


def grown(variance: Floats, surprise: Floats, noise: Floats, sure: NDArray[np.bool_], turn: float) -> Floats:
    """Factor of the variances (m, 4) with which a sure measurement is no more than to be expected.

    A filter calm enough for resting boxes lags behind a turning one. Variances grow until the surprise is
    what was to be expected (the idea of the strong tracking filter, Zhou and Frank 1996).

    Args:
        variance: of what is foretold.
        surprise: measured minus foretold.
        noise: standard deviation of the measurement.
        sure: measurements to be believed, (m,).
        turn: standard deviations that are to be expected.
    """
    growth = (surprise * surprise / (turn * turn) - noise * noise) / variance
    factor: Floats = np.where(sure[:, None], np.maximum(growth, 1.0), 1.0)
    return factor
