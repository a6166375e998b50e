"""The known motion: an ellipse at varying speed with a stop in every lap, one position per frame number."""

from __future__ import annotations

import math
from dataclasses import dataclass

FPS = 30
WIDTH, HEIGHT = 1280, 720
"""Of the published picture, pixels."""

OBJECT = (0.085, 0.15)
"""Width and height of the drawn object, 0..1 of the picture."""

BITS = 16
"""Of the frame number in the barcode; the row below repeats it inverted."""

CELL = 1 / 40
"""Side of a barcode cell, 0..1 of the picture's width."""


SAME_PX = 3.0
"""Half of the smallest step (6 painted pixels) that is told apart from the neighbouring frame."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Where the object is.

    Attributes:
        centres: (x, y) of the object's centre, 0..1 of the picture, by frame number modulo the length.
    """

    centres: tuple[tuple[float, float], ...]

    def at(self, number: int) -> tuple[float, float]:
        """Centre at frame `number`, 0..1."""
        return self.centres[number % len(self.centres)]

    def step_px(self, number: int, width_px: float) -> float:
        """Pixels moved from the frame before, in a picture `width_px` wide."""
        (x0, y0), (x1, y1) = self.at(number - 1), self.at(number)
        return math.hypot(x1 - x0, (y1 - y0) * HEIGHT / WIDTH) * width_px

    def misalignment(
        self, number: int, seen: tuple[float, float], width_px: float, reach: int = 15
    ) -> tuple[int, float]:
        """Which frame's position was `seen` while frame `number` was on screen.

        Within `SAME_PX` of the frame's own position nothing is misaligned: where the object is slow or stands
        still, neighbouring frames cannot be told apart.

        Args:
            number: frame on screen.
            seen: where the hotspot was, 0..1 of the picture.
            width_px: width of the picture as painted.
            reach: frames looked at to either side.

        Returns:
            (frames, distance): frames < 0 when the hotspot belongs to an earlier frame (it lags behind), and
            how far, in painted pixels, the hotspot was from where it belongs.
        """
        own = _distance(self.at(number), seen, width_px)
        if own <= SAME_PX:
            return 0, own
        offsets = sorted(range(-reach, reach + 1), key=abs)
        return min(offsets, key=lambda o: _distance(self.at(number + o), seen, width_px)), own


def _distance(a: tuple[float, float], b: tuple[float, float], width_px: float) -> float:
    return math.hypot(a[0] - b[0], (a[1] - b[1]) * HEIGHT / WIDTH) * width_px


def ellipse(cruise: int = 120, ramp: int = 16, stop: int = 15) -> Motion:
    """One lap in ``cruise + 2 * ramp + stop`` frames: speed up, cruise, slow down, stand still.

    At 1280 pixels the object does 8 to 17 pixels a frame while cruising: neighbours are told apart.
    """
    rising = [0.5 - 0.5 * math.cos(math.pi * (k + 0.5) / ramp) for k in range(ramp)]
    speeds = [*rising, *[1.0] * cruise, *reversed(rising), *[0.0] * stop]
    whole = sum(speeds)
    centres = []
    angle = 0.0
    for speed in speeds:
        angle += 2 * math.pi * speed / whole
        centres.append((0.5 + 0.3 * math.cos(angle), 0.55 + 0.26 * math.sin(angle)))
    return Motion(tuple(centres))
