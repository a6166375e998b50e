"""Small ONNX graphs with the inputs and outputs of a family's exports, and its last step where it has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence[int | str]
FLOAT, HALF, BYTE, INT64, INT32 = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.UINT8,
    TensorProto.INT64,
    TensorProto.INT32,
)


@dataclass
class Graph:
    """A graph in the making. The picture is used (times zero), so that it stays an input."""

    picture: Dims
    name: str = "images"
    kind: int = FLOAT
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inputs.append(helper.make_tensor_value_info(self.name, self.kind, list(self.picture)))
        self.node("Cast", [self.name], "as_float", to=FLOAT)
        self.node("ReduceMean", ["as_float"], "mean", keepdims=0)
        self.constant("zero", np.array(0.0, np.float32))
        self.node("Mul", ["mean", "zero"], "nothing")

    def node(self, kind: str, inputs: list[str], output: str, **attributes: int) -> str:
        made = helper.make_node(kind, inputs, [output])
        made.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(made)
        return output

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def input(self, name: str, dims: Dims, kind: int = FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(dims)))
        return name

    def output(self, name: str, dims: Dims, kind: int = FLOAT) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, kind, list(dims)))

    def answer(self, name: str, value: NDArray[np.generic], dims: Dims | None = None) -> None:
        """An output that is always `value`, declared as `dims`."""
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        self.constant(f"{name}_value", value.astype(np.float32))
        self.node("Add", [f"{name}_value", "nothing"], f"{name}_float")
        self.node("Cast", [f"{name}_float"], name, to=kind)
        self.output(name, value.shape if dims is None else dims, kind)

    def save(self, metadata: dict[str, str] | None = None) -> bytes:
        graph = helper.make_graph(self.nodes, "made", self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        for key, value in (metadata or {}).items():
            model.metadata_props.add(key=key, value=value)
        data: bytes = model.SerializeToString()
        return data


def answering(
    outputs: Mapping[str, NDArray[np.generic]],
    picture: Dims,
    *,
    kind: int = FLOAT,
    name: str = "images",
    dims: dict[str, Dims] | None = None,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """A model that always answers `outputs`, each declared as `dims` says."""
    graph = Graph(picture, name, kind)
    for each, value in outputs.items():
        graph.answer(each, value, (dims or {}).get(each))
    return graph.save(metadata)


def rt_detr(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], labels: NDArray[np.int64], picture: Dims
) -> bytes:
    """The end of RT-DETR's export: boxes 0..1 (n, 4) times ``orig_target_sizes``, width and height twice."""
    graph = Graph(picture)
    graph.input("orig_target_sizes", ("N", 2), INT64)
    graph.node("Cast", ["orig_target_sizes"], "sizes", to=FLOAT)
    graph.node("Concat", ["sizes", "sizes"], "twice", axis=1)
    graph.constant("axis", np.array([1], np.int64))
    graph.node("Unsqueeze", ["twice", "axis"], "scale")
    graph.constant("shares", boxes[None])
    graph.node("Mul", ["shares", "scale"], "scaled")
    graph.node("Add", ["scaled", "nothing"], "boxes")
    graph.output("boxes", ("N", len(boxes), 4))
    graph.answer("scores", scores[None])
    graph.answer("labels", labels[None])
    return graph.save()


def picodet(rows: NDArray[np.float32], picture: Dims, *, im_shape: bool = False) -> bytes:
    """The end of PicoDet's export: rows (n, 6), boxes divided by ``scale_factor``, and their count."""
    graph = Graph(picture, "image")
    graph.input("scale_factor", (1, 2))
    if im_shape:
        graph.input("im_shape", (1, 2))
        graph.node("ReduceSum", ["im_shape"], "shape_sum", keepdims=0)
        graph.node("Mul", ["shape_sum", "zero"], "no_shape")
        graph.node("Add", ["nothing", "no_shape"], "less")
    graph.constant("turn", np.array([1, 0], np.int64))
    graph.node("Gather", ["scale_factor", "turn"], "across", axis=1)
    graph.node("Concat", ["across", "across"], "four", axis=1)
    graph.constant("kinds", rows[:, :2])
    graph.constant("corners", rows[:, 2:])
    graph.node("Div", ["corners", "four"], "unscaled")
    graph.node("Concat", ["kinds", "unscaled"], "joined", axis=1)
    graph.node("Add", ["joined", "less" if im_shape else "nothing"], "multiclass_nms3_0.tmp_0")
    graph.output("multiclass_nms3_0.tmp_0", ("n", 6))
    graph.answer("multiclass_nms3_0.tmp_2", np.array([len(rows)], np.int32))
    return graph.save()
