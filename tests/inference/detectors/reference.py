"""Decoding as the families' papers write it: loops, no vectorisation, nothing shared with the engine."""

from __future__ import annotations

import math

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
