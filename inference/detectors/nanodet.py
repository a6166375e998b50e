"""NanoDet and NanoDet-Plus (RangiLyu/nanodet, Apache-2.0): anchor-free heads with distances as distributions.

Input: float32 (1, 3, h, w), BGR, ImageNet's mean and standard deviation in 0..255, the picture centred on
black. Both: class scores after the sigmoid; each side of a box is a distribution over 8 bins, whose
expectation times the stride is the distance from the cell's anchor (Generalized Focal Loss, arXiv
2006.04388).

NanoDet-m: six outputs ``cls_pred_stride_S`` (1, n, classes) and ``dis_pred_stride_S`` (1, n, 32), S = 8,
16, 32; anchors at (cell + 0.5) * stride - 0.5. NanoDet-Plus: ``scores`` and ``dist`` over strides 8, 16,
32, 64; anchors at cell * stride.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.detectors.base import Outputs, expect_rows, finish, grid, output, picture_into
from inference.detectors.coco import COCO_80
from inference.errors import ModelError
from inference.geometry import nms
from inference.model import ModelInfo
from inference.types import Detections, Letterbox, Rung
from stream.types import Frame

MEAN = np.array([103.53, 116.28, 123.675], np.float32).reshape(1, 3, 1, 1)
INVERSE_STD = np.float32(1.0) / np.array([57.375, 57.12, 58.395], np.float32).reshape(1, 3, 1, 1)
BINS = 8
MAX_IOU = 0.5


class _NanoDetHead:
    """What both layouts share: preprocessing, and decoding once the rows are gathered."""

    family: str
    strides: tuple[int, ...]
    half_cell: float  # offset of an anchor inside its cell, in strides; NanoDet-m subtracts half a pixel too

    def __init__(self, info: ModelInfo) -> None:
        reason = self.mismatch(info)
        if reason is not None:
            raise ModelError(f"{info.path}: not a {self.family} model: {reason}. {info.describe()}")
        self.names = info.names(COCO_80)
        self._input = info.inputs[0].name
        scores = info.outputs[[tensor.name for tensor in info.outputs].index(self._score_names()[0])]
        classes = scores.shape[2]
        if classes is not None and classes != len(self.names):
            raise ModelError(
                f"{info.path}: got {classes} classes in the output and {len(self.names)} names, "
                "expected as many. Put the class names into metadata vitrine.names (a JSON list)."
            )

    @classmethod
    def mismatch(cls, info: ModelInfo) -> str | None:
        """Why `info` is not of this layout; None where it is."""
        if len(info.inputs) != 1 or len(info.inputs[0].shape) != 4 or info.inputs[0].shape[1] != 3:
            return "expected one input (1, 3, h, w)"
        shapes = {tensor.name: tensor.shape for tensor in info.outputs}
        for name in cls._score_names() + cls._distance_names():
            if len(shapes.get(name, ())) != 3:
                return f"expected an output {name!r} of 3 dimensions"
        for name in cls._distance_names():
            if shapes[name][2] not in (4 * BINS, None):
                return f"expected {4 * BINS} values a row in {name!r}, got {shapes[name][2]}"
        return None

    @classmethod
    def _score_names(cls) -> list[str]:
        raise NotImplementedError

    @classmethod
    def _distance_names(cls) -> list[str]:
        raise NotImplementedError

    def preprocess(self, frame: Frame, rung: Rung) -> tuple[dict[str, NDArray[np.generic]], Letterbox]:
        """Model inputs by name, and the letterbox to undo."""
        planes, letterbox = picture_into(frame, rung, 0.0, centred=True)
        planes -= MEAN
        planes *= INVERSE_STD
        return {self._input: planes}, letterbox

    def decode(
        self, outputs: dict[str, NDArray[np.generic]], letterbox: Letterbox, frame: Frame, min_score: float
    ) -> Detections:
        """Outputs to detections; NMS within a class.

        Raises:
            ModelError: an output's shape does not fit.
        """
        scores = self._gather(outputs, self._score_names(), len(self.names))
        distances = self._gather(outputs, self._distance_names(), 4 * BINS)
        cells = grid(letterbox.width, letterbox.height, self.strides)
        expect_rows(len(scores), cells, letterbox, self.family)
        expect_rows(len(distances), cells, letterbox, self.family)
        best_score = scores.max(axis=1)
        likely = np.flatnonzero(best_score >= min_score)
        labels = scores[likely].argmax(axis=1).astype(np.int32)
        step = cells.strides[likely]
        anchors = (cells.cells[likely] + self.half_cell) * step - self.half_cell
        sides = _expectation(distances[likely]) * step
        boxes = np.concatenate([anchors - sides[:, :2], anchors + sides[:, 2:]], axis=1)
        best = nms(boxes, best_score[likely], MAX_IOU, labels=labels)
        return finish(boxes[best], best_score[likely][best], labels[best], self.names, letterbox, frame)

    def _gather(self, outputs: Outputs, names: list[str], width: int) -> NDArray[np.float32]:
        parts = [output(outputs, name, width, self.family) for name in names]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class NanoDet(_NanoDetHead):
    """NanoDet-m: three strides, six outputs."""

    family = "nanodet"
    strides = (8, 16, 32)
    half_cell = 0.5

    @classmethod
    def _score_names(cls) -> list[str]:
        return [f"cls_pred_stride_{stride}" for stride in cls.strides]

    @classmethod
    def _distance_names(cls) -> list[str]:
        return [f"dis_pred_stride_{stride}" for stride in cls.strides]


class NanoDetPlus(_NanoDetHead):
    """NanoDet-Plus: four strides in two outputs."""

    family = "nanodet-plus"
    strides = (8, 16, 32, 64)
    half_cell = 0.0

    @classmethod
    def _score_names(cls) -> list[str]:
        return ["scores"]

    @classmethod
    def _distance_names(cls) -> list[str]:
        return ["dist"]


def _expectation(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over each side's bins, then the expected bin: (n, 4 * BINS) to (n, 4)."""
    bins = rows.reshape(len(rows), 4, BINS)
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    expected: NDArray[np.float32] = weights @ np.arange(BINS, dtype=np.float32)
    return expected
