"""What live video does to a picture: blur, noise, low light, cast, compression; uint8 BGR [H, W, 3]."""

from __future__ import annotations

import cv2
import numpy as np

Rng = np.random.Generator


def motion_blur(image: np.ndarray, rng: Rng, length: int) -> np.ndarray:
    """Blur along a random direction over `length` pixels."""
    size = max(3, length | 1)
    kernel = np.zeros((size, size), np.float32)
    angle = rng.uniform(0, np.pi)
    half = size / 2
    dx, dy = np.cos(angle) * half, np.sin(angle) * half
    start, end = (round(half - dx), round(half - dy)), (round(half + dx), round(half + dy))
    cv2.line(kernel, start, end, 1.0)
    return cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1e-6))


def colour(image: np.ndarray, rng: Rng, strength: float = 1.0) -> np.ndarray:
    """Exposure, gamma, contrast and a cast, as one table per channel."""
    ramp = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(rng.normal(0, 0.25 * strength))
    gain = np.exp(rng.normal(0, 0.18 * strength)) * np.exp(rng.normal(0, 0.07 * strength, 3))
    if rng.random() < 0.12 * strength:
        gain = gain * rng.uniform(0.3, 0.6)
    lift = rng.normal(0, 0.03 * strength)
    table = np.clip(ramp[:, None] ** gamma * gain[None] + lift, 0, 1) * 255
    return cv2.LUT(image, table.astype(np.uint8)[None])


def saturation(image: np.ndarray, rng: Rng, strength: float = 1.0) -> np.ndarray:
    """Mix with the grey picture (or away from it)."""
    factor = np.float32(np.clip(rng.normal(1, 0.25 * strength), 0.2, 1.8))
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(image, float(factor), grey, float(1 - factor), 0)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Blocking and colour subsampling through one JPEG round trip."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def rescale(image: np.ndarray, factor: float) -> np.ndarray:
    """Lose resolution as a low rung of simulcast does."""
    h, w = image.shape[:2]
    small = cv2.resize(
        image, (max(8, int(w * factor)), max(8, int(h * factor))), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)


def live(image: np.ndarray, rng: Rng, strength: float = 1.0) -> np.ndarray:
    """A random chain of everything above; `strength` 0..1.5 scales how often and how much."""
    size = min(image.shape[:2])
    if rng.random() < 0.8:
        image = colour(image, rng, strength)
    if rng.random() < 0.5:
        image = saturation(image, rng, strength)
    if rng.random() < 0.25 * strength:
        image = motion_blur(image, rng, int(rng.uniform(0.015, 0.02 + 0.05 * strength) * size) + 2)
    if rng.random() < 0.2 * strength:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.5 + size * 0.006 * strength))
    if rng.random() < 0.25 * strength:
        image = rescale(image, rng.uniform(0.4, 0.9))
    if rng.random() < 0.3 * strength:
        noise = rng.normal(0, rng.uniform(1, 10), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.6 * strength:
        image = jpeg(image, int(rng.uniform(22, 85)))
    return image
