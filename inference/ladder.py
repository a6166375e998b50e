"""The resolution ladder: one model file at several input sizes, by rewriting its input dimensions.

Works for YOLOX, NanoDet-Plus and for exports that leave the size open. NanoDet-m and FastestDet have the size
baked into Reshape constants (ShuffleNet's channel shuffle), YOLOv5's and YOLOv8's fixed exports into their
anchors: they are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx
from onnx import shape_inference

from inference.errors import ModelError
from inference.types import Rung

STEP = 32
"""Sides of a rung are multiples of the coarsest common stride."""


def default_rungs(native: Rung) -> tuple[Rung, ...]:
    """The ladder under `native`, largest first: 1, 0.77, 0.54 of its sides in steps of 32 pixels."""
    rungs: dict[Rung, None] = {native: None}
    for share in (0.77, 0.54):
        width = max(STEP * 3, round(native.width * share / STEP) * STEP)
        height = max(STEP * 3, round(native.height * share / STEP) * STEP)
        if width <= native.width and height <= native.height:
            rungs[Rung(width, height)] = None
    return tuple(rungs)


def check_rungs(rungs: Sequence[Rung]) -> None:
    """Check sizes asked for.

    Raises:
        ModelError: none, or a side that is not a positive multiple of 32 up to 2048 pixels.
    """
    bad = [rung for rung in rungs if not all(0 < side <= 2048 and side % STEP == 0 for side in rung[:2])]
    if bad or not rungs:
        seen = ", ".join(f"{rung.width}x{rung.height}" for rung in bad) or "none"
        raise ModelError(f"rungs: got {seen}, expected sizes whose sides are multiples of {STEP} up to 2048")


def rewrite(model: bytes, rung: Rung, path: str = "model") -> bytes:
    """`model` with its image input set to `rung`.

    Args:
        model: an ONNX file's bytes.
        rung: the wanted input size.
        path: for error messages.

    Raises:
        ModelError: not ONNX, no single image input, or the size is baked into the graph.
    """
    try:
        proto = onnx.load_model_from_string(model)
    except Exception as error:  # protobuf's DecodeError has no stable import path
        raise ModelError(f"{path}: not a readable ONNX file ({error})") from error
    before = _outputs(proto)
    initial = {tensor.name for tensor in proto.graph.initializer}
    images = [
        value
        for value in proto.graph.input
        if value.name not in initial and len(value.type.tensor_type.shape.dim) == 4
    ]
    if len(images) != 1:
        raise ModelError(f"{path}: got {len(images)} image inputs, expected one of 4 dimensions")
    dims = images[0].type.tensor_type.shape.dim
    down, across = (1, 2) if dims[3].dim_value == 3 and dims[1].dim_value != 3 else (2, 3)
    old = Rung(dims[across].dim_value, dims[down].dim_value)
    if old == rung:
        return model
    open_size = not (old.width and old.height)
    _set(proto, dims[down], rung.height)
    _set(proto, dims[across], rung.width)
    if down == 2 and not dims[1].dim_value:
        _set(proto, dims[1], 3)
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        for dim in list(value.type.tensor_type.shape.dim)[1:]:
            dim.Clear()
    if not open_size:  # a graph with an open size was made for any
        _check(proto, before, old, rung, path)
    rewritten: bytes = proto.SerializeToString()
    return rewritten


def halved(model: bytes, convert: Callable[[object], object], path: str = "model") -> bytes:
    """`model` computing in 16-bit floating point, its inputs and outputs as they were.

    Args:
        model: an ONNX file's bytes.
        convert: `onnx.ModelProto` to the same in 16 bit.
        path: for error messages.

    Raises:
        ModelError: not ONNX, or something in it cannot be converted.
    """
    try:
        converted = convert(onnx.load_model_from_string(model))
        assert isinstance(converted, onnx.ModelProto)
        data: bytes = converted.SerializeToString()
    except Exception as error:  # the converter's errors share no base class
        raise ModelError(f"{path}: cannot be converted to 16 bit: {str(error).strip()[-200:]}") from error
    return data


def _set(proto: onnx.ModelProto, dim: onnx.TensorShapeProto.Dimension, value: int) -> None:
    """Give a dimension its value, and with it all inputs' dimensions of the same name (a mask's height)."""
    name = dim.dim_param
    dim.dim_value = value
    for tensor in proto.graph.input if name else ():
        for other in tensor.type.tensor_type.shape.dim:
            if other.dim_param == name:
                other.dim_value = value


def _check(proto: onnx.ModelProto, before: list[list[int]], old: Rung, rung: Rung, path: str) -> None:
    fix = f"use it at its own size {old.width}x{old.height} (rungs = none), or export it at each size"
    try:
        inferred = shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    except Exception as error:
        raise ModelError(
            f"{path}: cannot be used at {rung.width}x{rung.height}: {str(error).strip()[-200:]}; {fix}"
        ) from error
    known = all(size > 0 for shape in before for size in shape)
    if known and _outputs(inferred) == before and rung.width * rung.height != old.width * old.height:
        raise ModelError(
            f"{path}: its outputs keep the size of a {old.width}x{old.height} input when the input becomes "
            f"{rung.width}x{rung.height}: the size is baked into the graph; {fix}"
        )


def _outputs(proto: onnx.ModelProto) -> list[list[int]]:
    return [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in proto.graph.output]
