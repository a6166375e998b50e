"""Procedural products: bodies of revolution, cartons and pouches with made-up prints, drawn in numpy.

They widen what the networks see beyond a few hundred photos. One `Pack` is one instance; `render` shows it
under another yaw and light, so an embedder can learn that those are the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

Rng = np.random.Generator
SHAPES = (
    "bottle",
    "jar",
    "can",
    "tube",
    "cup",
    "ball",
    "flask",
    "carton",
    "carton",
    "pouch",
    "compact",
    "stick",
)
WORDS = "NOVA LUMA KIRO ALTO VERA OAT TEA SOL MIRA PURE BIO 500 ZEN CREME SOAP MILK RAW GLOW FIG MINT".split()


@dataclass(frozen=True, slots=True)
class Pack:
    """One made-up product: a shape, its proportions, its print and its gloss."""

    shape: str
    aspect: float
    profile: np.ndarray
    texture: np.ndarray
    gloss: float


def any_colour(rng: Rng) -> tuple[int, int, int]:
    """BGR, bright or muted."""
    hsv = np.uint8([[[rng.integers(180), 255 * rng.beta(1.2, 1.2), 255 * rng.beta(2.2, 1.0)]]])
    b, g, r = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0]
    return int(b), int(g), int(r)


def _motif(image: np.ndarray, rng: Rng, x0: int, y0: int, x1: int, y1: int) -> None:
    w, h = x1 - x0, y1 - y0
    for _ in range(int(rng.integers(1, 6))):
        colour, kind = any_colour(rng), rng.integers(5)
        cx, cy = int(rng.uniform(x0, x1)), int(rng.uniform(y0, y1))
        size = int(rng.uniform(0.1, 0.4) * min(w, h)) + 2
        if kind == 0:
            cv2.circle(image, (cx, cy), size, colour, -1 if rng.random() < 0.6 else 3, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(image, (x0, cy), (x1, min(y1, cy + size)), colour, -1)
        elif kind == 2:
            points = np.int32(rng.uniform((x0, y0), (x1, y1), (3, 2)))
            cv2.fillPoly(image, [points], colour, cv2.LINE_AA)
        elif kind == 3:
            cv2.ellipse(
                image, (cx, cy), (size, size // 2 + 1), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA
            )
        else:
            for k in range(0, w, max(4, size // 2)):
                cv2.line(image, (x0 + k, y0), (x0 + k, y1), colour, max(1, size // 8), cv2.LINE_AA)


def _texture(rng: Rng) -> np.ndarray:
    """An unrolled print, uint8 BGR [192, 384, 3]; the front lies at u = 0.5."""
    h, w = 192, 384
    image = np.full((h, w, 3), any_colour(rng), np.uint8)
    if rng.random() < 0.12:
        return image
    if rng.random() < 0.35:
        _motif(image, rng, 0, 0, w, h)
    for u in (0.5, 0.0) if rng.random() < 0.6 else (0.5,):
        half, top, bottom = (
            int(rng.uniform(0.1, 0.2) * w),
            int(rng.uniform(0.08, 0.35) * h),
            int(rng.uniform(0.65, 0.95) * h),
        )
        patch = np.full((bottom - top, 2 * half, 3), any_colour(rng), np.uint8)
        _motif(patch, rng, 0, 0, 2 * half, bottom - top)
        ink = any_colour(rng)
        for _ in range(int(rng.integers(1, 4))):
            text, scale = str(rng.choice(WORDS)), rng.uniform(0.5, 1.6)
            spot = (int(rng.uniform(0, half)), int(rng.uniform(0.2, 0.95) * (bottom - top)))
            cv2.putText(
                patch, text, spot, int(rng.integers(0, 8)), scale, ink, int(rng.integers(1, 4)), cv2.LINE_AA
            )
        for k in range(int(rng.integers(0, 5))):
            y = int((0.75 + 0.05 * k) * (bottom - top))
            cv2.line(patch, (6, y), (int(half * rng.uniform(0.5, 1.9)), y), ink, 1)
        columns = (np.arange(2 * half) - half + int(u * w)) % w
        image[top:bottom, columns] = patch
    if rng.random() < 0.6:
        image[: int(h * rng.uniform(0.08, 0.3))] = any_colour(rng)
    return image


def _profile(shape: str, rng: Rng) -> np.ndarray:
    """Radius over height, 64 samples from top to bottom, at most 1."""
    y = np.linspace(0, 1, 64)
    neck, shoulder = rng.uniform(0.25, 0.6), rng.uniform(0.15, 0.4)
    if shape in ("bottle", "flask"):
        body = np.ones(64) if shape == "bottle" else 0.75 + 0.25 * np.sin(np.pi * np.clip(y * 1.1, 0, 1))
        blend = np.clip((y - shoulder) / rng.uniform(0.05, 0.25), 0, 1)
        return np.where(y < shoulder, neck, neck + (body - neck) * (3 * blend**2 - 2 * blend**3))
    if shape == "jar":
        lid = rng.uniform(0.12, 0.35)
        return np.where(y < lid, rng.uniform(0.85, 1.0), 1.0)
    if shape == "tube":
        return np.where(y > 0.82, rng.uniform(0.4, 0.7), 0.6 + 0.4 * (1 - y))
    if shape == "cup":
        return 1 - rng.uniform(0.05, 0.35) * y
    if shape == "ball":
        return np.sqrt(np.clip(1 - (2 * y - 1) ** 2, 0.02, 1))
    if shape == "stick":
        return np.where(y < rng.uniform(0.3, 0.6), rng.uniform(0.7, 1.0), 1.0)
    return np.ones(64)


ASPECTS = {
    "bottle": (2.2, 4.0), "jar": (0.6, 1.3), "can": (1.3, 2.2), "tube": (2.2, 4.0), "cup": (0.9, 1.4),
    "ball": (0.9, 1.1), "flask": (1.4, 2.4), "carton": (0.6, 2.4), "pouch": (1.0, 1.7),
    "compact": (0.35, 0.9), "stick": (3.5, 6.0),
}  # fmt: skip


def make_pack(rng: Rng) -> Pack:
    """A new instance from the generator's state."""
    shape = str(rng.choice(SHAPES))
    return Pack(
        shape, rng.uniform(*ASPECTS[shape]), _profile(shape, rng), _texture(rng), float(rng.uniform(0, 0.8))
    )


def _revolve(pack: Pack, height: int, yaw: float, light: float) -> np.ndarray:
    width = max(6, int(height / pack.aspect))
    radius = np.interp(np.linspace(0, 63, height), np.arange(64), pack.profile)[:, None]
    x = np.linspace(-1, 1, width)[None] / np.maximum(radius, 1e-3)
    inside = np.abs(x) <= 1
    theta = np.arcsin(np.clip(x, -1, 1))
    th, tw = pack.texture.shape[:2]
    u = ((0.5 + (theta + yaw) / (2 * np.pi)) % 1.0) * (tw - 1)
    v = np.broadcast_to(np.linspace(0, th - 1, height)[:, None], u.shape)
    colour = cv2.remap(pack.texture, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR).astype(
        np.float32
    )
    shade = 0.45 + 0.6 * np.clip(np.cos(theta - light), 0, 1)
    spark = 200 * pack.gloss * np.clip(np.cos(theta - light * 0.6), 0, 1) ** 60
    rgb = np.clip(colour * shade[..., None] + spark[..., None], 0, 255)
    return np.dstack((rgb, inside * 255.0)).astype(np.uint8)


def _carton(pack: Pack, height: int, yaw: float, light: float) -> np.ndarray:
    width = max(8, int(height / pack.aspect))
    turn = ((yaw + np.pi / 4) % (np.pi / 2)) - np.pi / 4
    depth = width * 0.6
    front_w, side_w = width * np.cos(turn), depth * abs(np.sin(turn))
    lean = 0.06 * height * abs(np.sin(turn)) + 1
    total = int(front_w + side_w) + 2
    canvas = np.zeros((height, total, 4), np.uint8)
    th, tw = pack.texture.shape[:2]
    face = int(round(yaw / (np.pi / 2))) % 2
    halves = (slice(tw // 4, 3 * tw // 4), np.r_[3 * tw // 4 : tw, 0 : tw // 4])
    left = turn > 0
    x0 = side_w if left else 0.0
    quads = {
        face: (x0, x0 + front_w, 0.0, 0.0, 0.75 + 0.3 * np.cos(light + turn)),
        1 - face: (0.0, side_w, lean, 0.0, 0.5 + 0.3 * np.cos(light - 1)) if left
        else (front_w, front_w + side_w, 0.0, lean, 0.5 + 0.3 * np.cos(light + 1)),
    }  # fmt: skip
    for which, (a, b, drop_a, drop_b, shade) in quads.items():
        if b - a < 1.5:
            continue
        source = np.clip(pack.texture[:, halves[which]].astype(np.float32) * min(shade, 1.1), 0, 255)
        rgba = np.dstack((source, np.full(source.shape[:2], 255))).astype(np.uint8)
        h, w = rgba.shape[:2]
        target = np.float32([(a, drop_a), (b, drop_b), (b, height - drop_b), (a, height - drop_a)])
        matrix = cv2.getPerspectiveTransform(np.float32([(0, 0), (w, 0), (w, h), (0, h)]), target)
        layer = cv2.warpPerspective(rgba, matrix, (total, height))
        canvas = np.where(layer[..., 3:] > 127, layer, canvas)
    return canvas


def render(pack: Pack, height: int, yaw: float, light: float) -> np.ndarray:
    """RGBA-like BGRA uint8 [h, w, 4] of the pack, turned by `yaw` radians, lit from angle `light`."""
    if pack.shape in ("carton", "compact"):
        return _carton(pack, height, yaw, light)
    if pack.shape == "pouch":
        yaw *= 0.3
    return _revolve(pack, height, yaw, light)
