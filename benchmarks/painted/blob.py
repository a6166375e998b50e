"""A detector family that finds one saturated green object and takes as long as it is told.

It goes in by the documented way (`inference.detectors.base.FAMILIES` plus metadata in the model file), so the
engine around it is the real one. The model file itself only passes the picture through.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from inference.detectors.base import FAMILIES, Outputs, finish, picture_into
from inference.model import ModelInfo
from inference.types import Detections, Letterbox, Rung
from stream.types import Frame

NAMES = ("object",)
RUNG = Rung(416, 256)
ONE_RUNG = (f"{RUNG.width}x{RUNG.height}",)
"""As `inference.rungs`: the ladder would make smaller ones, and the benchmarks want one."""

TAKES_MS = "benchmark.takes_ms"


def register() -> None:
    """Make the family known to this process."""
    FAMILIES["blob"] = "benchmarks.painted.blob:Blob"


def write_model(path: Path, takes_ms: int) -> Path:
    """Write a model file of the family: identity, with how long a detection is to take in its metadata."""
    shape = (1, 3, RUNG.height, RUNG.width)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["picture"], ["same"])],
        "blob",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    facts = {"vitrine.family": "blob", "vitrine.names": '["object"]', TAKES_MS: str(takes_ms)}
    for key, value in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(path))
    return path


def write_embedder(path: Path, dim: int = 8) -> Path:
    """Write an embedder that answers the same unit vector to every crop: the object is always the product."""
    picture = helper.make_tensor_value_info("crops", TensorProto.FLOAT, ("n", 3, 64, 64))
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ("n", dim))
    one = helper.make_tensor("one", TensorProto.FLOAT, (1, dim), [1.0] + [0.0] * (dim - 1))
    nodes = [
        helper.make_node("ReduceMean", ["crops"], ["grey"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Flatten", ["grey"], ["column"]),
        helper.make_node("Mul", ["column", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "one"], ["vectors"]),
    ]
    zero = helper.make_tensor("zero", TensorProto.FLOAT, (1,), [0.0])
    graph = helper.make_graph(nodes, "constant", [picture], [vectors], [one, zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


class Blob:
    """The family: see the module."""

    family = "blob"

    def __init__(self, info: ModelInfo) -> None:
        self._takes_ns = int(info.metadata.get(TAKES_MS, "0")) * 1_000_000
        self._names = info.names(NAMES)

    @staticmethod
    def mismatch(info: ModelInfo) -> str | None:
        """Only a file that names the family is of it."""
        return "its metadata does not say vitrine.family = blob"

    @property
    def names(self) -> tuple[str, ...]:
        """One class."""
        return self._names

    def preprocess(self, frame: Frame, rung: Rung) -> tuple[dict[str, NDArray[np.generic]], Letterbox]:
        """The picture as float32 planes, BGR."""
        planes, letterbox = picture_into(frame, rung, 114.0)
        return {"picture": planes}, letterbox

    def decode(self, outputs: Outputs, letterbox: Letterbox, frame: Frame, min_score: float) -> Detections:
        """Find the object, then wait until the time a detection is to take is over."""
        began = time.monotonic_ns()
        box = find(np.asarray(outputs["same"], np.float32)[0])
        time.sleep(max(0, self._takes_ns - (time.monotonic_ns() - began)) / 1e9)
        if box is None:
            return Detections.empty(self._names)
        return finish(
            np.array([box], np.float32),
            np.ones(1, np.float32),
            np.zeros(1, np.int32),
            self._names,
            letterbox,
            frame,
        )


def find(planes: NDArray[np.float32]) -> tuple[float, float, float, float] | None:
    """Box of the green object in BGR planes (3, h, w), 0..255, to a fraction of a pixel; None without one.

    The weight of a pixel is how green it is, so an edge that lies within a pixel counts by its share.
    """
    blue, green, red = planes
    weight = np.clip((green - np.maximum(blue, red) - 60.0) / 100.0, 0.0, 1.0)
    if float(weight.sum()) < 40.0:
        return None
    # An encoder in need leaves specks of green where the object was: only what is near the bulk counts.
    near = [slice(*_around(weight.sum(axis=axis))) for axis in (1, 0)]
    bulk = weight[near[0], near[1]]
    across, down = bulk.sum(axis=0), bulk.sum(axis=1)
    total = float(across.sum())
    x = near[1].start + float((across * (np.arange(across.size) + 0.5)).sum()) / total
    y = near[0].start + float((down * (np.arange(down.size) + 0.5)).sum()) / total
    # across[x] is the object's height there, so total / height is its width; down[y] the other way round.
    width, height = (total / max(1.0, float(np.percentile(sums[sums > 1], 80))) for sums in (across, down))
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _around(sums: NDArray[np.float32], reach: int = 34) -> tuple[int, int]:
    """First and last index plus one within `reach` of the weighted median."""
    middle = int(np.searchsorted(np.cumsum(sums), float(sums.sum()) / 2))
    return max(0, middle - reach), min(sums.size, middle + reach + 1)
