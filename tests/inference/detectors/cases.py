"""For every family a model by description, and its outputs for one bottle in a black picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.detectors.base import Outputs
from inference.model import ModelInfo, TensorInfo
from tests.inference.models import yolox_rows

CLASSES = 80
BOTTLE = 39
SIZE = 96
CELLS = 144 + 36 + 9
"""Of strides 8, 16, 32."""
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Case:
    """One family.

    Attributes:
        info: of a model.
        outputs: for one bottle with a score of 0.9.
        box: where it is, pixels of the model's input.
        order: of the colours wanted.
        grid: the outputs' length follows from the input's size.
        counted: the number of classes shows in the outputs.
        choosable: told from the others without being named.
    """

    info: ModelInfo
    outputs: Outputs
    box: tuple[float, float, float, float]
    order: str = "rgb"
    grid: bool = False
    counted: bool = True
    choosable: bool = True


def info(
    outputs: dict[str, Shape],
    *,
    inputs: tuple[TensorInfo, ...] = (),
    picture: TensorInfo | None = None,
    metadata: dict[str, str] | None = None,
    dtypes: dict[str, str] | None = None,
) -> ModelInfo:
    image = picture or TensorInfo("image", (1, 3, SIZE, SIZE), "tensor(float)")
    kinds = dtypes or {}
    return ModelInfo(
        (image, *inputs),
        tuple(TensorInfo(name, shape, kinds.get(name, "tensor(float)")) for name, shape in outputs.items()),
        metadata or {},
        "made.onnx",
    )


def shapes(outputs: Outputs) -> dict[str, Shape]:
    return {name: value.shape for name, value in outputs.items()}


def floats(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def side_bins(distances: tuple[float, ...]) -> NDArray[np.float32]:
    """Distributions over 8 bins whose expectation is each of `distances` (whole bins)."""
    bins = np.full((4, 8), -30.0, np.float32)
    for side, distance in enumerate(distances):
        bins[side, round(distance)] = 30.0
    return bins.ravel()


def yolox() -> Case:
    outputs: Outputs = {"output": yolox_rows([(48, 32, 16, 16, 0.9, BOTTLE)], SIZE, CLASSES)}
    return Case(info(shapes(outputs)), outputs, (40, 24, 56, 40), "bgr", grid=True)


def nanodet() -> Case:
    outputs: Outputs = {}
    for stride in (8, 16, 32):
        outputs[f"cls_pred_stride_{stride}"] = floats(1, (SIZE // stride) ** 2, CLASSES)
        outputs[f"dis_pred_stride_{stride}"] = floats(1, (SIZE // stride) ** 2, 32)
    # cell (5, 3) of stride 8 has its anchor at 43.5, 27.5
    outputs["cls_pred_stride_8"][0, 3 * 12 + 5, BOTTLE] = 0.9
    outputs["dis_pred_stride_8"][0, 3 * 12 + 5] = side_bins((1, 1, 2, 1))
    return Case(info(shapes(outputs)), outputs, (35.5, 19.5, 59.5, 35.5), "bgr", grid=True)


def nanodet_plus() -> Case:
    rows = sum((-(-SIZE // stride)) ** 2 for stride in (8, 16, 32, 64))
    whole = floats(1, rows, CLASSES + 32)
    # cell (6, 4) of stride 8 has its anchor at 48, 32
    whole[0, 4 * 12 + 6, BOTTLE] = 0.9
    whole[0, 4 * 12 + 6, CLASSES:] = side_bins((1, 1, 1, 1))
    outputs: Outputs = {"output": whole}
    return Case(info(shapes(outputs)), outputs, (40, 24, 56, 40), "bgr", grid=True)


def yolov5() -> Case:
    rows = floats(1, 3 * CELLS, 5 + CLASSES)
    rows[0, 200, :5] = (48, 32, 16, 20, 0.9)
    rows[0, 200, 5 + BOTTLE] = 1.0
    outputs: Outputs = {"output0": rows}
    return Case(info(shapes(outputs)), outputs, (40, 22, 56, 42))


def yolov8() -> Case:
    columns = floats(1, 4 + CLASSES, CELLS)
    columns[0, :4, 70] = (48, 32, 16, 20)
    columns[0, 4 + BOTTLE, 70] = 0.9
    outputs: Outputs = {"output0": columns}
    return Case(info(shapes(outputs)), outputs, (40, 22, 56, 42))


def end2end() -> Case:
    rows = floats(1, 300, 6)
    rows[0, 0] = (40, 22, 56, 42, 0.9, BOTTLE)
    outputs: Outputs = {"output0": rows}
    return Case(info(shapes(outputs)), outputs, (40, 22, 56, 42), counted=False)


def rt_detr(family: str = "") -> Case:
    boxes, scores, labels = floats(1, 300, 4), floats(1, 300), np.zeros((1, 300), np.int64)
    boxes[0, 7], scores[0, 7], labels[0, 7] = (40, 22, 56, 42), 0.9, BOTTLE
    outputs: Outputs = {"labels": labels, "boxes": boxes, "scores": scores}
    sizes = TensorInfo("orig_target_sizes", (None, 2), "tensor(int64)")
    metadata = {"vitrine.family": family} if family else {}
    described = info(shapes(outputs), inputs=(sizes,), metadata=metadata, dtypes={"labels": "tensor(int64)"})
    return Case(described, outputs, (40, 22, 56, 42), counted=False, choosable=not family)


def transformer(
    queries: int, width: int, label: int, *, softmax: bool = False, own: bool = False
) -> Callable[[], Case]:
    def case() -> Case:
        logits, boxes = np.full((1, queries, width), -9.0, np.float32), floats(1, queries, 4)
        logits[0, :, -1] = 9.0 if softmax else -9.0
        logits[0, 5, -1] = -9.0
        rest = (width - 1) * np.exp(-9.0)
        logits[0, 5, label] = np.log(0.9 / 0.1 * rest) if softmax else np.log(0.9 / 0.1)
        boxes[0, 5] = (48 / SIZE, 32 / SIZE, 16 / SIZE, 20 / SIZE)
        names = ("labels", "dets") if own else ("logits", "pred_boxes")
        outputs: Outputs = dict(zip(names, (logits, boxes), strict=True))
        return Case(info(shapes(outputs)), outputs, (40, 22, 56, 42))

    return case


def picodet(family: str = "") -> Case:
    rows = np.full((9, 6), -1.0, np.float32)
    rows[0] = (BOTTLE, 0.9, 40, 22, 56, 42)
    outputs: Outputs = {"nms_0.tmp_0": rows, "nms_0.tmp_2": np.array([1], np.int32)}
    scale = TensorInfo("scale_factor", (1, 2), "tensor(float)")
    metadata = {"vitrine.family": family} if family else {}
    described = info(
        {"nms_0.tmp_0": (None, 6), "nms_0.tmp_2": (1,)},
        inputs=(scale,),
        metadata=metadata,
        dtypes={"nms_0.tmp_2": "tensor(int32)"},
    )
    return Case(described, outputs, (40, 22, 56, 42), counted=False, choosable=not family)


def ssd() -> Case:
    boxes, scores, labels = floats(1, 100, 4), floats(1, 100), np.ones((1, 100), np.float32)
    boxes[0, 0] = (22 / SIZE, 40 / SIZE, 42 / SIZE, 56 / SIZE)
    scores[0, 0], labels[0, 0] = 0.9, 44  # COCO's category id of a bottle
    outputs: Outputs = {
        "detection_boxes:0": boxes,
        "detection_classes:0": labels,
        "detection_scores:0": scores,
        "num_detections:0": np.array([1.0], np.float32),
    }
    picture = TensorInfo("image_tensor:0", (1, SIZE, SIZE, 3), "tensor(uint8)")
    described = info({name: (None,) * value.ndim for name, value in outputs.items()}, picture=picture)
    return Case(described, outputs, (40, 22, 56, 42), counted=False)


CASES: dict[str, Callable[[], Case]] = {
    "yolox": yolox,
    "nanodet": nanodet,
    "nanodet-plus": nanodet_plus,
    "yolov5": yolov5,
    "yolov8": yolov8,
    "yolo-end2end": end2end,
    "rt-detr": rt_detr,
    "deimv2": lambda: rt_detr("deimv2"),
    "rt-detr-logits": transformer(300, 80, BOTTLE),
    "rf-detr": transformer(300, 91, 44, own=True),
    "detr": transformer(100, 92, 44, softmax=True),
    "picodet": picodet,
    "pp-yoloe": lambda: picodet("pp-yoloe"),
    "ssd": ssd,
}
