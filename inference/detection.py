"""A detector ready to run: its family's arithmetic and warm sessions for each rung.

A square rung has three sessions: square, 16:9 and 9:16. A wide picture letterboxed into a square is
almost half padding; the wide session sees the same pixels at the same scale for a good third less time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.batches import Batches
from inference.classes import ClassMap, ClassRules, class_map
from inference.deadline import JobCancelled, RunHandle
from inference.detectors.base import Family
from inference.errors import ModelError
from inference.exports import family_detector, native_rung, session_at, told, wanted_rungs
from inference.ladder import STEP, check_rungs
from inference.model import ModelInfo
from inference.region import to_picture
from inference.runtime import OrtModel, RunCancelled, RunFailed, RuntimeSettings
from inference.together import Arrays, most_that_pays, split, together
from inference.types import Box, Detections, Detector, Letterbox, Rung
from stream.clock import Clock
from stream.types import Corners, Frame, Pixels, Planes

log = logging.getLogger(__name__)

WORKING_POINT = 0.4
"""Chosen on real clips: at 0.3 two of three tracks of the embedded detector were no products."""


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How a detector is run.

    Attributes:
        min_score: detections below are dropped; low ones still help the tracker.
        runtime: provider and threads.
        family: registry name, instead of what the file looks like; empty looks.
        names: class names, instead of what the file says; empty takes those.
        classes: which classes are products, people, or nothing.
    """

    min_score: float = 0.1
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    family: str = ""
    names: tuple[str, ...] = ()
    classes: ClassRules = ClassRules()


@dataclass(frozen=True, slots=True)
class Detected:
    """One frame's detections, what they cost, ns by stage, and the part looked at; None for all of it."""

    detections: Detections
    stages_ns: dict[str, int]
    region: Box | None = None


class Shot(NamedTuple):
    """A picture to look at as a whole, and the clock that its stages are measured with."""

    frame: Frame
    clock: Clock


class _Ready(NamedTuple):
    """A picture ready for the model."""

    feeds: Arrays
    letterbox: Letterbox
    stages_ns: dict[str, int]


def on_scale(found: Detected, own: float, wanted: float) -> Detected:
    """Scores of a model with the working point `own` as of one with `wanted`; the order stays."""
    if own == wanted:
        return found
    boxes = found.detections
    scores = np.interp(boxes.scores, (0.0, own, 1.0), (0.0, wanted, 1.0)).astype(np.float32)
    return replace(found, detections=replace(boxes, scores=scores))


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
        classes: what the detector's classes mean; None keeps them all.
        others: further models of the ladder, each a detector of its own; see `inference.mixed`.
        batches: input sizes at which pictures of several streams share a run, because that pays.
    """

    detector: Detector
    info: ModelInfo
    models: dict[Rung, OrtModel]
    shapes: dict[Rung, tuple[Rung, ...]]
    warm_ns: dict[Rung, int]
    settings: DetectorSettings
    classes: ClassMap | None = None
    others: tuple[LoadedDetector, ...] = ()
    batches: dict[Rung, Batches[Shot, Detected]] = field(default_factory=dict)

    @property
    def one_size(self) -> str:
        """Why there is one rung only, where the family is the reason."""
        return self.detector.one_size if isinstance(self.detector, Family) else ""

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The ladder, best first: by size, where several models are on it by what they cost."""
        if not self.others:
            return tuple(self.shapes)
        costs = self.costs_ns
        return tuple(sorted(costs, key=costs.__getitem__, reverse=True))

    @property
    def costs_ns(self) -> dict[Rung, int]:
        """What a run took when it was warmed, of every rung: in the shape that most pictures have."""
        costs = {rung: min(self.warm_ns[size] for size in sizes) for rung, sizes in self.shapes.items()}
        for number, other in enumerate(self.others, 1):
            costs |= {rung._replace(model=number): ns for rung, ns in other.costs_ns.items()}
        return costs

    def words(self, rung: Rung) -> str:
        """A rung for people: ``416x416``, or ``fast 320x320`` of a further model."""
        if not rung.model:
            return str(rung)
        return f"{Path(self.others[rung.model - 1].info.path).stem} {rung}"

    @property
    def sessions(self) -> list[OrtModel]:
        """Every session of every model."""
        return [*self.models.values(), *(one for other in self.others for one in other.sessions)]

    @property
    def provider(self) -> str:
        """What the sessions run on."""
        return next(iter(self.models.values())).provider

    @property
    def cancellable(self) -> bool:
        """Every run can be stopped at its deadline; otherwise only one that will end in time may begin."""
        return all(model.cancellable for model in self.sessions)

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

    def detect(
        self,
        frame: Frame,
        rung: Rung,
        handle: RunHandle | None,
        clock: Clock,
        region: Box | None = None,
    ) -> Detected:
        """Pixels to detections. Blocking: runs on the device's thread, the one consumer of `frame.pixels`.

        Args:
            frame: the picture.
            rung: of the ladder.
            handle: the deadline; None runs to the end.
            clock: for the stages.
            region: look at this part of the picture only; detections are of the picture all the same.

        Raises:
            JobCancelled: the deadline passed.
            ModelError: the model failed, or its outputs do not fit its family.
        """
        if rung.model:
            other = self.others[rung.model - 1]
            return on_scale(
                other.detect(frame, rung._replace(model=0), handle, clock, region),
                other.working_point,
                self.working_point,
            )
        if region is None:
            return self._detect(frame, rung, handle, clock)
        began_ns = clock.now_ns()
        part, shown = frame.pixels.part(region)
        cut_ns = clock.now_ns() - began_ns
        seen = self._detect(replace(frame, pixels=part), rung, handle, clock)
        stages = seen.stages_ns | {"pixels": seen.stages_ns["pixels"] + cut_ns}
        return Detected(to_picture(seen.detections, Box(*shown)), stages, Box(*shown))

    def _detect(self, frame: Frame, rung: Rung, handle: RunHandle | None, clock: Clock) -> Detected:
        """All of a picture."""
        return self.detect_many([Shot(frame, clock)], self.size_for(frame, rung), handle)[0]

    def detect_many(self, shots: Sequence[Shot], size: Rung, handle: RunHandle | None) -> list[Detected]:
        """All of each picture, in one run. Blocking; see `detect`.

        Args:
            shots: pictures; several only where `batches` has this size.
            size: of the model's input: `size_for` each of them.
            handle: the deadline; None runs to the end.

        Returns:
            In their order. Each says what the run took for all of them.

        Raises:
            JobCancelled: the deadline passed.
            ModelError: the model failed, or its outputs do not fit its family.
        """
        ready = [self._fed(shot, size) for shot in shots]
        began_ns = shots[0].clock.now_ns()
        outcome = self.models[size].run(together([one.feeds for one in ready]), handle)
        if isinstance(outcome, RunCancelled):
            raise JobCancelled
        if isinstance(outcome, RunFailed):
            raise ModelError(outcome.message)
        ran_ns = shots[0].clock.now_ns() - began_ns
        apart = split(outcome.outputs, len(shots), self.info.path)
        return [
            self._decoded(shot, one, outputs, ran_ns)
            for shot, one, outputs in zip(shots, ready, apart, strict=True)
        ]

    def _batch(self, size: Rung, shots: Sequence[Shot], handle: RunHandle) -> list[Detected]:
        return self.detect_many(shots, size, handle)

    def _fed(self, shot: Shot, size: Rung) -> _Ready:
        timed = _TimedPixels(shot.frame.pixels, shot.clock)
        began_ns = shot.clock.now_ns()
        feeds, letterbox = self.detector.preprocess(replace(shot.frame, pixels=timed), size)
        rest_ns = shot.clock.now_ns() - began_ns - timed.took_ns
        return _Ready(feeds, letterbox, {"pixels": timed.took_ns, "preprocess": rest_ns})

    def _decoded(self, shot: Shot, ready: _Ready, outputs: Arrays, ran_ns: int) -> Detected:
        began_ns = shot.clock.now_ns()
        found = self.detector.decode(outputs, ready.letterbox, shot.frame, self.settings.min_score)
        if self.classes is not None:
            found = self.classes.apply(found)
        took = {"detect": ran_ns, "decode": shot.clock.now_ns() - began_ns}
        return Detected(found, ready.stages_ns | took)


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
    info = told(native.info, settings.family, settings.names)
    if rungs is not None:
        check_rungs(rungs)
    data = Path(path).read_bytes()
    detector = family_detector(native, data, info, rungs, settings.runtime)
    classes = class_map(detector.names, settings.classes)
    models, shapes = _sessions(native, data, info, detector, rungs, settings.runtime)
    warm_ns = {each: model.warm_up() for each, model in models.items()}
    loaded = LoadedDetector(detector, info, models, shapes, warm_ns, settings, classes)
    for size, model in models.items():
        if (most := most_that_pays(model)) > 1:
            loaded.batches[size] = Batches(partial(loaded._batch, size), most)
    return loaded


def _sessions(
    native: OrtModel,
    data: bytes,
    info: ModelInfo,
    detector: Detector,
    rungs: Sequence[Rung] | None,
    runtime: RuntimeSettings,
) -> tuple[dict[Rung, OrtModel], dict[Rung, tuple[Rung, ...]]]:
    """A session per input size, and the sizes that can stand for each rung.

    Raises:
        ModelError: a rung asked for does not work.
    """
    models: dict[Rung, OrtModel] = {}
    shapes: dict[Rung, tuple[Rung, ...]] = {}
    stretches = isinstance(detector, Family) and detector.picture.place == "stretch"
    for rung in wanted_rungs(detector, info, rungs):
        try:
            own = rung == native_rung(info)
            models[rung] = native if own else session_at(data, rung, info, runtime)
        except ModelError:
            if rungs is not None or not models:
                raise
            log.info("this model runs at its own size only", extra={"model": info.path})
            break
        # TensorRT builds an engine per session, which takes minutes: square only there.
        square_only = stretches or native.provider == "tensorrt"
        narrow = {} if square_only else _narrow(data, rung, info, runtime)
        models |= narrow
        shapes[rung] = (rung, *narrow)
    return models, shapes


def _narrow(data: bytes, rung: Rung, info: ModelInfo, runtime: RuntimeSettings) -> dict[Rung, OrtModel]:
    """16:9 and 9:16 sessions at the scale of a square rung; none where the graph cannot be rewritten."""
    short = -(-rung.width * 9 // 16 // STEP) * STEP
    if rung.width != rung.height or short >= rung.width:
        return {}
    try:
        return {
            size: session_at(data, size, info, runtime)
            for size in (Rung(rung.width, short), Rung(short, rung.width))
        }
    except ModelError:
        return {}


class _TimedPixels:
    """Pixels that measure what scaling costs."""

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

    def planes(self, width: int, height: int) -> Planes:
        """As the original, timed."""
        began_ns = self._clock.now_ns()
        planes = self._pixels.planes(width, height)
        self.took_ns += self._clock.now_ns() - began_ns
        return planes

    def crop(self, box: tuple[float, float, float, float], size: int) -> NDArray[np.uint8]:
        """As the original."""
        return self._pixels.crop(box, size)

    def part(self, box: Corners) -> tuple[Pixels, Corners]:
        """As the original."""
        return self._pixels.part(box)

    def motion_vectors(self) -> NDArray[np.float32] | None:
        """As the original."""
        return self._pixels.motion_vectors()
