from __future__ import annotations

import pytest

from inference.detectors.base import FAMILIES, detect_family, family_class, grid, make_detector
from inference.errors import AmbiguousModel, ModelError
from inference.model import ModelInfo, TensorInfo
from tests.inference.detectors.cases import Shape


def info(
    output: Shape,
    metadata: dict[str, str] | None = None,
    side: int | None = 64,
    picture: TensorInfo | None = None,
) -> ModelInfo:
    return ModelInfo(
        (picture or TensorInfo("images", (1, 3, side, side), "tensor(float)"),),
        (TensorInfo("output", output, "tensor(float)"),),
        metadata or {},
        "model.onnx",
    )


def queries(logits: Shape, side: int | None, metadata: dict[str, str] | None = None) -> ModelInfo:
    return ModelInfo(
        (TensorInfo("pixel_values", (None, 3, side, side), "tensor(float)"),),
        (
            TensorInfo("logits", logits, "tensor(float)"),
            TensorInfo("pred_boxes", (*logits[:2], 4), "tensor(float)"),
        ),
        metadata or {},
        "model.onnx",
    )


def test_metadata_names_the_family() -> None:
    assert detect_family(info((1, 84, 7), {"vitrine.family": "yolox"})) == "yolox"


def test_unknown_family_in_metadata_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="got 'yolo99', expected one of yolox, nanodet, nanodet-plus"):
        detect_family(info((1, 84, 7), {"vitrine.family": "yolo99"}))


NAMES_2 = {"names": "{0: 'dress', 1: 'bag'}"}
NAMES_1 = {"names": "['product']"}
SHAPES = [
    ((1, 8400, 85), 640, {}, "yolox"),
    ((1, 25200, 85), 640, {}, "yolov5"),
    ((1, 84, 8400), 640, {}, "yolov8"),
    ((1, 8400, 84), 640, {}, "yolov8"),
    ((1, 300, 6), 640, {}, "yolo-end2end"),
    ((1, 100, 6), 320, {}, "yolo-end2end"),
    ((1, 3598, 112), 416, {}, "nanodet-plus"),
    ((1, 3549, 85), 416, {}, "yolox"),
    ((1, 10647, 85), 416, {}, "yolov5"),
    ((1, 84, 3549), 416, {}, "yolov8"),
    # heads of other sizes: P6 for 1280 pixels, P2 for small objects
    ((1, 102000, 85), 1280, {}, "yolov5"),
    ((1, 84, 34000), 640, {}, "yolov8"),
    # one class and two: the same widths mean different things
    ((1, 25200, 6), 640, {}, "yolov5"),
    ((1, 8400, 6), 640, NAMES_1, "yolox"),
    ((1, 5, 8400), 640, NAMES_1, "yolov8"),
    ((1, 5, 8400), 640, {}, "yolov8"),
    ((1, 8400, 5), 640, NAMES_1, "yolov8"),
    ((1, 8400, 6), 640, NAMES_2, "yolov8"),
    ((1, 8400, 7), 640, NAMES_2, "yolox"),
    ((1, 3598, 34), 416, NAMES_2, "nanodet-plus"),
    # batches, fixed and open
    ((8, 84, 8400), 640, {}, "yolov8"),
    ((None, 25200, 85), 640, {}, "yolov5"),
    # notes of the exporter
    ((1, None, 6), 640, {**NAMES_1, "end2end": "True"}, "yolo-end2end"),
    ((1, None, 6), None, {**NAMES_1, "args": "{'batch': 1, 'nms': True}"}, "yolo-end2end"),
]


@pytest.mark.parametrize(("output", "side", "metadata", "family"), SHAPES)
def test_shapes_names_and_notes_tell_the_yolos(
    output: Shape, side: int | None, metadata: dict[str, str], family: str
) -> None:
    assert detect_family(info(output, metadata, side)) == family


@pytest.mark.parametrize(
    ("logits", "side", "metadata", "family"),
    [
        ((1, 300, 80), 640, {}, "rt-detr-logits"),
        ((None, None, 80), None, {}, "rt-detr-logits"),
        ((1, 300, 91), 384, {}, "rf-detr"),
        ((None, 100, 92), None, {}, "detr"),
        ((1, 100, 14), 800, {}, "detr"),
        ((1, 300, 13), 640, {}, "rt-detr-logits"),
        ((1, 300, 13), 512, {}, "rf-detr"),
    ],
)
def test_logits_and_queries_tell_the_transformers(
    logits: Shape, side: int | None, metadata: dict[str, str], family: str
) -> None:
    assert detect_family(queries(logits, side, metadata)) == family


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (info((1, None, 85), side=None), "yolox or yolov5"),
        (info((1, None, None), side=None), "yolox or nanodet-plus or yolov5"),
        (queries((None, None, 13), None), "rt-detr-logits or rf-detr or detr"),
        (queries((1, 250, 13), 640), "rt-detr-logits or rf-detr or detr"),
    ],
)
def test_what_fits_several_families_asks_to_be_named(model: ModelInfo, words: str) -> None:
    with pytest.raises(AmbiguousModel, match=f"could be {words}") as caught:
        detect_family(model)
    assert "inference.family" in str(caught.value)


def test_no_family_fits_says_what_was_seen_and_tried() -> None:
    with pytest.raises(ModelError) as caught:
        detect_family(info((1, 17, 1000), side=640))
    text = str(caught.value)
    assert "output [1, 17, 1000] float" in text and "inference.family" in text
    assert all(f"{family}: " in text for family in FAMILIES)
    assert "yolov8: expected 8400 or 8500 or 34000 columns (1 a cell), got 17 x 1000" in text
    assert "yolov5: expected 25200 or 25500 or 102000 rows (3 a cell), got 17" in text
    assert "ssd: expected outputs detection_boxes, detection_classes, detection_scores" in text
    assert "picodet: expected an input 'scale_factor'" in text


@pytest.mark.parametrize("family", ["yolov5", "yolov8", "yolo-end2end"])
def test_exports_for_another_task_are_refused(family: str) -> None:
    turned = info((1, 20, 8400), {"task": "obb", "names": str({i: str(i) for i in range(15)})}, 640)
    assert "task 'obb'" in str(family_class(family).mismatch(turned))


def test_rows_must_fit_the_input_size() -> None:
    with pytest.raises(ModelError, match="expected 84 rows for an input of 64x64"):
        detect_family(info((1, 100, 7)))


def mismatches(output: Shape, inputs: int = 1, channels: int = 3) -> dict[str, str | None]:
    model = ModelInfo(
        (TensorInfo("images", (1, channels, 64, 64), "tensor(float)"),) * inputs,
        (
            TensorInfo("scores", (1, 85, 80), "tensor(float)"),
            TensorInfo("dist", output, "tensor(float)"),
        ),
    )
    return {family: family_class(family).mismatch(model) for family in FAMILIES}


def test_reasons_name_what_is_wrong() -> None:
    assert mismatches((1, 85, 32))["nanodet-plus"] is None
    assert "got 31" in str(mismatches((1, 85, 31))["nanodet-plus"])
    assert "'dist' of 3 dimensions" in str(mismatches((85, 32))["nanodet-plus"])
    assert "one input" in str(mismatches((1, 85, 32), inputs=2)["nanodet-plus"])
    assert "one input" in str(mismatches((1, 85, 32), channels=1)["nanodet-plus"])
    assert "at least 6 values" in str(family_class("yolox").mismatch(info((1, 84, 5))))


def test_names_come_as_list_or_by_index() -> None:
    by_index = info((1, 84, 7), {"vitrine.names": '{"1": "person", "0": "product"}'})
    assert make_detector(by_index).names == ("product", "person")
    as_list = info((1, 84, 7), {"vitrine.names": '["product", "person"]'})
    assert make_detector(as_list).names == ("product", "person")


@pytest.mark.parametrize("names", ["[]", "7", '{"5": "a"}', "[1, 2]", "not json"])
def test_unreadable_names_are_refused(names: str) -> None:
    with pytest.raises(ModelError, match=r"vitrine\.names"):
        make_detector(info((1, 84, 7), {"vitrine.names": names}))


def test_strides_come_from_metadata() -> None:
    two = info((1, 80, 7), {"vitrine.strides": "[8, 16]", "vitrine.names": '["a", "b"]'})
    assert detect_family(two) == "yolox"
    with pytest.raises(ModelError, match=r"vitrine\.strides"):
        make_detector(info((1, 80, 7), {"vitrine.strides": "[0]", "vitrine.names": '["a", "b"]'}))


def test_a_family_name_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="expected one of"):
        family_class("")


def test_grid_counts_cells_row_by_row() -> None:
    cells = grid(64, 40, (8, 16))
    assert len(cells.cells) == 8 * 5 + 4 * 3
    assert cells.cells[9].tolist() == [1, 1]
    assert cells.strides[39].tolist() == [8] and cells.strides[40].tolist() == [16]
