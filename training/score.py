"""Average precision and recall without regard to class."""

from __future__ import annotations

import numpy as np

from training.teachers import iou


class Tally:
    """Collects pictures; `summary` gives AP50 (all-point), recalls, and recall among the first boxes."""

    def __init__(self) -> None:
        self.scores: list[np.ndarray] = []
        self.hits: list[np.ndarray] = []
        self.best: list[np.ndarray] = []
        self.first: list[np.ndarray] = []
        self.first_tight: list[np.ndarray] = []
        self.small: list[np.ndarray] = []

    def add(self, boxes: np.ndarray, scores: np.ndarray, truth: np.ndarray) -> None:
        """One picture: boxes [n, 4] with scores [n] in falling order, true boxes [m, 4], all in pixels."""
        overlap = iou(
            np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(truth, np.float64).reshape(-1, 4)
        )
        free = np.ones(len(truth), bool)
        hit = np.zeros(len(boxes), bool)
        for i in range(len(boxes)):
            left = np.where(free, overlap[i], 0) if len(truth) else np.zeros(0)
            if left.size and left.max() >= 0.5:
                free[left.argmax()], hit[i] = False, True
        self.scores.append(np.asarray(scores))
        self.hits.append(hit)
        if len(truth):
            sure = overlap[np.asarray(scores) >= 0.3]
            self.best.append(sure.max(0) if len(sure) else np.zeros(len(truth)))
            for store, bar in ((self.first, 0.5), (self.first_tight, 0.75)):
                store.append(np.stack([(overlap[:k] >= bar).any(0) for k in (1, 3, 5)], 1))

    def summary(self) -> dict[str, float | int]:
        """`ap50`; recalls at score >= .3; among the first 1, 3, 5; `false` boxes a picture at .3."""
        scores, hits = np.concatenate(self.scores), np.concatenate(self.hits)
        count = sum(len(b) for b in self.best)
        if not count:
            return {"n": 0}
        order = np.argsort(-scores, kind="stable")
        right = np.cumsum(hits[order])
        precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
        best = np.concatenate(self.best)
        out: dict[str, float | int] = {
            "n": count,
            "ap50": float(precision[hits[order]].sum() / count),
            "recall50": float((best >= 0.5).mean()),
            "recall75": float((best >= 0.75).mean()),
            "false": float(((scores >= 0.3) & ~hits).sum() / len(self.scores)),
        }
        for name, store in (("@.5", self.first), ("@.75", self.first_tight)):
            for k, value in zip((1, 3, 5), np.concatenate(store).mean(0), strict=True):
                out[f"r{k}{name}"] = float(value)
        return out
