"""NanoDet and NanoDet-Plus (RangiLyu/nanodet, Apache-2.0): anchor-free heads with distances as distributions.

Input: float32 (1, 3, h, w), BGR, ImageNet's mean and standard deviation in 0..255, the picture centred on
black. Both: class scores after the sigmoid; each side of a box is a distribution over 8 bins, whose
expectation times the stride is the distance from the cell's anchor (Generalized Focal Loss, arXiv
2006.04388).

NanoDet-m: six outputs ``cls_pred_stride_S`` (1, n, classes) and ``dis_pred_stride_S`` (1, n, 32), S = 8,
16, 32; anchors at (cell + 0.5) * stride - 0.5. NanoDet-Plus: strides 8, 16, 32, 64, anchors at cell * stride;
one output (1, n, classes + 32), as its authors export it, or ``scores`` and ``dist`` apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.detectors.base import Family, Outputs, expect_rows, finish, grid, output
from inference.detectors.coco import COCO_80
from inference.detectors.metadata import expect_names, given_names, likely_classes
from inference.detectors.picture import IMAGENET_MEAN, IMAGENET_STD, Picture, image_mismatch, input_size
from inference.geometry import nms
from inference.model import ModelInfo
from inference.types import Detections, Letterbox
from stream.types import Frame

BINS = 8
SIDES = 4 * BINS
MAX_IOU = 0.5


class _NanoDetHead(Family):
    """What both layouts share: preprocessing, and decoding once the rows are gathered."""

    picture = Picture("bgr", "centred", mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1])
    strides: tuple[int, ...]
    half_cell: float  # offset of an anchor inside its cell, in strides; NanoDet-m subtracts half a pixel too

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self.names = expect_names(info, given_names(info) or COCO_80, self._classes(info))

    def _classes(self, info: ModelInfo) -> int | None:
        scores = self._score_names()[0]
        return next(tensor.shape[2] for tensor in info.outputs if tensor.name == scores)

    @classmethod
    def mismatch(cls, info: ModelInfo) -> str | None:
        """Why `info` is not of this layout; None where it is."""
        if len(info.inputs) != 1:
            return f"expected one input (1, 3, h, w), got {len(info.inputs)}"
        reason = image_mismatch(info)
        if reason is not None:
            return reason
        shapes = {tensor.name: tensor.shape for tensor in info.outputs}
        for name in cls._score_names() + cls._distance_names():
            if len(shapes.get(name, ())) != 3:
                return f"expected an output {name!r} of 3 dimensions"
        for name in cls._distance_names():
            if shapes[name][2] not in (SIDES, None):
                return f"expected {SIDES} values a row in {name!r}, got {shapes[name][2]}"
        return None

    @classmethod
    def _score_names(cls) -> list[str]:
        raise NotImplementedError

    @classmethod
    def _distance_names(cls) -> list[str]:
        raise NotImplementedError

    def decode(self, outputs: Outputs, letterbox: Letterbox, frame: Frame, min_score: float) -> Detections:
        """Outputs to detections; NMS within a class.

        Raises:
            ModelError: an output's shape does not fit.
        """
        scores, distances = self._rows(outputs)
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

    def _rows(self, outputs: Outputs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (n, classes) and distributions (n, 32), level by level."""
        scores = self._gather(outputs, self._score_names(), len(self.names))
        return scores, self._gather(outputs, self._distance_names(), SIDES)

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
    """NanoDet-Plus: four strides in one output or in two."""

    family = "nanodet-plus"
    strides = (8, 16, 32, 64)
    half_cell = 0.0

    def __init__(self, info: ModelInfo) -> None:
        self._whole = info.outputs[0].name if len(info.outputs) == 1 else None
        super().__init__(info)

    def _classes(self, info: ModelInfo) -> int | None:
        if self._whole is None:
            return super()._classes(info)
        width = info.outputs[0].shape[2]
        return None if width is None else width - SIDES

    @classmethod
    def mismatch(cls, info: ModelInfo) -> str | None:
        """Why `info` is not of this layout; None where it is."""
        if len(info.outputs) != 1:
            return super().mismatch(info)
        if len(info.inputs) != 1:
            return f"expected one input (1, 3, h, w), got {len(info.inputs)}"
        reason = image_mismatch(info)
        if reason is not None:
            return reason
        tensor = info.outputs[0]
        if len(tensor.shape) != 3:
            return "expected an output 'scores' or one output (1, n, classes + 32), of 3 dimensions"
        if tensor.shape[2] is not None and tensor.shape[2] <= SIDES:
            return f"expected more than {SIDES} values a row, got {tensor.shape[2]}"
        return None

    @classmethod
    def doubt(cls, info: ModelInfo) -> str | None:
        """The one output has one row for each cell of four levels, and 32 values besides the classes."""
        if len(info.outputs) != 1:
            return None
        _, rows, width = info.outputs[0].shape
        size, wanted = input_size(info), SIDES + likely_classes(info)
        if width not in (wanted, None):
            return f"expected {wanted} values a row for {wanted - SIDES} classes, got {width}"
        if rows is not None and size is not None:
            expected = len(grid(size.width, size.height, cls.strides).cells)
            if rows != expected:
                return f"expected {expected} rows for an input of {size.width}x{size.height}, got {rows}"
        return None

    @classmethod
    def _score_names(cls) -> list[str]:
        return ["scores"]

    @classmethod
    def _distance_names(cls) -> list[str]:
        return ["dist"]

    def _rows(self, outputs: Outputs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._whole is None:
            return super()._rows(outputs)
        classes = len(self.names)
        rows = output(outputs, self._whole, classes + SIDES, self.family)
        return rows[:, :classes], rows[:, classes:]


def _expectation(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over each side's bins, then the expected bin: (n, 4 * BINS) to (n, 4)."""
    bins = rows.reshape(len(rows), 4, BINS)
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    expected: NDArray[np.float32] = weights @ np.arange(BINS, dtype=np.float32)
    return expected
