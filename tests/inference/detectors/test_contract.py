"""What every detector family owes, whatever its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.detectors.base import FAMILIES, Outputs, detect_family, family_class, make_detector
from inference.errors import ModelError
from inference.model import ModelInfo, TensorInfo
from inference.types import Detector, Rung
from tests.inference.models import painted, yolox_rows

CLASSES = 80
SIZE = 64


@dataclass(frozen=True)
class Case:
    """A family's model by description, and its outputs for one object."""

    info: ModelInfo
    outputs: Outputs


def info(outputs: dict[str, tuple[int | None, ...]], **metadata: str) -> ModelInfo:
    return ModelInfo(
        (TensorInfo("image", (1, 3, SIZE, SIZE), "tensor(float)"),),
        tuple(TensorInfo(name, shape, "tensor(float)") for name, shape in outputs.items()),
        {f"vitrine.{key}": value for key, value in metadata.items()},
        "made.onnx",
    )


def yolox_case() -> Case:
    rows = yolox_rows([(48, 16, 16, 16, 0.9, 39)], SIZE, CLASSES)
    return Case(info({"output": (1, rows.shape[1], 85)}), {"output": rows})


def side_bins(distances: tuple[float, ...]) -> NDArray[np.float32]:
    """Distributions over 8 bins whose expectation is each of `distances` (whole bins)."""
    bins = np.full((4, 8), -30.0, np.float32)
    for side, distance in enumerate(distances):
        bins[side, round(distance)] = 30.0
    return bins.ravel()


def nanodet_case() -> Case:
    outputs: Outputs = {}
    for stride in (8, 16, 32):
        cells = (SIZE // stride) ** 2
        outputs[f"cls_pred_stride_{stride}"] = np.zeros((1, cells, CLASSES), np.float32)
        outputs[f"dis_pred_stride_{stride}"] = np.zeros((1, cells, 32), np.float32)
    # cell (5, 3) of stride 8 has its anchor at 43.5, 27.5
    outputs["cls_pred_stride_8"][0, 3 * 8 + 5, 39] = 0.9
    outputs["dis_pred_stride_8"][0, 3 * 8 + 5] = side_bins((1, 1, 2, 1))
    shapes: dict[str, tuple[int | None, ...]] = {name: value.shape for name, value in outputs.items()}
    return Case(info(shapes), outputs)


def nanodet_plus_case() -> Case:
    rows = sum((SIZE // stride) ** 2 for stride in (8, 16, 32, 64))
    scores, sides = np.zeros((1, rows, CLASSES), np.float32), np.zeros((1, rows, 32), np.float32)
    # cell (6, 4) of stride 8 has its anchor at 48, 32
    scores[0, 4 * 8 + 6, 39] = 0.9
    sides[0, 4 * 8 + 6] = side_bins((1, 1, 1, 1))
    return Case(
        info({"scores": (1, None, CLASSES), "dist": (1, None, 32)}), {"scores": scores, "dist": sides}
    )


CASES = {"yolox": yolox_case, "nanodet": nanodet_case, "nanodet-plus": nanodet_plus_case}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


@pytest.fixture
def detector(case: Case) -> Detector:
    return make_detector(case.info)


def test_every_family_is_in_this_suite() -> None:
    assert set(CASES) == set(FAMILIES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_shapes_alone_tell_the_family(name: str) -> None:
    assert detect_family(CASES[name]().info) == name
    assert make_detector(CASES[name]().info).family == name


def test_input_is_float_planes_of_the_rung(detector: Detector) -> None:
    frame = painted(128, 64, (64, 0, 128, 64))
    for rung in (Rung(64, 64), Rung(96, 64)):
        feeds, letterbox = detector.preprocess(frame, rung)
        assert list(feeds) == ["image"]
        assert feeds["image"].shape == (1, 3, rung.height, rung.width)
        assert feeds["image"].dtype == np.float32 and feeds["image"].flags["C_CONTIGUOUS"]
        assert (letterbox.width, letterbox.height) == rung


def test_planes_are_blue_green_red(detector: Detector) -> None:
    feeds, letterbox = detector.preprocess(painted(64, 64, (0, 0, 64, 64)), Rung(SIZE, SIZE))
    middle = feeds["image"][0, :, 32, 32].astype(np.float64)
    assert middle[2] > middle[0] and middle[2] > middle[1], "red belongs into the last plane"
    assert letterbox.scale_x == letterbox.scale_y == 1


def test_one_object_comes_out_where_it_is(case: Case, detector: Detector) -> None:
    frame = painted(128, 128, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, Rung(SIZE, SIZE))
    found = detector.decode(case.outputs, letterbox, frame, 0.25)
    assert len(found) == 1
    assert found.boxes.shape == (1, 4) and found.boxes.dtype == np.float32
    assert found.scores.dtype == np.float32 and found.labels.dtype == np.int32
    assert found.names[found.labels[0]] == "bottle"
    assert found.scores[0] == pytest.approx(0.9)
    wanted = {
        "yolox": (40, 8, 56, 24),
        "nanodet": (35.5, 19.5, 59.5, 35.5),
        "nanodet-plus": (40, 24, 56, 40),
    }[detector.family]
    np.testing.assert_allclose(found.boxes[0] * SIZE, wanted, atol=0.05)


def test_what_lies_beyond_the_picture_is_cut_off(case: Case, detector: Detector) -> None:
    frame = painted(64, 640, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, Rung(SIZE, SIZE))
    found = detector.decode(case.outputs, letterbox, frame, 0.25)
    assert found.boxes.min(initial=0) >= 0 and found.boxes.max(initial=0) <= 1
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


def test_scores_below_the_cut_are_dropped_and_order_is_by_score(case: Case, detector: Detector) -> None:
    frame = painted(64, 64, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, Rung(SIZE, SIZE))
    assert len(detector.decode(case.outputs, letterbox, frame, 0.95)) == 0
    rng = np.random.default_rng(3)
    noisy: Outputs = {
        name: rng.random(value.shape).astype(np.float32) for name, value in case.outputs.items()
    }
    found = detector.decode(noisy, letterbox, frame, 0.3)
    assert len(found) > 1
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores.min() >= 0.3


def test_output_for_another_input_size_is_refused(case: Case, detector: Detector) -> None:
    frame = painted(64, 64, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, Rung(96, 96))
    with pytest.raises(ModelError, match=r"expected \d+ for an input of 96x96"):
        detector.decode(case.outputs, letterbox, frame, 0.25)


@pytest.mark.parametrize("damage", ["missing", "flat", "narrow", "integer"])
def test_damaged_outputs_are_refused(case: Case, detector: Detector, damage: str) -> None:
    frame = painted(64, 64, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, Rung(SIZE, SIZE))
    outputs = dict(case.outputs)
    name = next(iter(outputs))
    if damage == "missing":
        del outputs[name]
    elif damage == "flat":
        outputs[name] = outputs[name].ravel()
    elif damage == "narrow":
        outputs[name] = outputs[name][:, :, :-1]
    else:
        outputs[name] = outputs[name].astype(np.int64)
    with pytest.raises(ModelError, match=name):
        detector.decode(outputs, letterbox, frame, 0.25)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_foreign_model_is_refused_with_reason(family: str) -> None:
    foreign = info({"logits": (1, 1000)})
    assert family_class(family).mismatch(foreign)
    with pytest.raises(ModelError, match="expected"):
        family_class(family)(foreign)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_names_that_do_not_fit_the_outputs_are_refused(family: str) -> None:
    case = CASES[family]()
    wrong = ModelInfo(case.info.inputs, case.info.outputs, {"vitrine.names": '["one", "two"]'}, "made.onnx")
    with pytest.raises(ModelError, match="80 classes in the output and 2 names"):
        family_class(family)(wrong)
