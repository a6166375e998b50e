"""Which box is the one being shown: a prior over boxes, from their geometry alone.

A class-agnostic detector in front of a full shelf is right many times over. What a host shows is large, not
cut off by the picture's edge, nearer its middle than its rim, and not a part of another box. `prominence`
turns that into a factor on the detector's score. It looks at no pixels and keeps no state.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

AREA_POWER = 0.4
"""Twice the area weighs 2 ** 0.4 = 1.3 times as much: a near product wins over the shelf behind it."""
AREA_CAP = 0.6
"""Share of the picture from which on larger is no better."""
SCORE_POWER = 0.5
"""Detectors give a product held close no higher score than a crisp little one: scores are flattened."""
CENTRE_SIGMA = 0.5
"""Of the Gaussian over the distance to the picture's middle, in pictures: weak, a corner keeps 0.37."""
EDGE_FACTOR = 0.7
"""For each side that lies on the picture's border: mostly shelves that go on outside."""
EDGE_MARGIN = 0.01
PART_FACTOR = 0.7
"""For a box that lies inside a larger one: a label, a cap, a half."""
PART_INSIDE = 0.85
PART_RATIO = 1.4
PART_SCORE = 0.4
WHOLE_SIDE = 0.95
WHOLE_FACTOR = 0.3
"""For a box that is the picture itself."""


def prominence(boxes: Floats, scores: Floats) -> Floats:
    """How likely each box is the product being shown, for ranking; not a probability.

    Args:
        boxes: [n, 4] x0 y0 x1 y1 in 0..1 of the picture.
        scores: [n] the detector's, 0..1.

    Returns:
        float32 [n], 0..1, order of `boxes`. A product of the flattened score, the (capped) area's power, a
        wide Gaussian around the middle, and factors for sides on the border, for a box inside a larger box of
        comparable score, and for a box that covers the whole picture.

    Raises:
        ValueError: shapes do not fit; says what was got.
    """
    boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    if boxes.shape != (len(scores), 4) or scores.ndim != 1:
        raise ValueError(
            f"prominence: got boxes {boxes.shape} and scores {scores.shape}, expected [n, 4] and [n]"
        )
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    area = sides.prod(1)
    offset = (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5
    rank = np.clip(scores, 0, 1) ** SCORE_POWER * np.minimum(area, AREA_CAP) ** AREA_POWER
    rank *= np.exp(-(offset**2).sum(1) / (2 * CENTRE_SIGMA**2))
    touching = (boxes[:, :2] < EDGE_MARGIN).sum(1) + (boxes[:, 2:] > 1 - EDGE_MARGIN).sum(1)
    rank *= EDGE_FACTOR**touching
    whole = (sides > WHOLE_SIDE).all(1)
    rank[whole] *= WHOLE_FACTOR
    rank[_parts(boxes, scores, area, whole)] *= PART_FACTOR
    result: Floats = rank.astype(np.float32)
    return result


def rank(boxes: Floats, scores: Floats) -> NDArray[np.intp]:
    """Indices of `boxes`, the most prominent first; equal ones keep their order. See `prominence`."""
    order: NDArray[np.intp] = np.argsort(-prominence(boxes, scores), kind="stable")
    return order


def _parts(boxes: Floats, scores: Floats, area: Floats, whole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bool [n]: lies (almost) inside a larger box that scores comparably and is not the whole picture."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    inside = shared > PART_INSIDE * area[:, None]
    larger = area[None] > PART_RATIO * area[:, None]
    comparable = scores[None] > PART_SCORE * scores[:, None]
    parts: NDArray[np.bool_] = (inside & larger & comparable & ~whole[None]).any(1)
    return parts
