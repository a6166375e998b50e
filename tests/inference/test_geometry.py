from __future__ import annotations

import numpy as np
import pytest

from inference.geometry import (
    areas,
    centres,
    clip_box,
    fit,
    grow,
    iou_matrix,
    nms,
    pad_box,
    unletterbox,
)
from inference.types import Box, Rung


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (640, 640), (333, 517), (1, 1000)])
@pytest.mark.parametrize("rung", [Rung(416, 416), Rung(640, 384), Rung(96, 320)])
@pytest.mark.parametrize("centred", [False, True])
def test_letterbox_round_trip(size: tuple[int, int], rung: Rung, centred: bool) -> None:
    letterbox, width, height = fit(*size, rung, centred=centred)
    assert 1 <= width <= rung.width and 1 <= height <= rung.height
    assert width == rung.width or height == rung.height
    picture = np.array([[0.1, 0.2, 0.5, 0.9]], np.float32)
    scale = np.array([letterbox.scale_x * size[0], letterbox.scale_y * size[1]] * 2, np.float32)
    pad = np.array([letterbox.pad_x, letterbox.pad_y] * 2, np.float32)
    np.testing.assert_allclose(unletterbox(picture * scale + pad, letterbox, *size), picture, atol=1e-5)


def test_letterbox_keeps_the_aspect_and_sits_where_asked() -> None:
    top_left, width, height = fit(1280, 720, Rung(416, 416))
    assert (width, height, top_left.pad_x, top_left.pad_y) == (416, 234, 0, 0)
    centred, _, _ = fit(1280, 720, Rung(416, 416), centred=True)
    assert (centred.pad_x, centred.pad_y, centred.width, centred.height) == (0, 91, 416, 416)


def test_boxes_outside_the_picture_are_clipped() -> None:
    letterbox, _, _ = fit(100, 50, Rung(64, 64))
    boxes = unletterbox(np.array([[-10, -10, 200, 200]], np.float32), letterbox, 100, 50)
    assert boxes.tolist() == [[0, 0, 1, 1]]


def test_iou_of_known_pairs() -> None:
    a = np.array([[0, 0, 2, 2], [0, 0, 1, 1]], np.float32)
    b = np.array([[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]], np.float32)
    np.testing.assert_allclose(iou_matrix(a, b), [[1 / 7, 1, 0], [0, 0.25, 0]], atol=1e-6)
    assert iou_matrix(a, np.zeros((0, 4), np.float32)).shape == (2, 0)


def test_boxes_without_area_overlap_nothing() -> None:
    flat = np.array([[1, 1, 1, 1], [2, 2, 1, 1]], np.float32)
    assert areas(flat).tolist() == [0, 0]
    assert iou_matrix(flat, flat).max() == 0


def test_nms_keeps_the_best_of_each_pile() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 10]], np.float32)
    scores = np.array([0.5, 0.9, 0.4, 0.8], np.float32)
    assert nms(boxes, scores, 0.5).tolist() == [1, 2]
    labels = np.array([0, 0, 0, 1], np.int32)
    assert nms(boxes, scores, 0.5, labels=labels).tolist() == [1, 3, 2]
    assert nms(boxes, scores, 0.5, limit=1).tolist() == [1]
    assert nms(boxes[:0], scores[:0], 0.5).tolist() == []


@pytest.mark.parametrize(("count", "limit"), [(50, 1000), (300, 1000), (900, 1000), (900, 500), (900, 300)])
@pytest.mark.parametrize("apart", [False, True])
def test_nms_of_many_is_the_greedy_one(count: int, limit: int, apart: bool) -> None:
    rng = np.random.default_rng(count + limit)
    middle, size = rng.uniform(0, 400, (count, 2)), rng.uniform(20, 120, (count, 2))
    boxes = np.concatenate([middle - size / 2, middle + size / 2], axis=1).astype(np.float32)
    scores, labels = rng.random(count).astype(np.float32), rng.integers(0, 3, count).astype(np.int32)
    overlap = iou_matrix(boxes, boxes)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable")[:limit]:
        if all(overlap[i, j] <= 0.5 or (apart and labels[i] != labels[j]) for j in kept):
            kept.append(int(i))
    assert nms(boxes, scores, 0.5, labels=labels if apart else None, limit=limit).tolist() == kept


def test_nms_is_greedy_not_transitive() -> None:
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    assert nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.4).tolist() == [0, 2]


def test_grown_boxes_touch_earlier() -> None:
    a, b = np.array([[0, 0, 1, 1]], np.float32), np.array([[1.1, 0, 2.1, 1]], np.float32)
    assert iou_matrix(a, b)[0, 0] == 0
    assert iou_matrix(grow(a, 0.3), grow(b, 0.3))[0, 0] > 0.1
    np.testing.assert_allclose(centres(grow(b, 0.3)), centres(b), atol=1e-6)


def test_clip_box_never_inverts() -> None:
    assert clip_box((-0.5, 0.2, 1.5, 0.4)) == Box(0.0, 0.2, 1.0, 0.4)
    gone = clip_box((1.2, 1.2, 1.4, 1.3))
    assert gone.x1 > gone.x0 and gone.y1 > gone.y0 and gone.x1 <= 1.0


def test_pad_box_grows_by_its_own_size() -> None:
    np.testing.assert_allclose(pad_box((0.4, 0.4, 0.6, 0.5), 0.1), (0.38, 0.39, 0.62, 0.51), atol=1e-9)
