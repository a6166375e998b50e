"""Grounds to paste on: photo crops that carry labels of their own, made-up rooms, blurred shelves."""

from __future__ import annotations

import cv2
import numpy as np

from training.assets import Photo
from training.degrade import Rng


def _colour(rng: Rng, muted: bool = True) -> np.ndarray:
    base = rng.uniform(20, 240)
    return np.clip(base + rng.normal(0, 18 if muted else 60, 3), 0, 255).astype(np.float32)


def _grain(shape: tuple[int, int], rng: Rng, cells: int, strength: float) -> np.ndarray:
    coarse = rng.normal(0, strength, (max(2, cells), max(2, int(cells * rng.uniform(0.3, 4))))).astype(
        np.float32
    )
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)[..., None]


def _gradient(shape: tuple[int, int], rng: Rng, colour: np.ndarray, strength: float = 0.35) -> np.ndarray:
    h, w = shape
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.linspace(-1, 1, w)[None] * np.cos(angle) + np.linspace(-1, 1, h)[:, None] * np.sin(angle)
    return (colour * (1 + strength * rng.uniform(0, 1) * ramp[..., None])).astype(np.float32)


def room(h: int, w: int, rng: Rng) -> tuple[np.ndarray, float]:
    """A made-up room or studio: wall, furniture-like boards, lamps, table top.

    Returns:
        BGR uint8 [h, w, 3] and the y (pixels) of the table's far edge.
    """
    image = _gradient((h, w), rng, _colour(rng)) + _grain(
        (h, w), rng, int(rng.integers(3, 40)), rng.uniform(0, 8)
    )
    for _ in range(int(rng.integers(0, 6))):
        x0, y0 = int(rng.uniform(-0.2, 0.9) * w), int(rng.uniform(-0.2, 0.7) * h)
        x1, y1 = x0 + int(rng.uniform(0.02, 0.8) * w), y0 + int(rng.uniform(0.02, 0.6) * h)
        colour = _colour(rng).tolist()
        kind = rng.integers(4)
        if kind < 2:
            cv2.rectangle(
                image, (x0, y0), (x1, y1), colour, -1 if rng.random() < 0.6 else int(rng.integers(1, 8))
            )
        elif kind == 2:
            for x in np.linspace(x0, x1, int(rng.integers(2, 14))):
                cv2.line(image, (int(x), y0), (int(x), y1), colour, int(rng.integers(1, 5)))
        else:
            for y in np.linspace(y0, y1, int(rng.integers(2, 8))):
                cv2.line(image, (x0, int(y)), (x1, int(y)), colour, int(rng.integers(1, 8)))
    for _ in range(int(rng.integers(0, 5)) if rng.random() < 0.5 else 0):
        spot = np.zeros((h, w), np.float32)
        cv2.circle(
            spot,
            (int(rng.uniform(0, w)), int(rng.uniform(0, h))),
            int(rng.uniform(0.02, 0.2) * h) + 1,
            1.0,
            -1,
        )
        spot = cv2.GaussianBlur(spot, (0, 0), rng.uniform(1, 20))
        image += spot[..., None] * rng.uniform(-40, 110)
    if rng.random() < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 7))
    edge = rng.uniform(0.35, 0.85) * h
    if rng.random() < 0.8:
        top = _gradient((h, w), rng, _colour(rng)) + _grain(
            (h, w), rng, int(rng.integers(4, 60)), rng.uniform(0, 12)
        )
        slope = rng.normal(0, 0.04)
        ys = np.arange(h)[:, None] - (np.arange(w)[None] - w / 2) * slope
        mix = np.clip((ys - edge) / rng.uniform(1, 4), 0, 1)[..., None]
        image = image * (1 - mix) + top * mix
    return np.clip(image, 0, 255).astype(np.uint8), edge


def crop_photo(photo: Photo, h: int, w: int, rng: Rng, zoom: float = 0.45) -> tuple[np.ndarray, np.ndarray]:
    """A random crop of a photo in the wanted shape; label rows that lose half of themselves are ignored."""
    ph, pw = photo.image.shape[:2]
    largest = min(pw / w, ph / h)
    k = largest * rng.uniform(zoom, 1.0)
    cw, ch = w * k, h * k
    x, y = rng.uniform(0, pw - cw), rng.uniform(0, ph - ch)
    matrix = np.float32([(1 / k, 0, -x / k), (0, 1 / k, -y / k)])
    image = cv2.warpAffine(photo.image, matrix, (w, h), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    rows = photo.labels.copy()
    rows[:, [0, 2]] = (rows[:, [0, 2]] - x) / k
    rows[:, [1, 3]] = (rows[:, [1, 3]] - y) / k
    full = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    rows[:, [0, 2]] = rows[:, [0, 2]].clip(0, w)
    rows[:, [1, 3]] = rows[:, [1, 3]].clip(0, h)
    left = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    rows[left < 0.45 * full, 5] = 0
    rows = rows[(rows[:, 2] - rows[:, 0] > 3) & (rows[:, 3] - rows[:, 1] > 3)]
    if rng.random() < 0.5:
        image = image[:, ::-1]
        rows[:, [0, 2]] = w - rows[:, [2, 0]]
    return np.ascontiguousarray(image), rows


def place_photo(photo: Photo, h: int, w: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """The whole photo shrunk to somewhere on a made-up ground: no centre prior in held products."""
    ph, pw = photo.image.shape[:2]
    k = rng.uniform(0.55, 1.0) * min(w / pw, h / ph)
    nw, nh = int(pw * k), int(ph * k)
    x, y = int(rng.uniform(0, w - nw)), int(rng.uniform(0, h - nh))
    image, _ = room(h, w, rng)
    image[y : y + nh, x : x + nw] = cv2.resize(photo.image, (nw, nh), interpolation=cv2.INTER_AREA)
    rows = photo.labels.copy()
    rows[:, :4] = rows[:, :4] * k + (x, y, x, y)
    if rng.random() < 0.5:
        image = image[:, ::-1]
        rows[:, [0, 2]] = w - rows[:, [2, 0]]
    return np.ascontiguousarray(image), rows
