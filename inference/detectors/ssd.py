"""SSD and its relatives from TensorFlow's Object Detection API, converted with tf2onnx.

Input: uint8 (1, h, w, 3), RGB, of any size: the graph scales it. Outputs: ``detection_boxes`` (1, n, 4), y0
x0 y1 x1 in 0..1 of the picture, ``detection_classes`` (1, n), counted from 1, ``detection_scores`` (1, n) and
``num_detections`` (1); converters add ``:0`` to the names. Read in onnx/models
``vision/object_detection_segmentation/ssd-mobilenetv1/README.md``.
"""

from __future__ import annotations

import numpy as np

from inference.detectors.base import Family, Outputs, column, expect_labels, finish, first_count, output
from inference.detectors.coco import COCO_91
from inference.detectors.metadata import given_names
from inference.detectors.picture import Picture, image_mismatch
from inference.errors import ModelError
from inference.model import ModelInfo
from inference.types import Detections, Letterbox, Rung
from stream.types import Frame

BOXES, CLASSES, SCORES, COUNT = "detection_boxes", "detection_classes", "detection_scores", "num_detections"


class Ssd(Family):
    """An SSD of TensorFlow's Object Detection API. See the module for its layout."""

    family = "ssd"
    picture = Picture("rgb", "stretch")
    one_size = "the graph scales every picture to its own size"
    usual_size = Rung(320, 320)

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self._outputs = {tensor.name.partition(":")[0]: tensor.name for tensor in info.outputs}
        self.names = given_names(info) or COCO_91[1:]

    @classmethod
    def mismatch(cls, info: ModelInfo) -> str | None:
        """Why `info` is not of this layout; None where it is."""
        if len(info.inputs) != 1:
            return f"expected one input (1, h, w, 3), got {len(info.inputs)}"
        found = {tensor.name.partition(":")[0] for tensor in info.outputs}
        missing = [name for name in (BOXES, CLASSES, SCORES) if name not in found]
        if missing:
            return f"expected outputs {', '.join(missing)}"
        return image_mismatch(info)

    def decode(self, outputs: Outputs, letterbox: Letterbox, frame: Frame, min_score: float) -> Detections:
        """Outputs to detections, best first; nothing is suppressed any more.

        Raises:
            ModelError: an output's shape does not fit, or a class has no name.
        """
        boxes = output(outputs, self._outputs[BOXES], 4, self.family)
        scores = column(outputs, self._outputs[SCORES], self.family)
        labels = column(outputs, self._outputs[CLASSES], self.family)
        if not len(boxes) == len(scores) == len(labels):
            raise ModelError(
                f"{self.family}: got {len(boxes)} boxes, {len(scores)} scores and {len(labels)} classes, "
                "expected as many of each"
            )
        if COUNT in self._outputs:
            scores = scores[: first_count(outputs, self._outputs[COUNT], self.family)]
        likely = np.flatnonzero(scores >= min_score)
        likely = likely[np.argsort(-scores[likely], kind="stable")]
        kinds = labels[likely].astype(np.int32) - 1
        expect_labels(kinds, self.names, self.family)
        size = np.array([letterbox.width, letterbox.height] * 2, np.float32)
        found = boxes[likely][:, [1, 0, 3, 2]] * size
        return finish(found, scores[likely], kinds, self.names, letterbox, frame)
