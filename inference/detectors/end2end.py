"""YOLO exports that end in boxes: ``nms=True``, YOLOv10, YOLO26.

Output: float (1, n, 6): x0, y0, x1, y1 in pixels of the input, score, class; n is a fixed number (300),
padded with scores of zero. Masks' coefficients or key points may follow. Described in the exporter's
documentation (docs.ultralytics.com/modes/export).
"""

from __future__ import annotations

import numpy as np

from inference.detectors.base import Outputs, expect_labels, finish, output
from inference.detectors.metadata import names_for
from inference.detectors.yolo import (
    Yolo,
    cell_counts,
    has_extras,
    rows_tensor,
    says_end2end,
)
from inference.model import ModelInfo, TensorInfo
from inference.types import Detections, Letterbox
from stream.types import Frame

VALUES = 6


class EndToEnd(Yolo):
    """A YOLO with suppression inside. See the module for its layout."""

    family = "yolo-end2end"
    layout = "(1, n, 6)"

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        rows = rows_tensor(info)
        assert rows is not None
        self._output, self._width = rows.name, rows.shape[2]
        self.names = names_for(info, None)

    @classmethod
    def values_mismatch(cls, info: ModelInfo, tensor: TensorInfo) -> str | None:
        """Why the one output does not hold this family's values."""
        width = tensor.shape[2]
        if width is not None and (width < VALUES or (width > VALUES and not has_extras(info))):
            return f"expected {VALUES} values a row, got {width}"
        return None

    @classmethod
    def doubt(cls, info: ModelInfo) -> str | None:
        """Its rows are no grid."""
        tensor = rows_tensor(info)
        assert tensor is not None
        _, rows, width = tensor.shape
        if says_end2end(info):
            return None
        if width != VALUES:
            return f"expected {VALUES} values a row, got {width}"
        cells = cell_counts(info)
        if rows in cells or rows in {3 * count for count in cells}:
            return f"got {rows} rows, as many as the input has cells or anchors"
        return None

    def decode(self, outputs: Outputs, letterbox: Letterbox, frame: Frame, min_score: float) -> Detections:
        """Outputs to detections, best first; nothing is suppressed any more.

        Raises:
            ModelError: the output's shape does not fit, or a class has no name.
        """
        rows = output(outputs, self._output, self._width, self.family, at_least=VALUES)
        rows = rows[rows[:, 4] >= min_score]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        labels = rows[:, 5].astype(np.int32)
        expect_labels(labels, self.names, self.family)
        return finish(rows[:, :4], rows[:, 4], labels, self.names, letterbox, frame)
