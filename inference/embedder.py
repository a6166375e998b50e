"""Crops to unit vectors with an ONNX embedder.

What a model wants of its input comes from metadata ``vitrine.input``, JSON such as ``{"size": 128, "order":
"rgb", "range": [0, 255]}`` with optional ``"mean"`` and ``"std"`` (three numbers each, applied after the
range), else from the conventions of well-known exports. Thresholds come from metadata
``vitrine.calibration``: ``{"exact": 0.6, "similar": 0.45, "margin": 0.05}``; where a class of objects is
easier or harder to tell apart, ``"classes": {"bottle": {"exact": 0.7}}`` sets its own for a detector's class.
With ``"relative": true`` the margin is for products whose catalogue pictures are a chord of 1 apart, and each
pair of products has its own, see `inference.evidence.Rules`. What a track that was seen from one side only
needs on top is ``"one_side": {"exact": 0.03, "margin": 0.1, "several": 0.65, "one": 0.92}``, see
`inference.evidence.OneSide`; nothing where absent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from inference.common import common
from inference.deadline import JobCancelled, RunHandle
from inference.errors import ModelError
from inference.evidence import Limits, OneSide
from inference.model import ModelInfo
from inference.runtime import OrtModel, RunCancelled, RunFailed

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BATCH = 8
"""Crops in one run where that pays: it does on a GPU, and seldom on a CPU."""
PAYS = 0.85
"""A batch has to take less than this share of what its crops take one by one."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Cosine thresholds that mean something for one embedder; see `inference.matcher.MatcherSettings`.

    Attributes:
        exact: for "this product".
        similar: for "something like it".
        margin: lead over the next product that "exact" needs.
        classes: the same three for some of the detector's classes.
        relative: each pair of products has a margin of its own, by how far apart their pictures lie.
        one_side: what "exact" needs on top for a track that was seen from one side only.
    """

    exact: float = 0.6
    similar: float = 0.45
    margin: float = 0.05
    classes: Mapping[str, Limits] = field(default_factory=dict)
    relative: bool = False
    one_side: OneSide = OneSide()

    def alike(self, share: float) -> float:
        """Cosine of two views that differ by `share` of what one article's views differ by at most."""
        return 1.0 - share * (1.0 - self.exact)

    @property
    def limits(self) -> Limits:
        """The thresholds of all classes without their own."""
        return Limits(self.exact, self.similar, self.margin)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What an embedder wants.

    Attributes:
        size: side of the square crop, pixels.
        planes: (n, 3, size, size); otherwise (n, size, size, 3).
        integer: uint8 0..255, nothing applied.
        scale: what 0..255 is multiplied with, per channel.
        offset: then added, per channel.
        bgr: channels reversed.
        fixed_batch: crops per run must be exactly this many; 0: any number.
    """

    size: int
    planes: bool
    integer: bool
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    bgr: bool
    fixed_batch: int


class OnnxEmbedder:
    """An `Embedder` on an ONNX model. Thread-safe.

    Attributes:
        calibration: thresholds for this model's cosines.
        batch: crops in one run, as the warm-up measured what pays: one by one a deadline stops sooner.

    Raises:
        ModelError: the model is no embedder: one square image in, one vector (n, d) out; or it does not run.
    """

    def __init__(self, model: OrtModel) -> None:
        self._model = model
        self._spec = input_spec(model.info)
        self._dim = _dimension(model.info)
        self._common = common(model.info, self._dim)
        self.calibration = calibration(model.info)
        model.warm_up()
        self.batch = self._spec.fixed_batch or self._measured()

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._dim

    @property
    def size(self) -> int:
        """Side of the crops, pixels."""
        return self._spec.size

    @property
    def model_hash(self) -> str:
        """sha256 of the model file."""
        return self._model.info.sha256

    def embed(self, crops: NDArray[np.uint8], handle: RunHandle | None = None) -> NDArray[np.float32]:
        """Crops uint8 (n, size, size, 3) RGB to unit float32 (n, dim). Blocking; call off the event loop.

        Raises:
            ModelError: the crops have another shape, or the model does not run.
            JobCancelled: `handle` was cancelled.
        """
        size = self._spec.size
        if crops.ndim != 4 or crops.shape[1:] != (size, size, 3) or crops.dtype != np.uint8:
            raise ModelError(f"crops: got {crops.dtype} {crops.shape}, expected uint8 (n, {size}, {size}, 3)")
        step = self.batch
        parts = [self._run(crops[i : i + step], handle) for i in range(0, len(crops), step)]
        return np.concatenate(parts) if parts else np.zeros((0, self._dim), np.float32)

    def queries(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors of `embed` as an index is searched with: the calibration is for the scores of these.

        Vectors of what looks like much else are shorter, see `inference.common`; what is kept, compared or
        put into an index stays unit.
        """
        return vectors if self._common is None else self._common.shortened(vectors)

    def _measured(self) -> int:
        """`BATCH` or 1, whichever is faster per crop here and now."""
        shape = (BATCH, self._spec.size, self._spec.size, 3)
        crops, took_ns = np.zeros(shape, np.uint8), {1: 0, BATCH: 0}
        for count in (BATCH, 1, BATCH, 1, BATCH, 1):  # in turns: a busy moment shall not decide
            began_ns = time.perf_counter_ns()
            self._run(crops[:count], None)
            spent_ns = time.perf_counter_ns() - began_ns
            took_ns[count] = min(took_ns[count] or spent_ns, spent_ns)
        return batch_that_pays(took_ns[1], took_ns[BATCH], BATCH)

    def _run(self, crops: NDArray[np.uint8], handle: RunHandle | None) -> NDArray[np.float32]:
        spec, count = self._spec, len(crops)
        if spec.fixed_batch and count < spec.fixed_batch:
            crops = np.concatenate([crops, np.repeat(crops[-1:], spec.fixed_batch - count, axis=0)])
        outcome = self._model.run({self._model.info.inputs[0].name: prepare(crops, spec)}, handle)
        if isinstance(outcome, RunCancelled):
            raise JobCancelled
        if isinstance(outcome, RunFailed):
            raise ModelError(f"embedding failed: {outcome.message}")
        vectors = outcome.outputs[self._model.info.outputs[0].name][:count]
        flat = cast("NDArray[np.float32]", vectors.reshape(count, -1).astype(np.float32, copy=False))
        if flat.shape[1] != self._dim or not np.isfinite(flat).all():
            raise ModelError(
                f"{self._model.info.path}: got {vectors.shape}, expected finite ({count}, {self._dim})"
            )
        lengths = np.linalg.norm(flat, axis=1, keepdims=True).astype(np.float32)
        unit: NDArray[np.float32] = flat / np.maximum(lengths, np.float32(1e-9))
        return unit


def batch_that_pays(one_ns: int, many_ns: int, many: int) -> int:
    """`many` if a run of so many crops is clearly cheaper than as many runs of one, else 1."""
    return many if many_ns < PAYS * many * one_ns else 1


def prepare(crops: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.generic]:
    """RGB crops uint8 (n, size, size, 3) as the model wants them."""
    if spec.bgr:
        crops = crops[..., ::-1]
    if spec.integer:
        return np.ascontiguousarray(crops.transpose(0, 3, 1, 2) if spec.planes else crops)
    values = crops * np.asarray(spec.scale, np.float32) + np.asarray(spec.offset, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if spec.planes else values, np.float32)


def input_spec(info: ModelInfo) -> InputSpec:
    """What an embedder wants, from its metadata, else by its shape.

    Without metadata: uint8 (n, s, s, 3) is raw; float (n, 3, s, s) with 576 or 960 outputs is a torchvision
    MobileNetV3 (0..1, ImageNet mean and deviation), with 1280 or 1024 a TensorFlow MobileNet (-1..1).

    Raises:
        ModelError: no square image input, or the metadata cannot be read.
    """
    image = info.image_input()
    planes = image.shape[1] == 3
    side, other = (image.shape[2], image.shape[3]) if planes else (image.shape[1], image.shape[2])
    value = info.metadata_json("vitrine.input") or {}
    if not isinstance(value, dict):
        raise ModelError(
            f"{info.path}: metadata vitrine.input: expected a JSON object, got {str(value)[:80]}"
        )
    size = value.get("size", side)
    if not isinstance(size, int) or size < 8 or (side, other) not in {(size, size), (None, None)}:
        raise ModelError(f"{info.path}: expected a square image input, got {image}; metadata size {size}")
    low, high = _range(info, value.get("range", "0..1"))
    default_mean, default_std = ((0.0,) * 3, (1.0,) * 3) if value else _IMAGENET
    if not value and _dimension(info) in (1280, 1024):
        low, high, default_mean, default_std = -1.0, 1.0, (0.0,) * 3, (1.0,) * 3
    mean = _numbers(info, value.get("mean", list(default_mean)), 3)
    std = _numbers(info, value.get("std", list(default_std)), 3)
    return InputSpec(
        size=size,
        planes=planes,
        integer=image.dtype == "tensor(uint8)",
        scale=tuple((high - low) / 255.0 / s for s in std),
        offset=tuple((low - m) / s for m, s in zip(mean, std, strict=True)),
        bgr=str(value.get("order", "RGB")).upper() == "BGR",
        fixed_batch=image.shape[0] or 0,
    )


def calibration(info: ModelInfo) -> Calibration:
    """Thresholds from metadata ``vitrine.calibration``, defaults where absent.

    Raises:
        ModelError: the metadata is not an object of numbers.
    """
    value = info.metadata_json("vitrine.calibration") or {}
    if not isinstance(value, dict):
        raise ModelError(
            f"{info.path}: metadata vitrine.calibration: expected an object, got {str(value)[:80]}"
        )
    whole = _limits(info, value, Limits())
    classes = value.get("classes", {})
    if not isinstance(classes, dict) or not all(isinstance(one, dict) for one in classes.values()):
        raise ModelError(
            f"{info.path}: metadata vitrine.calibration: classes: expected an object of objects, "
            f"got {str(classes)[:80]}"
        )
    own = {str(name): _limits(info, one, whole) for name, one in classes.items()}
    return Calibration(*whole, own, value.get("relative") is True, _one_side(info, value.get("one_side", {})))


def _one_side(info: ModelInfo, value: object) -> OneSide:
    if not isinstance(value, dict):
        raise ModelError(
            f"{info.path}: metadata vitrine.calibration: one_side: expected an object, got {str(value)[:80]}"
        )
    default = OneSide()._asdict()
    return OneSide(*_numbers(info, [value.get(name, default[name]) for name in default], len(default)))


def _limits(info: ModelInfo, value: dict[str, object], default: Limits) -> Limits:
    numbers = [value.get(name, other) for name, other in zip(Limits._fields, default, strict=True)]
    return Limits(*_numbers(info, numbers, 3))


def _dimension(info: ModelInfo) -> int:
    shape = info.outputs[0].shape if len(info.outputs) == 1 else ()
    if len(shape) < 2 or shape[1] is None or any(size not in (1, None) for size in shape[2:]):
        raise ModelError(f"{info.path}: no embedder: expected one output (n, d). {info.describe()}")
    return shape[1]


def _range(info: ModelInfo, value: object) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in str(value).split(".."))
    except ValueError as error:
        raise ModelError(
            f"{info.path}: metadata vitrine.input: range: got {value!r}, expected text such as '0..255'"
        ) from error
    return low, high


def _numbers(info: ModelInfo, value: object, count: int) -> list[float]:
    if isinstance(value, list) and len(value) == count and all(isinstance(x, int | float) for x in value):
        return [float(x) for x in value]
    raise ModelError(f"{info.path}: metadata: expected {count} numbers, got {str(value)[:80]}")
