"""What every detector family owes, whatever its arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.detectors.base import FAMILIES, Outputs, detect_family, family_class, make_detector
from inference.errors import ModelError
from inference.model import ModelInfo, TensorInfo
from inference.types import Detector, Rung
from tests.inference.detectors.cases import CASES, SIZE, Case, info
from tests.inference.models import painted

SQUARE = Rung(SIZE, SIZE)


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


@pytest.fixture
def detector(case: Case) -> Detector:
    return make_detector(case.info)


def picture_of(case: Case) -> TensorInfo:
    return case.info.image_input()


def with_picture(case: Case, picture: TensorInfo) -> ModelInfo:
    inputs = tuple(picture if len(tensor.shape) == 4 else tensor for tensor in case.info.inputs)
    return replace(case.info, inputs=inputs)


def test_every_family_is_in_this_suite() -> None:
    assert set(CASES) == set(FAMILIES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_family_is_told_from_all_others(name: str) -> None:
    case = CASES[name]()
    assert detect_family(case.info) == name
    assert make_detector(case.info).family == name
    if not case.choosable:
        assert detect_family(replace(case.info, metadata={})) != name


def test_the_input_is_the_picture_at_the_rung(case: Case, detector: Detector) -> None:
    frame = painted(128, 64, (64, 0, 128, 64))
    last = picture_of(case).shape[3] == 3
    for rung in (SQUARE, Rung(128, 96)):
        feeds, letterbox = detector.preprocess(frame, rung)
        assert set(feeds) == {tensor.name for tensor in case.info.inputs}
        image = feeds[picture_of(case).name]
        assert image.shape == ((1, rung.height, rung.width, 3) if last else (1, 3, rung.height, rung.width))
        assert image.dtype == (np.uint8 if last else np.float32) and image.flags["C_CONTIGUOUS"]
        assert (letterbox.width, letterbox.height) == (rung.width, rung.height)


def test_colours_are_in_the_familys_order(case: Case, detector: Detector) -> None:
    feeds, _ = detector.preprocess(painted(64, 64, (0, 0, 64, 64)), SQUARE)
    image = feeds[picture_of(case).name]
    middle = image[0, 32, 32] if image.shape[-1] == 3 else image[0, :, 32, 32]
    assert case.order[int(np.argmax(middle.astype(np.float64)))] == "r"


def test_one_object_comes_out_where_it_is(case: Case, detector: Detector) -> None:
    frame = painted(128, 128, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, SQUARE)
    found = detector.decode(case.outputs, letterbox, frame, 0.25)
    assert len(found) == 1
    assert found.boxes.shape == (1, 4) and found.boxes.dtype == np.float32
    assert found.scores.dtype == np.float32 and found.labels.dtype == np.int32
    assert found.names[found.labels[0]] == "bottle"
    assert found.scores[0] == pytest.approx(0.9, abs=1e-3)
    np.testing.assert_allclose(found.boxes[0] * SIZE, case.box, atol=0.05)


def test_padding_or_stretching_is_undone(case: Case, detector: Detector) -> None:
    frame = painted(384, 192, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, SQUARE)
    found = detector.decode(case.outputs, letterbox, frame, 0.25)
    place = getattr(detector, "picture").place  # noqa: B009
    high = SIZE if place == "stretch" else SIZE / 2  # where the whole picture lies in the input
    top = SIZE / 4 if place == "centred" else 0.0
    x0, y0, x1, y1 = case.box
    wanted = np.clip([x0 / SIZE, (y0 - top) / high, x1 / SIZE, (y1 - top) / high], 0, 1)
    np.testing.assert_allclose(found.boxes[0], wanted, atol=0.002)


def test_what_lies_beyond_the_picture_is_cut_off(case: Case, detector: Detector) -> None:
    frame = painted(64, 640, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, SQUARE)
    found = detector.decode(case.outputs, letterbox, frame, 0.25)
    assert found.boxes.min(initial=0) >= 0 and found.boxes.max(initial=0) <= 1
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


def test_scores_below_the_cut_are_dropped_and_order_is_by_score(case: Case, detector: Detector) -> None:
    frame = painted(64, 64, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, SQUARE)
    assert len(detector.decode(case.outputs, letterbox, frame, 0.95)) == 0
    rng = np.random.default_rng(3)
    noisy: Outputs = {}
    for name, value in case.outputs.items():
        scale = 20.0 if value.ndim == 3 else 0.9
        is_noise = value.ndim > 1 and value.dtype.kind == "f" and "classes" not in name
        noisy[name] = (rng.random(value.shape) * scale).astype(value.dtype) if is_noise else value
    found = detector.decode(noisy, letterbox, frame, 0.3)
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores.min(initial=1) >= 0.3


def test_no_object_is_no_detection(case: Case, detector: Detector) -> None:
    frame = painted(64, 64, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, SQUARE)
    found = detector.decode(case.outputs, letterbox, frame, 0.99)
    assert found.boxes.shape == (0, 4) and found.scores.shape == found.labels.shape == (0,)
    assert found.boxes.dtype == found.scores.dtype == np.float32 and found.labels.dtype == np.int32


@pytest.mark.filterwarnings("ignore:invalid value")
def test_numbers_that_are_none_are_no_detection(case: Case, detector: Detector) -> None:
    frame = painted(64, 64, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, SQUARE)
    broken: Outputs = {
        name: np.full_like(value, np.nan) if value.dtype.kind == "f" else value
        for name, value in case.outputs.items()
    }
    assert len(detector.decode(broken, letterbox, frame, 0.25)) == 0


@pytest.mark.parametrize("name", sorted(set(CASES) - {"ssd"}))
def test_half_precision_goes_in_and_comes_out(name: str) -> None:
    case = CASES[name]()
    picture = picture_of(case)
    detector = make_detector(with_picture(case, replace(picture, dtype="tensor(float16)")))
    frame = painted(128, 128, (0, 0, 8, 8))
    feeds, letterbox = detector.preprocess(frame, SQUARE)
    assert feeds[picture.name].dtype == np.float16
    halves: Outputs = {
        name: value.astype(np.float16) if value.dtype.kind == "f" else value
        for name, value in case.outputs.items()
    }
    found = detector.decode(halves, letterbox, frame, 0.25)
    np.testing.assert_allclose(found.boxes[0] * SIZE, case.box, atol=0.1)
    assert found.boxes.dtype == found.scores.dtype == np.float32


def test_a_fixed_batch_is_filled_up_and_its_first_picture_read(case: Case) -> None:
    picture = picture_of(case)
    described = with_picture(case, replace(picture, shape=(2, *picture.shape[1:])))
    described = replace(
        described, metadata={**described.metadata, "vitrine.family": detect_family(case.info)}
    )
    detector = make_detector(described)
    frame = painted(128, 128, (0, 0, 8, 8))
    feeds, letterbox = detector.preprocess(frame, SQUARE)
    assert feeds[picture.name].shape[0] == 2
    assert feeds[picture.name][0].any() and not feeds[picture.name][1].any()
    both: Outputs = {
        name: np.concatenate([value, np.full_like(value, 1)]) for name, value in case.outputs.items()
    }
    found = detector.decode(both, letterbox, frame, 0.25)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes[0] * SIZE, case.box, atol=0.05)


@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if case().grid))
def test_output_for_another_input_size_is_refused(name: str) -> None:
    case = CASES[name]()
    detector = make_detector(case.info)
    frame = painted(64, 64, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, Rung(128, 96))
    with pytest.raises(ModelError, match=r"expected \d+ for an input of 128x96"):
        detector.decode(case.outputs, letterbox, frame, 0.25)


@pytest.mark.parametrize("damage", ["missing", "flat", "narrow", "text"])
def test_damaged_outputs_are_refused(case: Case, detector: Detector, damage: str) -> None:
    frame = painted(64, 64, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, SQUARE)
    outputs = dict(case.outputs)
    name = next(name for name, value in outputs.items() if value.dtype.kind == "f" and value.ndim > 1)
    if damage == "missing":
        del outputs[name]
    elif damage == "flat":
        outputs[name] = outputs[name].ravel()
    elif damage == "narrow":
        outputs[name] = outputs[name][..., :-1] if name != "output0" else outputs[name][:, :3, :3]
    else:
        outputs[name] = np.full(outputs[name].shape, "x")
    with pytest.raises(ModelError, match=name):
        detector.decode(outputs, letterbox, frame, 0.25)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_foreign_model_is_refused_with_reason(family: str) -> None:
    for foreign in (info({"features": (1, 1000)}), info({"maps": (1, 64, 3, 3)})):
        assert family_class(family).mismatch(foreign)
        with pytest.raises(ModelError, match="expected"):
            family_class(family)(foreign)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_grey_picture_is_refused(family: str) -> None:
    case = CASES[family]()
    grey = with_picture(case, TensorInfo("image", (1, 1, SIZE, SIZE), "tensor(float)"))
    assert "expected one input (1, 3, h, w)" in str(family_class(family).mismatch(grey))


@pytest.mark.parametrize("family", sorted(name for name, case in CASES.items() if case().counted))
def test_names_that_do_not_fit_the_outputs_are_refused(family: str) -> None:
    case = CASES[family]()
    wrong = replace(case.info, metadata={"vitrine.names": '["one", "two"]'})
    with pytest.raises(ModelError, match=r"(80|91) classes in the output and 2 names"):
        family_class(family)(wrong)


@pytest.mark.parametrize("family", sorted(name for name, case in CASES.items() if not case().counted))
def test_a_class_without_a_name_is_refused(family: str) -> None:
    case = CASES[family]()
    few = replace(case.info, metadata={"vitrine.names": '["one", "two"]', "vitrine.family": family})
    detector = make_detector(few)
    frame = painted(64, 64, (0, 0, 8, 8))
    _, letterbox = detector.preprocess(frame, SQUARE)
    with pytest.raises(ModelError, match=r"with 2 names; put all class names"):
        detector.decode(case.outputs, letterbox, frame, 0.25)
