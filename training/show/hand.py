"""A host's right hand and forearm: rounded limbs that Blender fuses into one skin.

Units are decimetres as for the products, the held product's axis is x = y = 0, the camera looks along +y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.show.geometry import Loft, curve, lathe, sweep
from training.show.shapes import Part

SKIN, NAIL, SLEEVE = "#d0926f", "#e0b09c", "#5b7286"
Point3 = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Hand:
    """skin: limbs to fuse; parts: nails and sleeve; proxies: unseen bodies that shade the hand."""

    skin: list[Part]
    parts: list[Part]
    proxies: list[Part]


def limb(points: list[Point3], radii: list[float], steps: int = 28) -> Loft:
    """A tube through the points with round ends; radii are interpolated between the points."""
    path = curve(points, steps)
    at = np.linspace(0, len(points) - 1, len(path))
    radius = np.interp(at, np.arange(len(points)), radii)
    turn = np.linspace(0, np.pi / 2, 7)[:-1]
    head, tail = path[0] - path[1], path[-1] - path[-2]
    head, tail = head / np.linalg.norm(head), tail / np.linalg.norm(tail)
    start = [path[0] + head * radius[0] * np.cos(t) for t in turn]
    end = [path[-1] + tail * radius[-1] * np.cos(t) for t in turn[::-1]]
    all_points = np.array([*start, *path, *end])
    all_radii = np.concatenate(
        [radius[0] * np.sin(turn) + 1e-3, radius, radius[-1] * np.sin(turn[::-1]) + 1e-3]
    )
    return sweep(all_points, all_radii, 18)


def finger(points: list[Point3], thick: float) -> Loft:
    """A finger from knuckle to tip, a little thicker at its joints."""
    return limb(points, [thick * 1.12, thick * 1.0, thick * 1.04, thick * 0.9, thick * 0.8][: len(points)])


def nail(tip: Point3, before: Point3, outward: Point3, size: float) -> Part:
    """A finger nail near the tip, facing `outward`."""
    along = np.array(tip) - np.array(before)
    along /= np.linalg.norm(along)
    out = np.array(outward, dtype=np.float64)
    out -= along * float(out @ along)
    out /= np.linalg.norm(out)
    side = np.cross(along, out)
    dome = lathe([(0, -0.2, 0), (0.8, -0.1, 0.3), (1.0, 0.1, 0.3), (0.0, 0.45, 0.8)], 24)
    x, y, z = (dome[..., k : k + 1] for k in range(3))
    center = np.array(tip) - along * size * 0.25 + out * size * 0.74
    return Part(center + size * (0.62 * x * side + 0.9 * y * along + 0.35 * z * out), NAIL, 0.25, coat=0.3)


def forearm(wrist: Point3, toward: Point3) -> tuple[list[Part], list[Part]]:
    """(skin, sleeve) from the wrist in direction `toward`, long enough to leave the picture."""
    w, d = np.array(wrist), np.array(toward, dtype=np.float64)
    d /= np.linalg.norm(d)

    def p(t: float) -> Point3:
        q = w + d * t
        return float(q[0]), float(q[1]), float(q[2])

    skin = [Part(limb([p(-0.25), p(0.1), p(0.7), p(1.6)], [0.3, 0.29, 0.33, 0.4]), SKIN, 0.45)]
    ts = np.linspace(0.0, 1.0, 90)
    path = np.array([w + d * (0.95 + 7.0 * t) for t in ts])
    radius = 0.45 + 0.42 * ts
    radius[:4] = [0.4, 0.445, 0.455, 0.45]
    cloth = sweep(path, radius, 64)
    phi = 2 * np.pi * np.arange(64) / 64
    u, v = np.meshgrid(ts * 7.0, phi, indexing="ij")
    fold = np.zeros_like(u)
    for amount, along, turns, phase in (
        (0.05, 3.1, 1, 0.3),
        (0.035, 5.3, 2, 1.9),
        (0.03, 8.9, 1, 4.0),
        (0.025, 2.2, 3, 2.2),
    ):
        fold += amount * (1 - np.abs(np.sin(0.5 * (along * u + turns * v + phase)))) ** 2
    fold *= np.clip(ts * 10 - 0.3, 0, 1)[:, None]
    cloth = path[:, None] + (cloth - path[:, None]) * (1 + 1.6 * fold[..., None])
    sleeve = [Part(cloth, SLEEVE, 0.95, grain=1.0)]
    cuff = np.array([w + d * (0.93 + 0.34 * t) for t in np.linspace(0, 1, 12)])
    sleeve.append(
        Part(sweep(cuff, 0.475 + 0.02 * np.sin(np.linspace(0, np.pi, 12)), 48), SLEEVE, 0.95, grain=1.8)
    )
    return skin, sleeve


def grip(r: float) -> Hand:
    """The hand round an upright product of radius r: thumb towards the camera, fingers behind it."""
    skin = []
    k = r + 0.1
    heights = (0.42, 0.2, -0.02, -0.22)
    thick = (0.115, 0.12, 0.112, 0.095)
    reach = (2.75, 2.95, 2.85, 2.55)
    parts = []
    for z, t, end in zip(heights, thick, reach, strict=True):
        angles = np.linspace(-0.1, end, 5)
        lag = np.linspace(0.12, 0.0, 5)
        points: list[Point3] = [
            (float((k + g) * np.cos(a)), float((k + g * 0.6) * np.sin(a)), z + 0.08 * i / 4)
            for i, (a, g) in enumerate(zip(angles, lag, strict=True))
        ]
        skin.append(Part(finger(points, t), SKIN, 0.45))
        parts.append(nail(points[-1], points[-2], (points[-1][0], points[-1][1], 0.0), t * 0.95))
    thumb: list[Point3] = [
        (k + 0.32, -0.2, -0.42),
        (k + 0.2, -0.33, -0.14),
        (k + 0.09, -0.39, 0.1),
        (k + 0.0, -0.4, 0.3),
        (k - 0.08, -0.38, 0.46),
    ]
    skin.append(Part(limb(thumb, [0.25, 0.195, 0.155, 0.15, 0.118]), SKIN, 0.45))
    parts.append(nail(thumb[-1], thumb[-2], (0.2, -1.0, 0.15), 0.14))
    wrist = (k + 0.72, -0.3, -0.95)
    for z, y, x, t in (
        (0.38, 0.02, 0.1, 0.16),
        (0.16, 0.06, 0.12, 0.18),
        (-0.06, 0.06, 0.12, 0.18),
        (-0.26, 0.02, 0.1, 0.16),
    ):
        skin.append(
            Part(
                limb(
                    [
                        (k + x - 0.06, y, z),
                        (k + x + 0.16, y - 0.02, z - 0.2),
                        (wrist[0] - 0.08, wrist[1] + 0.12, wrist[2] + 0.1),
                    ],
                    [t, t * 1.1, 0.24],
                ),
                SKIN,
                0.45,
            )
        )
    skin.append(
        Part(limb([(k + 0.22, -0.2, -0.25), (k + 0.4, -0.24, -0.55), wrist], [0.2, 0.27, 0.27]), SKIN, 0.45)
    )
    arm, sleeve = forearm(wrist, (0.72, -0.28, -0.74))
    body = lathe([(0, -1.5, 0), (0.7 * r, -1.5, 0.05), (0.7 * r, 1.2, 0.05), (0, 1.2, 0)])
    return Hand(skin + arm, parts + sleeve, [Part(body, "#888888", 0.6)])


def open_hand(spread: float = 0.0, curl: float = 0.35) -> Hand:
    """A relaxed hand seen from its back, fingers up and left: reaching, resting on or covering things."""
    skin, parts = [], []
    wrist = np.array([0.75, -0.1, -0.85])
    up = np.array([-0.62, 0.18, 0.78])
    up /= np.linalg.norm(up)
    side = np.cross(up, np.array([0.0, -1.0, 0.0]))
    side /= np.linalg.norm(side)
    out = np.cross(side, up)
    out = out if out[1] < 0 else -out
    offsets = (-0.36, -0.12, 0.11, 0.32)
    lengths = (0.92, 1.02, 0.95, 0.74)
    thick = (0.115, 0.118, 0.11, 0.096)

    def t3(v: np.ndarray) -> Point3:  # type: ignore[type-arg]
        return float(v[0]), float(v[1]), float(v[2])

    for offset, length, t in zip(offsets, lengths, thick, strict=True):
        knuckle = wrist + up * (1.02 - 0.25 * abs(offset + 0.05)) + side * offset
        points = [knuckle]
        bend = 0.0
        direction = up + side * (offset * (0.25 + spread))
        direction /= np.linalg.norm(direction)
        for share, extra in ((0.32, curl * 0.5), (0.24, curl), (0.22, curl), (0.22, curl * 0.6)):
            bend += extra
            points.append(points[-1] + length * share * (direction * np.cos(bend) - out * np.sin(bend)))
        named = [t3(q) for q in points]
        skin.append(Part(finger(named, t), SKIN, 0.45))
        skin.append(
            Part(
                limb([t3(knuckle), t3((knuckle + wrist) / 2 - out * 0.03), t3(wrist)], [0.15, 0.18, 0.25]),
                SKIN,
                0.45,
            )
        )
        tangent = points[-1] - points[-2]
        facing = out - tangent * float(out @ tangent) / float(tangent @ tangent)
        parts.append(nail(named[-1], named[-2], t3(facing), t * 0.95))
    root = wrist + up * 0.2 - side * 0.2 - out * 0.05
    thumb = [
        root,
        root + up * 0.32 - side * 0.24 - out * 0.06,
        root + up * 0.6 - side * 0.4 - out * 0.12,
        root + up * 0.85 - side * 0.5 - out * 0.2,
    ]
    skin.append(Part(limb([t3(q) for q in thumb], [0.24, 0.19, 0.145, 0.11]), SKIN, 0.45))
    parts.append(nail(t3(thumb[-1]), t3(thumb[-2]), t3(out - side * 0.6), 0.125))
    arm, sleeve = forearm(t3(wrist), (0.72, -0.28, -0.74))
    return Hand(skin + arm, parts + sleeve, [])
