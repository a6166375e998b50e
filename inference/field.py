"""How the picture moved from one frame to the next: a grid of vectors, asked about boxes. Pure numpy.

The vectors are the codec's own (one per block that was predicted from the frame before). They are sorted into
a grid once per frame, however many boxes ask: one vector per macroblock, so a block cut into sixteen pieces
weighs no more than an undivided one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.kalman import Floats

Motion = NDArray[np.float32]

SAMPLES = 5
"""Points per side at which a box looks at the grid."""

INNER = 0.9
"""Share of a box's width and height that is looked at: its rim is half background."""

BLOCK_PX = 16
LEAST_VECTORS = 3
SAME_SHIFT = 0.002
"""Vectors no further apart than this agree: about two pixels of 720p."""

MOST_GROWTH = 0.06
"""By which a box grows or shrinks in one frame at most."""

GROWTH_DOUBT = 1.0
"""Vectors are quantised: growth counts for less the fewer tell it, for half of itself when all do."""

GROWTH_SURE = 0.5
"""Confidence from which growth is believed."""

_OFFSETS = (((np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5) * INNER).astype(np.float32)
_ACROSS, _DOWN = (
    np.tile(_OFFSETS, SAMPLES).astype(np.float64),
    np.repeat(_OFFSETS, SAMPLES).astype(np.float64),
)
"""Where a box is sampled, in its own sizes from its centre."""
_SPREAD = _ACROSS * _ACROSS + _DOWN * _DOWN


class Moved(NamedTuple):
    """What happened to boxes from one frame to the next.

    Attributes:
        shift: of their centres, float64 (n, 2), 0..1 of the picture.
        sure: how believable that is, (n,) in 0..1; 0 where nothing was seen and `shift` is a guess.
        grown: factor of their sizes, (n,).
    """

    shift: Floats
    sure: Floats
    grown: Floats


class MotionField:
    """One frame's motion.

    Args:
        vectors: float32 (m, 4), `Pixels.motion_vectors`: x, y, dx, dy, 0..1 of the picture.
        size: of the picture in pixels, so that a cell is a macroblock; None: as many cells as vectors, 16:9.
    """

    __slots__ = ("_columns", "_grid", "_moved", "_rows", "_vectors")

    def __init__(self, vectors: Motion, size: tuple[int, int] | None = None) -> None:
        self._vectors = vectors
        if size is None:
            self._rows = max(1, round((len(vectors) * 9 / 16) ** 0.5))
            self._columns = max(1, -(-len(vectors) // self._rows))
        else:
            self._columns, self._rows = (max(1, -(-side // BLOCK_PX)) for side in size)
        self._grid: NDArray[np.intp] | None = None
        self._moved = np.empty((0, 2), np.float32)

    def __len__(self) -> int:
        return len(self._vectors)

    def shift(self, boxes: NDArray[np.floating], guess: Floats) -> Moved:
        """How far each box moved and grew: the median of the vectors inside it, and how they spread.

        Args:
            boxes: (n, 4), x0 y0 x1 y1, in the frame before.
            guess: (n, 2), how far they should have moved: vectors are kept where they arrive.

        Returns:
            How many of the vectors agree is how sure that is; 0 where a box holds fewer than
            `LEAST_VECTORS`, and then the guess is the answer.
        """
        grid = self._sorted()
        size = boxes[:, 2:] - boxes[:, :2]
        middle = (boxes[:, :2] + boxes[:, 2:]) * 0.5 + guess
        # Beyond the picture's edge the cells at its edge answer.
        x = (middle[:, :1] + size[:, :1] * _OFFSETS) * self._columns
        y = (middle[:, 1:] + size[:, 1:] * _OFFSETS) * self._rows
        columns = np.minimum(np.maximum(x, 0), self._columns - 1).astype(np.intp)
        rows = np.minimum(np.maximum(y, 0), self._rows - 1).astype(np.intp)
        cells = grid[rows[:, :, None] * self._columns + columns[:, None, :]].reshape(len(boxes), SAMPLES**2)
        answers = self._moved[cells]
        ordered = np.sort(answers, axis=1)  # the last row of `_moved` is NaN, which sorts to the end
        valid = np.count_nonzero(cells >= 0, axis=1)
        shift = ordered[np.arange(len(boxes)), np.maximum(valid - 1, 0) // 2].astype(np.float64)
        apart = answers - shift[:, None, :]
        off = np.abs(apart)
        near = np.maximum(SAME_SHIFT, 0.3 * np.abs(shift).max(axis=1))
        good = np.maximum(off[:, :, 0], off[:, :, 1]) <= near[:, None]
        agree = np.count_nonzero(good, axis=1) / np.maximum(valid, SAMPLES**2 / 2)
        within = valid * (size[:, 0] * size[:, 1]) * (len(self._vectors) / SAMPLES**2)
        agree[within < LEAST_VECTORS] = 0.0
        rate = np.where(agree >= GROWTH_SURE, _growth(apart, good, size), 0.0)
        return Moved(np.where(agree[:, None] > 0, shift, guess), agree, grown(rate))

    def _sorted(self) -> NDArray[np.intp]:
        """Index of a vector per cell, flat; -1 where there is none."""
        if self._grid is not None:
            return self._grid
        columns, rows, vectors = self._columns, self._rows, self._vectors
        number = np.arange(len(vectors))
        x = np.minimum(np.maximum(vectors[:, 0] * columns, 0), columns - 1).astype(np.intp)
        y = np.minimum(np.maximum(vectors[:, 1] * rows, 0), rows - 1).astype(np.intp)
        grid = np.full(columns * rows, -1, np.intp)
        grid[y * columns + x] = number
        self._moved = np.concatenate((vectors[:, 2:], np.full((1, 2), np.nan, np.float32)))
        self._grid = grid
        return grid


def grown(rate: Floats) -> Floats:
    """Rates of growth as factors, none larger than a frame allows."""
    return 1.0 + np.minimum(np.maximum(rate, -MOST_GROWTH), MOST_GROWTH)


def _growth(apart: NDArray[np.floating], good: NDArray[np.bool_], size: NDArray[np.floating]) -> Floats:
    """How fast boxes grow: the slope of the vectors over the places in the box that they were found at.

    Args:
        apart: (n, SAMPLES ** 2, 2), vectors less the box's own shift; NaN where there is none.
        good: (n, SAMPLES ** 2), those that belong to the box.
        size: (n, 2), of the boxes.
    """
    told = np.where(good[:, :, None], apart, 0.0)
    slope = told[:, :, 0] @ _ACROSS / np.maximum(size[:, 0], 1e-6)
    slope += told[:, :, 1] @ _DOWN / np.maximum(size[:, 1], 1e-6)
    rate: Floats = slope / (good @ _SPREAD + GROWTH_DOUBT * _SPREAD.sum())
    return rate
