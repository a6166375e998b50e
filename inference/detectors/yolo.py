"""What the exports of YOLOv5 and its successors have in common: input, and how their outputs are told apart.

Input: (1, 3, h, w), RGB, 0..1, the picture centred on grey 114. An export with masks has a second output of
four dimensions, and YOLOv5's first exports had the raw maps beside the rows: both are ignored.
"""

from __future__ import annotations

from typing import ClassVar

from inference.detectors.base import Family, grid
from inference.detectors.metadata import given_names, strides_of, task_of
from inference.detectors.picture import UNIT, Picture, image_mismatch, input_size
from inference.model import ModelInfo, TensorInfo

PICTURE = Picture("rgb", "centred", fill=114.0, std=UNIT)
PYRAMIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
"""Strides of the usual heads, of those for 1280 pixels (P6), and of those for small objects (P2)."""
MAX_IOU = 0.5
CANDIDATES = 1000
"""Boxes looked at for suppression: a big input has dozens for each object, and faint ones count too."""


class Yolo(Family):
    """What YOLOv5 and its successors share: the picture, and one output of boxes.

    Attributes:
        layout: of the output, for messages.
    """

    picture = PICTURE
    layout: ClassVar[str]

    @classmethod
    def mismatch(cls, info: ModelInfo) -> str | None:
        """Why `info` could not be decoded as this family; None where it could."""
        if len(info.inputs) != 1:
            return f"expected one input (1, 3, h, w), got {len(info.inputs)}"
        reason = image_mismatch(info) or task_mismatch(info)
        if reason is not None:
            return reason
        tensor = rows_tensor(info)
        if tensor is None:
            return f"expected one output {cls.layout} of 3 dimensions"
        return cls.values_mismatch(info, tensor)

    @classmethod
    def values_mismatch(cls, info: ModelInfo, tensor: TensorInfo) -> str | None:
        """Why the one output does not hold this family's values."""
        raise NotImplementedError


def rows_tensor(info: ModelInfo) -> TensorInfo | None:
    """The one output of three dimensions; None where there are none or several, or others of fewer."""
    rows = [tensor for tensor in info.outputs if len(tensor.shape) == 3]
    maps = [tensor for tensor in info.outputs if len(tensor.shape) in (4, 5)]
    return rows[0] if len(rows) == 1 and len(rows) + len(maps) == len(info.outputs) else None


def cell_counts(info: ModelInfo) -> frozenset[int]:
    """How many cells the usual pyramids have on the model's input; empty where its size is open."""
    size = input_size(info)
    if size is None:
        return frozenset()
    pyramids = (strides_of(info, ()),) if "vitrine.strides" in info.metadata else PYRAMIDS
    return frozenset(len(grid(size.width, size.height, strides).cells) for strides in pyramids)


def has_extras(info: ModelInfo) -> bool:
    """Whether its rows end in more than classes: masks' coefficients or key points."""
    return task_of(info) in ("segment", "pose") or any(len(tensor.shape) == 4 for tensor in info.outputs)


def class_count(info: ModelInfo, width: int | None, before: int) -> int | None:
    """Classes in rows of `width` values of which `before` come first; None where it cannot be known."""
    if width is None:
        return None
    if has_extras(info):
        names = given_names(info)
        if names is not None and before + len(names) <= width:
            return len(names)
        maps = [tensor.shape[1] for tensor in info.outputs if len(tensor.shape) == 4]
        extra = maps[0] if maps and maps[0] else 0
        return width - before - extra if width - before > extra else width - before
    return width - before


def width_doubt(info: ModelInfo, width: int | None, before: int) -> str | None:
    """Why rows of `width` values do not hold `before` values and the classes that `info` names."""
    names = given_names(info)
    if names is None or width is None:
        return None
    wanted = before + len(names)
    if width == wanted or (width > wanted and has_extras(info)):
        return None
    return f"expected {wanted} values a row for its {len(names)} class names, got {width}"


def says_end2end(info: ModelInfo) -> bool:
    """Whether the exporter noted that suppression is inside: ``end2end``, or ``nms`` among its ``args``."""
    said = info.metadata.get("end2end", "").strip().lower() == "true"
    return said or "'nms': True" in info.metadata.get("args", "")


def task_mismatch(info: ModelInfo) -> str | None:
    """Why an Ultralytics export is for another task; None for those whose boxes can be used."""
    task = task_of(info)
    if task in ("", "detect", "segment", "pose"):
        return None
    return f"it was exported for the task {task!r}, expected detect, segment or pose"
