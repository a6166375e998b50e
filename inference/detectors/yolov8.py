"""YOLOv8, YOLO11, YOLO12: anchor-free, no objectness, values in columns.

Output: float (1, 4 + classes, n): centre x, y, width, height in pixels of the input, and class scores after
the sigmoid; n is one for each cell. Some exports turn it round, (1, n, 4 + classes). Described in the
exporter's documentation (docs.ultralytics.com/modes/export).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.detectors.base import Outputs, corners, finish, output
from inference.detectors.metadata import given_names, likely_classes, names_for
from inference.detectors.yolo import (
    CANDIDATES,
    MAX_IOU,
    Yolo,
    cell_counts,
    class_count,
    has_extras,
    rows_tensor,
    says_end2end,
    width_doubt,
)
from inference.errors import ModelError
from inference.geometry import nms
from inference.model import ModelInfo, TensorInfo
from inference.types import Detections, Letterbox
from stream.types import Frame


class YoloV8(Yolo):
    """A YOLOv8, YOLO11 or YOLO12 model. See the module for its layout."""

    family = "yolov8"
    layout = "(1, 4 + classes, n)"

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        tensor = rows_tensor(info)
        assert tensor is not None
        self._output = tensor.name
        _, first, last = tensor.shape
        self._turned = _turned(info, first, last)
        self._width = last if self._turned else first
        self.names = names_for(info, class_count(info, self._width, 4))

    @classmethod
    def values_mismatch(cls, info: ModelInfo, tensor: TensorInfo) -> str | None:
        """Why the one output does not hold this family's values."""
        sides = [side for side in tensor.shape[1:] if side is not None]
        if any(side < 5 for side in sides):
            return f"expected at least 5 values a box, got {tensor}"
        return None

    @classmethod
    def doubt(cls, info: ModelInfo) -> str | None:
        """It has one column for each cell, and no objectness."""
        tensor = rows_tensor(info)
        assert tensor is not None
        if says_end2end(info):
            return "its metadata says that suppression is inside"
        _, first, last = tensor.shape
        cells = cell_counts(info)
        if first is not None and last is not None and cells and not cells & {first, last}:
            listed = " or ".join(map(str, sorted(cells)))
            return f"expected {listed} columns (1 a cell), got {first} x {last}"
        if not _turned(info, first, last):
            return width_doubt(info, first, 4)
        wanted = 4 + likely_classes(info)
        if last is not None and last != wanted and not (last > wanted and has_extras(info)):
            return f"expected {wanted} values a box for {wanted - 4} classes, got {last} in rows"
        return None

    def decode(self, outputs: Outputs, letterbox: Letterbox, frame: Frame, min_score: float) -> Detections:
        """Outputs to detections; NMS within a class.

        Raises:
            ModelError: the output's shape does not fit.
        """
        columns = self._columns(outputs)
        classes = columns[4 : 4 + len(self.names)]
        best_score = classes.max(axis=0)
        likely = np.flatnonzero(best_score >= min_score)
        scores = best_score[likely]
        labels = classes[:, likely].argmax(axis=0).astype(np.int32)
        boxes = corners(columns[:4, likely].T)
        best = nms(boxes, scores, MAX_IOU, labels=labels, limit=CANDIDATES)
        return finish(boxes[best], scores[best], labels[best], self.names, letterbox, frame)

    def _columns(self, outputs: Outputs) -> NDArray[np.float32]:
        array = output(outputs, self._output, None, self.family)
        if self._turned:
            array = array.T
        wanted = self._width or 4 + len(self.names)
        if len(array) != wanted and (self._width is not None or len(array) < wanted):
            raise ModelError(
                f"{self.family}: output {self._output!r}: got {len(array)} values a box in "
                f"{array.shape}, expected {wanted}"
            )
        return array


def _turned(info: ModelInfo, first: int | None, last: int | None) -> bool:
    """Whether the values of a box lie along the last axis."""
    cells = cell_counts(info)
    if first in cells and last in cells:  # only on very small inputs
        names = given_names(info)
        return names is not None and first != 4 + len(names) == last
    if first in cells or last in cells:
        return first in cells
    if first is None or last is None:
        return first is None and last is not None
    return first > last
