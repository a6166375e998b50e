"""What an exported model file is and leaves open, settled: its family, its class names, its input sizes."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inference.detectors.base import FAMILY_KEY, USUAL_SIZE, Family, make_detector
from inference.detectors.metadata import exported_size
from inference.detectors.picture import input_size
from inference.errors import AmbiguousModel, ModelError
from inference.ladder import default_rungs, rewrite
from inference.model import ModelInfo, TensorInfo
from inference.runtime import OrtModel, RunOk, RuntimeSettings
from inference.types import Detector, Rung

log = logging.getLogger(__name__)

_BLANK: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
"""Types of inputs that a trial run can fill."""


def native_rung(info: ModelInfo) -> Rung | None:
    """The input size a model was exported with; None where it is left open."""
    return input_size(info)


def told(info: ModelInfo, family: str, names: tuple[str, ...]) -> ModelInfo:
    """`info` with what the configuration says of it, which goes before the file's; empty says nothing."""
    said: dict[str, str] = {}
    if family:
        said[FAMILY_KEY] = family
    if names:
        said["vitrine.names"] = json.dumps(names)
    return replace(info, metadata=info.metadata | said) if said else info


def wanted_rungs(detector: Detector, info: ModelInfo, rungs: Sequence[Rung] | None) -> list[Rung]:
    """The ladder to build, largest first.

    Raises:
        ModelError: sizes were asked for that the family cannot have.
    """
    size = native_rung(info)
    reason = detector.one_size if isinstance(detector, Family) else ""
    if rungs is not None:
        if reason and size is not None and set(rungs) != {size}:
            asked = ", ".join(f"{rung.width}x{rung.height}" for rung in rungs)
            raise ModelError(
                f"{info.path}: got rungs {asked}, expected its own size {size.width}x{size.height} only "
                f"({detector.family}: {reason}); leave rungs out, or export the model at another size"
            )
        wanted = tuple(rungs)
    elif reason:
        wanted = (size or _usual(detector, info),)
    else:
        wanted = default_rungs(size or _usual(detector, info))
    return sorted(set(wanted), key=lambda rung: rung.width * rung.height, reverse=True)


def _usual(detector: Detector | None, info: ModelInfo) -> Rung:
    """The size to run a model at whose file leaves it open."""
    usual = detector.usual_size if isinstance(detector, Family) else USUAL_SIZE
    return exported_size(info) or usual


def family_detector(
    native: OrtModel, data: bytes, info: ModelInfo, rungs: Sequence[Rung] | None, runtime: RuntimeSettings
) -> Detector:
    """The family's detector; where the file leaves shapes open that matter, one run shows them.

    Raises:
        ModelError: no family fits, or several do even then.
    """
    try:
        return make_detector(info)
    except AmbiguousModel:
        sized = native
        if native_rung(info) is None:
            sized = session_at(data, rungs[0] if rungs else _usual(None, info), info, runtime)
        seen = replace(info, inputs=sized.info.inputs, outputs=_observed(sized))
        detector = make_detector(seen)
        log.info("family found by a trial run", extra={"model": info.path, "family": detector.family})
        return detector


def _observed(model: OrtModel) -> tuple[TensorInfo, ...]:
    """The outputs with the shapes that a run on a black picture has.

    Raises:
        ModelError: the model does not run.
    """
    feeds: dict[str, NDArray[np.generic]] = {}
    for tensor in model.info.inputs:
        dtype = _BLANK.get(tensor.dtype)
        if dtype is None:
            raise ModelError(f"{model.info.path}: input {tensor}: expected one of {', '.join(_BLANK)}")
        feeds[tensor.name] = np.ones([side or 1 for side in tensor.shape], dtype)
    outcome = model.run(feeds)
    if not isinstance(outcome, RunOk):
        raise ModelError(f"the model does not run: {outcome}")
    return tuple(
        replace(tensor, shape=tuple(side or None for side in outcome.outputs[tensor.name].shape))
        for tensor in model.info.outputs
    )


def session_at(data: bytes, rung: Rung, info: ModelInfo, runtime: RuntimeSettings) -> OrtModel:
    """A session at another input size.

    Raises:
        ModelError: the graph cannot be rewritten, or does not load.
    """
    name = f"{info.path} at {rung.width}x{rung.height}"

    def made() -> bytes:
        return rewrite(data, rung, info.path)

    return OrtModel(made(), runtime, path=name, remake=made)
