"""YOLOv5 (and YOLOv7's plain export): anchors decoded in the graph, objectness apart from the classes.

Output: float (1, n, 5 + classes): centre x, y, width, height in pixels of the input, objectness and class
scores, both after the sigmoid; n is three anchors for each cell. Described in the exporter's documentation
(docs.ultralytics.com/yolov5/tutorials/model_export). Named, it decodes YOLOv6's rows too, one for each cell
with an objectness of 1.
"""

from __future__ import annotations

import numpy as np

from inference.detectors.base import Outputs, corners, finish, output
from inference.detectors.metadata import names_for
from inference.detectors.yolo import (
    CANDIDATES,
    MAX_IOU,
    Yolo,
    cell_counts,
    class_count,
    rows_tensor,
    says_end2end,
    width_doubt,
)
from inference.geometry import nms
from inference.model import ModelInfo, TensorInfo
from inference.types import Detections, Letterbox
from stream.types import Frame


class YoloV5(Yolo):
    """A YOLOv5 model. See the module for its layout."""

    family = "yolov5"
    layout = "(1, n, 5 + classes)"

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        rows = rows_tensor(info)
        assert rows is not None
        self._output, self._width = rows.name, rows.shape[2]
        self.names = names_for(info, class_count(info, rows.shape[2], 5))

    @classmethod
    def values_mismatch(cls, info: ModelInfo, tensor: TensorInfo) -> str | None:
        """Why the one output does not hold this family's values."""
        if tensor.shape[2] is not None and tensor.shape[2] < 6:
            return f"expected at least 6 values a row, got {tensor.shape[2]}"
        return None

    @classmethod
    def doubt(cls, info: ModelInfo) -> str | None:
        """It has three rows for each cell."""
        tensor = rows_tensor(info)
        assert tensor is not None
        _, rows, width = tensor.shape
        if says_end2end(info):
            return "its metadata says that suppression is inside"
        expected = sorted(3 * cells for cells in cell_counts(info))
        if rows is not None and expected and rows not in expected:
            return f"expected {' or '.join(map(str, expected))} rows (3 a cell), got {rows}"
        if rows is not None and width is not None and not expected and rows <= width:
            return f"expected more rows than values a row, got {rows} x {width}"
        return width_doubt(info, width, 5)

    def decode(self, outputs: Outputs, letterbox: Letterbox, frame: Frame, min_score: float) -> Detections:
        """Outputs to detections; score = objectness * class score; NMS within a class.

        Raises:
            ModelError: the output's shape does not fit.
        """
        least = 5 + len(self.names)
        rows = output(outputs, self._output, self._width, self.family, at_least=least)
        rows = rows[rows[:, 4] >= min_score]  # score <= objectness: most rows end here
        classes = rows[:, 5 : 5 + len(self.names)]
        labels = classes.argmax(axis=1).astype(np.int32)
        scores = rows[:, 4] * classes[np.arange(len(rows)), labels]
        keep = scores >= min_score
        boxes, scores, labels = corners(rows[keep]), scores[keep], labels[keep]
        best = nms(boxes, scores, MAX_IOU, labels=labels, limit=CANDIDATES)
        return finish(boxes[best], scores[best], labels[best], self.names, letterbox, frame)
