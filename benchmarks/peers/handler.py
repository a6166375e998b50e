"""What the peers do with a picture: YOLOX-Nano through ONNX Runtime, or a wait of a given length."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Handler = Callable[[Any], list[list[float]]]


def arguments() -> argparse.Namespace:
    """The command line every peer understands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--takes-ms", type=float, default=0.0)
    return parser.parse_args()


def make(options: argparse.Namespace) -> Handler:
    """A function from a BGR picture uint8 (h, w, 3) to boxes."""
    return yolox(options.model) if options.model else waiting(options.takes_ms)


def waiting(takes_ms: float) -> Handler:
    """Takes so long and finds nothing."""

    def handle(picture: Any) -> list[list[float]]:
        time.sleep(takes_ms / 1000)
        return []

    return handle


def yolox(path: Path) -> Handler:
    """YOLOX at 416 as its own demo does it: scale to fit, pad with 114, decode, NMS, boxes above 0.3.

    Its pictures are 416 pixels wide or high at most. Returns x0 y0 x1 y1 in 0..1, score, class.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    grids, strides = _cells()

    def handle(picture: Any) -> list[list[float]]:
        height, width = picture.shape[:2]
        planes = np.full((1, 3, SIDE, SIDE), 114, np.float32)
        planes[0, :, :height, :width] = picture.transpose(2, 0, 1)
        rows = session.run(None, {name: planes})[0][0]
        labels = rows[:, 5:].argmax(axis=1)
        scores = rows[:, 4] * rows[np.arange(len(rows)), 5 + labels]
        sure = np.flatnonzero(scores > SURE)
        centre = (rows[sure, :2] + grids[sure]) * strides[sure]
        half = np.exp(rows[sure, 2:4]) * strides[sure] / 2
        boxes = np.hstack([centre - half, centre + half]) / np.array([width, height] * 2)
        kept = _nms(boxes, scores[sure], labels[sure])
        return [[*map(float, boxes[i]), float(scores[sure[i]]), float(labels[sure[i]])] for i in kept]

    return handle


SIDE = 416
SURE = 0.3
"""Default of YOLOX's demo."""


def _cells() -> tuple[Any, Any]:
    """Corner and stride of every cell, (n, 2) and (n, 1)."""
    corners, strides = [], []
    for stride in (8, 16, 32):
        side = SIDE // stride
        y, x = np.mgrid[:side, :side]
        corners.append(np.stack([x, y], axis=2).reshape(-1, 2))
        strides.append(np.full((side * side, 1), stride))
    return np.concatenate(corners), np.concatenate(strides)


def _nms(boxes: Any, scores: Any, labels: Any, bar: float = 0.45) -> list[int]:
    """Indices of the boxes that stay, class by class, best first."""
    kept: list[int] = []
    for i in scores.argsort()[::-1]:
        for j in kept:
            sides = np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2])
            inter = sides.clip(0).prod()
            areas = (boxes[i, 2:] - boxes[i, :2]).prod() + (boxes[j, 2:] - boxes[j, :2]).prod()
            if labels[i] == labels[j] and inter > bar * (areas - inter):
                break
        else:
            kept.append(int(i))
    return kept
