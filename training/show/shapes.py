"""The shapes products come in: lists of parts (lofts with a material) built from a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.show.geometry import Loft, box, curve, lathe, move, prism, sweep
from training.show.labels import Print


@dataclass(frozen=True, slots=True)
class Part:
    """One loft and what it is made of. color "#rrggbb"; rough, metal, coat, grain 0..1.

    printed: unroll this print on it; caps: close the first and last ring.
    """

    loft: Loft
    color: str = "#ffffff"
    rough: float = 0.35
    metal: float = 0.0
    coat: float = 0.0
    printed: Print | None = None
    paper_rough: float = 0.55
    grain: float = 0.0
    caps: bool = True

    def aspect(self) -> float:
        """Height / circumference of the surface, which is what a texture for it must have."""
        ring = self.loft[len(self.loft) // 2]
        around = float(np.linalg.norm(np.diff(np.vstack([ring, ring[:1]]), axis=0), axis=1).sum())
        return float(np.ptp(self.loft[..., 2])) / around


def dropper(
    p: Print, r: float = 0.36, h: float = 0.95, cap: str = "#20201e", bulb: str = "#2a2a2a"
) -> list[Part]:
    """A serum bottle with a pipette cap."""
    body = lathe(
        [(0.0, 0, 0), (r, 0, 0.06), (r, h * 0.78, 0.2), (r * 0.42, h * 0.95, 0.1), (r * 0.42, h, 0.0)]
    )
    collar = lathe([(0, h, 0), (r * 0.56, h, 0.02), (r * 0.52, h + 0.26, 0.03), (0, h + 0.26, 0)])
    top = lathe([(0, h + 0.25, 0), (r * 0.34, h + 0.25, 0), (r * 0.33, h + 0.6, 0.13), (0, h + 0.64, 0)])
    return [Part(body, rough=0.08, coat=0.6, printed=p), Part(collar, cap, 0.25, 0.9), Part(top, bulb, 0.5)]


def pump(p: Print, r: float = 0.45, h: float = 1.35, cap: str = "#f4f1ea") -> list[Part]:
    """A soap dispenser."""
    body = lathe([(0, 0, 0), (r, 0, 0.08), (r, h * 0.9, 0.16), (r * 0.5, h, 0.05), (r * 0.4, h + 0.05, 0)])
    collar = lathe([(0, h, 0), (r * 0.5, h, 0.02), (r * 0.5, h + 0.17, 0.03), (0, h + 0.17, 0)])
    stem = lathe([(0.07, h + 0.15, 0), (0.07, h + 0.42, 0)])
    head = lathe([(0, h + 0.4, 0), (0.17, h + 0.4, 0.02), (0.15, h + 0.55, 0.04), (0, h + 0.56, 0)])
    spout = sweep(
        curve([(0, 0, h + 0.5), (-0.22, -0.1, h + 0.5), (-0.4, -0.19, h + 0.47), (-0.44, -0.21, h + 0.4)]),
        0.055,
    )
    return [
        Part(body, rough=0.3, coat=0.2, printed=p),
        Part(collar, cap, 0.35),
        Part(stem, "#e8e8e8", 0.3),
        Part(head, cap, 0.35),
        Part(spout, cap, 0.35),
    ]


def tube(p: Print, r: float = 0.33, h: float = 1.45, cap: str = "#ffffff") -> list[Part]:
    """A cosmetics tube that stands on its cap, crimped flat on top."""
    sections = []
    for t in np.linspace(0, 1, 24):
        flat = t**1.6
        width = 2 * r * (1 - t) + t * np.pi * r * 0.96
        depth = 2 * r * (1 - flat) + 0.03
        sections.append((0.28 + t * (h - 0.28), width, depth, depth / 2))
    crimp = [(h, np.pi * r * 0.96, 0.03, 0.01), (h + 0.13, np.pi * r * 0.96, 0.03, 0.01)]
    base = lathe([(0, 0, 0), (r * 0.98, 0, 0.05), (r * 1.02, 0.3, 0.03), (0, 0.3, 0)])
    return [Part(prism(sections + crimp), rough=0.32, coat=0.2, printed=p), Part(base, cap, 0.3, coat=0.3)]


def carton(p: Print, w: float = 1.0, d: float = 0.55, h: float = 1.5) -> list[Part]:
    """A folding carton."""
    return [Part(box(w, d, h, 0.015, 0.012), rough=0.45, printed=p, paper_rough=0.4)]


def jar(p: Print, r: float = 0.5, h: float = 0.95, lid: str = "#caa24a", metal: float = 0.9) -> list[Part]:
    """A jar with a screw lid."""
    body = lathe([(0, 0, 0), (r, 0, 0.1), (r, h * 0.82, 0.14), (r * 0.84, h * 0.92, 0.05), (r * 0.84, h, 0)])
    top = lathe(
        [
            (0, h * 0.93, 0),
            (r * 0.92, h * 0.93, 0.02),
            (r * 0.92, h * 0.93 + 0.24, 0.035),
            (0, h * 0.93 + 0.24, 0),
        ]
    )
    return [Part(body, rough=0.06, coat=0.7, printed=p), Part(top, lid, 0.28, metal)]


def mug(p: Print, r: float = 0.45, h: float = 0.98, inside: str = "#f6efe2") -> list[Part]:
    """A ceramic mug, its handle to the right."""
    outer = lathe([(0, 0, 0), (r * 0.9, 0, 0.08), (r, 0.2, 0.2), (r, h - 0.02, 0.01), (r - 0.03, h, 0.0)])
    inner = lathe([(r - 0.03, h, 0.0), (r - 0.065, h - 0.02, 0.02), (r - 0.08, 0.12, 0.1), (0, 0.1, 0)])
    path = curve(
        [
            (r - 0.02, 0, h * 0.8),
            (r + 0.2, 0, h * 0.84),
            (r + 0.34, 0, h * 0.6),
            (r + 0.24, 0, h * 0.32),
            (r - 0.02, 0, h * 0.24),
        ]
    )
    return [
        Part(outer, rough=0.15, coat=0.5, printed=p, paper_rough=0.18, caps=False),
        Part(inner, inside, 0.15, coat=0.4, caps=False),
        Part(sweep(path, 0.065), p.base, 0.15, coat=0.5),
    ]


def can(p: Print, r: float = 0.31, h: float = 1.45) -> list[Part]:
    """A slim drinks can."""
    body = lathe(
        [
            (r * 0.72, 0.0, 0),
            (r * 0.8, 0.0, 0.02),
            (r, 0.12, 0.08),
            (r, h - 0.16, 0.1),
            (r * 0.84, h - 0.02, 0.02),
        ]
    )
    rim = lathe(
        [
            (r * 0.84, h - 0.02, 0),
            (r * 0.86, h, 0.01),
            (r * 0.8, h + 0.005, 0.01),
            (r * 0.76, h - 0.04, 0.01),
            (0, h - 0.04, 0),
        ]
    )
    tab = sweep(
        curve(
            [(-0.05, 0.0, h - 0.02), (-0.05, -0.12, h - 0.02), (0.05, -0.12, h - 0.02), (0.05, 0, h - 0.02)]
        ),
        0.018,
        10,
    )
    return [
        Part(body, rough=0.24, metal=0.75, printed=p, paper_rough=0.3, caps=False),
        Part(rim, "#c9ccd0", 0.22, 1.0, caps=False),
        Part(tab, "#b8bbc0", 0.25, 1.0),
    ]


def tin(p: Print, w: float = 0.85, d: float = 0.62, h: float = 1.15, lid: str = "#1f3d36") -> list[Part]:
    """A tea tin with a slip lid."""
    body = box(w, d, h, 0.14, 0.03)
    top = move(box(w * 1.025, d * 1.035, 0.26, 0.145, 0.04), z=h - 0.06)
    return [Part(body, rough=0.3, metal=0.3, printed=p, paper_rough=0.35), Part(top, lid, 0.28, 0.4, 0.3)]


def flask(p: Print, r: float = 0.36, h: float = 1.75, cup: str = "#c8c9c7") -> list[Part]:
    """An insulated flask with a steel cup."""
    body = lathe(
        [
            (0, 0, 0),
            (r * 0.97, 0, 0.06),
            (r, 0.1, 0.05),
            (r, h * 0.82, 0.25),
            (r * 0.8, h, 0.08),
            (r * 0.8, h, 0),
        ]
    )
    top = lathe([(0, h, 0), (r * 0.84, h, 0.02), (r * 0.78, h + 0.48, 0.1), (0, h + 0.5, 0)])
    band = lathe([(r * 0.99, 0.08, 0), (r * 1.03, 0.1, 0.01), (r * 1.03, 0.2, 0.01), (r * 0.99, 0.22, 0)])
    return [
        Part(body, rough=0.45, coat=0.1, printed=p, grain=0.25),
        Part(top, cup, 0.3, 1.0),
        Part(band, cup, 0.3, 1.0),
    ]


def bag(
    p: Print, w: float = 1.75, d: float = 0.62, h: float = 1.15, trim: str = "#5a2f1c", brass: str = "#caa45a"
) -> list[Part]:
    """A small leather handbag: body, flap, clasp, top handle."""
    zs = np.linspace(0, 1, 14)
    sections = [
        (
            h * z,
            w * (1 - 0.16 * z**1.5) * (0.96 if z in (0.0, 1.0) else 1.0),
            d * (1 - 0.45 * z**1.3) * (0.9 if z in (0.0, 1.0) else 1.0),
            0.16,
        )
        for z in zs
    ]
    body = prism(sections)
    flap = []
    for t in np.linspace(0, 1, 10):
        z = h * (1.02 - 0.56 * t)
        y = -(d * (0.28 + 0.23 * (1 - z / h) ** 0.8 if z < h else 0.28 * d) + 0.0) if t else -0.1
        half = w * 0.43 * (1 - 0.18 * max(0.0, t - 0.6) * 2.5)
        u = np.linspace(-1, 1, 24)
        front = np.stack(
            [
                u * half,
                np.full(24, y - 0.045) + 0.06 * np.abs(u) ** 6,
                np.full(24, z) + 0.05 * u**4 * (t > 0.8),
            ],
            axis=-1,
        )
        rear = front[::-1] + np.array([0.0, 0.05, 0.0])
        flap.append(np.concatenate([front, rear]))
    handle = curve(
        [
            (-w * 0.27, 0, h * 0.97),
            (-w * 0.25, 0, h * 1.25),
            (-w * 0.1, 0, h * 1.5),
            (w * 0.1, 0, h * 1.5),
            (w * 0.25, 0, h * 1.25),
            (w * 0.27, 0, h * 0.97),
        ],
        50,
    )
    clasp = move(lathe([(0, 0, 0), (0.085, 0, 0.02), (0.085, 0.05, 0.02), (0, 0.06, 0)], 32), 0, 0, 0)
    clasp = np.stack([clasp[..., 0], -clasp[..., 2], clasp[..., 1]], axis=-1) + np.array(
        [0, -d * 0.47, h * 0.53]
    )
    rings = [
        Part(
            sweep(
                curve(
                    [
                        (s * w * 0.27 + 0.06 * np.cos(a), 0.0, h * 0.99 + 0.07 * np.sin(a))
                        for a in np.linspace(0, 2 * np.pi, 9)
                    ],
                    32,
                ),
                0.018,
                8,
            ),
            brass,
            0.25,
            1.0,
        )
        for s in (-1, 1)
    ]
    return [
        Part(body, rough=0.42, printed=p, grain=1.0, coat=0.15),
        Part(np.stack(flap), trim, 0.4, coat=0.15, grain=1.0),
        Part(sweep(handle, 0.05), trim, 0.4, coat=0.15, grain=0.6),
        Part(clasp, brass, 0.22, 1.0),
        *rings,
    ]
