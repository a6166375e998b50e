"""What is compared: detectors made class-agnostic in one and the same way, and a box that never looks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from benchmarks.harness import CannotRun
from benchmarks.model_parts.pictures import Floats, shared
from inference.detection import DetectorSettings, LoadedDetector, load_detector
from inference.embedded import DETECTOR, embedded_model
from inference.errors import ModelError
from inference.geometry import nms
from inference.runtime import RuntimeSettings
from inference.types import Rung
from stream.clock import MonotonicClock
from stream.types import Frame

OURS = "vitrine_detect 320"
LARGER = "vitrine_detect 416"
"""At the size of the others: what a larger rung is worth. Not judged: the engine starts at 320."""
NANODET = "nanodet_plus_m 416"
YOLOX = "yolox_nano 416"
CENTRE = "fixed centre box"
PEERS = {NANODET: "models/detect/nanodet_plus_m_416.onnx", YOLOX: "models/detect/yolox_nano.onnx"}
FLOOR = 0.02
"""Detections below are not looked at."""
SAME = 0.6
"""Boxes of different classes overlapping more than this are one thing found twice."""


class Finder(Protocol):
    """Finds things in a picture."""

    @property
    def name(self) -> str:
        """For the rows."""

    def find(self, frame: Frame) -> tuple[Floats, Floats]:
        """Boxes (n, 4) in 0..1 and scores (n,), best first, persons left out."""


@dataclass(frozen=True, slots=True)
class Model:
    """A detector as the engine runs it, its classes forgotten."""

    name: str
    loaded: LoadedDetector

    def find(self, frame: Frame) -> tuple[Floats, Floats]:
        """See `Finder`."""
        found = self.loaded.detect(frame, self.loaded.rungs[0], None, MonotonicClock()).detections
        person = found.names.index("person") if "person" in found.names else -1
        thing = found.labels != person
        boxes, scores = found.boxes[thing], found.scores[thing]
        kept = nms(boxes, scores, SAME)
        return boxes[kept], scores[kept]


class CentreBox:
    """Half the picture's width and four fifths of its height, in the middle, whatever it shows."""

    name = CENTRE

    def find(self, frame: Frame) -> tuple[Floats, Floats]:
        """See `Finder`."""
        return np.array([[0.25, 0.1, 0.75, 0.9]], np.float32), np.ones(1, np.float32)


@lru_cache(maxsize=1)
def finders() -> list[Finder]:
    """Ours, the COCO detectors at hand, and the centre box.

    Raises:
        CannotRun: a model does not load.
    """
    settings = DetectorSettings(FLOOR, RuntimeSettings("cpu", 1))
    found: list[Finder] = []
    try:
        found.append(Model(OURS, load_detector(embedded_model(DETECTOR), settings=settings)))
        larger = load_detector(embedded_model(DETECTOR), rungs=[Rung(416, 416)], settings=settings)
        found.append(Model(LARGER, larger))
        for name, path in PEERS.items():
            found.append(Model(name, load_detector(shared(path), rungs=[Rung(416, 416)], settings=settings)))
    except ModelError as error:
        raise CannotRun(str(error)) from error
    return [*found, CentreBox()]
