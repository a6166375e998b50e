"""The 1-euro filter (Casiez, Roussel and Vogel, CHI 2012) for shown boxes. Pure, outside the tracker.

It takes the tremble out of a resting box and lags behind a moving one, so a smoothed box no longer sits on
the exact frame. Vitrine's hotspots do, and therefore nothing here uses it by default; it is for whoever draws
boxes without frames to go with, and trades that lag for calm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from inference.geometry import clip_box
from inference.types import Box

Floats = NDArray[np.float64]

FORGET_NS = 500_000_000
"""A box not seen for this long begins anew."""


class OneEuro:
    """One box, filtered: centre and size, speeds counted in its own size.

    Args:
        cutoff_hz: of a resting box; lower is calmer.
        beta: how fast the cut-off rises with speed; higher lags less.
        speed_hz: cut-off of the speed itself.
    """

    def __init__(self, cutoff_hz: float = 1.5, beta: float = 5.0, speed_hz: float = 1.0) -> None:
        if min(cutoff_hz, speed_hz) <= 0 or beta < 0:
            raise ValueError(f"1-euro: got {cutoff_hz}, {beta}, {speed_hz}; expected > 0, >= 0, > 0")
        self._cutoff_hz, self._beta, self._speed_hz = cutoff_hz, beta, speed_hz
        self._value: Floats | None = None
        self._speed: Floats = np.zeros(4)
        self._pts_ns = 0

    def __call__(self, box: Box, pts_ns: int) -> Box:
        """The box to show at `pts_ns`, which increases."""
        measured = np.array(
            [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2, box.x1 - box.x0, box.y1 - box.y0], np.float64
        )
        dt_s = (pts_ns - self._pts_ns) / 1e9
        if self._value is None or dt_s > FORGET_NS / 1e9:
            self._value, self._speed = measured, np.zeros(4)
        elif dt_s > 0:
            size = max(0.01, math.sqrt(abs(measured[2] * measured[3])))
            moved = (measured - self._value) / dt_s / size
            self._speed += _share(self._speed_hz, dt_s) * (moved - self._speed)
            share = _share(self._cutoff_hz + self._beta * np.abs(self._speed), dt_s)
            self._value = self._value + share * (measured - self._value)
        self._pts_ns = pts_ns
        x, y, width, height = self._value.tolist()
        return clip_box((x - width / 2, y - height / 2, x + width / 2, y + height / 2))


class BoxSmoother:
    """A `OneEuro` per track; its arguments are those of `OneEuro`."""

    def __init__(self, cutoff_hz: float = 1.5, beta: float = 5.0, speed_hz: float = 1.0) -> None:
        self._settings = (cutoff_hz, beta, speed_hz)
        self._filters: dict[int, OneEuro] = {}

    def __call__(self, track_id: int, box: Box, pts_ns: int) -> Box:
        """The box to show for `track_id` at `pts_ns`."""
        return self._filters.setdefault(track_id, OneEuro(*self._settings))(box, pts_ns)

    def forget_all_but(self, track_ids: Iterable[int]) -> None:
        """Drop the filters of tracks that ended."""
        kept = set(track_ids)
        self._filters = {one: self._filters[one] for one in self._filters if one in kept}


def _share(cutoff_hz: float | Floats, dt_s: float) -> float | Floats:
    """Weight of the newest value in a low-pass of this cut-off."""
    return 1.0 / (1.0 + 1.0 / (2 * math.pi * cutoff_hz * dt_s))
