"""Real models on real pictures, against an independent reference and stored numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from inference.detectors.base import detect_family, make_detector
from inference.runtime import OrtModel, RunOk, RuntimeSettings
from inference.types import Detections, Rung
from stream.types import Frame
from tests.inference.detectors import reference
from tests.inference.models import clip, frame_of
from tests.shared import shared_path

ONE_THREAD = RuntimeSettings("cpu", 1)
MEAN = np.array([103.53, 116.28, 123.675], np.float32).reshape(1, 3, 1, 1)
STD = np.array([57.375, 57.12, 58.395], np.float32).reshape(1, 3, 1, 1)

MODELS = {
    "yolox_nano.onnx": ("yolox", 416),
    "nanodet_m_320.onnx": ("nanodet", 320),
    "nanodet_m_416.onnx": ("nanodet", 416),
    "nanodet_plus_m_320.onnx": ("nanodet-plus", 320),
    "nanodet_plus_m_416.onnx": ("nanodet-plus", 416),
}


@lru_cache(maxsize=8)
def model(name: str) -> OrtModel:
    return OrtModel(shared_path(f"models/detect/{name}"), ONE_THREAD)


def pictures() -> list[Frame]:
    frames = list(clip(shared_path("clips/dev/intel_bottle.mp4"), (250, 700)))
    frames += clip(shared_path("clips/dev/sam2_coffee.mp4"), (60,))
    for number in ("000000000139", "000000002153"):
        with av.open(str(shared_path(f"coco100/{number}.jpg"))) as image:
            frames.append(frame_of(next(image.decode(video=0))))
    return frames


def run(name: str, frame: Frame, min_score: float) -> Detections:
    loaded = model(name)
    detector = make_detector(loaded.info)
    size = MODELS[name][1]
    feeds, letterbox = detector.preprocess(frame, Rung(size, size))
    outcome = loaded.run(feeds)
    assert isinstance(outcome, RunOk)
    return detector.decode(outcome.outputs, letterbox, frame, min_score)


def decoded(name: str, outputs: dict[str, NDArray[np.generic]], min_score: float) -> list[reference.Found]:
    """The reference's reading of a model's outputs, in pixels of its input."""
    family, size = MODELS[name]
    out = {key: cast("NDArray[np.float32]", value[0]) for key, value in outputs.items()}
    if family == "yolox":
        return reference.yolox(out["output"], size, min_score)
    if family == "nanodet":
        levels = (8, 16, 32)
        scores = [out[f"cls_pred_stride_{s}"] for s in levels]
        sides = [out[f"dis_pred_stride_{s}"] for s in levels]
        return reference.nanodet(scores, sides, levels, size, 0.5, min_score)
    four = (8, 16, 32, 64)
    ends = np.cumsum([(-(-size // s)) ** 2 for s in four])[:-1]
    scores, sides = np.split(out["scores"], ends), np.split(out["dist"], ends)
    return reference.nanodet(scores, sides, four, size, 0.0, min_score)


def expected(name: str, frame: Frame, min_score: float) -> list[reference.Found]:
    """The reference's detections, from its own preprocessing on, in 0..1 of the picture."""
    loaded, (family, size) = model(name), MODELS[name]
    rgb = frame.pixels.rgb()
    centred = family != "yolox"
    planes, scale, left, top = reference.letterbox(rgb, size, 0 if centred else 114, centred)
    outcome = loaded.run({loaded.info.inputs[0].name: (planes - MEAN) / STD if centred else planes})
    assert isinstance(outcome, RunOk)
    height, width = rgb.shape[:2]
    found = []
    for box, score, label in decoded(name, outcome.outputs, min_score):
        x0, y0, x1, y1 = np.clip(
            [
                (box[0] - left) / scale / width,
                (box[1] - top) / scale / height,
                (box[2] - left) / scale / width,
                (box[3] - top) / scale / height,
            ],
            0,
            1,
        ).tolist()
        found.append(((x0, y0, x1, y1), score, label))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_family_is_recognised(name: str) -> None:
    assert detect_family(model(name).info) == MODELS[name][0]


@pytest.mark.parametrize("name", MODELS)
def test_detections_agree_with_the_reference(name: str) -> None:
    compared = 0
    for frame in pictures():
        got = run(name, frame, 0.15)
        for box, score, label in expected(name, frame, 0.45):
            overlaps = [
                reference.overlap(box, tuple(other.tolist()))
                for other, other_label in zip(got.boxes, got.labels, strict=True)
                if other_label == label
            ]
            assert max(overlaps, default=0.0) > 0.85, (name, got.names[label], box, score)
            compared += 1
        strong = got.scores >= 0.5
        known = [(b, label) for b, _, label in expected(name, frame, 0.15)]
        for box32, label32 in zip(got.boxes[strong], got.labels[strong], strict=True):
            mine = tuple(box32.tolist())
            assert any(n == label32 and reference.overlap(mine, b) > 0.85 for b, n in known), (name, mine)
    assert compared >= 8


@pytest.mark.parametrize("name", MODELS)
def test_the_same_outputs_decode_to_the_same_boxes(name: str) -> None:
    loaded, size = model(name), MODELS[name][1]
    detector = make_detector(loaded.info)
    frame = frame_of(av.VideoFrame.from_ndarray(pictures()[2].pixels.scaled(size, size, "rgb")))
    feeds, letterbox = detector.preprocess(frame, Rung(size, size))
    outcome = loaded.run(feeds)
    assert isinstance(outcome, RunOk)
    got = detector.decode(outcome.outputs, letterbox, frame, 0.1)
    wanted = decoded(name, outcome.outputs, 0.1)
    assert len(got) == len(wanted) >= 3
    assert got.labels.tolist() == [label for _, _, label in wanted]
    np.testing.assert_allclose(got.scores, [score for _, score, _ in wanted], atol=1e-5)
    boxes = np.clip([box for box, _, _ in wanted], 0, size)
    np.testing.assert_allclose(got.boxes * size, boxes, atol=0.02)


STORED = {
    "yolox_nano.onnx": [(0.446, 0.297, 0.541, 0.881, 0.93), (0.792, 0.297, 0.893, 0.883, 0.93)],
    "nanodet_m_416.onnx": [(0.790, 0.306, 0.892, 0.879, 0.72), (0.445, 0.306, 0.541, 0.875, 0.65)],
    "nanodet_plus_m_416.onnx": [(0.442, 0.302, 0.541, 0.874, 0.73), (0.792, 0.302, 0.891, 0.876, 0.70)],
}


@pytest.mark.parametrize("name", STORED)
def test_bottles_of_a_known_frame(name: str) -> None:
    frame = clip(shared_path("clips/dev/intel_bottle.mp4"), (250,))[0]
    got = run(name, frame, 0.5)
    bottles = [i for i, label in enumerate(got.labels) if got.names[label] == "bottle"]
    assert len(bottles) == 2
    rows = sorted((*got.boxes[i].tolist(), float(got.scores[i])) for i in bottles)
    np.testing.assert_allclose(rows, sorted(STORED[name]), atol=0.02)
