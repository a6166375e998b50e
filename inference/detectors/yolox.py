"""YOLOX (Ge et al., arXiv 2107.08430; Apache-2.0 exports of Megvii-BaseDetection/YOLOX).

Input: float32 (1, 3, h, w), BGR 0..255, the picture top-left, 114 elsewhere. Output: float32 (1, n, 5 +
classes): centre x, y as offsets in cells, log width and height in strides, objectness and class scores,
both after the sigmoid. Strides 8, 16, 32 unless metadata ``vitrine.strides`` says otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.detectors.base import expect_rows, finish, grid, output, picture_into
from inference.detectors.coco import COCO_80
from inference.errors import ModelError
from inference.geometry import nms
from inference.model import ModelInfo
from inference.types import Detections, Letterbox, Rung
from stream.types import Frame

PAD = 114.0
MAX_IOU = 0.5


def strides_of(info: ModelInfo, default: tuple[int, ...]) -> tuple[int, ...]:
    """Strides from metadata ``vitrine.strides`` (a JSON list of positive integers), else `default`.

    Raises:
        ModelError: the metadata is something else.
    """
    value = info.metadata_json("vitrine.strides")
    if value is None:
        return default
    if not isinstance(value, list) or not value or not all(isinstance(s, int) and s > 0 for s in value):
        raise ModelError(
            f"{info.path}: metadata vitrine.strides: expected a JSON list of positive integers, got {value!r}"
        )
    return tuple(value)


class YoloX:
    """A YOLOX model. See the module for its layout."""

    family = "yolox"

    def __init__(self, info: ModelInfo) -> None:
        reason = self.mismatch(info)
        if reason is not None:
            raise ModelError(f"{info.path}: not a YOLOX model: {reason}. {info.describe()}")
        self.names = info.names(COCO_80)
        self._input = info.inputs[0].name
        self._output = info.outputs[0].name
        self._strides = strides_of(info, (8, 16, 32))
        self._width = 5 + len(self.names)
        got = info.outputs[0].shape[2]
        if got is not None and got != self._width:
            raise ModelError(
                f"{info.path}: got {got - 5} classes in the output and {len(self.names)} names, "
                "expected as many. Put the class names into metadata vitrine.names (a JSON list)."
            )

    @staticmethod
    def mismatch(info: ModelInfo) -> str | None:
        """Why `info` is not YOLOX; None where it is."""
        if len(info.inputs) != 1 or len(info.inputs[0].shape) != 4 or info.inputs[0].shape[1] != 3:
            return "expected one input (1, 3, h, w)"
        if len(info.outputs) != 1 or len(info.outputs[0].shape) != 3:
            return "expected one output (1, n, 5 + classes)"
        _, rows, width = info.outputs[0].shape
        if width is not None and width < 6:
            return f"expected at least 6 values a row, got {width}"
        return _rows_mismatch(info, rows, width)

    def preprocess(self, frame: Frame, rung: Rung) -> tuple[dict[str, NDArray[np.generic]], Letterbox]:
        """Model inputs by name, and the letterbox to undo."""
        planes, letterbox = picture_into(frame, rung, PAD)
        return {self._input: planes}, letterbox

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
    height, width = info.inputs[0].shape[2:]
    expected = None
    if height is not None and width is not None:
        expected = len(grid(width, height, strides_of(info, (8, 16, 32))).cells)
        if rows == expected:
            return None
    if values is not None and rows < values:
        return f"expected more rows than values a row, got {rows} x {values} (transposed: YOLOv8?)"
    if expected is not None:
        return f"expected {expected} rows for an input of {width}x{height} (strides 8, 16, 32), got {rows}"
    return None
