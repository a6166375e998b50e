"""Which detection belongs to which track: costs and the assignment. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from inference.geometry import grow, iou_matrix

OTHER_LABEL = 0.25
"""Added to the cost of a pair whose labels differ: a detector wavers between bottle and vase."""

FORBIDDEN = 1e3


def pair_costs(
    tracks: NDArray[np.float32],
    track_labels: Sequence[str],
    detections: NDArray[np.float32],
    labels: Sequence[str],
    *,
    buffer: float,
    alone: frozenset[str] = frozenset(),
) -> NDArray[np.float32]:
    """1 - buffered IoU of every pair, (tracks, detections), dearer where labels differ.

    Args:
        tracks: (n, 4).
        track_labels: n of them.
        detections: (m, 4).
        labels: m of them.
        buffer: share of its size by which a box grows on every side, so that fast small objects still touch
            (C-BIoU, arXiv 2211.14317).
        alone: labels never paired with another label.
    """
    costs = 1.0 - iou_matrix(grow(tracks, buffer), grow(detections, buffer))
    mine, theirs = np.array(track_labels)[:, None], np.array(labels)[None, :]
    other = mine != theirs
    if other.any():
        lonely = np.isin(mine, list(alone)) | np.isin(theirs, list(alone))
        costs += np.where(other, np.where(lonely, FORBIDDEN, OTHER_LABEL), 0.0).astype(np.float32)
    return costs


def assign(costs: NDArray[np.float32], limit: float) -> list[tuple[int, int]]:
    """The cheapest one-to-one pairing (Hungarian method), without pairs dearer than `limit`.

    Returns:
        (row, column) pairs.
    """
    if not costs.size:
        return []
    rows, columns = linear_sum_assignment(np.minimum(costs, 10.0))
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if costs[r, c] <= limit]
