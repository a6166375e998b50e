"""Which detection belongs to which track: costs and the assignment. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from inference.geometry import grow, iou_matrix

OTHER_LABEL = 0.25
"""Added to the cost of a pair whose labels differ: a detector wavers between bottle and vase."""

DOUBLE_IOU = 0.7
"""A new detection overlapping a measured track by more is a double."""

FORBIDDEN = 1e3
_DEAR = 10.0

Codes = NDArray[np.intp]


class Labels:
    """Label names as small numbers, which compare faster. One per tracker.

    Args:
        alone: names never paired with another name.
    """

    def __init__(self, alone: frozenset[str] = frozenset()) -> None:
        self._alone = alone
        self._codes: dict[str, int] = {}
        self._tables: dict[tuple[str, ...], Codes] = {}

    def code(self, name: str) -> int:
        """The number of `name`: negative when it pairs with no other."""
        code = self._codes.get(name)
        if code is None:
            code = len(self._codes) + 1
            self._codes[name] = code = -code if name in self._alone else code
        return code

    def codes(self, names: tuple[str, ...], labels: NDArray[np.integer]) -> Codes:
        """The numbers of `labels`, which index `names`."""
        table = self._tables.get(names)
        if table is None:
            self._tables[names] = table = np.array([self.code(name) for name in names], np.intp)
        found: Codes = table[labels]
        return found


def pair_costs(
    tracks: NDArray[np.float32],
    track_codes: Codes,
    detections: NDArray[np.float32],
    codes: Codes,
    *,
    buffer: float,
    tall: bool = False,
) -> NDArray[np.float32]:
    """1 - buffered IoU of every pair, (tracks, detections), dearer where labels differ.

    Args:
        tracks: (n, 4).
        track_codes: (n,), of `Labels`.
        detections: (m, 4).
        codes: (m,).
        buffer: share of its size by which a box grows on every side, so that fast small objects still touch
            (C-BIoU, arXiv 2211.14317).
        tall: the overlap counts by how well the heights agree too (Hybrid-SORT, arXiv 2308.00783).
    """
    if buffer:
        tracks, detections = grow(tracks, buffer), grow(detections, buffer)
    same = iou_matrix(tracks, detections)
    if tall:
        same = same * _height_iou(tracks, detections)
    costs = 1.0 - same
    other = track_codes[:, None] != codes[None, :]
    if other.any():
        lonely = np.minimum(track_codes[:, None], codes[None, :]) < 0
        costs += np.where(other, np.where(lonely, FORBIDDEN, OTHER_LABEL), 0.0).astype(np.float32)
    return costs


def _height_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Overlap of every pair's vertical extents, (len(a), len(b))."""
    top, bottom = a[:, None, 1], a[:, None, 3]
    shared = np.minimum(bottom, b[:, 3]) - np.maximum(top, b[:, 1])
    both = np.maximum(bottom, b[:, 3]) - np.minimum(top, b[:, 1])
    overlap: NDArray[np.float32] = np.maximum(shared, 0) / np.maximum(both, 1e-12)
    return overlap


def assign(costs: NDArray[np.float32], limit: float) -> list[tuple[int, int]]:
    """The cheapest one-to-one pairing (Hungarian method), without pairs dearer than `limit`.

    Returns:
        (row, column) pairs.
    """
    if not costs.size:
        return []
    rows, columns = linear_sum_assignment(np.minimum(costs, _DEAR))
    kept = costs[rows, columns] <= limit
    return list(zip(rows[kept].tolist(), columns[kept].tolist(), strict=True))


def no_doubles(columns: list[int], boxes: NDArray[np.float32], held: NDArray[np.float32]) -> list[int]:
    """Those of `columns` that show something else than `held` and than each other.

    One object detected twice, perhaps under two labels, is one track.

    Args:
        columns: into `boxes`.
        boxes: (n, 4).
        held: boxes (m, 4) of objects known already.
    """
    fresh = []
    for column in columns:
        box = boxes[column : column + 1]
        if not len(held) or iou_matrix(box, held).max() < DOUBLE_IOU:
            fresh.append(column)
            held = np.concatenate((held, box))
    return fresh
