"""Pseudo-labels: NanoDet-Plus and YOLOX-Nano (COCO-80) run on real photos; boxes x0 y0 x1 y1 in pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from inference.prominence import prominence

#: COCO classes one could sell and hold; the others are never a product here.
PRODUCTS = frozenset(
    (
        24,
        25,
        26,
        27,
        28,
        29,
        32,
        35,
        38,
        39,
        40,
        41,
        42,
        43,
        44,
        45,
        46,
        47,
        49,
        51,
        52,
        53,
        54,
        55,
        62,
        63,
        64,
        65,
        66,
        67,
    )
    + (68, 73, 74, 75, 76, 77, 78, 79, 48, 50)
)


#: A box must be found in this many of the jury's looks, and they must agree this well (mean IoU).
LOOKS, AGREEMENT = 6, 0.85


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Indices kept by greedy suppression, best first."""
    order, keep = scores.argsort()[::-1], []
    while order.size:
        first, rest = order[0], order[1:]
        keep.append(first)
        order = rest[iou(boxes[first][None], boxes[rest])[0] <= threshold]
    return np.array(keep, np.int64)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union, [n, 4] x [m, 4] -> [n, m]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(-1)
    area = lambda x: np.clip(x[:, 2:] - x[:, :2], 0, None).prod(-1)  # noqa: E731
    return inner / np.maximum(area(a)[:, None] + area(b)[None] - inner, 1e-9)


def session(model: Path | bytes) -> ort.InferenceSession:
    """A quiet single-threaded CPU session."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
    )


class NanoDetPlus:
    """`nanodet_plus_m_416.onnx`: `detect(bgr)` -> boxes [n, 4], scores [n], COCO classes [n]."""

    def __init__(self, folder: Path) -> None:
        self.session = session(folder / "nanodet_plus_m_416.onnx")
        points = [
            (x * s, y * s, s)
            for s in (8, 16, 32, 64)
            for y in range(-(-416 // s))
            for x in range(-(-416 // s))
        ]
        self.points = np.float32(points)

    def detect(self, image: np.ndarray, floor: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes, scores and classes of one BGR picture, best first."""
        h, w = image.shape[:2]
        k = 416 / max(h, w)
        nh, nw = round(h * k), round(w * k)
        top, left = (416 - nh) // 2, (416 - nw) // 2
        canvas = np.zeros((416, 416, 3), np.float32)
        canvas[top : top + nh, left : left + nw] = cv2.resize(image, (nw, nh))
        canvas = (canvas - (103.53, 116.28, 123.675)) / (57.375, 57.12, 58.395)
        scores, dist = self.session.run(None, {"data": canvas.transpose(2, 0, 1)[None].astype(np.float32)})
        best = scores[0].max(1)
        keep = best >= floor
        bins = dist[0][keep].reshape(-1, 4, 8)
        bins = np.exp(bins - bins.max(-1, keepdims=True))
        sides = (bins / bins.sum(-1, keepdims=True)) @ np.arange(8) * self.points[keep, 2:]
        centre = self.points[keep, :2]
        boxes = np.concatenate((centre - sides[:, :2], centre + sides[:, 2:]), 1) - (left, top, left, top)
        boxes = np.clip(boxes / k, 0, (w, h, w, h))
        picked = nms(boxes, best[keep], 0.55)
        return boxes[picked], best[keep][picked], scores[0][keep].argmax(1)[picked]


class Yolox:
    """Any YOLOX-family file; `detect(bgr)` as above. Rows are decoded as in the YOLOX paper's code."""

    def __init__(self, path: Path, size: tuple[int, int] | None = None) -> None:
        from training.export import at_size

        self.session = session(path if size is None else at_size(path, *size))
        shape = self.session.get_inputs()[0].shape
        self.height, self.width = size or (shape[2], shape[3])
        cells = [
            (x, y, s) for s in (8, 16, 32) for y in range(self.height // s) for x in range(self.width // s)
        ]
        self.grid = np.float32(cells)

    def detect(self, image: np.ndarray, floor: float = 0.1, overlap: float = 0.55) -> tuple[np.ndarray, ...]:
        """Boxes, scores and classes of one BGR picture, best first."""
        h, w = image.shape[:2]
        k = min(self.height / h, self.width / w)
        canvas = np.full((self.height, self.width, 3), 114, np.uint8)
        small = cv2.resize(image, (round(w * k), round(h * k)), interpolation=cv2.INTER_LINEAR)
        canvas[: small.shape[0], : small.shape[1]] = small
        rows = self.session.run(None, {"images": canvas.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        scores = rows[:, 4:5] * rows[:, 5:]
        best = scores.max(1)
        keep = best >= floor
        stride = self.grid[keep, 2:]
        centre, extent = (rows[keep, :2] + self.grid[keep, :2]) * stride, np.exp(rows[keep, 2:4]) * stride
        boxes = np.clip(np.concatenate((centre - extent / 2, centre + extent / 2), 1) / k, 0, (w, h, w, h))
        picked = nms(boxes, best[keep], overlap)
        return boxes[picked], best[keep][picked], scores[keep].argmax(1)[picked]


class Jury:
    """Both teachers, mirrored and zoomed out, vote for the one product that a photo is about."""

    def __init__(self, folder: Path) -> None:
        other = Yolox(folder / "yolox_nano.onnx")
        self.looks = ((NanoDetPlus(folder), (0.0, 0.15, 0.35)), (other, (0.0, 0.35)))

    def votes(self, image: np.ndarray) -> np.ndarray:
        """Rows x0 y0 x1 y1 (pixels), score, look: what each look sees that is no person."""
        h, w = image.shape[:2]
        rows, look = [np.zeros((0, 6), np.float32)], 0
        for teacher, margins in self.looks:
            for margin in margins:
                px, py = int(w * margin), int(h * margin)
                padded = cv2.copyMakeBorder(image, py, py, px, px, cv2.BORDER_CONSTANT, value=(114, 114, 114))
                for mirrored in (False, True):
                    view = np.ascontiguousarray(padded[:, ::-1]) if mirrored else padded
                    boxes, scores, classes = teacher.detect(view, 0.08)
                    boxes, scores = boxes[classes != 0], scores[classes != 0]
                    if mirrored:
                        boxes[:, [0, 2]] = padded.shape[1] - boxes[:, [2, 0]]
                    boxes = np.clip(boxes - (px, py, px, py), 0, (w, h, w, h))
                    kept = nms(boxes, scores, 0.6)
                    rows.append(np.column_stack((boxes[kept], scores[kept], np.full(len(kept), look))))
                    look += 1
        return np.concatenate(rows).astype(np.float32)

    def verdict(self, image: np.ndarray) -> np.ndarray | None:
        """The box [4] in pixels that the looks agree on; None where they do not."""
        return agree(self.votes(image), image.shape[1], image.shape[0])


def agree(votes: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """Fuse a jury's votes: the most supported prominent box, averaged over the looks that found it."""
    boxes, scores, looks = votes[:, :4] / np.float32((width, height, width, height)), votes[:, 4], votes[:, 5]
    sides = boxes[:, 2:] - boxes[:, :2]
    fit = ((sides <= 0.93).any(1)) & (sides.prod(1) > 0.08)
    boxes, scores, looks = boxes[fit], scores[fit], looks[fit]
    if not len(boxes):
        return None
    weight, overlap = prominence(boxes, scores), iou(boxes, boxes)
    backing = np.where(overlap > 0.7, weight[None] * overlap, 0)
    each = np.stack([backing[:, looks == look].max(1) for look in np.unique(looks)], 1)
    first = each.sum(1).argmax()
    members = [
        np.where(looks == look)[0][backing[first, looks == look].argmax()]
        for look, support in zip(np.unique(looks), each[first], strict=True)
        if support > 0
    ]
    box = np.average(boxes[members], 0, scores[members])
    if len(members) < LOOKS or iou(box[None], boxes[members]).mean() < AGREEMENT:
        return None
    return (box * (width, height, width, height)).astype(np.float32)


class Student:
    """The detector in training, mirrored and at three sizes, on photos about which the jury disagrees."""

    SIZES = (160, 192, 224)

    def __init__(self, path: Path) -> None:
        self.nets = [Yolox(path, (size, size)) for size in self.SIZES]

    def verdict(self, image: np.ndarray) -> np.ndarray | None:
        """The box [4] in pixels that all looks agree on; None where they do not."""
        h, w = image.shape[:2]
        found, sure = [], []
        for net in self.nets:
            for mirrored in (False, True):
                view = np.ascontiguousarray(image[:, ::-1]) if mirrored else image
                boxes, scores, classes = net.detect(view, 0.05)
                boxes, scores = boxes[classes == 0], scores[classes == 0]
                if not len(boxes):
                    return None
                if mirrored:
                    boxes[:, [0, 2]] = w - boxes[:, [2, 0]]
                first = prominence(boxes / np.float32((w, h, w, h)), scores).argmax()
                found.append(boxes[first])
                sure.append(scores[first])
        box = np.median(found, 0)
        agreed = iou(box[None], np.stack(found)).mean() > AGREEMENT and np.mean(sure) > 0.3
        return box.astype(np.float32) if agreed else None
