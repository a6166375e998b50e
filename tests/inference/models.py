"""Small ONNX models made on the spot, and frames cut from real clips."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import onnx
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inference.detectors.base import grid
from stream.pixels import AvPixels
from stream.types import Frame, MediaTime, stream_id

CLIP = stream_id("clip")
Floats = NDArray[np.float32]


def frame_of(picture: av.VideoFrame, number: int = 0) -> Frame:
    """A decoded picture as frame `number` at 30 fps."""
    pixels = AvPixels(picture, VideoReformatter())
    return Frame(CLIP, MediaTime(1, number * 3000), number * 33_333_333, 0, 0, pixels)


@lru_cache(maxsize=8)
def clip(path: Path, numbers: tuple[int, ...]) -> tuple[Frame, ...]:
    """Frames `numbers` (increasing) of a video file."""
    frames = []
    with av.open(str(path)) as container:
        for at, picture in enumerate(container.decode(video=0)):
            if at in numbers:
                frames.append(frame_of(picture, at))
            if at >= numbers[-1]:
                break
    return tuple(frames)


def painted(width: int, height: int, box: tuple[int, int, int, int], number: int = 0) -> Frame:
    """A grey picture with a red rectangle (x0 y0 x1 y1, pixels)."""
    array = np.full((height, width, 3), 90, np.uint8)
    array[box[1] : box[3], box[0] : box[2]] = (230, 20, 20)
    return frame_of(av.VideoFrame.from_ndarray(array, format="rgb24"), number)


def _save(graph: onnx.GraphProto, metadata: dict[str, str] | None = None) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    data: bytes = model.SerializeToString()
    return data


def _value(name: str, shape: list[int | str], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def constant_model(
    outputs: dict[str, Floats], input_shape: tuple[int, ...], metadata: dict[str, str] | None = None
) -> bytes:
    """A model that answers the same whatever it sees; its input is used, so that it stays an input."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    constants = [numpy_helper.from_array(np.array(0.0, np.float32), "zero")]
    for name, value in outputs.items():
        constants.append(numpy_helper.from_array(value, f"{name}_value"))
        nodes.append(helper.make_node("Add", [f"{name}_value", "nothing"], [name]))
    graph = helper.make_graph(
        nodes,
        "constant",
        [_value("image", list(input_shape))],
        [_value(name, list(value.shape)) for name, value in outputs.items()],
        constants,
    )
    return _save(graph, metadata)


def yolox_rows(boxes: list[tuple[float, float, float, float, float, int]], size: int, classes: int) -> Floats:
    """YOLOX output of a `size` x `size` model that holds exactly `boxes`.

    Args:
        boxes: centre x, centre y, width, height in model pixels, score, class.
        size: of the input.
        classes: how many.
    """
    cells = grid(size, size, (8, 16, 32))
    rows = np.zeros((1, len(cells.cells), 5 + classes), np.float32)
    for x, y, width, height, score, label in boxes:
        at = int(y // 16) * (size // 16) + int(x // 16) + (size // 8) ** 2
        rows[0, at, :2] = x / 16 - x // 16, y / 16 - y // 16
        rows[0, at, 2:4] = np.log([width / 16, height / 16])
        rows[0, at, 4], rows[0, at, 5 + label] = score, 1.0
    return rows


def yolox_model(boxes: list[tuple[float, float, float, float, float, int]], size: int = 64) -> bytes:
    """A two-class YOLOX model that always sees `boxes`; see `yolox_rows`."""
    rows = yolox_rows(boxes, size, 2)
    names = {"vitrine.names": json.dumps(["product", "person"])}
    return constant_model({"output": rows}, (1, 3, size, size), names)


def bright_yolox(box: tuple[float, float, float, float], size: int = 64) -> bytes:
    """A YOLOX model for any number of pictures that sees `box` in each, as surely as that one is bright."""
    rows = yolox_rows([(*box, 0.0, 0)], size, 2)
    score = np.zeros((1, 1, rows.shape[2]), np.float32)
    score[0, 0, 4] = 1 / 255
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "last"], ["light"]),
        helper.make_node("Mul", ["light", "score"], ["sure"]),
        helper.make_node("Add", ["rows", "sure"], ["output"]),
    ]
    constants = [
        numpy_helper.from_array(rows, "rows"),
        numpy_helper.from_array(score, "score"),
        numpy_helper.from_array(np.array([3]), "last"),
    ]
    inputs, outputs = [_value("image", ["n", 3, size, size])], [_value("output", ["n", *rows.shape[1:]])]
    names = {"vitrine.names": json.dumps(["product", "person"]), "vitrine.family": "yolox"}
    return _save(helper.make_graph(nodes, "bright", inputs, outputs, constants), names)


def slow_model(layers: int = 40, side: int = 512) -> bytes:
    """A chain of matrix products: hundreds of milliseconds, interruptible between any two."""
    weight = np.eye(side, dtype=np.float32)
    nodes = [helper.make_node("MatMul", [f"x{i}", "w"], [f"x{i + 1}"]) for i in range(layers)]
    graph = helper.make_graph(
        nodes,
        "slow",
        [_value("x0", [side, side])],
        [_value(f"x{layers}", [side, side])],
        [numpy_helper.from_array(weight, "w")],
    )
    return _save(graph)


def colour_embedder(size: int = 16, metadata: dict[str, str] | None = None) -> bytes:
    """An embedder whose vector is the mean colour plus a constant: (n, 3, size, size) to (n, 4)."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceSum", ["colour", "axis"], ["sum"], keepdims=1),
        helper.make_node("Concat", ["colour", "sum"], ["embedding"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [_value("input", ["n", 3, size, size])],
        [_value("embedding", ["n", 4])],
        [numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )
    spec = {"vitrine.input": json.dumps({"size": size, "order": "RGB", "range": "0..255"})}
    return _save(graph, spec if metadata is None else metadata)
