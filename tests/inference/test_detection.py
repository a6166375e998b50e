from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.deadline import JobCancelled, RunHandle
from inference.detection import DetectorSettings, LoadedDetector, load_detector
from inference.errors import ModelError
from inference.exports import native_rung
from inference.runtime import RuntimeSettings
from inference.types import Rung
from stream.clock import MonotonicClock
from tests.inference.models import clip, constant_model, painted, yolox_model
from tests.shared import shared_path

CPU = DetectorSettings(runtime=RuntimeSettings("cpu", 1))


def load(folder: Path, data: bytes, rungs: list[Rung] | None = None) -> LoadedDetector:
    path = folder / "made.onnx"
    path.write_bytes(data)
    return load_detector(path, rungs=rungs, settings=CPU)


def test_a_model_that_cannot_be_rewritten_keeps_its_own_size(tmp_path: Path) -> None:
    loaded = load(tmp_path, yolox_model([], size=128))
    assert loaded.rungs == (Rung(128, 128),) and loaded.warm_ns[Rung(128, 128)] > 0


def test_a_rung_asked_for_in_vain_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="96x96"):
        load(tmp_path, yolox_model([]), [Rung(96, 96)])


def test_no_rungs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="rungs: got none"):
        load(tmp_path, yolox_model([]), [])


def test_a_foreign_model_is_refused(tmp_path: Path) -> None:
    odd = constant_model({"x": np.zeros((1, 5), np.float32)}, (1, 3, 64, 64))
    with pytest.raises(ModelError, match="fits no detector family"):
        load(tmp_path, odd)


def test_a_ladder_is_largest_first_and_warm() -> None:
    loaded = load_detector(shared_path("models/detect/yolox_nano.onnx"), settings=CPU)
    assert loaded.rungs == (Rung(416, 416), Rung(320, 320), Rung(224, 224))
    costs = [loaded.warm_ns[rung] for rung in loaded.rungs]
    assert costs[0] > costs[2] > 0


def test_every_rung_sees_the_same_object_in_the_same_place() -> None:
    loaded = load_detector(
        shared_path("models/detect/yolox_nano.onnx"), rungs=[Rung(416, 416), Rung(416, 256)], settings=CPU
    )
    (frame,) = clip(shared_path("clips/dev/intel_bottle.mp4"), (250,))
    square, wide = (loaded.detect(frame, rung, None, MonotonicClock()).detections for rung in loaded.rungs)
    assert square.names[square.labels[0]] == wide.names[wide.labels[0]] == "bottle"
    a = square.boxes[np.argsort(square.boxes[:2, 0])]
    b = wide.boxes[np.argsort(wide.boxes[:2, 0])]
    np.testing.assert_allclose(a, b, atol=0.02)


def test_a_wide_or_tall_picture_is_not_padded_to_a_square() -> None:
    loaded = load_detector(shared_path("models/detect/yolox_nano.onnx"), rungs=[Rung(416, 416)], settings=CPU)
    assert loaded.rungs == (Rung(416, 416),)
    for size, wanted in (((1280, 720), (416, 256)), ((720, 1280), (256, 416)), ((640, 480), (416, 416))):
        assert loaded.size_for(painted(*size, (0, 0, 9, 9)), Rung(416, 416)) == Rung(*wanted)
    square, wide = (loaded.warm_ns[Rung(416, height)] for height in (416, 256))
    assert wide < square


def test_padding_changes_nothing_but_the_time() -> None:
    loaded = load_detector(shared_path("models/detect/yolox_nano.onnx"), rungs=[Rung(416, 416)], settings=CPU)
    (frame,) = clip(shared_path("clips/dev/intel_bottle.mp4"), (250,))
    narrow = loaded.detect(frame, Rung(416, 416), None, MonotonicClock()).detections
    padded = replace(loaded, shapes={Rung(416, 416): (Rung(416, 416),)})
    square = padded.detect(frame, Rung(416, 416), None, MonotonicClock()).detections
    left, right = (found.boxes[np.argsort(found.boxes[:2, 0])] for found in (narrow, square))
    np.testing.assert_allclose(left, right, atol=0.01)
    np.testing.assert_allclose(narrow.scores[:2], square.scores[:2], atol=0.05)


def test_scores_are_scaled_by_the_models_working_point(tmp_path: Path) -> None:
    loaded = load(tmp_path, yolox_model([]))
    assert loaded.working_point == 0.4
    for text, point in (("0.45", 0.45), ("7", 0.4), ('"high"', 0.4)):
        info = replace(loaded.info, metadata={"vitrine.working_point": text})
        assert replace(loaded, info=info).working_point == point


def test_a_cancelled_handle_stops_before_the_run(tmp_path: Path) -> None:
    loaded, handle = load(tmp_path, yolox_model([])), RunHandle()
    handle.cancel()
    with pytest.raises(JobCancelled):
        loaded.detect(painted(64, 64, (0, 0, 9, 9)), Rung(64, 64), handle, MonotonicClock())


def test_min_score_cuts(tmp_path: Path) -> None:
    path = tmp_path / "made.onnx"
    path.write_bytes(yolox_model([(32, 32, 16, 16, 0.3, 0)]))
    frame = painted(64, 64, (0, 0, 9, 9))
    for cut, count in ((0.2, 1), (0.4, 0)):
        loaded = load_detector(path, settings=DetectorSettings(cut, RuntimeSettings("cpu", 1)))
        assert len(loaded.detect(frame, Rung(64, 64), None, MonotonicClock()).detections) == count


def test_a_run_that_fails_is_a_model_error(tmp_path: Path) -> None:
    loaded = load(tmp_path, yolox_model([], size=64))
    wrong = replace(
        loaded, shapes={Rung(96, 96): (Rung(96, 96),)}, models={Rung(96, 96): loaded.models[Rung(64, 64)]}
    )
    with pytest.raises(ModelError, match="image"):
        wrong.detect(painted(64, 64, (0, 0, 9, 9)), Rung(96, 96), None, MonotonicClock())


def test_the_native_size_is_read_from_the_input(tmp_path: Path) -> None:
    assert native_rung(load(tmp_path, yolox_model([])).info) == Rung(64, 64)
