"""Recall among the first boxes, recall at a score and average precision, without regard to class. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.model_parts.pictures import Floats
from inference.geometry import iou_matrix

FIRST = (1, 3, 5)


@dataclass(slots=True)
class FirstBoxes:
    """How often the true box is among the first 1, 3 and 5.

    Attributes:
        bar: IoU from which a box counts.
        hits: one row of three per true box.
    """

    bar: float
    hits: list[NDArray[np.bool_]] = field(default_factory=list)

    def add(self, boxes: Floats, truth: Floats) -> None:
        """One picture: boxes (n, 4), the most wanted first, and true boxes (m, 4)."""
        fits = iou_matrix(boxes, truth) >= self.bar
        for column in fits.T:
            self.hits.append(np.array([bool(column[:k].any()) for k in FIRST]))

    def recall(self) -> tuple[float, float, float]:
        """Among the first 1, 3, 5; NaN where nothing was to be found."""
        if not self.hits:
            return (math.nan,) * 3
        one, three, five = np.mean(self.hits, axis=0)
        return float(one), float(three), float(five)


@dataclass(slots=True)
class Precision:
    """Average precision at IoU .5 (all points, as PASCAL VOC 2010 on) over all pictures."""

    scores: list[Floats] = field(default_factory=list)
    hits: list[NDArray[np.bool_]] = field(default_factory=list)
    count: int = 0

    def add(self, boxes: Floats, scores: Floats, truth: Floats) -> None:
        """One picture: boxes (n, 4) with scores (n,), best first; each true box (m, 4) is found once."""
        overlap = iou_matrix(boxes, truth)
        free, hit = np.ones(len(truth), bool), np.zeros(len(boxes), bool)
        for index, row in enumerate(overlap):
            left = np.where(free, row, 0.0)
            if left.size and left.max() >= 0.5:
                free[left.argmax()], hit[index] = False, True
        self.scores.append(scores)
        self.hits.append(hit)
        self.count += len(truth)

    def average(self) -> float:
        """Area under the precision envelope; NaN where nothing was to be found."""
        if not self.count:
            return math.nan
        order = np.argsort(-np.concatenate(self.scores), kind="stable")
        right = np.concatenate(self.hits)[order]
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float(envelope[right].sum() / self.count)


def standard_error(share: float, count: int) -> float:
    """Of a share measured on `count` cases."""
    return math.nan if count == 0 else math.sqrt(max(share * (1 - share), 0.0) / count)
