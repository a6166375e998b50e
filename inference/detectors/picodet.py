"""PicoDet and PP-YOLOE from PaddleDetection, exported with their post-processing.

Inputs: ``image`` (1, 3, h, w), RGB, the picture stretched; ``scale_factor`` (1, 2), y and x, that boxes are
divided by; sometimes ``im_shape``. Outputs: float (n, 6): class (-1 for none), score, x0, y0, x1, y1; and how
many rows each picture has. Read in PaddlePaddle/PaddleDetection
``deploy/third_engine/demo_onnxruntime/infer_demo.py`` (Apache-2.0; papers arXiv 2111.00902, 2203.16250).
PicoDet wants ImageNet's mean and standard deviation, PP-YOLOE+ 0..1.

The scale given is 1, so boxes come in pixels of the input.
"""

from __future__ import annotations

import numpy as np

from inference.detectors.base import Family, Outputs, expect_labels, finish, first_count, present
from inference.detectors.metadata import names_for
from inference.detectors.picture import IMAGENET_MEAN, IMAGENET_STD, UNIT, Picture, image_mismatch
from inference.errors import ModelError
from inference.model import ModelInfo
from inference.types import Detections, Letterbox, Rung
from stream.types import Frame

SCALE, SHAPE = "scale_factor", "im_shape"


class PicoDet(Family):
    """PicoDet with suppression inside. See the module for its layout."""

    family = "picodet"
    picture = Picture("rgb", "stretch", mean=IMAGENET_MEAN, std=IMAGENET_STD)
    one_size = "the post-processing in its graph is made for one input size"

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self._extra = {tensor.name: tensor for tensor in info.inputs if len(tensor.shape) == 2}
        self._output = next(tensor.name for tensor in info.outputs if len(tensor.shape) == 2)
        self._count = next((tensor.name for tensor in info.outputs if len(tensor.shape) == 1), None)
        self.names = names_for(info, None)

    @classmethod
    def mismatch(cls, info: ModelInfo) -> str | None:
        """Why `info` is not of this layout; None where it is."""
        others = {tensor.name: tensor.dtype for tensor in info.inputs if len(tensor.shape) != 4}
        if SCALE not in others:
            return f"expected an input {SCALE!r}"
        if not set(others) <= {SCALE, SHAPE} or set(others.values()) != {"tensor(float)"}:
            return f"expected no input besides the picture, {SCALE!r} and {SHAPE!r}, got {', '.join(others)}"
        rows = [tensor for tensor in info.outputs if len(tensor.shape) == 2]
        if len(rows) != 1 or rows[0].shape[1] not in (6, None):
            return "expected one output (n, 6): post-processing has to be exported with the model"
        return image_mismatch(info)

    def preprocess(self, frame: Frame, rung: Rung) -> tuple[Outputs, Letterbox]:
        """Model inputs by name, and the stretch to undo."""
        feeds, letterbox = super().preprocess(frame, rung)
        for name, tensor in self._extra.items():
            row = [1.0, 1.0] if name == SCALE else [float(rung.height), float(rung.width)]
            feeds[name] = np.array([row] * (tensor.shape[0] or 1), np.float32)
        return feeds, letterbox

    def decode(self, outputs: Outputs, letterbox: Letterbox, frame: Frame, min_score: float) -> Detections:
        """Outputs to detections, best first; nothing is suppressed any more.

        Raises:
            ModelError: the output's shape does not fit, or a class has no name.
        """
        array = present(outputs, self._output, self.family)
        if array.ndim != 2 or array.shape[1] != 6 or array.dtype.kind != "f":
            got = f"{array.dtype} {array.shape}"
            raise ModelError(f"{self.family}: output {self._output!r}: got {got}, expected float (n, 6)")
        rows = array.astype(np.float32, copy=False)
        if self._count is not None:  # the rows of a batch follow each other
            rows = rows[: first_count(outputs, self._count, self.family)]
        rows = rows[(rows[:, 1] >= min_score) & (rows[:, 0] >= 0)]
        rows = rows[np.argsort(-rows[:, 1], kind="stable")]
        labels = rows[:, 0].astype(np.int32)
        expect_labels(labels, self.names, self.family)
        return finish(rows[:, 2:6], rows[:, 1], labels, self.names, letterbox, frame)


class PpYoloE(PicoDet):
    """PP-YOLOE+: the same layout, other values. Only used where it is named."""

    family = "pp-yoloe"
    picture = Picture("rgb", "stretch", std=UNIT)

    @classmethod
    def doubt(cls, info: ModelInfo) -> str | None:
        """Nothing in the file tells it from PicoDet."""
        return "looks as picodet does; set inference.family if it is PP-YOLOE+"
