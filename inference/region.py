"""Looking only where the tracks are: which part of the picture, and back from it. Pure.

A detector sees a part of the picture larger than the whole at the same input size. So a small size sees as
much detail there as a large one sees of the whole, for less; and where only small sizes can be afforded,
small things are still found. What a part cannot show is what is new: the whole picture is looked at every so
often, and whenever something may have come in (`inference.budget`, `inference.worker`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.types import Box, Detections, Rung

EDGE = 0.004
"""A box that ends this near to the part's edge, as a share of the picture, is cut off there."""


@dataclass(frozen=True, slots=True)
class RegionSettings:
    """Which parts of a picture are worth looking at alone.

    Attributes:
        pad: room on each side, as a share of each box: it moves until the next look.
        steps: sides are multiples of 1 / steps of the picture's, so that few sizes occur.
        most: the largest side worth it.
        least: the smallest: a detector has to see what is around an object.
    """

    pad: float = 0.3
    steps: int = 8
    most: float = 0.75
    least: float = 0.375


def region_of(boxes: Sequence[Box], settings: RegionSettings = RegionSettings()) -> Box | None:
    """The part of the picture, of its own aspect ratio, that holds `boxes` and room around them.

    Returns:
        None where there are none, or they need most of the picture.
    """
    if not boxes:
        return None
    rows = np.array(boxes, np.float64)
    room = settings.pad * (rows[:, 2:] - rows[:, :2])
    low = np.maximum((rows[:, :2] - room).min(axis=0), 0.0)
    high = np.minimum((rows[:, 2:] + room).max(axis=0), 1.0)
    side = max(settings.least, math.ceil(float((high - low).max()) * settings.steps) / settings.steps)
    if side > settings.most:
        return None
    x0, y0 = np.clip((low + high) / 2 - side / 2, 0.0, 1.0 - side).tolist()
    return Box(x0, y0, x0 + side, y0 + side)


def zoom(region: Box) -> float:
    """How much larger the detector sees what is in `region` than in the whole picture, at one size."""
    return 1.0 / max(region.x1 - region.x0, region.y1 - region.y0)


def as_detailed(rungs: Sequence[Rung], at: int, region: Box) -> Rung:
    """The cheapest rung from `at` on that shows `region` in no less detail than the best rung the whole.

    Where none does, the rung at `at`: it shows more there than in the whole. Models are not exchanged.

    Args:
        rungs: the ladder, best first.
        at: of the best rung that can be afforded.
        region: what is looked at.
    """
    wanted, own = rungs[0].width / zoom(region), rungs[at].model
    enough = [rung for rung in rungs[at:] if rung.model == own and rung.width >= wanted]
    return enough[-1] if enough else rungs[at]


def to_picture(found: Detections, region: Box) -> Detections:
    """Detections in `region`, 0..1 of it, to 0..1 of the picture, without those its edge cuts off."""
    low = np.array(region[:2] * 2, np.float64)
    size = np.array([region.x1 - region.x0, region.y1 - region.y0] * 2, np.float64)
    boxes = (low + found.boxes * size).astype(np.float32)
    cut = np.zeros(len(found), np.bool_)
    for column, edge in enumerate(region):
        if EDGE < edge < 1 - EDGE:  # where the picture itself ends nothing is cut off
            cut |= np.abs(boxes[:, column] - edge) < EDGE
    return Detections(boxes[~cut], found.scores[~cut], found.labels[~cut], found.names)


def looked_at(boxes: NDArray[np.floating], region: Box) -> NDArray[np.bool_]:
    """Which `boxes` (n, 4) lie in `region` so far that they would have been found there, (n,)."""
    shown = np.minimum(np.maximum(boxes, 0.0), 1.0)
    low, high = np.array(region[:2]), np.array(region[2:])
    inner = (low <= EDGE) | (shown[:, :2] > low + EDGE)
    outer = (high >= 1 - EDGE) | (shown[:, 2:] < high - EDGE)
    seen: NDArray[np.bool_] = (inner & outer).all(axis=1)
    return seen
