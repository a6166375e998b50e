"""Transformers that end in logits and boxes: RF-DETR, DETR and YOLOS, RT-DETR and D-FINE from Hugging Face.

Outputs: class logits (1, n, classes) and boxes (1, n, 4), centre x, y, width, height in 0..1 of the input;
called ``logits`` and ``pred_boxes`` in Hugging Face's exports, ``labels`` and ``dets`` in RF-DETR's own.
The picture is stretched, RGB. They differ in what one cannot see:

* DETR, YOLOS (arXiv 2005.12872, 2106.00666): ImageNet's mean and standard deviation; softmax over the
  classes and a last one that means "nothing"; 100 queries. ``pixel_mask`` says which pixels are picture: all.
* RT-DETR, D-FINE: 0..1; a sigmoid for each class; 300 queries.
* RF-DETR (arXiv 2511.09554; roboflow/rf-detr ``rfdetr/deploy/export.py``): ImageNet's mean and standard
  deviation; a sigmoid for each class, numbered as COCO's category ids.

Numbers of logits tell COCO's models apart (92, 80, 91); others by their names or queries, or not at all: then
the family has to be named.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.detectors.base import Family, Outputs, corners, finish, output
from inference.detectors.metadata import given_names, names_for
from inference.detectors.picture import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    UNIT,
    Picture,
    image_mismatch,
    input_size,
)
from inference.errors import ModelError
from inference.model import ModelInfo, TensorInfo
from inference.types import Detections, Letterbox, Rung
from stream.types import Frame

MASK = "pixel_mask"
LAYOUTS = (("logits", "pred_boxes"), ("labels", "dets"))
"""Names of the logits and of the boxes."""
_COCO_LOGITS = {80: "rt-detr-logits", 91: "rf-detr", 92: "detr"}
_MASK_TYPES: dict[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
}


class _Queries(Family):
    """What all of them share."""

    one_size = "a transformer's position codes were learned, or baked in, for one input size"
    spare: int = 0  # logits besides the classes

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        logits, boxes = _tensors(info)
        self._logits, self._boxes, self._width = logits.name, boxes.name, logits.shape[2]
        self._mask = next((tensor for tensor in info.inputs if tensor.name == MASK), None)
        self.names = self._names(info, self._width)

    @classmethod
    def _names(cls, info: ModelInfo, width: int | None) -> tuple[str, ...]:
        return names_for(info, None if width is None else width - cls.spare)

    @classmethod
    def mismatch(cls, info: ModelInfo) -> str | None:
        """Why `info` is not of this layout; None where it is."""
        shapes = {tensor.name: tensor.shape for tensor in info.outputs}
        found = next((pair for pair in LAYOUTS if set(pair) <= set(shapes)), None)
        if found is None:
            return "expected outputs 'logits' and 'pred_boxes', or 'labels' and 'dets'"
        for name in found:
            if len(shapes[name]) != 3:
                return f"expected an output {name!r} of 3 dimensions, got {len(shapes[name])}"
        if shapes[found[1]][2] not in (4, None):
            return f"expected 4 values in each of {found[1]!r}, got {shapes[found[1]][2]}"
        width = shapes[found[0]][2]
        if width is not None and width <= cls.spare:
            return f"expected more than {cls.spare} values in each of {found[0]!r}, got {width}"
        others = [tensor for tensor in info.inputs if len(tensor.shape) != 4]
        if any(tensor.name != MASK or tensor.dtype not in _MASK_TYPES for tensor in others):
            return f"expected no input besides the picture and {MASK!r}, got {'; '.join(map(str, others))}"
        return image_mismatch(info)

    @classmethod
    def doubt(cls, info: ModelInfo) -> str | None:
        """What the number of logits and queries says."""
        likely, why = _likely_family(info)
        return None if likely in (cls.family, "") else f"{why}: {likely}"

    def preprocess(self, frame: Frame, rung: Rung) -> tuple[Outputs, Letterbox]:
        """Model inputs by name, and the stretch to undo."""
        feeds, letterbox = super().preprocess(frame, rung)
        if self._mask is not None:
            batch, height, width = self._mask.shape
            shape = (batch or 1, height or rung.height, width or rung.width)
            feeds[MASK] = np.ones(shape, _MASK_TYPES[self._mask.dtype])
        return feeds, letterbox

    def decode(self, outputs: Outputs, letterbox: Letterbox, frame: Frame, min_score: float) -> Detections:
        """Outputs to detections, best first; there is nothing to suppress.

        Raises:
            ModelError: an output's shape does not fit.
        """
        logits = output(outputs, self._logits, self._width or len(self.names) + self.spare, self.family)
        boxes = output(outputs, self._boxes, 4, self.family)
        if len(boxes) != len(logits):
            raise ModelError(
                f"{self.family}: got {len(boxes)} boxes and {len(logits)} rows of logits, expected as many"
            )
        scores, labels = self._scores(logits)
        likely = np.flatnonzero(scores >= min_score)
        likely = likely[np.argsort(-scores[likely], kind="stable")]
        size = np.array([letterbox.width, letterbox.height] * 2, np.float32)
        found = corners(boxes[likely]) * size
        return finish(found, scores[likely], labels[likely], self.names, letterbox, frame)

    def _scores(self, logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Score and label of each query: a sigmoid for each class."""
        best = np.clip(logits.max(axis=1), -60.0, 60.0)
        scores: NDArray[np.float32] = np.float32(1.0) / (np.float32(1.0) + np.exp(-best))
        return scores, logits.argmax(axis=1).astype(np.int32)


class RtDetrLogits(_Queries):
    """RT-DETR(v2) or D-FINE as Hugging Face exports them. See the module for its layout."""

    family = "rt-detr-logits"
    picture = Picture("rgb", "stretch", std=UNIT)
    spare = 0


class RfDetr(_Queries):
    """RF-DETR. See the module for its layout."""

    family = "rf-detr"
    picture = Picture("rgb", "stretch", mean=IMAGENET_MEAN, std=IMAGENET_STD)
    usual_size = Rung(384, 384)  # of the smallest; the larger ones say theirs
    spare = 0

    @classmethod
    def _names(cls, info: ModelInfo, width: int | None) -> tuple[str, ...]:
        names = given_names(info)
        if names is not None and width == len(names) + 1:
            raise ModelError(
                f"{info.path}: got {width} classes in the output and {len(names)} names; RF-DETR keeps a "
                "free place, in front or behind depending on its version. Name it too, in its place, in "
                'inference.names or metadata vitrine.names ("nothing"), and add it to inference.ignore.'
            )
        return super()._names(info, width)


class Detr(_Queries):
    """DETR or YOLOS. See the module for its layout."""

    family = "detr"
    picture = Picture("rgb", "stretch", mean=IMAGENET_MEAN, std=IMAGENET_STD)
    spare = 1

    def _scores(self, logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Softmax with the class that means "nothing", which is then left out."""
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = weights[:, :-1] / weights.sum(axis=1, keepdims=True)
        return shares.max(axis=1), shares.argmax(axis=1).astype(np.int32)


def _tensors(info: ModelInfo) -> tuple[TensorInfo, TensorInfo]:
    named = {tensor.name: tensor for tensor in info.outputs}
    logits, boxes = next(pair for pair in LAYOUTS if set(pair) <= set(named))
    return named[logits], named[boxes]


def _likely_family(info: ModelInfo) -> tuple[str, str]:
    """The family that a model of this layout belongs to and why; ``""`` where it cannot be told."""
    logits, _ = _tensors(info)
    if logits.name == "labels":
        return "rf-detr", "outputs 'labels' and 'dets'"
    _, queries, width = logits.shape
    names = given_names(info)
    if names is None and width in _COCO_LOGITS:
        return _COCO_LOGITS[width], f"{width} logits"
    if queries == 100:
        return "detr", "100 queries"
    size = input_size(info)
    if queries == 300 and size is not None:
        family = "rt-detr-logits" if size == Rung(640, 640) else "rf-detr"
        return family, f"300 queries of an input of {size.width}x{size.height}"
    return "", ""
