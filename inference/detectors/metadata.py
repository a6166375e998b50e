"""What a model file says of itself: class names, strides, and the notes exporters leave. Pure.

Keys of our own begin with ``vitrine.`` and hold JSON. Ultralytics exporters write ``names`` (a Python
literal, ``{0: 'person', ...}``), ``stride`` (the largest), ``task``, ``imgsz`` (``[height, width]``),
``end2end`` and ``args``; YOLOv5's writes ``names`` and ``stride`` only.
"""

from __future__ import annotations

import ast

from inference.detectors.coco import COCO_80, COCO_91
from inference.errors import ModelError
from inference.model import ModelInfo
from inference.types import Rung


def given_names(info: ModelInfo) -> tuple[str, ...] | None:
    """Class names that `info` holds: ``vitrine.names``, else what an exporter wrote; None where it has none.

    Raises:
        ModelError: ``vitrine.names`` is no list of names.
    """
    if "vitrine.names" in info.metadata:
        return info.names(())
    value = _literal(info.metadata.get("names", ""))
    if isinstance(value, dict) and set(value) == set(range(len(value))):
        value = [value[index] for index in range(len(value))]
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    return None


def names_for(info: ModelInfo, count: int | None) -> tuple[str, ...]:
    """The names of a model with `count` classes: its own, else COCO's, else made up (``class 0``...).

    A model of one class without names finds products. Without `count` (the outputs do not show it) COCO's 80.

    Raises:
        ModelError: it names more or fewer classes than its outputs have.
    """
    names = given_names(info)
    if names is not None:
        return expect_names(info, names, count)
    if count == 1:
        return ("product",)
    known = {None: COCO_80, 80: COCO_80, 90: COCO_91[1:], 91: COCO_91}
    return known.get(count) or tuple(f"class {index}" for index in range(count or 0))


def expect_names(info: ModelInfo, names: tuple[str, ...], count: int | None) -> tuple[str, ...]:
    """`names`, checked to be `count`.

    Raises:
        ModelError: they are not.
    """
    if count is not None and count != len(names):
        raise ModelError(
            f"{info.path}: got {count} classes in the output and {len(names)} names, expected as many. "
            "Put the class names into metadata vitrine.names (a JSON list) or into inference.names."
        )
    return names


def likely_classes(info: ModelInfo) -> int:
    """How many classes it probably has: as many as it names, else COCO's 80."""
    return len(given_names(info) or COCO_80)


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


def exported_size(info: ModelInfo) -> Rung | None:
    """The input size an exporter noted (``imgsz``); None where it did not."""
    value = _literal(info.metadata.get("imgsz", ""))
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 2:
        return None
    sides = [side for side in value if isinstance(side, int) and 32 <= side <= 2048]
    return Rung(sides[-1], sides[0]) if len(sides) == len(value) else None


def task_of(info: ModelInfo) -> str:
    """What an Ultralytics export is for (``"detect"``, ``"segment"``, ``"obb"``...); ``""`` where unknown."""
    return info.metadata.get("task", "")


def _literal(text: str) -> object:
    try:
        value: object = ast.literal_eval(text) if text and len(text) < 1_000_000 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value
