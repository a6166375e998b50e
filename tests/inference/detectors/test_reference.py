"""Every family's arithmetic on random outputs against loops written from its description."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.detectors.base import Outputs, make_detector
from inference.errors import ModelError
from inference.geometry import fit
from inference.model import ModelInfo, TensorInfo
from inference.types import Detections, Letterbox, Rung
from tests.inference.detectors import cases, reference
from tests.inference.detectors.cases import CELLS, Shape, info, shapes
from tests.inference.models import painted

WIDTH, HEIGHT = 160, 90
SQUARE = Rung(cases.SIZE, cases.SIZE)
STRETCHED = Letterbox(cases.SIZE / WIDTH, cases.SIZE / HEIGHT, 0, 0, cases.SIZE, cases.SIZE)
CENTRED = fit(WIDTH, HEIGHT, SQUARE, centred=True)[0]
FRAME = painted(WIDTH, HEIGHT, (0, 0, 8, 8))
Floats = NDArray[np.float32]


def detected(described: ModelInfo, outputs: Outputs, min_score: float) -> Detections:
    detector = make_detector(described)
    _, letterbox = detector.preprocess(FRAME, SQUARE)
    return detector.decode(outputs, letterbox, FRAME, min_score)


def agree(got: Detections, found: list[reference.Found], letterbox: Letterbox, at_least: int = 5) -> None:
    wanted = reference.in_picture(found, letterbox, WIDTH, HEIGHT)
    assert len(got) == len(wanted) >= at_least
    assert got.labels.tolist() == [label for _, _, label in wanted]
    np.testing.assert_allclose(got.scores, [score for _, score, _ in wanted], atol=2e-5)
    np.testing.assert_allclose(got.boxes, [box for box, _, _ in wanted], atol=2e-4)


def boxes(rng: np.random.Generator, count: int) -> Floats:
    """Centre x, y, width, height in pixels of the input; some reach beyond it."""
    middle, size = rng.uniform(-5, cases.SIZE + 5, (count, 2)), rng.uniform(2, 60, (count, 2))
    return np.concatenate([middle, size], axis=1).astype(np.float32)


def noise(rng: np.random.Generator, *shape: int, power: int = 4) -> Floats:
    """Scores of which few are high, no two alike."""
    return (rng.random(shape) ** power).astype(np.float32)


@pytest.mark.parametrize("classes", [1, 2, 80])
@pytest.mark.parametrize("seed", range(3))
def test_yolov5(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.concatenate([boxes(rng, 3 * CELLS), noise(rng, 3 * CELLS, 1 + classes)], axis=1)
    outputs: Outputs = {"output0": rows[None]}
    described = info(shapes(outputs))
    agree(detected(described, outputs, 0.3), reference.yolov5(rows, classes, 0.3), CENTRED)
    assert make_detector(described).family == "yolov5"


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("classes", [1, 3, 80])
def test_yolov8(classes: int, turned: bool) -> None:
    rng = np.random.default_rng(classes)
    columns = np.concatenate([boxes(rng, CELLS).T, noise(rng, classes, CELLS, power=6)])
    names = {"names": str({index: f"kind {index}" for index in range(classes)})}
    outputs: Outputs = {"output0": columns.T[None] if turned else columns[None]}
    described = info(shapes(outputs), metadata=names)
    assert make_detector(described).family == "yolov8"
    agree(detected(described, outputs, 0.3), reference.yolov8(columns, classes, 0.3), CENTRED)


@pytest.mark.parametrize(("task", "extra"), [("segment", 32), ("pose", 51)])
def test_masks_and_key_points_beside_the_boxes_are_ignored(task: str, extra: int) -> None:
    rng = np.random.default_rng(extra)
    names = {"names": "{0: 'shoe', 1: 'bag'}", "task": task, "stride": "32"}
    columns = np.concatenate([boxes(rng, CELLS).T, noise(rng, 2, CELLS), np.ones((extra, CELLS), np.float32)])
    maps: Outputs = {"output1": np.zeros((1, 32, 24, 24), np.float32)} if task == "segment" else {}
    outputs: Outputs = {"output0": columns[None], **maps}
    described = info(shapes(outputs), metadata=names)
    assert make_detector(described).family == "yolov8"
    agree(detected(described, outputs, 0.3), reference.yolov8(columns, 2, 0.3), CENTRED)
    rows = np.concatenate(
        [boxes(rng, 3 * CELLS), noise(rng, 3 * CELLS, 3), np.ones((3 * CELLS, extra), np.float32)], axis=1
    )
    outputs = {"output0": rows[None], **maps}
    described = info(shapes(outputs), metadata=names)
    assert make_detector(described).family == "yolov5"
    agree(detected(described, outputs, 0.3), reference.yolov5(rows, 2, 0.3), CENTRED)


def test_maps_without_names_show_how_many_classes_there_are() -> None:
    shown: dict[str, Shape] = {"output0": (1, 4 + 3 + 32, CELLS), "output1": (1, 32, 24, 24)}
    assert make_detector(info(shown)).names == ("class 0", "class 1", "class 2")


def test_an_end2end_yolo() -> None:
    rng = np.random.default_rng(5)
    rows = np.zeros((300, 6), np.float32)
    corners = boxes(rng, 40)
    rows[:40, :2] = corners[:, :2] - corners[:, 2:] / 2
    rows[:40, 2:4] = corners[:, :2] + corners[:, 2:] / 2
    rows[:40, 4] = noise(rng, 40, power=1)
    rows[:40, 5] = rng.integers(0, 80, 40)
    outputs: Outputs = {"output0": rows[None]}
    agree(detected(info(shapes(outputs)), outputs, 0.2), reference.ended(rows, 0.2), CENTRED)


@pytest.mark.parametrize("family", ["rt-detr", "deimv2"])
def test_rt_detr(family: str) -> None:
    rng = np.random.default_rng(6)
    case = cases.rt_detr("" if family == "rt-detr" else family)
    middle = boxes(rng, 300)
    corners = np.concatenate([middle[:, :2] - middle[:, 2:] / 2, middle[:, :2] + middle[:, 2:] / 2], axis=1)
    scores, labels = noise(rng, 300), rng.integers(0, 80, 300)
    outputs: Outputs = {"labels": labels[None], "boxes": corners[None], "scores": scores[None]}
    rows = np.concatenate([corners, scores[:, None], labels[:, None]], axis=1).astype(np.float32)
    agree(detected(case.info, outputs, 0.3), reference.ended(rows, 0.3), STRETCHED)


@pytest.mark.parametrize(
    ("queries", "width", "softmax", "family"),
    [(300, 80, False, "rt-detr-logits"), (300, 91, False, "rf-detr"), (100, 92, True, "detr")],
)
def test_transformers_with_logits(queries: int, width: int, softmax: bool, family: str) -> None:
    rng = np.random.default_rng(width)
    logits = rng.normal(-4, 2.5, (queries, width)).astype(np.float32)
    if softmax:
        logits[:, -1] += rng.uniform(0, 8, queries)
    shares = (boxes(rng, queries) / cases.SIZE).astype(np.float32)
    outputs: Outputs = {"logits": logits[None], "pred_boxes": shares[None]}
    described = info(shapes(outputs))
    assert make_detector(described).family == family
    found = reference.queries(logits, shares, (cases.SIZE, cases.SIZE), 0.3, softmax=softmax)
    agree(detected(described, outputs, 0.3), found, STRETCHED)


def test_logits_far_from_zero_do_not_overflow() -> None:
    logits = np.full((1, 300, 80), -1e4, np.float32)
    logits[0, 3, 2] = 1e4
    outputs: Outputs = {"logits": logits, "pred_boxes": np.full((1, 300, 4), 0.5, np.float32)}
    found = detected(info(shapes(outputs)), outputs, 0.5)
    assert found.scores.tolist() == [pytest.approx(1.0)] and found.labels.tolist() == [2]


def test_the_free_place_of_rf_detr_has_to_be_named() -> None:
    """Older versions keep it in front of the classes, newer ones behind: the file does not say."""
    outputs: dict[str, Shape] = {"dets": (1, 300, 4), "labels": (1, 300, 3)}
    with pytest.raises(ModelError, match="keeps a free place, in front or behind"):
        make_detector(info(outputs, metadata={"vitrine.names": '["shoe", "bag"]'}))
    detector = make_detector(info(outputs, metadata={"vitrine.names": '["nothing", "shoe", "bag"]'}))
    assert (detector.family, detector.names) == ("rf-detr", ("nothing", "shoe", "bag"))


@pytest.mark.parametrize("family", ["picodet", "pp-yoloe"])
def test_picodet(family: str) -> None:
    rng = np.random.default_rng(8)
    case = cases.picodet("" if family == "picodet" else family)
    middle = boxes(rng, 30)
    corners = np.concatenate([middle[:, :2] - middle[:, 2:] / 2, middle[:, :2] + middle[:, 2:] / 2], axis=1)
    labels, scores = rng.integers(-1, 80, 30), noise(rng, 30, power=1)
    rows = np.concatenate([labels[:, None], scores[:, None], corners], axis=1).astype(np.float32)
    outputs: Outputs = {"nms_0.tmp_0": rows, "nms_0.tmp_2": np.array([25], np.int32)}
    ended = np.concatenate([corners, scores[:, None], labels[:, None]], axis=1).astype(np.float32)[:25]
    wanted = reference.ended(ended[ended[:, 5] >= 0], 0.2)
    agree(detected(case.info, outputs, 0.2), wanted, STRETCHED)


def test_ssd() -> None:
    rng = np.random.default_rng(9)
    middle = boxes(rng, 100) / cases.SIZE
    corners = np.concatenate([middle[:, :2] - middle[:, 2:] / 2, middle[:, :2] + middle[:, 2:] / 2], axis=1)
    scores, labels = noise(rng, 100, power=2), rng.integers(1, 91, 100)
    outputs: Outputs = {
        "detection_boxes:0": corners[None][:, :, [1, 0, 3, 2]].astype(np.float32),
        "detection_classes:0": labels[None].astype(np.float32),
        "detection_scores:0": scores[None],
        "num_detections:0": np.array([80.0], np.float32),
    }
    rows = np.concatenate([corners * cases.SIZE, scores[:, None], labels[:, None] - 1], axis=1)
    found = reference.ended(rows.astype(np.float32)[:80], 0.25)
    agree(detected(cases.ssd().info, outputs, 0.25), found, STRETCHED)


def test_nanodet_plus_in_one_output_decodes_as_in_two() -> None:
    rng = np.random.default_rng(10)
    case = cases.nanodet_plus()
    rows = case.outputs["output"].shape[1]
    scores, sides = noise(rng, rows, 80, power=9), rng.normal(0, 2, (rows, 32)).astype(np.float32)
    whole: Outputs = {"output": np.concatenate([scores, sides], axis=1)[None]}
    two: Outputs = {"scores": scores[None], "dist": sides[None]}
    one, other = detected(case.info, whole, 0.5), detected(info(shapes(two)), two, 0.5)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    ends = np.cumsum([(-(-cases.SIZE // stride)) ** 2 for stride in (8, 16, 32, 64)])[:-1]
    levels = np.split(scores, ends), np.split(sides, ends)
    found = reference.nanodet(*levels, (8, 16, 32, 64), cases.SIZE, 0.0, 0.5)
    agree(one, found, CENTRED)


def test_a_forced_family_reads_rows_it_would_not_have_chosen() -> None:
    """YOLOv6: YOLOv5's row for each cell, the objectness always 1."""
    rng = np.random.default_rng(11)
    rows = np.concatenate(
        [boxes(rng, CELLS), np.ones((CELLS, 1), np.float32), noise(rng, CELLS, 80, power=9)], 1
    )
    outputs: Outputs = {"outputs": rows[None]}
    described = info(shapes(outputs))
    assert make_detector(described).family == "yolox"
    named = replace(described, metadata={"vitrine.family": "yolov5"})
    agree(detected(named, outputs, 0.4), reference.yolov5(rows, 80, 0.4), CENTRED)


Numbers = NDArray[np.floating]
FORMS: dict[str, Callable[[Numbers], Numbers]] = {
    "rt-detr": lambda rgb: rgb / 255,
    "deimv2": lambda rgb: (rgb / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225),
    "rt-detr-logits": lambda rgb: rgb / 255,
    "rf-detr": lambda rgb: (rgb / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225),
    "detr": lambda rgb: (rgb / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225),
    "picodet": lambda rgb: (rgb / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225),
    "pp-yoloe": lambda rgb: rgb / 255,
    "ssd": lambda rgb: rgb,
    "yolov5": lambda rgb: rgb / 255,
    "yolov8": lambda rgb: rgb / 255,
    "yolo-end2end": lambda rgb: rgb / 255,
    "yolox": lambda rgb: rgb[..., ::-1],
    "nanodet": lambda rgb: (rgb[..., ::-1] - (103.53, 116.28, 123.675)) / (57.375, 57.12, 58.395),
    "nanodet-plus": lambda rgb: (rgb[..., ::-1] - (103.53, 116.28, 123.675)) / (57.375, 57.12, 58.395),
}


@pytest.mark.parametrize("name", sorted(cases.CASES))
def test_values_have_the_scale_the_family_was_trained_with(name: str) -> None:
    case = cases.CASES[name]()
    detector = make_detector(case.info)
    feeds, letterbox = detector.preprocess(FRAME, SQUARE)
    image = feeds[case.info.image_input().name][0].astype(np.float32)
    planes = image if image.shape[-1] == 3 else image.transpose(1, 2, 0)
    inner = round(letterbox.scale_x * WIDTH), round(letterbox.scale_y * HEIGHT)
    left, top = int(letterbox.pad_x), int(letterbox.pad_y)
    rgb = FRAME.pixels.scaled(*inner, "rgb").astype(np.float32)
    got = planes[top : top + inner[1], left : left + inner[0]]
    np.testing.assert_allclose(got, FORMS[name](rgb), atol=2e-5 * max(1.0, float(np.abs(got).max())))
    padding = {"yolox": 114.0, "yolov5": 114.0, "yolov8": 114.0, "yolo-end2end": 114.0}.get(name, 0.0)
    if inner != (cases.SIZE, cases.SIZE):
        around = FORMS[name](np.full((1, 1, 3), padding))[0, 0]
        np.testing.assert_allclose(planes[-1, -1], around, atol=1e-4)


def test_bytes_in_planes_are_not_normalised() -> None:
    case = cases.yolov8()
    picture = replace(case.info.image_input(), dtype="tensor(uint8)")
    feeds, _ = make_detector(replace(case.info, inputs=(picture,))).preprocess(FRAME, SQUARE)
    assert feeds["image"].dtype == np.uint8 and feeds["image"].shape == (1, 3, cases.SIZE, cases.SIZE)
    assert feeds["image"][0, :, -1, -1].tolist() == [114, 114, 114]


def test_channels_may_come_last_in_floats_too() -> None:
    case = cases.yolov8()
    last = TensorInfo("image", (1, cases.SIZE, cases.SIZE, 3), "tensor(float)")
    feeds, _ = make_detector(replace(case.info, inputs=(last,))).preprocess(FRAME, SQUARE)
    planes, _ = make_detector(case.info).preprocess(FRAME, SQUARE)
    assert feeds["image"].flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(feeds["image"], planes["image"].transpose(0, 2, 3, 1))


@pytest.mark.parametrize("name", ["rt-detr", "picodet", "detr"])
def test_extra_inputs_are_fed(name: str) -> None:
    case = cases.CASES[name]()
    mask = TensorInfo("pixel_mask", (None, 64, None), "tensor(int64)")
    described = replace(case.info, inputs=(*case.info.inputs, mask)) if name == "detr" else case.info
    feeds, _ = make_detector(described).preprocess(FRAME, Rung(128, 96))
    extra = {key: value for key, value in feeds.items() if value.ndim != 4}
    if name == "rt-detr":
        assert extra["orig_target_sizes"].tolist() == [[128, 96]]
        assert extra["orig_target_sizes"].dtype == np.int64
    elif name == "picodet":
        assert extra["scale_factor"].tolist() == [[1.0, 1.0]] and extra["scale_factor"].dtype == np.float32
    else:
        assert extra["pixel_mask"].shape == (1, 64, 128) and extra["pixel_mask"].all()


def test_an_input_nobody_knows_is_refused() -> None:
    odd = TensorInfo("temperature", (1,), "tensor(float)")
    for name in ("rt-detr", "picodet", "detr", "yolov8"):
        case = cases.CASES[name]()
        described = replace(case.info, inputs=(*case.info.inputs, odd))
        reason = make_detector(case.info).mismatch(described)  # type: ignore[attr-defined]
        assert "expected" in str(reason) and ("temperature" in str(reason) or "got 2" in str(reason))
