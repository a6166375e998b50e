"""RT-DETR(v2), D-FINE, DEIM and DEIMv2 as their authors export them, with the last step in the graph.

Inputs: ``images`` (1, 3, 640, 640), RGB, 0..1, the picture stretched; ``orig_target_sizes`` (1, 2), width and
height that boxes are scaled to. Outputs: ``labels`` (1, n), ``boxes`` (1, n, 4), x0 y0 x1 y1, ``scores``
(1, n). Read in the exporters' sources: lyuwenyu/RT-DETR ``rtdetrv2_pytorch/tools/export_onnx.py`` and
Intellindust-AI-Lab/DEIMv2 ``tools/deployment/export_onnx.py`` (Apache-2.0; papers arXiv 2304.08069,
2410.13842, 2412.04234). DEIMv2 from size S up wants ImageNet's mean and standard deviation, which its file
does not show.

Boxes are asked for in pixels of the input, so the stretch is undone here as for every other family.
"""

from __future__ import annotations

import numpy as np

from inference.detectors.base import Family, Outputs, column, expect_labels, finish, output
from inference.detectors.metadata import names_for
from inference.detectors.picture import IMAGENET_MEAN, IMAGENET_STD, UNIT, Picture, image_mismatch
from inference.errors import ModelError
from inference.model import ModelInfo, TensorInfo
from inference.types import Detections, Letterbox, Rung
from stream.types import Frame

SIZES = "orig_target_sizes"
OUTPUTS = {"labels": 2, "boxes": 3, "scores": 2}
"""Name -> dimensions."""
_SIZE_TYPES: dict[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
}


class RtDetr(Family):
    """RT-DETR, RT-DETRv2, D-FINE or DEIM. See the module for its layout."""

    family = "rt-detr"
    picture = Picture("rgb", "stretch", std=UNIT)
    one_size = "anchors and position codes of a transformer are baked in for one input size"

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info)
        self._sizes = next((tensor for tensor in info.inputs if tensor.name == SIZES), None)
        self.names = names_for(info, None)

    @classmethod
    def mismatch(cls, info: ModelInfo) -> str | None:
        """Why `info` is not of this layout; None where it is."""
        shapes = {tensor.name: tensor.shape for tensor in info.outputs}
        for name, dimensions in OUTPUTS.items():
            if len(shapes.get(name, ())) != dimensions:
                return f"expected an output {name!r} of {dimensions} dimensions"
        if shapes["boxes"][2] not in (4, None):
            return f"expected 4 values in each of 'boxes', got {shapes['boxes'][2]}"
        others = [tensor for tensor in info.inputs if len(tensor.shape) != 4]
        if any(tensor.name != SIZES or tensor.dtype not in _SIZE_TYPES for tensor in others):
            return f"expected no input besides the picture and {SIZES!r}, got {'; '.join(map(str, others))}"
        return image_mismatch(info)

    def preprocess(self, frame: Frame, rung: Rung) -> tuple[Outputs, Letterbox]:
        """Model inputs by name, and the stretch to undo."""
        feeds, letterbox = super().preprocess(frame, rung)
        if self._sizes is not None:
            feeds[SIZES] = _sizes(self._sizes, rung)
        return feeds, letterbox

    def decode(self, outputs: Outputs, letterbox: Letterbox, frame: Frame, min_score: float) -> Detections:
        """Outputs to detections, best first; there is nothing to suppress.

        Raises:
            ModelError: an output's shape does not fit, or a class has no name.
        """
        boxes = output(outputs, "boxes", 4, self.family)
        scores = column(outputs, "scores", self.family)
        labels = column(outputs, "labels", self.family)
        if not len(boxes) == len(scores) == len(labels):
            raise ModelError(
                f"{self.family}: got {len(boxes)} boxes, {len(scores)} scores and {len(labels)} labels, "
                "expected as many of each"
            )
        likely = np.flatnonzero(scores >= min_score)
        likely = likely[np.argsort(-scores[likely], kind="stable")]
        kinds = labels[likely].astype(np.int32)
        expect_labels(kinds, self.names, self.family)
        return finish(boxes[likely], scores[likely], kinds, self.names, letterbox, frame)


class DeimV2(RtDetr):
    """DEIMv2 with a DINOv3 backbone (S and up): the same layout, other values. Only used where named."""

    family = "deimv2"
    picture = Picture("rgb", "stretch", mean=IMAGENET_MEAN, std=IMAGENET_STD)

    @classmethod
    def doubt(cls, info: ModelInfo) -> str | None:
        """Nothing in the file tells it from RT-DETR."""
        return "looks as rt-detr does; set inference.family if it is DEIMv2-S or larger"


def _sizes(tensor: TensorInfo, rung: Rung) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return np.array([[rung.width, rung.height]] * (tensor.shape[0] or 1), _SIZE_TYPES[tensor.dtype])
