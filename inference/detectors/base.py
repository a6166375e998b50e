"""Which family a model belongs to, and what the families share. Pure: no session, no state.

To add a family: write ``inference/detectors/x.py`` with a class that satisfies `DetectorFamily` (`Family` is
most of it), add one line to `FAMILIES`, and add the family to the contract suite in
``tests/inference/detectors``.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import ClassVar, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from inference.detectors.picture import ImageInput, Picture, image_mismatch, inner_of
from inference.errors import AmbiguousModel, ModelError
from inference.geometry import fit, unletterbox
from inference.model import ModelInfo
from inference.types import Detections, Detector, Letterbox, Rung
from stream.types import Frame

FAMILIES: dict[str, str] = {
    "yolox": "inference.detectors.yolox:YoloX",
    "nanodet": "inference.detectors.nanodet:NanoDet",
    "nanodet-plus": "inference.detectors.nanodet:NanoDetPlus",
    "yolov5": "inference.detectors.yolov5:YoloV5",
    "yolov8": "inference.detectors.yolov8:YoloV8",
    "yolo-end2end": "inference.detectors.end2end:EndToEnd",
    "rt-detr": "inference.detectors.rtdetr:RtDetr",
    "deimv2": "inference.detectors.rtdetr:DeimV2",
    "rt-detr-logits": "inference.detectors.detr:RtDetrLogits",
    "rf-detr": "inference.detectors.detr:RfDetr",
    "detr": "inference.detectors.detr:Detr",
    "picodet": "inference.detectors.picodet:PicoDet",
    "pp-yoloe": "inference.detectors.picodet:PpYoloE",
    "ssd": "inference.detectors.ssd:Ssd",
}
"""Family name -> ``module:Class``, imported on use."""

FAMILY_KEY = "vitrine.family"
"""Metadata key by which a model file names its own family."""

USUAL_SIZE = Rung(640, 640)
"""What a model is run at whose file leaves the size open, where its family has no other habit."""

Outputs = dict[str, NDArray[np.generic]]


class DetectorFamily(Protocol):
    """The class of a family. Calling it makes a `Detector` for one model.

    Optional: ``doubt(info)``, ``one_size`` and ``usual_size``; see `Family`.
    """

    def __call__(self, info: ModelInfo) -> Detector:
        """A detector for `info`.

        Raises:
            ModelError: `info` is not of this family (got, expected).
        """

    def mismatch(self, info: ModelInfo) -> str | None:
        """Why `info` is not of this family, in words; None where it is. Looks at shapes, not at metadata."""


class Family:
    """What most families share: preprocessing by description. Subclasses are thread-safe.

    Attributes:
        family: registry name.
        picture: what the input is to look like.
        one_size: why a model exported for one input size works at that size only; empty where its input can
            be rewritten to others.
        usual_size: input size where the file leaves it open.
        names: class names by index.
    """

    family: ClassVar[str]
    picture: ClassVar[Picture]
    one_size: ClassVar[str] = ""
    usual_size: ClassVar[Rung] = USUAL_SIZE
    names: tuple[str, ...]

    def __init__(self, info: ModelInfo) -> None:
        reason = self.mismatch(info)
        if reason is not None:
            raise ModelError(f"{info.path}: not a {self.family} model: {reason}. {info.describe()}")
        self._image = ImageInput(info, self.picture)

    @classmethod
    def mismatch(cls, info: ModelInfo) -> str | None:
        """Why outputs of `info` could not be decoded as this family; None where they could."""
        return image_mismatch(info)

    @classmethod
    def doubt(cls, info: ModelInfo) -> str | None:
        """Why `info`, which could be decoded, is nevertheless taken for another family unless it is named."""
        return None

    def preprocess(self, frame: Frame, rung: Rung) -> tuple[Outputs, Letterbox]:
        """Model inputs by name, and the letterbox to undo."""
        image, letterbox = self._image.feed(frame, rung)
        return {self._image.name: image}, letterbox


def family_class(name: str) -> DetectorFamily:
    """The class registered as `name`.

    Raises:
        ModelError: no such family; lists the known ones.
    """
    path = FAMILIES.get(name)
    if path is None:
        raise ModelError(f"detector family: got {name!r}, expected one of {', '.join(FAMILIES)}")
    module, _, attribute = path.partition(":")
    return cast(DetectorFamily, getattr(importlib.import_module(module), attribute))


def detect_family(model_info: ModelInfo) -> str:
    """The family of a model: what its metadata ``vitrine.family`` says, else the only one that fits.

    Raises:
        AmbiguousModel: several fit, because the file leaves shapes open.
        ModelError: the metadata names an unknown family, or no family fits; says what was seen and tried.
    """
    named = model_info.metadata.get(FAMILY_KEY)
    if named is not None:
        family_class(named)
        return named
    reasons, fits = [], []
    for name in FAMILIES:
        reason = _reason_against(family_class(name), model_info)
        if reason is None:
            fits.append(name)
        else:
            reasons.append(f"{name}: {reason}")
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise AmbiguousModel(
            f"{model_info.path}: could be {' or '.join(fits)}. {model_info.describe()}. Name its family: "
            f"inference.family, or metadata {FAMILY_KEY}."
        )
    raise ModelError(
        f"{model_info.path}: fits no detector family. {model_info.describe()}. Tried {'; '.join(reasons)}. "
        f"Export the model in one of these layouts, or name its family: inference.family, or metadata "
        f"{FAMILY_KEY}."
    )


def _reason_against(family: DetectorFamily, info: ModelInfo) -> str | None:
    reason = family.mismatch(info)
    if reason is None and isinstance(family, type) and issubclass(family, Family):
        reason = family.doubt(info)
    return reason


def make_detector(model_info: ModelInfo) -> Detector:
    """The detector for a model, its family found by `detect_family`.

    Raises:
        ModelError: no family fits, or several do.
    """
    return family_class(detect_family(model_info))(model_info)


def picture_into(
    frame: Frame, rung: Rung, fill: float, *, centred: bool = False
) -> tuple[NDArray[np.float32], Letterbox]:
    """Scale `frame` once, straight to its letterboxed size, and write it as planes.

    Returns:
        float32 (1, 3, rung.height, rung.width), BGR 0..255, `fill` where there is no picture; the letterbox.
    """
    letterbox, width, height = fit(frame.pixels.width, frame.pixels.height, rung, centred=centred)
    planes = np.full((1, 3, rung.height, rung.width), fill, np.float32)
    red, green, blue = frame.pixels.planes(width, height)
    inner_of(planes[0], letterbox, width, height)[...] = (blue, green, red)
    return planes, letterbox


def output(
    outputs: Outputs, name: str, width: int | None, family: str, *, at_least: int = 1
) -> NDArray[np.float32]:
    """Output `name` of the first picture of the batch, checked to be floating point (rows, `width`).

    Without `width`, rows of `at_least` so many values.

    Raises:
        ModelError: absent, or another shape or type (got, expected).
    """
    array = present(outputs, name, family)
    fits = array.ndim == 3 and array.shape[0] >= 1 and array.dtype.kind == "f"
    if not fits or width not in (array.shape[2], None) or array.shape[2] < at_least:
        wanted = f">= {at_least}" if width is None else str(width)
        raise ModelError(
            f"{family}: output {name!r}: got {array.dtype} {array.shape}, expected float (1, n, {wanted})"
        )
    return cast("NDArray[np.float32]", array[0].astype(np.float32, copy=False))


def column(outputs: Outputs, name: str, family: str) -> NDArray[np.float32]:
    """Output `name` of the first picture of the batch, checked to be numbers (n,).

    Raises:
        ModelError: absent, or another shape (got, expected).
    """
    array = present(outputs, name, family)
    if array.ndim != 2 or array.shape[0] < 1 or array.dtype.kind not in "fiu":
        raise ModelError(
            f"{family}: output {name!r}: got {array.dtype} {array.shape}, expected numbers (1, n)"
        )
    return cast("NDArray[np.float32]", array[0].astype(np.float32, copy=False))


def present(outputs: Outputs, name: str, family: str) -> NDArray[np.generic]:
    """Output `name` as it is.

    Raises:
        ModelError: absent; says which there are.
    """
    array = outputs.get(name)
    if array is None:
        raise ModelError(f"{family}: expected an output {name!r}, got {', '.join(outputs) or 'none'}")
    return array


def first_count(outputs: Outputs, name: str, family: str) -> int:
    """The first number of output `name`: how many rows the first picture has; 0 where that is no number.

    Raises:
        ModelError: absent, empty or no numbers (got, expected).
    """
    array = present(outputs, name, family).ravel()
    if not len(array) or array.dtype.kind not in "fiu":
        raise ModelError(f"{family}: output {name!r}: got {array.dtype} {array.shape}, expected a count")
    return int(np.nan_to_num(array[:1].astype(np.float64))[0])


def corners(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes as centre x, y, width, height to x0 y0 x1 y1: (n, 4) to (n, 4)."""
    half = rows[:, 2:4] * np.float32(0.5)
    return np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)


def expect_labels(labels: NDArray[np.int32], names: tuple[str, ...], family: str) -> None:
    """Check that every label has a name.

    Raises:
        ModelError: it has not (got, expected).
    """
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(names):
        raise ModelError(
            f"{family}: got class {int(labels.max())} (lowest {int(labels.min())}) with {len(names)} names; "
            "put all class names into metadata vitrine.names (a JSON list) or into inference.names"
        )


class Grid(NamedTuple):
    """The cells of a feature pyramid, in the order of the output rows."""

    cells: NDArray[np.float32]
    strides: NDArray[np.float32]


@lru_cache(maxsize=64)
def grid(width: int, height: int, strides: tuple[int, ...]) -> Grid:
    """The cells of a `width` x `height` input: ceil(size / stride) each way, row by row, level by level.

    Returns:
        cells: float32 (n, 2), column and row; strides: float32 (n, 1). Shared: do not write to them.
    """
    cells, steps = [], []
    for stride in strides:
        columns, rows = -(-width // stride), -(-height // stride)
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        steps.append(np.full((rows * columns, 1), stride))
    return Grid(np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32))


def expect_rows(got: int, cells: Grid, letterbox: Letterbox, family: str) -> None:
    """Check that an output has one row per cell.

    Raises:
        ModelError: it has not (got, expected).
    """
    if got != len(cells.cells):
        raise ModelError(
            f"{family}: got {got} output rows, expected {len(cells.cells)} for an input of "
            f"{letterbox.width}x{letterbox.height}: other strides, or the input size is baked into the graph"
        )


def finish(
    boxes_px: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.int32],
    names: tuple[str, ...],
    letterbox: Letterbox,
    frame: Frame,
) -> Detections:
    """Boxes in pixels of the model's input, best first, to `Detections`; boxes without area are dropped."""
    boxes = unletterbox(boxes_px, letterbox, frame.pixels.width, frame.pixels.height)
    solid = (boxes[:, 2] - boxes[:, 0] > 1e-4) & (boxes[:, 3] - boxes[:, 1] > 1e-4)
    if not solid.all():
        boxes, scores, labels = boxes[solid], scores[solid], labels[solid]
    most = np.minimum(scores, np.float32(1.0)).astype(np.float32, copy=False)  # rounding, or a broken model
    return Detections(boxes, most, labels.astype(np.int32), names)
