"""Made-up hands and arms: skin-coloured capsules with shading, to hold and to cover products."""

from __future__ import annotations

import cv2
import numpy as np

Rng = np.random.Generator
TONES = np.float32(
    [(150, 180, 235), (125, 160, 220), (95, 130, 195), (70, 100, 160), (45, 68, 115), (30, 45, 80)]
)


def _capsule(mask: np.ndarray, a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> None:
    axis = b - a
    normal = np.float32((-axis[1], axis[0])) / max(float(np.hypot(*axis)), 1e-3)
    quad = np.int32([a + normal * ra, b + normal * rb, b - normal * rb, a - normal * ra])
    cv2.fillConvexPoly(mask, quad, 255, cv2.LINE_AA)
    cv2.circle(mask, (int(a[0]), int(a[1])), max(1, int(ra)), 255, -1, cv2.LINE_AA)
    cv2.circle(mask, (int(b[0]), int(b[1])), max(1, int(rb)), 255, -1, cv2.LINE_AA)


def _shade(mask: np.ndarray, tone: np.ndarray, rng: Rng, thickness: float) -> np.ndarray:
    """BGRA of one limb: darker towards its rim, with low-frequency mottling."""
    depth = np.clip(
        cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3) / max(thickness, 1), 0, 1
    )
    coarse = rng.normal(1, 0.05, (6, 6)).astype(np.float32)
    light = (0.55 + 0.5 * np.sqrt(depth)) * cv2.resize(
        coarse, mask.shape[::-1], interpolation=cv2.INTER_CUBIC
    )
    return np.dstack((np.clip(light[..., None] * tone, 0, 255), mask)).astype(np.uint8)


def _over(canvas: np.ndarray, layer: np.ndarray) -> np.ndarray:
    alpha = layer[..., 3:].astype(np.float32) / 255
    colour = canvas[..., :3] * (1 - alpha) + layer[..., :3] * alpha
    return np.dstack((colour, np.maximum(canvas[..., 3], layer[..., 3]))).astype(np.uint8)


def arm(shape: tuple[int, int], grip: np.ndarray, size: float, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """An arm from beyond the picture to `grip` (x, y in pixels), its hand about `size` pixels wide.

    Returns:
        (behind, front): two BGRA layers of `shape`: forearm and palm, and the fingers over the thing held.
    """
    h, w = shape
    tone = TONES[rng.integers(len(TONES))] * rng.uniform(0.85, 1.1, 3)
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.3 else rng.uniform(0.1, 0.9) * np.pi
    away = np.float32((np.cos(angle), np.sin(angle)))
    side = np.float32((-away[1], away[0]))
    palm = grip + away * size * 0.35
    behind = np.zeros((h, w), np.uint8)
    _capsule(behind, palm, palm + away * (h + w), size * 0.34, size * rng.uniform(0.5, 0.8))
    _capsule(behind, palm - side * size * 0.15, palm + side * size * 0.15, size * 0.4, size * 0.4)
    back = _shade(behind, tone, rng, size * 0.4)
    if rng.random() < 0.4:
        sleeve, colour = np.zeros((h, w), np.uint8), rng.uniform(10, 240, 3)
        start = palm + away * size * rng.uniform(0.8, 2.0)
        _capsule(sleeve, start, start + away * (h + w), size * 0.55, size * 0.9)
        back = _over(back, _shade(sleeve, np.float32(colour), rng, size * 0.6))
    front = np.zeros((h, w, 4), np.uint8)
    lean = rng.uniform(-0.5, 0.5)
    for k in range(int(rng.integers(2, 5))):
        finger = np.zeros((h, w), np.uint8)
        root = palm + side * size * (0.22 * k - 0.35)
        tip = root - away * size * rng.uniform(0.5, 0.95) + side * size * lean
        _capsule(finger, root, tip, size * 0.12, size * 0.085)
        front = _over(front, _shade(finger, tone * rng.uniform(0.95, 1.05), rng, size * 0.12))
    return back, front
