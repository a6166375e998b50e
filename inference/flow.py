"""How boxes moved from one small luma picture to the next: sparse optical flow in numpy. Pure.

For streams whose codec tells no motion (VP8, VP9, AV1). Lucas and Kanade's method (IJCAI 1981) in its inverse
compositional form (Baker and Matthews, IJCV 2004), translation only, on a fixed grid of points in each box,
coarse to fine: all boxes at once, so the cost hardly depends on how many there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.field import GROWTH_DOUBT, GROWTH_SURE, Moved, grown
from inference.kalman import Floats

Luma = NDArray[np.uint8]
Plane = NDArray[np.float32]

POINTS = 10
"""Grid points per side of a box."""

INNER = 0.8
LEVELS = 3
ROUNDS = 3
"""Steps per level."""

LEAST_TEXTURE = 4.0
"""Standard deviation of the luma inside a box below which nothing can be followed."""

ALIKE = 0.6
"""Correlation of the box before and after that makes a shift believable."""

CUT_SHARE = 0.5
CUT_LUMA = 24
SAME_TONES = 0.7
"""Share of tones in common above which even wild motion is taken for motion."""


_OFFSETS = (((np.arange(POINTS) + 0.5) / POINTS - 0.5) * INNER).astype(np.float32)


LONG_SIDE_PX = 160


def flow_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the small picture to look at, for a picture of this size: 160 x 90 for 16:9."""
    scale = LONG_SIDE_PX / max(width, height, 1)
    return max(2, round(width * scale)), max(2, round(height * scale))


class Pyramid:
    """A picture at several sizes, float32, the finest first; made when first needed."""

    __slots__ = ("_planes", "_slopes", "luma")

    def __init__(self, luma: Luma) -> None:
        self.luma = luma
        self._planes: list[Plane] = []
        self._slopes: list[tuple[Plane, Plane]] = []

    @property
    def planes(self) -> list[Plane]:
        """The picture, its half, its quarter."""
        if not self._planes:
            plane = self.luma.astype(np.float32)
            self._planes.append(plane)
            while len(self._planes) < LEVELS and min(plane.shape) >= 32:
                height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
                even = plane[:height, :width]
                plane = 0.25 * (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2])
                self._planes.append(plane)
        return self._planes

    @property
    def slopes(self) -> list[tuple[Plane, Plane]]:
        """Central differences of each, down and across."""
        if not self._slopes:
            self._slopes = [_slopes(plane) for plane in self.planes]
        return self._slopes


class FlowField:
    """The motion between two consecutive pictures of one size, asked about boxes like a `MotionField`."""

    __slots__ = ("_after", "_before")

    def __init__(self, before: Pyramid, after: Pyramid) -> None:
        self._before, self._after = before, after

    @property
    def cut(self) -> bool:
        """The two pictures are of different scenes: most of it changed, and its tones too."""
        before, after = self._before.luma[::4, ::4], self._after.luma[::4, ::4]
        apart = np.maximum(before, after) - np.minimum(before, after)
        if np.count_nonzero(apart > CUT_LUMA) <= CUT_SHARE * apart.size:
            return False
        tones = [np.bincount((picture >> 4).ravel(), minlength=16) for picture in (before, after)]
        return bool(np.minimum(*tones).sum() < SAME_TONES * apart.size)

    def shift(self, boxes: NDArray[np.floating], guess: Floats) -> Moved:
        """How far boxes moved, how believable that is, and how much they grew.

        Args:
            boxes: (n, 4), x0 y0 x1 y1 in 0..1, in the picture before.
            guess: (n, 2), where to begin looking.

        Returns:
            Sure is how alike they look before and after; 0 where nothing could be found.
        """
        moved = np.array(guess, np.float32)
        alike, rate = np.zeros(len(boxes)), np.zeros(len(boxes))
        for level in reversed(range(len(self._before.planes))):
            moved, alike, rate = self._refine(level, boxes, moved)
        sure = np.where(np.isfinite(moved).all(axis=1), np.clip((alike - ALIKE) / (1 - ALIKE), 0.0, 1.0), 0.0)
        rate = np.where(sure >= GROWTH_SURE, rate, 0.0)
        return Moved(np.where(sure[:, None] > 0, moved, guess).astype(np.float64), sure, grown(rate))

    def _refine(
        self, level: int, boxes: NDArray[np.floating], moved: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], Floats, Floats]:
        before, after = self._before.planes[level], self._after.planes[level]
        slope_y, slope_x = self._before.slopes[level]
        scale = np.array([before.shape[1], before.shape[0]], np.float32)
        x, y = _points(boxes, scale)
        model, gx, gy = _at(before, x, y), _at(slope_x, x, y), _at(slope_y, x, y)
        xx, xy, yy = (gx * gx).sum(axis=1), (gx * gy).sum(axis=1), (gy * gy).sum(axis=1)
        ridge = 1e-3 * (xx + yy) + POINTS * POINTS  # a flat or one-way texture moves little
        xx, yy = xx + ridge, yy + ridge
        scale_back = 1.0 / (xx * yy - xy * xy)
        shift = moved * scale
        for _ in range(ROUNDS):
            seen = _at(after, x + shift[:, :1], y + shift[:, 1:])
            wrong = seen - model
            wrong -= wrong.mean(axis=1, keepdims=True)  # light may change
            bx, by = (gx * wrong).sum(axis=1), (gy * wrong).sum(axis=1)
            step = np.stack(((yy * bx - xy * by), (xx * by - xy * bx)), axis=1) * scale_back[:, None]
            shift = shift - np.clip(step, -2.0, 2.0)
        seen = _at(after, x + shift[:, :1], y + shift[:, 1:])
        wrong = seen - model
        wrong -= wrong.mean(axis=1, keepdims=True)
        rate = _growth(x, y, gx, gy, wrong)
        return (shift / scale).astype(np.float32), _correlation(model, seen), rate


def _slopes(plane: Plane) -> tuple[Plane, Plane]:
    """Central differences, down and across."""
    down, across = np.zeros_like(plane), np.zeros_like(plane)
    down[1:-1] = (plane[2:] - plane[:-2]) * np.float32(0.5)
    across[:, 1:-1] = (plane[:, 2:] - plane[:, :-2]) * np.float32(0.5)
    return down, across


def _points(boxes: NDArray[np.floating], scale: NDArray[np.float32]) -> tuple[Plane, Plane]:
    """Pixel coordinates of every box's grid, (n, POINTS ** 2) each."""
    middle, size = (boxes[:, :2] + boxes[:, 2:]) * 0.5, boxes[:, 2:] - boxes[:, :2]
    x = (middle[:, :1] + size[:, :1] * _OFFSETS) * scale[0] - 0.5
    y = (middle[:, 1:] + size[:, 1:] * _OFFSETS) * scale[1] - 0.5
    grid = (len(boxes), POINTS, POINTS)
    across = np.broadcast_to(x[:, None, :], grid).reshape(len(boxes), POINTS**2).astype(np.float32)
    down = np.broadcast_to(y[:, :, None], grid).reshape(len(boxes), POINTS**2).astype(np.float32)
    return across, down


def _at(plane: Plane, x: Plane, y: Plane) -> Plane:
    """`plane` at fractional pixels, bilinear; its edge goes on for ever."""
    height, width = plane.shape
    x, y = np.minimum(np.maximum(x, 0), width - 1.001), np.minimum(np.maximum(y, 0), height - 1.001)
    column, row = x.astype(np.intp), y.astype(np.intp)
    right, down = x - column, y - row
    flat, first = plane.ravel(), row * width + column
    top = flat[first] * (1 - right) + flat[first + 1] * right
    bottom = flat[first + width] * (1 - right) + flat[first + width + 1] * right
    value: Plane = top * (1 - down) + bottom * down
    return value


def _correlation(a: Plane, b: Plane) -> Floats:
    """Of each row of `a` with that of `b`; 0 where either is flat."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    spread_a, spread_b = np.sqrt((a * a).mean(axis=1)), np.sqrt((b * b).mean(axis=1))
    textured = (spread_a > LEAST_TEXTURE) & (spread_b > LEAST_TEXTURE)
    both = (a * b).mean(axis=1) / np.maximum(spread_a * spread_b, 1e-6)
    return np.where(textured, both, 0.0).astype(np.float64)


def _growth(x: Plane, y: Plane, gx: Plane, gy: Plane, wrong: Plane) -> Floats:
    """How much boxes grew, as a rate: the spread about their centres that explains what shifts leave wrong.

    One step of the same method with one more parameter; growth is small between two frames.

    Args:
        x: pixel coordinates of the grids, (n, POINTS ** 2).
        y: likewise.
        gx: slopes there before.
        gy: likewise.
        wrong: luma after, at the shifted places, less luma before.
    """
    along = gx * (x - x.mean(axis=1, keepdims=True)) + gy * (y - y.mean(axis=1, keepdims=True))
    told = (along * along).sum(axis=1)
    rate: Floats = (-(along * wrong).sum(axis=1) / ((1 + GROWTH_DOUBT) * told + 1e-3)).astype(np.float64)
    return rate
