"""Names for a product's dominant colours, in CIE Lab, from a crop and nothing else.

A crop shows the product, a little of what is around it, and perhaps the light's colour. What lies along the
crop's border is taken for surroundings unless it fills the middle as well; every other pixel is given to
the nearest names of a small palette (CIE 1976 Lab, D65; the eleven basic colour terms of Berlin and Kay 1969,
with beige, navy and turquoise), each name standing for several shades.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SHADES: dict[str, tuple[str, ...]] = {
    "black": ("0a0a0a", "1c1c1e", "2a2827"),
    "white": ("ffffff", "f2f2f0", "e6e6e6", "d8d8d8", "c9c9c9", "b9b9b9"),
    "grey": ("3c3d3f", "525252", "6e6e6e", "888888", "a0a0a0"),
    "red": ("c81e1e", "e03030", "961418", "b03038", "d8453c", "6e1418", "c8553c", "5a2030"),
    "orange": ("e8771e", "f59a28", "d2641e", "f0883c"),
    "yellow": ("f5d21e", "fae65a", "dcb41e", "f5f08c"),
    "green": (
        "1e8c32",
        "32b450",
        "145a28",
        "78b43c",
        "5a7832",
        "a0d278",
        "3c6e50",
        "4b5a32",
        "a8c8a0",
        "2e6a55",
    ),
    "turquoise": ("1eb4aa", "5ac8c8", "148282", "a0e0dc", "8cc8bc", "bfe0d8"),
    "blue": ("1e50c8", "2d78d2", "5a96dc", "3c5a96", "82b4e6", "a5c3dc", "5078a0", "5a6a88", "7d8ca8"),
    "navy": ("14203c", "1e2d50", "28375f", "3a4258", "232838"),
    "purple": ("6e28a0", "8c50b4", "502864", "aa82c8", "785a96"),
    "pink": ("f078aa", "f5afc8", "e65096", "dc96a0", "f0c8d2", "c85078"),
    "brown": ("5a3719", "784b28", "8c5f3c", "3c281e", "a0784f"),
    "beige": ("dcc8a5", "e6d7be", "c8b491", "f0e6d2", "beaa8c"),
}
"""Name -> sRGB shades that it stands for."""

SIDE = 48
_NEAR = 5.0
"""Lab distance within which two shades can both be meant."""
_SAME = 11.0
"""Lab distance within which a pixel is of the surroundings' colour."""
_MATRIX = np.array(
    [(0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.072175), (0.0193339, 0.119192, 0.9503041)],
    np.float32,
)
_WHITE = np.array((0.95047, 1.0, 1.08883), np.float32)


@dataclass(frozen=True, slots=True)
class Colour:
    """One dominant colour.

    Attributes:
        name: a key of `SHADES`.
        share: of the product's pixels, 0..1.
        confidence: 0..1, how clearly its pixels are this colour and no neighbouring one; a belief, not a
            measured share of right answers.
        lab: where these pixels are on average, CIE Lab.
    """

    name: str
    share: float
    confidence: float
    lab: tuple[float, float, float]


def lab(rgb: NDArray[np.uint8] | Floats) -> Floats:
    """SRGB 0..255 (..., 3) to CIE Lab (IEC 61966-2-1, CIE 15), D65: L 0..100."""
    value = np.asarray(rgb, np.float32) / np.float32(255)
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    red, green, blue = linear[..., 0:1], linear[..., 1:2], linear[..., 2:3]
    xyz = (red * _MATRIX[:, 0] + green * _MATRIX[:, 1] + blue * _MATRIX[:, 2]) / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * ((29 / 6) ** 2 / 3) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1).astype(np.float32)


def _palette() -> tuple[tuple[str, ...], Floats, NDArray[np.int64]]:
    names = tuple(SHADES)
    shades = [(k, bytes.fromhex(shade)) for k, name in enumerate(names) for shade in SHADES[name]]
    rgb = np.array([list(shade) for _, shade in shades], np.uint8)
    return names, lab(rgb), np.array([k for k, _ in shades])


NAMES, _SHADES, _OWNER = _palette()


def resize(image: NDArray[np.uint8], width: int, height: int) -> Floats:
    """RGB uint8 (h, w, 3) to float32 (height, width, 3), each pixel the average over its area."""
    high = _averages(image.astype(np.float32), height)
    wide = _averages(high.transpose(1, 0, 2), width)
    return cast(Floats, np.ascontiguousarray(wide.transpose(1, 0, 2)))


def _averages(lines: Floats, count: int) -> Floats:
    """Averages of `count` equal parts along the first axis: sums up to each edge, then differences."""
    old = len(lines)
    total = np.zeros((old + 1, *lines.shape[1:]), np.float64)
    np.cumsum(lines, axis=0, dtype=np.float64, out=total[1:])
    edges = np.linspace(0, old, count + 1)
    below = np.minimum(edges.astype(np.int64), old - 1)
    part = (edges - below)[:, None, None]
    at = total[below] * (1 - part) + total[below + 1] * part
    return cast(Floats, (np.diff(at, axis=0) * (count / old)).astype(np.float32))


def _distances(a: Floats, b: Floats) -> Floats:
    """Between rows: (n, 3) and (m, 3) to (n, m)."""
    squares = sum((a[:, None, i] - b[None, :, i]) ** 2 for i in range(3))
    return cast(Floats, np.sqrt(squares))


def foreground(pixels: Floats) -> Floats:
    """How much each pixel counts, 0..1: Lab (n, n, 3) to (n, n).

    The border's commonest colours are surroundings, unless the middle is made of them too.
    """
    side = pixels.shape[0]
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    centre = np.exp(-((axis[:, None] ** 2 + axis[None] ** 2) / 0.7)).astype(np.float32)
    ring = max(1, side // 16)
    edge = np.ones((side, side), bool)
    edge[ring:-ring, ring:-ring] = False
    border = pixels[edge]
    behind = np.zeros((side, side), np.float32)
    left = np.ones(len(border), bool)
    for _ in range(3):
        if left.mean() < 0.12:
            break
        near = _distances(border[left], border[left][::4]) < _SAME
        mode = border[left][::4][near.sum(axis=0).argmax()]
        left &= np.linalg.norm(border - mode, axis=1) >= _SAME
        away = np.linalg.norm(pixels - mode, axis=2)
        behind = np.maximum(behind, np.exp(-((away / _SAME) ** 2)))
    kept = centre * (1 - behind)
    middle = centre > 0.6
    full = kept[middle].sum() < 0.12 * centre[middle].sum()
    return cast(Floats, (centre if full else kept).astype(np.float32))


def _mean(pixels: Floats, weight: Floats) -> tuple[float, float, float]:
    """Average of Lab pixels (n, n, 3), each counting `weight` (n * n,)."""
    whole = max(float(weight.sum()), 1e-6)
    lightness, a, b = (pixels.reshape(-1, 3) * weight[:, None]).sum(axis=0) / whole
    return round(float(lightness), 1), round(float(a), 1), round(float(b), 1)


def colours(crop: NDArray[np.uint8], *, most: int = 3, least: float = 0.15) -> tuple[Colour, ...]:
    """Dominant colours of the product in an RGB crop uint8 (h, w, 3), most of it first.

    Args:
        crop: the product's box, with or without a small margin.
        most: how many to give at most.
        least: share of the product below which a colour does not dominate.

    Returns:
        Empty for a crop without pixels; otherwise at least one.
    """
    if crop.ndim != 3 or crop.shape[2] != 3 or not crop.size:
        return ()
    pixels = lab(np.clip(resize(crop, SIDE, SIDE), 0, 255))
    weight = foreground(pixels).reshape(-1)
    distance = _distances(pixels.reshape(-1, 3), _SHADES)
    nearest = np.stack([distance[:, _OWNER == k].min(axis=1) for k in range(len(NAMES))], axis=1)
    close = np.exp(-(nearest - nearest.min(axis=1, keepdims=True)) / _NEAR)
    belief = close / close.sum(axis=1, keepdims=True)
    share = (belief * weight[:, None]).sum(axis=0) / max(float(weight.sum()), 1e-6)
    winner = belief.argmax(axis=1)
    found: list[Colour] = []
    for k in np.argsort(-share):
        mine = weight * (winner == k)
        part = float(mine.sum() / max(float(weight.sum()), 1e-6))
        if part >= least or not found:
            sure = float((belief[:, k] * mine).sum() / max(float(mine.sum()), 1e-6))
            found.append(Colour(NAMES[int(k)], round(part, 4), round(sure, 4), _mean(pixels, mine)))
    return tuple(sorted(found, key=lambda colour: -colour.share)[:most])
