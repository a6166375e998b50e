"""Writing the ONNX files: folded graphs, metadata, and the same file at other picture sizes."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn


def to_onnx(
    net: nn.Module, example: torch.Tensor, names: tuple[str, ...], dynamic: dict[str, dict[int, str]]
) -> onnx.ModelProto:
    """Trace `net` (opset 17), batch norms folded; `names`: the input, the outputs; `dynamic` frees axes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(), (example,), buffer, input_names=[names[0]], output_names=list(names[1:]),
            opset_version=17, dynamic_axes=dynamic, dynamo=False,
        )  # fmt: skip
    model = onnx.load_from_string(buffer.getvalue())
    del model.graph.value_info[:]
    return model


def save(model: onnx.ModelProto, metadata: dict[str, str], path: Path) -> None:
    """Check, stamp with metadata and replace `path` in one step."""
    del model.metadata_props[:]
    for key, value in sorted(metadata.items()):
        model.metadata_props.add(key=key, value=value)
    model.producer_name, model.producer_version, model.doc_string = "vitrine.training", "", ""
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    onnx.save(model, str(partial))
    partial.replace(path)


def at_size(path: Path, height: int, width: int) -> bytes:
    """The model's bytes with the input dimensions rewritten, as the resolution ladder does."""
    model = onnx.load(str(path))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    del model.graph.value_info[:]
    for dim in model.graph.output[0].type.tensor_type.shape.dim[1:2]:
        dim.dim_param = "anchors"
    return model.SerializeToString()
