"""YOLOX (Ge et al., arXiv 2107.08430; Apache-2.0 exports of Megvii-BaseDetection/YOLOX).

Input: float32 (1, 3, h, w), BGR 0..255, the picture top-left, 114 elsewhere. Output: float32 (1, n, 5 +
classes): centre x, y as offsets in cells, log width and height in strides, objectness and class scores,
both after the sigmoid. Strides 8, 16, 32 unless metadata ``vitrine.strides`` says otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.detectors.base import Family, expect_rows, finish, grid, output
from inference.detectors.coco import COCO_80
from inference.detectors.metadata import expect_names, given_names, likely_classes, strides_of
from inference.detectors.picture import Picture, image_mismatch, input_size
from inference.detectors.yolo import says_end2end
from inference.geometry import nms
from inference.model import ModelInfo
from inference.types import Detections, Letterbox
from stream.types import Frame

STRIDES = (8, 16, 32)
MAX_IOU = 0.5


class YoloX(Family):
    """A YOLOX model. See the module for its layout."""

    family = "yolox"
    picture = Picture("bgr", "top-left", fill=114.0)

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self._output = info.outputs[0].name
        self._strides = strides_of(info, STRIDES)
        width = info.outputs[0].shape[2]
        self.names = expect_names(info, given_names(info) or COCO_80, None if width is None else width - 5)
        self._width = 5 + len(self.names)

    @classmethod
    def mismatch(cls, info: ModelInfo) -> str | None:
        """Why `info` is not YOLOX; None where it is."""
        if len(info.inputs) != 1:
            return f"expected one input (1, 3, h, w), got {len(info.inputs)}"
        reason = image_mismatch(info)
        if reason is not None:
            return reason
        if len(info.outputs) != 1 or len(info.outputs[0].shape) != 3:
            return "expected one output (1, n, 5 + classes)"
        _, rows, width = info.outputs[0].shape
        if width is not None and width < 6:
            return f"expected at least 6 values a row, got {width}"
        return _rows_mismatch(info, rows, width)

    @classmethod
    def doubt(cls, info: ModelInfo) -> str | None:
        """YOLOv8's values a row, turned round, are one fewer; and no YOLOX ends in itself."""
        if says_end2end(info):
            return "its metadata says that suppression is inside"
        width, classes = info.outputs[0].shape[2], likely_classes(info)
        if width == 4 + classes:
            return f"expected {5 + classes} values a row for {classes} classes, got {width}"
        return None

    def decode(
        self, outputs: dict[str, NDArray[np.generic]], letterbox: Letterbox, frame: Frame, min_score: float
    ) -> Detections:
        """Outputs to detections; score = objectness * class score; NMS within a class.

        Raises:
            ModelError: the output's shape does not fit.
        """
        rows = output(outputs, self._output, self._width, self.family)
        cells = grid(letterbox.width, letterbox.height, self._strides)
        expect_rows(len(rows), cells, letterbox, self.family)
        likely = np.flatnonzero(rows[:, 4] >= min_score)  # score <= objectness: most rows end here
        rows = rows[likely]
        classes = rows[:, 5:]
        labels = classes.argmax(axis=1).astype(np.int32)
        scores = rows[:, 4] * classes[np.arange(len(rows)), labels]
        keep = scores >= min_score
        likely, rows, labels, scores = likely[keep], rows[keep], labels[keep], scores[keep]
        step = cells.strides[likely]
        centre = (rows[:, :2] + cells.cells[likely]) * step
        half = np.exp(np.minimum(rows[:, 2:4], 20.0)) * step * np.float32(0.5)
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        best = nms(boxes, scores, MAX_IOU, labels=labels)
        return finish(boxes[best], scores[best], labels[best], self.names, letterbox, frame)


def _rows_mismatch(info: ModelInfo, rows: int | None, values: int | None) -> str | None:
    if rows is None:
        return None
    size, strides = input_size(info), strides_of(info, STRIDES)
    expected = None if size is None else len(grid(size.width, size.height, strides).cells)
    if rows == expected:
        return None
    if values is not None and rows < values:
        return f"expected more rows than values a row, got {rows} x {values} (transposed: YOLOv8?)"
    if expected is not None and size is not None:
        where = f"{size.width}x{size.height} (strides {', '.join(map(str, strides))})"
        return f"expected {expected} rows for an input of {where}, got {rows}"
    return None
