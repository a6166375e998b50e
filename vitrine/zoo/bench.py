"""How fast a model is here: every input size of its ladder, stage by stage. Blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.attributes import AttributeModel
from inference.detection import DetectorSettings, LoadedDetector, load_detector
from inference.detectors.base import FAMILY_KEY
from inference.embedder import OnnxEmbedder
from inference.runtime import OrtModel
from inference.types import Rung
from stream.clock import Clock, MonotonicClock
from stream.types import Frame, MediaTime, Planes, stream_id

PICTURE = (1280, 720)
STAGES = ("preprocess", "detect", "decode")
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Row:
    """One input size, or one number of crops.

    Attributes:
        subject: "416x256", or "4 crops".
        rung: the step of the ladder it stands for; empty for an embedder.
        runs: measured.
        stages_ms: median of each stage; scaling the picture is not in it.
        p50_ms: of all stages together.
        p95_ms: the same.
        p99_ms: the same.
        per_s: how many a second one after another.
    """

    subject: str
    rung: str
    runs: int
    stages_ms: dict[str, float]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_s: float


@dataclass(frozen=True, slots=True)
class Bench:
    """A measured model.

    Attributes:
        path: the file.
        kind: ``"detector"``, ``"embedder"`` or ``"attributes"``.
        family: of a detector; empty.
        provider: what it ran on.
        threads: within one run.
        rows: largest size first.
    """

    path: str
    kind: str
    family: str
    provider: str
    threads: int
    rows: tuple[Row, ...]


def bench_model(
    path: str | Path,
    *,
    rungs: Sequence[Rung] | None = None,
    runs: int = 50,
    settings: DetectorSettings | None = None,
    clock: Clock | None = None,
    told: Callable[[str], None] = lambda subject: None,
) -> Bench:
    """Measure a detector at every size of its ladder, an embedder on 1, 4 and 8 crops, attributes on one.

    Args:
        path: an .onnx file.
        rungs: sizes instead of the model's own ladder.
        runs: measured for each size, after warm-up.
        settings: provider, threads, family.
        clock: measures.
        told: told each subject before it is measured.

    Raises:
        ModelError: unreadable, or neither a detector of a known family nor an embedder nor of attributes.
    """
    wanted, watch = settings or DetectorSettings(), clock or MonotonicClock()
    threads = wanted.runtime.intra_threads()
    model = OrtModel(path, wanted.runtime)
    alone = len(model.info.inputs) == len(model.info.outputs) == 1
    flat = alone and len(model.info.outputs[0].shape) == 2
    if flat or model.info.metadata.get(FAMILY_KEY) == "embedder":
        embedder = OnnxEmbedder(model)
        rows = _crop_rows(embedder.embed, "embed", _crops(embedder.size, (1, 4, 8), told), runs, watch)
        return Bench(str(path), "embedder", "", model.provider, threads, rows)
    if model.info.metadata.get(FAMILY_KEY) == "attributes":
        tagger = AttributeModel(model)
        one = _crops(tagger.size, (1,), told)
        rows = _crop_rows(lambda crops: tagger.logits(crops[0]), "tag", one, runs, watch)
        return Bench(str(path), "attributes", "", model.provider, threads, rows)
    loaded = load_detector(path, rungs=rungs, settings=wanted)
    rows = tuple(
        _detector_row(loaded, rung, size, runs, watch, told)
        for rung, sizes in loaded.shapes.items()
        for size in sizes
    )
    return Bench(str(path), "detector", loaded.detector.family, loaded.provider, threads, rows)


def _detector_row(
    loaded: LoadedDetector, rung: Rung, size: Rung, runs: int, clock: Clock, told: Callable[[str], None]
) -> Row:
    subject = f"{size.width}x{size.height}"
    told(subject)
    # a picture of the size's own shape, so that this session and no other stands for the rung
    scale = min(PICTURE[0] / size.width, PICTURE[1] / size.height)
    frame = _frame(round(size.width * scale), round(size.height * scale))
    took: list[dict[str, int]] = []
    for run in range(runs + 3):
        stages = loaded.detect(frame, rung, None, clock).stages_ns
        if run >= 3:
            took.append({stage: stages[stage] for stage in STAGES})
    medians = {stage: float(np.median([each[stage] for each in took])) / 1e6 for stage in STAGES}
    return _row(subject, f"{rung.width}x{rung.height}", medians, [sum(each.values()) for each in took])


def _crops(size: int, counts: Sequence[int], told: Callable[[str], None]) -> Iterator[NDArray[np.uint8]]:
    """So many crops at a time, uint8 (n, size, size, 3)."""
    for count in counts:
        told(_crops_words(count))
        yield np.stack([_picture(size, size, seed) for seed in range(count)])


def _crops_words(count: int) -> str:
    return f"{count} crop{'s' if count > 1 else ''}"


def _crop_rows(
    look: Callable[[NDArray[np.uint8]], object],
    stage: str,
    batches: Iterable[NDArray[np.uint8]],
    runs: int,
    clock: Clock,
) -> tuple[Row, ...]:
    rows = []
    for crops in batches:
        took = []
        for run in range(runs + 3):
            began_ns = clock.now_ns()
            look(crops)
            if run >= 3:
                took.append(clock.now_ns() - began_ns)
        rows.append(_row(_crops_words(len(crops)), "", {stage: float(np.median(took)) / 1e6}, took))
    return tuple(rows)


def _row(subject: str, rung: str, stages_ms: dict[str, float], took_ns: list[int]) -> Row:
    p50, p95, p99 = (float(value) / 1e6 for value in np.percentile(took_ns, PERCENTILES))
    rounded = {stage: round(value, 3) for stage, value in stages_ms.items()}
    return Row(
        subject,
        rung,
        len(took_ns),
        rounded,
        round(p50, 3),
        round(p95, 3),
        round(p99, 3),
        round(1e3 / p50, 1) if p50 else 0.0,
    )


def _picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Blurred noise: boxes to find here and there, nothing a model knows."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _frame(width: int, height: int) -> Frame:
    pixels = _Painted(_picture(width, height))
    return Frame(stream_id("bench"), MediaTime(1, 0), 0, 0, 0, pixels)


class _Painted:
    """Pixels of an array."""

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        self._image = Image.fromarray(rgb)
        self._scaled: dict[tuple[int, int, str], NDArray[np.uint8]] = {}
        self._planes: dict[tuple[int, int], Planes] = {}
        self.width, self.height = self._image.size

    def rgb(self) -> NDArray[np.uint8]:
        """All of it."""
        return np.asarray(self._image)

    def scaled(self, width: int, height: int, order: str = "bgr") -> NDArray[np.uint8]:
        """Scaled once, then kept: scaling is not what is measured."""
        key = (width, height, order)
        if key not in self._scaled:
            array = np.asarray(self._image.resize((width, height)))
            self._scaled[key] = np.ascontiguousarray(array[:, :, ::-1] if order == "bgr" else array)
        return self._scaled[key]

    def planes(self, width: int, height: int) -> Planes:
        """As `scaled`, channel by channel."""
        key = (width, height)
        if key not in self._planes:
            red, green, blue = (np.asarray(band) for band in self._image.resize((width, height)).split())
            self._planes[key] = (red, green, blue)
        return self._planes[key]

    def crop(self, box: tuple[float, float, float, float], size: int) -> NDArray[np.uint8]:
        """A part of it, squashed."""
        corners = (box[0] * self.width, box[1] * self.height, box[2] * self.width, box[3] * self.height)
        return np.asarray(self._image.resize((size, size), box=corners))

    def part(
        self, box: tuple[float, float, float, float]
    ) -> tuple[_Painted, tuple[float, float, float, float]]:
        """A rectangle of it."""
        corners = (box[0] * self.width, box[1] * self.height, box[2] * self.width, box[3] * self.height)
        left, top, right, bottom = map(round, corners)
        shown = (left / self.width, top / self.height, right / self.width, bottom / self.height)
        return _Painted(np.asarray(self._image)[top:bottom, left:right]), shown

    def motion_vectors(self) -> NDArray[np.float32] | None:
        """It does not move."""
        return None
