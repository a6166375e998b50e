"""Sprites: loading, cleaning, transforming and laying them over each other, all with premultiplied alpha."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter
from scipy.spatial import ConvexHull

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sprite:
    """One view of a product or hand.

    image: premultiplied RGBA, called CMYK as Pillow would divide by alpha and multiply it again; origin:
    pixel of the base centre (or of the grip of a hand); ppd: pixels per decimetre; hull: float64 (n, 2),
    outline of what is opaque, pixels; area: sum of alpha, pixels.
    """

    image: Image.Image
    origin: tuple[float, float]
    ppd: float
    hull: NDArray[np.float64]
    area: float


@dataclass(frozen=True, slots=True)
class Layer:
    """A sprite laid into the picture: premultiplied float32 (h, w, 4) at column x, row y."""

    x: int
    y: int
    rgba: Array


def clean(rgba: Array, radius: int = 2, strength: float = 0.045) -> Array:
    """Non-local means (Buades 2005) with 3 x 3 patches over the colours of a premultiplied sprite."""
    total = np.zeros_like(rgba[..., :3])
    weights = np.zeros(rgba.shape[:2], dtype=np.float32)
    pad = np.pad(rgba[..., :3], ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    h, w = rgba.shape[:2]
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            other = pad[dy : dy + h, dx : dx + w]
            apart = uniform_filter(((other - rgba[..., :3]) ** 2).mean(axis=-1), 3)
            weight = np.exp(-np.maximum(apart - strength**2 / 2, 0) / strength**2)
            total += other * weight[..., None]
            weights += weight
    out = rgba.copy()
    out[..., :3] = np.minimum(total / weights[..., None], rgba[..., 3:])
    return out


def load(path: Path, elevation: float, denoise: bool = True) -> Sprite:
    """A rendered view with its place from the meta.json beside it."""
    meta = json.loads((path.parent / "meta.json").read_text())
    raw = np.asarray(Image.open(path).convert("RGBA"), dtype=np.float32) / 255
    raw[..., :3] *= raw[..., 3:]
    if denoise:
        kept = path.with_suffix(".npy")
        if kept.exists() and kept.stat().st_mtime >= path.stat().st_mtime:
            raw = np.load(kept).astype(np.float32) / 255
        else:
            raw = clean(raw)
            np.save(kept, np.round(raw * 255).astype(np.uint8))
    size = raw.shape[0]
    ppd = size / (2 * meta["half"])
    origin = (
        size / 2 - meta.get("center_x", 0.0) * ppd,
        size / 2 + meta["center_z"] * np.cos(np.radians(elevation)) * ppd,
    )
    ys, xs = np.nonzero(raw[..., 3] > 0.5)
    points = np.stack([xs, ys], axis=-1).astype(np.float64)
    corners = np.concatenate([points, points + [1, 0], points + [0, 1], points + 1])
    hull = corners[ConvexHull(corners).vertices]
    image = Image.frombytes("CMYK", (size, size), np.round(raw * 255).astype(np.uint8).tobytes())
    return Sprite(image, origin, ppd, hull, float(raw[..., 3].sum()))


def turn(image: Image.Image, axis: float, degrees: float) -> Image.Image:
    """A view turned about its upright axis by a few degrees more (a body of revolution, seen level).

    Each row is taken for a circle as wide as its outline: what was at asin(x / R) moves on by `degrees`.
    Mixing two neighbouring views instead doubles the print.
    """
    whole = np.frombuffer(image.tobytes(), dtype=np.uint8).reshape(image.size[1], image.size[0], 4).copy()
    columns = np.arange(whole.shape[1], dtype=np.float32) + np.float32(0.5 - axis)
    used = np.flatnonzero(whole[..., 3].any(axis=0))
    low, high = int(used[0]), int(used[-1]) + 1
    rgba, columns = whole[:, low:high].astype(np.float32), columns[low:high]
    radius = np.max(np.where(rgba[..., 3] > 100, np.abs(columns) + np.float32(0.5), np.float32(0)), axis=1)
    across = np.clip(columns[None] / np.maximum(radius, 1)[:, None], -0.999, 0.999)
    angle = np.arcsin(across) - np.float32(math.radians(degrees))
    round_there = (np.abs(across) < 0.999) & (np.abs(angle) < math.pi / 2)
    at = np.where(round_there, np.sin(angle) * radius[:, None], columns[None])
    at = np.clip(at - columns[0], 0, high - low - 1.001)
    left = at.astype(np.int64)
    share = (at - left)[..., None].astype(np.float32)
    rows = np.arange(rgba.shape[0])[:, None]
    moved = rgba[rows, left] * (1 - share) + rgba[rows, left + 1] * share
    moved[..., 3] = rgba[..., 3]
    moved[..., :3] = np.minimum(moved[..., :3], moved[..., 3:])
    whole[:, low:high] = np.round(moved).astype(np.uint8)
    return Image.frombytes("CMYK", image.size, whole.tobytes())


def affine(sprite: Sprite, at: tuple[float, float], scale: float, angle: float) -> NDArray[np.float64]:
    """(2, 3) sprite -> picture pixels; the origin goes to `at`; scale: pixels per dm; angle: radians."""
    k = scale / sprite.ppd
    c, s = k * np.cos(angle), k * np.sin(angle)
    ox, oy = sprite.origin
    return np.array([[c, -s, at[0] - c * ox + s * oy], [s, c, at[1] - s * ox - c * oy]])


def outline(sprite: Sprite, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """x0 y0 x1 y1 of the sprite's opaque part in picture pixels."""
    points = sprite.hull @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def warp(
    image: Image.Image,
    matrix: NDArray[np.float64],
    size: tuple[int, int],
    bounds: NDArray[np.float64] | None = None,
) -> Layer | None:
    """The transformed sprite cut to a picture of `size`; None where nothing of it is inside.

    bounds: x0 y0 x1 y1 in the picture outside of which the sprite is empty, where that is known.
    """
    w, h = image.size
    corners = np.array([[0, 0], [w, 0], [0, h], [w, h]]) @ matrix[:, :2].T + matrix[:, 2]
    low, high = corners.min(axis=0), corners.max(axis=0)
    if bounds is not None:
        low, high = np.maximum(low, bounds[:2]), np.minimum(high, bounds[2:])
    x0, y0 = np.maximum(np.floor(low).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(high).astype(int), size)
    if x1 <= x0 or y1 <= y0:
        return None
    inverse = np.linalg.inv(matrix[:, :2])
    shift = inverse @ (np.array([x0, y0]) - matrix[:, 2])
    data = (inverse[0, 0], inverse[0, 1], shift[0], inverse[1, 0], inverse[1, 1], shift[1])
    small = np.hypot(matrix[0, 0], matrix[1, 0]) < 0.6
    source = image
    if small:
        source = image.reduce(2)
        data = tuple(v / 2 for v in data)
    moved = source.transform(
        (int(x1 - x0), int(y1 - y0)), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC
    )
    return Layer(int(x0), int(y0), np.asarray(moved, dtype=np.float32) / 255)


def lay(canvas: Array, layer: Layer) -> None:
    """Composite the layer over the canvas (h, w, 3) in place."""
    h, w = layer.rgba.shape[:2]
    region = canvas[layer.y : layer.y + h, layer.x : layer.x + w]
    region *= 1 - layer.rgba[..., 3:]
    region += layer.rgba[..., :3]
