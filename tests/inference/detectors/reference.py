"""Decoding as the families' papers write it: loops, no vectorisation, nothing shared with the engine."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Found = tuple[tuple[float, float, float, float], float, int]


def letterbox(rgb: NDArray[np.uint8], size: int, fill: int, centred: bool) -> tuple[Floats, float, int, int]:
    """BGR planes of `rgb` in a square, the scale, and the picture's left and top."""
    height, width = rgb.shape[:2]
    scale = min(size / width, size / height)
    inner = (round(width * scale), round(height * scale))
    small = np.asarray(Image.fromarray(rgb).resize(inner, Image.Resampling.BILINEAR))
    left = (size - inner[0]) // 2 if centred else 0
    top = (size - inner[1]) // 2 if centred else 0
    canvas = np.full((size, size, 3), fill, np.uint8)
    canvas[top : top + inner[1], left : left + inner[0]] = small
    return canvas[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32), scale, left, top


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def suppress(found: list[Found], limit: float) -> list[Found]:
    """Greedy suppression within a class."""
    kept: list[Found] = []
    for candidate in sorted(found, key=lambda item: -item[1]):
        if all(candidate[2] != other[2] or overlap(candidate[0], other[0]) <= limit for other in kept):
            kept.append(candidate)
    return kept


def yolox(rows: Floats, size: int, min_score: float) -> list[Found]:
    """(boxes in model pixels, score, label) of one YOLOX output (n, 5 + classes)."""
    found: list[Found] = []
    at = 0
    for stride in (8, 16, 32):
        for row in range(size // stride):
            for column in range(size // stride):
                value = rows[at]
                at += 1
                label = int(np.argmax(value[5:]))
                score = float(value[4] * value[5 + label])
                if score < min_score:
                    continue
                x, y = (float(value[0]) + column) * stride, (float(value[1]) + row) * stride
                w, h = math.exp(value[2]) * stride, math.exp(value[3]) * stride
                found.append(((x - w / 2, y - h / 2, x + w / 2, y + h / 2), score, label))
    return suppress(found, 0.5)


def nanodet(
    scores: list[Floats],
    sides: list[Floats],
    strides: tuple[int, ...],
    size: int,
    offset: float,
    min_score: float,
) -> list[Found]:
    """The same of NanoDet's levels; `offset` is 0.5 for NanoDet-m's half-cell anchors, 0 for NanoDet-Plus."""
    found: list[Found] = []
    for level, stride in enumerate(strides):
        cells = math.ceil(size / stride)
        for at in range(cells * cells):
            label = int(np.argmax(scores[level][at]))
            score = float(scores[level][at, label])
            if score < min_score:
                continue
            x = (at % cells) * stride + offset * (stride - 1)
            y = (at // cells) * stride + offset * (stride - 1)
            distances = []
            for side in range(4):
                bins = [math.exp(float(v)) for v in sides[level][at, side * 8 : side * 8 + 8]]
                distances.append(sum(i * b for i, b in enumerate(bins)) / sum(bins) * stride)
            box = (x - distances[0], y - distances[1], x + distances[2], y + distances[3])
            found.append((box, score, label))
    return suppress(found, 0.5)


def yolov5(rows: Floats, classes: int, min_score: float) -> list[Found]:
    """(boxes in model pixels, score, label) of one YOLOv5 output (n, 5 + classes)."""
    found: list[Found] = []
    for row in rows:
        x, y, w, h, objectness = (float(value) for value in row[:5])
        best, label = max((float(row[5 + k]), -k) for k in range(classes))
        if best * objectness >= min_score:
            box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            found.append((box, best * objectness, -label))
    return suppress(found, 0.5)


def yolov8(columns: Floats, classes: int, min_score: float) -> list[Found]:
    """The same of one YOLOv8 output (4 + classes, n)."""
    found: list[Found] = []
    for at in range(columns.shape[1]):
        x, y, w, h = (float(columns[k, at]) for k in range(4))
        best, label = max((float(columns[4 + k, at]), -k) for k in range(classes))
        if best >= min_score:
            found.append(((x - w / 2, y - h / 2, x + w / 2, y + h / 2), best, -label))
    return suppress(found, 0.5)


def ended(rows: Floats, min_score: float) -> list[Found]:
    """The same of rows x0 y0 x1 y1 score class."""
    found = [
        ((float(r[0]), float(r[1]), float(r[2]), float(r[3])), float(r[4]), int(r[5]))
        for r in rows
        if r[4] >= min_score
    ]
    return sorted(found, key=lambda item: -item[1])


def queries(
    logits: Floats, boxes: Floats, size: tuple[int, int], min_score: float, *, softmax: bool
) -> list[Found]:
    """The same of a transformer's logits (n, classes) and boxes (n, 4), centre and size in 0..1."""
    found: list[Found] = []
    for row, box in zip(logits, boxes, strict=True):
        values = [float(value) for value in row]
        if softmax:
            whole = sum(math.exp(value) for value in values)
            shares = [math.exp(value) / whole for value in values[:-1]]
        else:
            shares = [1 / (1 + math.exp(-value)) for value in values]
        score = max(shares)
        if score < min_score:
            continue
        x, y, w, h = (float(value) for value in box)
        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        scale = (size[0], size[1], size[0], size[1])
        x0, y0, x1, y1 = (side * factor for side, factor in zip(corners, scale, strict=True))
        found.append(((x0, y0, x1, y1), score, shares.index(score)))
    return sorted(found, key=lambda item: -item[1])


def in_picture(found: list[Found], letterbox: Sequence[float], width: int, height: int) -> list[Found]:
    """Boxes in model pixels to 0..1 of a picture, cut off at its edges; those without area left out."""
    scale_x, scale_y, left, top = letterbox[:4]
    kept: list[Found] = []
    for (x0, y0, x1, y1), score, label in found:
        a, c = ((x - left) / scale_x / width for x in (x0, x1))
        b, d = ((y - top) / scale_y / height for y in (y0, y1))
        a, b, c, d = (min(max(value, 0.0), 1.0) for value in (a, b, c, d))
        if c - a > 1e-4 and d - b > 1e-4:
            kept.append(((a, b, c, d), score, label))
    return kept
