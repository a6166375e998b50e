"""A sneaker, lofted from heel to toe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.show.geometry import curve, sweep
from training.show.shapes import Part


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.convolve(np.pad(values, 3, mode="edge"), np.ones(7) / 7, "valid")


def _shoe_ring(
    t: float, width: float, top: float, q: NDArray[np.float64], c: NDArray[np.float64]
) -> NDArray[np.float64]:
    power = float(np.interp(t, [0.0, 0.3, 0.6], [0.7, 0.9, 0.5]))
    high = np.where(q > 0, np.abs(q) ** power, 0.0)
    narrow = 1 - float(np.interp(t, [0.3, 0.6, 1.0], [0.2, 0.42, 0.3])) * np.clip(q, 0, 1) ** 1.5
    side = np.sign(c) * np.abs(c) ** 0.8 * width / 2 * narrow
    return np.stack(
        [np.full(len(q), (t - 0.5) * 2.3), side, 0.2 + high * (top - 0.2) - np.where(q < 0, 0.05, 0)], axis=-1
    )


def shoe(
    color: str = "#f3f1ec", accent: str = "#d6452b", sole: str = "#fbfaf6", lace: str = "#ffffff"
) -> list[Part]:
    """A low sneaker pointing left: sole, upper, two stripes a side, laces, padded collar."""
    s = 0.5 - 0.5 * np.cos(np.pi * np.linspace(0, 1, 60))
    width = (1 - np.abs(2 * s - 1) ** 9 * 0.995) ** 0.45 * _smooth(
        np.interp(s, [0, 0.03, 0.1, 0.3, 0.6, 0.86, 0.97, 1], [0.5, 0.56, 0.68, 0.8, 0.64, 0.62, 0.54, 0.5])
    )
    top = _smooth(
        np.interp(
            s,
            [0, 0.04, 0.18, 0.33, 0.5, 0.6, 0.75, 0.92, 1],
            [0.3, 0.42, 0.5, 0.6, 0.84, 0.96, 0.86, 1.0, 0.9],
        )
    )
    phi = 2 * np.pi * np.arange(64) / 64
    c, q = np.cos(phi), np.sin(phi)
    square_c, square_q = np.sign(c) * np.abs(c) ** 0.35, np.sign(q) * np.abs(q) ** 0.35
    upper, base = [], []
    for t, w, z in zip(s, width, top, strict=True):
        upper.append(_shoe_ring(float(t), float(w), float(z), q, c))
        lift = 0.1 * max(0.0, (0.18 - t) / 0.18) ** 2
        base.append(
            np.stack(
                [np.full(64, (t - 0.5) * 2.38), square_c * (w / 2 + 0.035), 0.14 + lift + 0.14 * square_q],
                axis=-1,
            )
        )
    parts = [Part(np.stack(upper), color, 0.5, grain=0.35), Part(np.stack(base), sole, 0.6)]
    foxing = [r * np.array([1.004, 1.02, 0.22]) + np.array([0.0, 0.0, 0.175]) for r in base]
    parts.append(Part(np.stack(foxing), accent, 0.6))

    def at(t: float, height: float, side: float) -> tuple[float, float, float]:
        w, z = float(np.interp(t, s, width)), float(np.interp(t, s, top))
        power = float(np.interp(t, [0.0, 0.3, 0.6], [0.7, 0.9, 0.5]))
        qq = min(0.995, height ** (1 / power))
        ring = _shoe_ring(t, w, z, np.array([qq]), np.array([side * np.sqrt(1 - qq**2)]))[0]
        return float(ring[0]), float(ring[1]), float(ring[2])

    for k in range(6):
        t = 0.3 + 0.05 * k
        path = [at(t + 0.015, 0.72, -1), at(t, 0.93, -1), at(t, 0.93, 1), at(t + 0.015, 0.72, 1)]
        lifted = [(x, y, z + (0.03 if 0 < i < 3 else 0.012)) for i, (x, y, z) in enumerate(path)]
        parts.append(Part(sweep(curve(lifted, 24), 0.03, 10), lace, 0.8))
    for side in (-1, 1):
        for k in range(2):
            points = [at(0.46 + 0.1 * k + 0.14 * f, 0.05 + 0.75 * f, side) for f in np.linspace(0, 1, 8)]
            parts.append(Part(sweep(curve(points, 32), 0.045, 12), accent, 0.5))
    rim = []
    for a in np.linspace(0, 2 * np.pi, 25):
        t = 0.775 + 0.19 * float(np.cos(a))
        w, z = float(np.interp(t, s, width)), float(np.interp(t, s, top))
        rim.append(((t - 0.5) * 2.3, 0.3 * w * float(np.sin(a)), z + 0.0))
    collar = curve(rim, 96)
    parts.append(Part(sweep(collar, 0.055, 12), accent, 0.9))
    center = collar.mean(axis=0)
    lining = np.stack([center + (collar[::2] - center) * k - np.array([0, 0, 0.0]) for k in (1.0, 0.6, 0.02)])
    parts.append(Part(lining + np.array([0, 0, 0.015]), "#2b2725", 0.95))
    return parts
