from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.classes import ClassRules
from inference.detection import Detected, DetectorSettings, load_detector, on_scale
from inference.errors import ModelError
from inference.mixed import joined
from inference.runtime import RuntimeSettings
from inference.types import Detections, Rung
from stream.clock import MonotonicClock
from tests.inference.models import clip
from tests.shared import shared_path

SETTINGS = DetectorSettings(0.3, RuntimeSettings("cpu", 1))
GOOD, FAST = "models/detect/yolox_nano.onnx", "models/detect/nanodet_plus_m_416.onnx"


def test_a_good_and_a_fast_model_share_a_ladder_and_see_the_same_bottle() -> None:
    good = load_detector(shared_path(GOOD), rungs=[Rung(416, 416)], settings=SETTINGS)
    fast = load_detector(shared_path(FAST), rungs=[Rung(224, 224)], settings=SETTINGS)
    both = joined(good, (fast,))
    assert both.rungs == (Rung(416, 416), Rung(224, 224, 1)), "the dearer first"
    assert len(both.sessions) == len(good.models) + len(fast.models)
    assert both.words(both.rungs[1]) == "nanodet_plus_m_416 224x224"
    (frame,) = clip(shared_path("clips/dev/intel_bottle.mp4"), (250,))
    seen = [both.detect(frame, rung, None, MonotonicClock()).detections for rung in both.rungs]
    labels = [[found.names[label] for label in found.labels] for found in seen]
    assert "bottle" in labels[0] and "bottle" in labels[1]
    boxes = [found.boxes[names.index("bottle")] for found, names in zip(seen, labels, strict=True)]
    others = seen[1].boxes[[name == "bottle" for name in labels[1]]]
    assert np.abs(others - boxes[0]).max(axis=1).min() < 0.06


def test_models_without_a_common_class_are_refused() -> None:
    good = load_detector(shared_path(GOOD), rungs=[Rung(416, 416)], settings=SETTINGS)
    cars = replace(SETTINGS, classes=ClassRules(products=("car",), persons=("person",), ignore=("person",)))
    bottles = replace(SETTINGS, classes=ClassRules(products=("bottle",), ignore=("person",)))
    one = load_detector(shared_path(FAST), rungs=[Rung(224, 224)], settings=cars)
    other = load_detector(shared_path(FAST), rungs=[Rung(224, 224)], settings=bottles)
    with pytest.raises(ModelError, match="shares no class"):
        joined(one, (other,))
    assert joined(good, ()) is good


def test_scores_are_put_on_the_first_models_scale() -> None:
    scores = np.array([0.9, 0.6, 0.3, 0.0], np.float32)
    some = Detections(np.zeros((4, 4), np.float32), scores, np.zeros(4, np.int32), ("bottle",))
    moved = on_scale(Detected(some, {}), 0.6, 0.4).detections.scores
    assert moved[1] == pytest.approx(0.4) and moved[0] == pytest.approx(0.85) and moved[3] == 0.0
    assert (np.diff(moved) < 0).all(), "the order stays"
