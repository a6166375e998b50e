"""Files as exporters write them, through ONNX Runtime: open sizes, batches, extra inputs, bytes, halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.classes import ClassRules
from inference.detection import DetectorSettings, LoadedDetector, load_detector
from inference.errors import AmbiguousModel, ModelError
from inference.runtime import RuntimeSettings
from inference.types import Rung
from stream.clock import MonotonicClock
from stream.types import Frame
from tests.inference.detectors import graphs
from tests.inference.detectors.cases import BOTTLE, side_bins
from tests.inference.detectors.graphs import BYTE, HALF, Dims, Graph, answering
from tests.inference.models import painted

CPU = RuntimeSettings("cpu", 1)
FRAME = painted(128, 128, (0, 0, 8, 8))
BOX = (0.25, 0.25, 0.75, 0.5)


def load(
    folder: Path, data: bytes, rungs: list[Rung] | None = None, settings: DetectorSettings | None = None
) -> LoadedDetector:
    path = folder / "export.onnx"
    path.write_bytes(data)
    return load_detector(path, rungs=rungs, settings=settings or DetectorSettings(runtime=CPU))


def sees_the_bottle(loaded: LoadedDetector, family: str, label: str = "bottle", frame: Frame = FRAME) -> None:
    """At the largest rung, whose shape is the frame's."""
    assert loaded.detector.family == family
    found = loaded.detect(frame, loaded.rungs[0], None, MonotonicClock()).detections
    assert len(found) == 1 and found.names[found.labels[0]] == label
    np.testing.assert_allclose(found.boxes[0], BOX, atol=0.005)
    assert found.scores[0] == pytest.approx(0.9, abs=1e-3)


def yolov8_rows(side: int, classes: int = 80) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    cells = sum((side // stride) ** 2 for stride in (8, 16, 32))
    columns = np.zeros((1, 4 + classes, cells), np.float32)
    columns[0, :4, 9] = (side * 0.5, side * 0.375, side * 0.5, side * 0.25)
    columns[0, 4 + min(BOTTLE, classes - 1), 9] = 0.9
    return columns


def test_a_fixed_yolov8_runs_at_its_own_size_only(tmp_path: Path) -> None:
    loaded = load(tmp_path, answering({"output0": yolov8_rows(96)}, (1, 3, 96, 96)))
    sees_the_bottle(loaded, "yolov8")
    assert loaded.rungs == (Rung(96, 96),)


@pytest.mark.parametrize("kind", [HALF, BYTE])
def test_halves_and_bytes(tmp_path: Path, kind: int) -> None:
    data = answering({"output0": yolov8_rows(96).astype(np.float16)}, (1, 3, 96, 96), kind=kind)
    sees_the_bottle(load(tmp_path, data), "yolov8")


def test_a_batch_of_four(tmp_path: Path) -> None:
    four = np.repeat(yolov8_rows(96), 4, axis=0)
    four[1:, 4:] = 0.5
    sees_the_bottle(load(tmp_path, answering({"output0": four}, (4, 3, 96, 96))), "yolov8")


def test_a_yolov5_with_open_sizes_is_told_from_yolox_by_a_trial_run(tmp_path: Path) -> None:
    """The graph answers three rows a cell at 640 x 640, which its shapes do not say."""
    rows = np.zeros((1, 25200, 85), np.float32)
    rows[0, 5, :5] = (320, 240, 320, 160, 0.9)
    rows[0, 5, 5 + BOTTLE] = 1
    data = answering(
        {"output0": rows}, ("batch", 3, "height", "width"), dims={"output0": ("batch", "anchors", 85)}
    )
    sees_the_bottle(load(tmp_path, data, [Rung(640, 640)]), "yolov5")


def test_a_yolov8_whose_shapes_are_all_open_is_told_by_a_trial_run(tmp_path: Path) -> None:
    """As the exporter writes it with ``dynamic=True``: not even the values of a box are declared."""
    notes = {
        "names": str({index: name for index, name in enumerate(("shoe", "bag", "model"))}),
        "imgsz": "[96, 96]",
        "stride": "32",
        "task": "detect",
        "end2end": "False",
        "args": "{'batch': 1, 'nms': False, 'dynamic': True}",
    }
    data = answering(
        {"output0": yolov8_rows(96, classes=3)},
        ("batch", 3, "height", "width"),
        dims={"output0": ("batch", "values", "anchors")},
        metadata=notes,
    )
    loaded = load(
        tmp_path, data, settings=DetectorSettings(runtime=CPU, classes=ClassRules(persons=("model",)))
    )
    assert loaded.rungs[0] == Rung(96, 96)
    sees_the_bottle(loaded, "yolov8", "person")


def scaled_rows(metadata: dict[str, str] | None = None) -> bytes:
    """One box in the middle of an input of any size, as an export with suppression inside has it."""
    graph = Graph(("batch", 3, "height", "width"))
    graph.node("Shape", ["images"], "shape")
    graph.constant("turn", np.array([3, 2, 3, 2], np.int64))
    graph.node("Gather", ["shape", "turn"], "sides")
    graph.node("Cast", ["sides"], "size", to=graphs.FLOAT)
    graph.constant("shares", np.array([[[0.25, 0.25, 0.75, 0.5]]], np.float32))
    graph.node("Mul", ["shares", "size"], "box")
    graph.constant("rest", np.array([[[0.9, BOTTLE]]], np.float32))
    graph.node("Concat", ["box", "rest"], "row", axis=2)
    graph.node("Add", ["row", "nothing"], "output0")
    graph.output("output0", ("batch", "boxes", 6))
    return graph.save(metadata)


def test_an_open_size_has_a_ladder_under_what_the_exporter_notes(tmp_path: Path) -> None:
    loaded = load(tmp_path, scaled_rows({"imgsz": "[384, 640]", "end2end": "True"}))
    assert loaded.rungs == (Rung(640, 384), Rung(480, 288), Rung(352, 192))
    sees_the_bottle(loaded, "yolo-end2end", frame=painted(320, 192, (0, 0, 8, 8)))


def test_an_open_size_without_a_note_starts_at_the_familys_usual_one(tmp_path: Path) -> None:
    loaded = load(tmp_path, scaled_rows({"end2end": "True"}))
    assert loaded.rungs[0] == Rung(640, 640)
    assert {Rung(640, 384), Rung(384, 640)} <= set(loaded.models)


def test_an_open_size_takes_the_rungs_asked_for(tmp_path: Path) -> None:
    loaded = load(tmp_path, scaled_rows({"end2end": "True"}), [Rung(160, 160), Rung(320, 192)])
    assert loaded.rungs == (Rung(320, 192), Rung(160, 160))
    sees_the_bottle(loaded, "yolo-end2end", frame=painted(160, 96, (0, 0, 8, 8)))


def rt_detr(picture: Dims = ("N", 3, 96, 96)) -> bytes:
    boxes, scores, labels = np.zeros((300, 4), np.float32), np.zeros(300, np.float32), np.zeros(300, np.int64)
    boxes[4], scores[4], labels[4] = BOX, 0.9, BOTTLE
    return graphs.rt_detr(boxes, scores, labels, picture)


def test_rt_detr_scales_by_what_it_is_given(tmp_path: Path) -> None:
    loaded = load(tmp_path, rt_detr())
    sees_the_bottle(loaded, "rt-detr")
    assert loaded.rungs == (Rung(96, 96),) and list(loaded.models) == [Rung(96, 96)]
    assert "baked in for one input size" in loaded.one_size
    wide = painted(320, 128, (0, 0, 8, 8))
    found = loaded.detect(wide, loaded.rungs[0], None, MonotonicClock()).detections
    np.testing.assert_allclose(found.boxes[0], BOX, atol=0.005)


def test_a_transformer_is_asked_for_other_sizes_in_vain(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"got rungs 64x64, expected its own size 96x96 only \(rt-detr: "):
        load(tmp_path, rt_detr(), [Rung(64, 64)])
    assert load(tmp_path, rt_detr(), [Rung(96, 96)]).rungs == (Rung(96, 96),)


def test_deimv2_is_what_the_configuration_calls_it(tmp_path: Path) -> None:
    settings = DetectorSettings(runtime=CPU, family="deimv2")
    sees_the_bottle(load(tmp_path, rt_detr(), settings=settings), "deimv2")


def test_a_family_that_does_not_fit_is_refused_though_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not a ssd model: expected one input \(1, h, w, 3\)"):
        load(tmp_path, rt_detr(), settings=DetectorSettings(runtime=CPU, family="ssd"))
    with pytest.raises(ModelError, match="got 'yolo', expected one of"):
        load(tmp_path, rt_detr(), settings=DetectorSettings(runtime=CPU, family="yolo"))


@pytest.mark.parametrize("im_shape", [False, True])
def test_picodet_divides_by_the_scale_it_is_given(tmp_path: Path, im_shape: bool) -> None:
    rows = np.array([[BOTTLE, 0.9, 24, 24, 72, 48], [3, 0.05, 0, 0, 9, 9], [-1, 0.9, 0, 0, 5, 5]], np.float32)
    sees_the_bottle(load(tmp_path, graphs.picodet(rows, (1, 3, 96, 96), im_shape=im_shape)), "picodet")


def ssd(picture: Dims) -> bytes:
    boxes, scores, labels = np.zeros((1, 10, 4), np.float32), np.zeros((1, 10)), np.ones((1, 10))
    boxes[0, 0], scores[0, 0], labels[0, 0] = (0.25, 0.25, 0.5, 0.75), 0.9, 44
    outputs = {
        "num_detections:0": np.array([10], np.float32),
        "detection_boxes:0": boxes,
        "detection_scores:0": scores.astype(np.float32),
        "detection_classes:0": labels.astype(np.float32),
    }
    open_dims: dict[str, Dims] = {name: ["?"] * value.ndim for name, value in outputs.items()}
    return answering(outputs, picture, kind=BYTE, name="image_tensor:0", dims=open_dims)


@pytest.mark.parametrize("picture", [("b", "h", "w", 3), (1, 320, 320, 3)])
def test_ssd_takes_bytes_with_channels_last(tmp_path: Path, picture: Dims) -> None:
    loaded = load(tmp_path, ssd(picture))
    sees_the_bottle(loaded, "ssd")
    assert loaded.rungs == (Rung(320, 320),)


def hugging_face(logits: np.ndarray[tuple[int, ...], np.dtype[np.float32]], mask: bool = False) -> bytes:
    boxes = np.full((1, logits.shape[1], 4), (0.5, 0.375, 0.5, 0.25), np.float32)
    graph = Graph(("batch", "channels", "height", "width"), "pixel_values")
    if mask:
        graph.input("pixel_mask", ("batch", "height", "width"), graphs.INT64)
        graph.node("Cast", ["pixel_mask"], "mask", to=graphs.FLOAT)
        graph.node("ReduceMin", ["mask"], "least", keepdims=0)
        graph.constant("boxes_value", boxes)
        graph.node("Mul", ["boxes_value", "least"], "masked")  # a mask of zeros would lose every box
        graph.node("Add", ["masked", "nothing"], "pred_boxes")
        graph.output("pred_boxes", ("batch", "queries", 4))
    else:
        graph.answer("pred_boxes", boxes, ("batch", "queries", 4))
    graph.answer("logits", logits, ("batch", "queries", "classes"))
    return graph.save()


def test_an_export_that_leaves_everything_open_is_told_by_a_trial_run(tmp_path: Path) -> None:
    logits = np.full((1, 300, 80), -9, np.float32)
    logits[0, 7, BOTTLE] = np.log(9)
    loaded = load(tmp_path, hugging_face(logits))
    sees_the_bottle(loaded, "rt-detr-logits")
    assert loaded.rungs == (Rung(640, 640),)


def test_a_mask_of_the_pictures_size_goes_with_it(tmp_path: Path) -> None:
    logits = np.full((1, 100, 92), -9, np.float32)
    logits[0, :, 91] = 9
    logits[0, 7, 91] = -9
    logits[0, 7, 44] = np.log(9 * 91 * np.exp(-9))
    sees_the_bottle(load(tmp_path, hugging_face(logits, mask=True), [Rung(160, 96)]), "detr")


def test_what_a_trial_run_does_not_tell_is_asked_for(tmp_path: Path) -> None:
    data = hugging_face(np.full((1, 250, 14), -9, np.float32))
    with pytest.raises(AmbiguousModel, match="inference.family"):
        load(tmp_path, data)
    settings = DetectorSettings(runtime=CPU, family="rf-detr")
    assert load(tmp_path, data, [Rung(96, 96)], settings).detector.family == "rf-detr"


def test_the_official_nanodet_plus_layout(tmp_path: Path) -> None:
    """``data`` to ``output`` (1, n, 112), as the authors' release has it."""
    rows = np.zeros((1, sum((-(-96 // stride)) ** 2 for stride in (8, 16, 32, 64)), 112), np.float32)
    at = 3 * 12 + 6  # its anchor is at 48, 24
    rows[0, at, BOTTLE], rows[0, at, 80:] = 0.9, side_bins((3, 0, 3, 3))
    loaded = load(tmp_path, answering({"output": rows}, (1, 3, 96, 96), name="data"))
    sees_the_bottle(loaded, "nanodet-plus")


def test_names_and_classes_come_from_the_configuration(tmp_path: Path) -> None:
    data = answering({"output0": yolov8_rows(96, classes=3)}, (1, 3, 96, 96))
    settings = DetectorSettings(runtime=CPU, names=("model", "hanger", "dress"))
    sees_the_bottle(load(tmp_path, data, settings=settings), "yolov8", "dress")
    rules = ClassRules(products=("dress",), persons=("model",), ignore=("hang*",))
    settings = DetectorSettings(runtime=CPU, names=("model", "hanger", "dress"), classes=rules)
    loaded = load(tmp_path, data, settings=settings)
    sees_the_bottle(loaded, "yolov8", "dress")
    found = loaded.detect(FRAME, loaded.rungs[0], None, MonotonicClock()).detections
    assert found.names == ("person", "dress")
    with pytest.raises(ModelError, match="yolov8: expected 6 values a row for its 2 class names, got 7"):
        load(tmp_path, data, settings=DetectorSettings(runtime=CPU, names=("a", "b")))
