"""The show's camera: where a point of the shop falls in the wide plate and in the moving picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDTH, HEIGHT, FPS = 1280, 720, 30
PLATE_WIDTH, PLATE_HEIGHT = 2160, 900
ELEVATION, DISTANCE, HALF_WIDTH = 14.0, 16.0, 6.75
TARGET = (0.0, 0.3, 1.15)


@dataclass(frozen=True, slots=True)
class Spot:
    """A projected point: plate pixels and plate pixels per decimetre there."""

    x: float
    y: float
    scale: float


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the plate that is the picture: its centre in plate pixels and the magnification."""

    x: float
    y: float
    zoom: float

    def to_picture(self, x: float, y: float) -> tuple[float, float]:
        """Plate pixels -> picture pixels."""
        return (x - self.x) * self.zoom + WIDTH / 2, (y - self.y) * self.zoom + HEIGHT / 2


def project(x: float, y: float, z: float) -> Spot:
    """A point of the shop (decimetres; the counter is z = 0) through the pinhole that rendered the plate."""
    elevation = math.radians(ELEVATION)
    c, s = math.cos(elevation), math.sin(elevation)
    dy, dz = y - TARGET[1], z - TARGET[2]
    depth = DISTANCE + dy * c - dz * s
    scale = PLATE_WIDTH / 2 / HALF_WIDTH * DISTANCE / depth
    up = dy * s + dz * c
    return Spot(PLATE_WIDTH / 2 + (x - TARGET[0]) * scale, PLATE_HEIGHT / 2 - up * scale, scale)
