"""A detector ready to run: its family's arithmetic and warm sessions for each rung.

A square rung has three sessions: square, 16:9 and 9:16. A wide picture letterboxed into a square is
almost half padding; the wide session sees the same pixels at the same scale for a good third less time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.deadline import JobCancelled, RunHandle
from inference.detectors.base import make_detector
from inference.errors import ModelError
from inference.ladder import STEP, check_rungs, default_rungs, rewrite
from inference.model import ModelInfo
from inference.runtime import OrtModel, RunCancelled, RunFailed, RuntimeSettings
from inference.types import Detections, Detector, Rung
from stream.clock import Clock
from stream.types import Frame, Pixels

log = logging.getLogger(__name__)

WORKING_POINT = 0.4
"""Chosen on real clips: at 0.3 two of three tracks of the embedded detector were no products."""


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How a detector is run.

    Attributes:
        min_score: detections below are dropped; low ones still help the tracker.
        runtime: provider and threads.
    """

    min_score: float = 0.1
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)


@dataclass(frozen=True, slots=True)
class Detected:
    """One frame's detections and what they cost, ns by stage."""

    detections: Detections
    stages_ns: dict[str, int]


@dataclass(frozen=True, slots=True)
class LoadedDetector:
    """A detector with its sessions. Shared by the streams of one device.

    Attributes:
        detector: the family's arithmetic.
        info: the model file.
        models: a session per input size.
        shapes: the ladder, largest rung first, and the input sizes that can stand for each.
        warm_ns: fastest warm-up run per input size.
        settings: as loaded.
    """

    detector: Detector
    info: ModelInfo
    models: dict[Rung, OrtModel]
    shapes: dict[Rung, tuple[Rung, ...]]
    warm_ns: dict[Rung, int]
    settings: DetectorSettings

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The ladder, largest first."""
        return tuple(self.shapes)

    @property
    def provider(self) -> str:
        """What the sessions run on."""
        return next(iter(self.models.values())).provider

    @property
    def working_point(self) -> float:
        """The score above which a detection is more often right than not: the scale of the model's scores.

        From metadata ``vitrine.working_point``; 0.4 where it does not say.
        """
        value = self.info.metadata_json("vitrine.working_point")
        return float(value) if isinstance(value, int | float) and 0 < value < 1 else WORKING_POINT

    def size_for(self, frame: Frame, rung: Rung) -> Rung:
        """The input size that stands for `rung` with the least padding, at the same scale."""
        width, height = frame.pixels.width, frame.pixels.height
        scale = min(rung.width / width, rung.height / height)
        holds = [
            size
            for size in self.shapes[rung]
            if size.width >= int(width * scale) and size.height >= int(height * scale)
        ]
        return min(holds, key=lambda size: size.width * size.height, default=rung)

    def detect(self, frame: Frame, rung: Rung, handle: RunHandle | None, clock: Clock) -> Detected:
        """Pixels to detections. Blocking: runs on the device's thread, the one consumer of `frame.pixels`.

        Raises:
            JobCancelled: the deadline passed.
            ModelError: the model failed, or its outputs do not fit its family.
        """
        timed = _TimedPixels(frame.pixels, clock)
        size = self.size_for(frame, rung)
        began_ns = clock.now_ns()
        feeds, letterbox = self.detector.preprocess(replace(frame, pixels=timed), size)
        ready_ns = clock.now_ns()
        outcome = self.models[size].run(feeds, handle)
        if isinstance(outcome, RunCancelled):
            raise JobCancelled
        if isinstance(outcome, RunFailed):
            raise ModelError(outcome.message)
        ran_ns = clock.now_ns()
        detections = self.detector.decode(outcome.outputs, letterbox, frame, self.settings.min_score)
        stages = {
            "pixels": timed.took_ns,
            "preprocess": ready_ns - began_ns - timed.took_ns,
            "detect": ran_ns - ready_ns,
            "decode": clock.now_ns() - ran_ns,
        }
        return Detected(detections, stages)


def load_detector(
    path: str | Path,
    *,
    rungs: Sequence[Rung] | None = None,
    settings: DetectorSettings = DetectorSettings(),
) -> LoadedDetector:
    """Load a detector at each rung and warm it. Blocking: takes a second or two.

    Args:
        path: an .onnx file of a known family.
        rungs: wanted input sizes. None: a ladder under the model's own size, or that size alone where the
            graph cannot be rewritten.
        settings: score cut, provider, threads.

    Raises:
        ModelError: unreadable, of no known family, or a rung asked for does not work.
    """
    native = OrtModel(path, settings.runtime)
    detector = make_detector(native.info)
    size = native_rung(native.info)
    wanted = tuple(rungs) if rungs is not None else default_rungs(size) if size else ()
    if rungs is not None or not wanted:
        check_rungs(wanted)
    data = Path(path).read_bytes()
    models: dict[Rung, OrtModel] = {}
    shapes: dict[Rung, tuple[Rung, ...]] = {}
    for rung in sorted(set(wanted), key=lambda r: r.width * r.height, reverse=True):
        try:
            models[rung] = native if rung == size else _at(data, rung, native.info, settings)
        except ModelError:
            if rungs is not None:
                raise
            log.info("this model runs at its own size only", extra={"model": native.info.path})
            break
        # TensorRT builds an engine per session, which takes minutes: square only there.
        narrow = _narrow(data, rung, native.info, settings) if native.provider != "tensorrt" else {}
        models |= narrow
        shapes[rung] = (rung, *narrow)
    warm_ns = {each: model.warm_up() for each, model in models.items()}
    return LoadedDetector(detector, native.info, models, shapes, warm_ns, settings)


def _narrow(data: bytes, rung: Rung, info: ModelInfo, settings: DetectorSettings) -> dict[Rung, OrtModel]:
    """16:9 and 9:16 sessions at the scale of a square rung; none where the graph cannot be rewritten."""
    short = -(-rung.width * 9 // 16 // STEP) * STEP
    if rung.width != rung.height or short >= rung.width:
        return {}
    try:
        return {
            size: _at(data, size, info, settings)
            for size in (Rung(rung.width, short), Rung(short, rung.width))
        }
    except ModelError:
        return {}


def native_rung(info: ModelInfo) -> Rung | None:
    """The input size a model was exported with; None where it is left open."""
    height, width = info.image_input().shape[2:]
    return None if height is None or width is None else Rung(width, height)


def _at(data: bytes, rung: Rung, info: ModelInfo, settings: DetectorSettings) -> OrtModel:
    return OrtModel(
        rewrite(data, rung, info.path), settings.runtime, path=f"{info.path} at {rung.width}x{rung.height}"
    )


class _TimedPixels:
    """Pixels that measure what `scaled` costs."""

    def __init__(self, pixels: Pixels, clock: Clock) -> None:
        self._pixels = pixels
        self._clock = clock
        self.width = pixels.width
        self.height = pixels.height
        self.took_ns = 0

    def rgb(self) -> NDArray[np.uint8]:
        """As the original."""
        return self._pixels.rgb()

    def scaled(self, width: int, height: int, order: str = "bgr") -> NDArray[np.uint8]:
        """As the original, timed."""
        began_ns = self._clock.now_ns()
        picture = self._pixels.scaled(width, height, order)
        self.took_ns += self._clock.now_ns() - began_ns
        return picture

    def crop(self, box: tuple[float, float, float, float], size: int) -> NDArray[np.uint8]:
        """As the original."""
        return self._pixels.crop(box, size)

    def motion_vectors(self) -> NDArray[np.float32] | None:
        """As the original."""
        return self._pixels.motion_vectors()
