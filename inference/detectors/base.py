"""Which family a model belongs to, and what the families share. Pure: no session, no state.

To add a family: write ``inference/detectors/x.py`` with a class that satisfies `DetectorFamily`, add one line
to `FAMILIES`, and add the family to the contract suite in ``tests/inference/detectors``.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from inference.errors import ModelError
from inference.geometry import fit, unletterbox
from inference.model import ModelInfo
from inference.types import Detections, Detector, Letterbox, Rung
from stream.types import Frame

FAMILIES: dict[str, str] = {
    "yolox": "inference.detectors.yolox:YoloX",
    "nanodet": "inference.detectors.nanodet:NanoDet",
    "nanodet-plus": "inference.detectors.nanodet:NanoDetPlus",
}
"""Family name -> ``module:Class``, imported on use."""

FAMILY_KEY = "vitrine.family"
"""Metadata key by which a model file names its own family."""

Outputs = dict[str, NDArray[np.generic]]


class DetectorFamily(Protocol):
    """The class of a family. Calling it makes a `Detector` for one model."""

    def __call__(self, info: ModelInfo) -> Detector:
        """A detector for `info`.

        Raises:
            ModelError: `info` is not of this family (got, expected).
        """

    def mismatch(self, info: ModelInfo) -> str | None:
        """Why `info` is not of this family, in words; None where it is. Looks at shapes, not at metadata."""


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
    """The family of a model: what its metadata ``vitrine.family`` says, else the first whose shapes fit.

    Raises:
        ModelError: the metadata names an unknown family, or no family fits; says what was seen and tried.
    """
    named = model_info.metadata.get(FAMILY_KEY)
    if named is not None:
        family_class(named)
        return named
    reasons = []
    for name in FAMILIES:
        reason = family_class(name).mismatch(model_info)
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    raise ModelError(
        f"{model_info.path}: fits no detector family. {model_info.describe()}. Tried {'; '.join(reasons)}. "
        f"Export the model in one of these layouts or name its family in metadata {FAMILY_KEY}."
    )


def make_detector(model_info: ModelInfo) -> Detector:
    """The detector for a model, its family found by `detect_family`.

    Raises:
        ModelError: no family fits.
    """
    return family_class(detect_family(model_info))(model_info)


def picture_into(
    frame: Frame, rung: Rung, fill: float, *, centred: bool = False
) -> tuple[NDArray[np.float32], Letterbox]:
    """Scale `frame` once, straight to its letterboxed size, and write it as planes.

    Returns:
        float32 (1, 3, rung.height, rung.width), BGR 0..255, `fill` where there is no picture; the letterbox.
    """
    pixels = frame.pixels
    letterbox, width, height = fit(pixels.width, pixels.height, rung, centred=centred)
    picture = pixels.scaled(width, height, "bgr")
    planes = np.empty((1, 3, rung.height, rung.width), np.float32)
    top, left = int(letterbox.pad_y), int(letterbox.pad_x)
    planes[0, :, :top] = fill
    planes[0, :, top + height :] = fill
    planes[0, :, top : top + height, :left] = fill
    planes[0, :, top : top + height, left + width :] = fill
    for channel in range(3):
        planes[0, channel, top : top + height, left : left + width] = picture[:, :, channel]
    return planes, letterbox


def output(outputs: Outputs, name: str, width: int, family: str) -> NDArray[np.float32]:
    """Output `name` without its batch dimension, checked to be floating point (rows, `width`).

    Raises:
        ModelError: absent, or another shape or type (got, expected).
    """
    array = outputs.get(name)
    if array is None:
        raise ModelError(f"{family}: expected an output {name!r}, got {', '.join(outputs) or 'none'}")
    if array.ndim != 3 or array.shape[0] != 1 or array.shape[2] != width or array.dtype.kind != "f":
        raise ModelError(
            f"{family}: output {name!r}: got {array.dtype} {array.shape}, expected float (1, n, {width})"
        )
    return cast("NDArray[np.float32]", array[0].astype(np.float32, copy=False))


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
    return Detections(boxes, scores.astype(np.float32), labels.astype(np.int32), names)
