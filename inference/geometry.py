"""Boxes and letterboxes: pure numpy, no state.

Boxes are float32 (n, 4), x0 y0 x1 y1. Every function says in which frame: pixels of the model's input, or
0..1 of the displayed picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.types import Box, Letterbox, Rung

Floats = NDArray[np.float32]

BLOCK = 300
"""Boxes whose overlaps `nms` computes at once: the table grows with the square."""


def fit(width: int, height: int, rung: Rung, *, centred: bool = False) -> tuple[Letterbox, int, int]:
    """Fit a picture into a model's input, keeping its aspect ratio.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        rung: the model's input.
        centred: pad on all sides; otherwise the picture sits top-left.

    Returns:
        The letterbox, and the picture's width and height inside the model's input, pixels.
    """
    scale = min(rung.width / width, rung.height / height)
    inner_width = min(rung.width, max(1, round(width * scale)))
    inner_height = min(rung.height, max(1, round(height * scale)))
    pad_x = (rung.width - inner_width) // 2 if centred else 0
    pad_y = (rung.height - inner_height) // 2 if centred else 0
    letterbox = Letterbox(inner_width / width, inner_height / height, pad_x, pad_y, rung.width, rung.height)
    return letterbox, inner_width, inner_height


def unletterbox(boxes_px: Floats, letterbox: Letterbox, width: int, height: int) -> Floats:
    """Boxes in the model's pixels to 0..1 of a `width` x `height` picture, clipped; the inverse of `fit`."""
    pad = np.array([letterbox.pad_x, letterbox.pad_y] * 2, np.float32)
    size = np.array([letterbox.scale_x * width, letterbox.scale_y * height] * 2, np.float32)
    boxes: Floats = np.clip((boxes_px - pad) / size, 0.0, 1.0).astype(np.float32, copy=False)
    return boxes


def clip_box(box: tuple[float, float, float, float], min_size: float = 1e-4) -> Box:
    """`box` clipped to 0..1 and kept at least `min_size` wide and high."""
    x0 = min(max(box[0], 0.0), 1.0 - min_size)
    y0 = min(max(box[1], 0.0), 1.0 - min_size)
    return Box(x0, y0, min(max(box[2], x0 + min_size), 1.0), min(max(box[3], y0 + min_size), 1.0))


def pad_box(box: tuple[float, float, float, float], share: float) -> Box:
    """`box` grown by `share` of its own size on every side, clipped to 0..1: the crop an embedder sees."""
    dx, dy = (box[2] - box[0]) * share, (box[3] - box[1]) * share
    return clip_box((box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy))


def areas(boxes: Floats) -> Floats:
    """Area of each box, (n,); an inverted box has none."""
    size: Floats = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    return size[:, 0] * size[:, 1]


def grow(boxes: Floats, share: float) -> Floats:
    """Boxes buffered by `share` of their own size on every side, not clipped (C-BIoU, arXiv 2211.14317)."""
    half = (boxes[:, 2:] - boxes[:, :2]) * share
    return np.concatenate([boxes[:, :2] - half, boxes[:, 2:] + half], axis=1)


def iou_matrix(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every pair, float32 (len(a), len(b)). Any one frame of reference."""
    # coordinate by coordinate: tables of pairs stay small and in order, a third of the time
    width = np.minimum(a[:, 2, None], b[None, :, 2]) - np.maximum(a[:, 0, None], b[None, :, 0])
    height = np.minimum(a[:, 3, None], b[None, :, 3]) - np.maximum(a[:, 1, None], b[None, :, 1])
    inter = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = areas(a)[:, None] + areas(b)[None, :] - inter
    result: Floats = (inter / np.maximum(union, 1e-12)).astype(np.float32, copy=False)
    return result


def nms(
    boxes: Floats,
    scores: Floats,
    max_iou: float,
    *,
    labels: NDArray[np.int32] | None = None,
    limit: int = 300,
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (n, 4), any one frame of reference.
        scores: (n,).
        max_iou: a box overlapping a better one by more is dropped.
        labels: (n,); boxes of different labels do not suppress each other. None: all do.
        limit: only the best `limit` boxes are looked at.

    Returns:
        Indices of the kept boxes, best first.
    """
    order = np.argsort(-scores, kind="stable")[:limit]
    kept = np.zeros(0, np.intp)
    for begin in range(0, len(order), BLOCK):
        block = order[begin : begin + BLOCK]
        if len(kept):
            block = block[~_overlaps(boxes, labels, block, kept, max_iou).any(axis=1)]
        overlap = _overlaps(boxes, labels, block, block, max_iou)
        alive = np.ones(len(block), np.bool_)
        for i in range(len(block)):
            if alive[i]:
                alive[i + 1 :] &= ~overlap[i, i + 1 :]
        kept = np.concatenate([kept, block[alive]])
    return kept


def _overlaps(
    boxes: Floats,
    labels: NDArray[np.int32] | None,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    max_iou: float,
) -> NDArray[np.bool_]:
    """Which of `rows` overlap which of `columns` too much, (len(rows), len(columns))."""
    overlap = iou_matrix(boxes[rows], boxes[columns]) > max_iou
    if labels is not None:
        overlap &= labels[rows, None] == labels[None, columns]
    return overlap


def centres(boxes: Floats) -> Floats:
    """Centre x, y of each box, (n, 2)."""
    middle: Floats = (boxes[:, :2] + boxes[:, 2:]) * np.float32(0.5)
    return middle
