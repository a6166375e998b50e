"""Surfaces of the show's products as stacks of rings, in plain numpy.

Every part of every product is one *loft*: float64 (m, n, 3), m closed rings of n points, x to the right, y
away from the camera, z up, in decimetres. Point k of a ring carries the texture coordinate u = k / n; u = 0.5
faces the camera at yaw 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Loft = NDArray[np.float64]
Point = tuple[float, float]


def fillet(points: Sequence[tuple[float, float, float]], steps: int = 6) -> list[Point]:
    """A polyline of (radius, z, corner radius) with each inner corner replaced by a quadratic arc."""
    out: list[Point] = [points[0][:2]]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        corner = np.array(here[:2])
        a, b = np.array(before[:2]) - corner, np.array(after[:2]) - corner
        la, lb = float(np.hypot(*a)), float(np.hypot(*b))
        reach = min(here[2], 0.49 * la, 0.49 * lb)
        if reach <= 1e-6:
            out.append(here[:2])
            continue
        start, end = corner + a / la * reach, corner + b / lb * reach
        for t in np.linspace(0.0, 1.0, steps):
            p = (1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end
            out.append((float(p[0]), float(p[1])))
    out.append(points[-1][:2])
    return out


def lathe(profile: Sequence[tuple[float, float, float]], n: int = 72) -> Loft:
    """A surface of revolution about z from a filleted (radius, z, corner radius) profile."""
    rz = np.array(fillet(profile))
    phi = 2 * np.pi * (np.arange(n) / n - 0.5)
    ring = np.stack([np.sin(phi), -np.cos(phi), np.zeros(n)], axis=-1)
    return np.asarray(rz[:, None, :1] * ring[None] + np.array([0.0, 0.0, 1.0]) * rz[:, None, 1:])


def rounded_rect(width: float, depth: float, corner: float, n: int = 96) -> NDArray[np.float64]:
    """One ring (n, 2): a rectangle with round corners, points even by arc length, u = 0.5 in front."""
    corner = max(1e-4, min(corner, 0.499 * width, 0.499 * depth))
    hx, hy = width / 2 - corner, depth / 2 - corner
    arcs = []
    for cx, cy, start in ((hx, -hy, -90), (hx, hy, 0), (-hx, hy, 90), (-hx, -hy, 180)):
        angle = np.deg2rad(np.linspace(start, start + 90, 9))
        arcs.append(np.stack([cx + corner * np.cos(angle), cy + corner * np.sin(angle)], axis=-1))
    outline = np.concatenate([np.array([[0.0, -depth / 2]]), *arcs, np.array([[0.0, -depth / 2]])])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(outline, axis=0).T))])
    at = ((np.arange(n) / n + 0.5) % 1.0) * length[-1]
    return np.stack([np.interp(at, length, outline[:, 0]), np.interp(at, length, outline[:, 1])], axis=-1)


def prism(sections: Sequence[tuple[float, float, float, float]], n: int = 96) -> Loft:
    """A loft of rounded rectangles, one (z, width, depth, corner) per section."""
    rings = []
    for z, width, depth, corner in sections:
        xy = rounded_rect(width, depth, corner, n)
        rings.append(np.concatenate([xy, np.full((n, 1), z)], axis=-1))
    return np.stack(rings)


def box(width: float, depth: float, height: float, corner: float, edge: float = 0.02) -> Loft:
    """A carton: a prism whose top and bottom edges are rounded by `edge`."""
    sections = [(0.0, width - 2 * edge, depth - 2 * edge, corner)]
    for t in np.linspace(0, np.pi / 2, 4):
        inset = edge * (1 - float(np.sin(t)))
        sections.append((edge * (1 - float(np.cos(t))), width - 2 * inset, depth - 2 * inset, corner))
    top = [(height - z, w, d, c) for z, w, d, c in reversed(sections)]
    return prism(sections + top)


def sweep(path: NDArray[np.float64], radius: NDArray[np.float64] | float, n: int = 20) -> Loft:
    """A tube of `radius` (scalar or one per point) along a path (m, 3)."""
    path = np.asarray(path, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), (len(path),))
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.cross(tangent[0], [0.0, 0.0, 1.0])
    if np.linalg.norm(normal) < 1e-3:
        normal = np.cross(tangent[0], [1.0, 0.0, 0.0])
    phi = 2 * np.pi * np.arange(n) / n
    rings = []
    for p, t, r in zip(path, tangent, radii, strict=True):
        normal = normal - t * float(normal @ t)
        normal /= np.linalg.norm(normal)
        other = np.cross(t, normal)
        rings.append(p + r * (np.cos(phi)[:, None] * normal + np.sin(phi)[:, None] * other))
    return np.stack(rings)


def curve(points: Sequence[tuple[float, float, float]], steps: int = 40) -> NDArray[np.float64]:
    """A Catmull-Rom curve (m, 3) through the points."""
    p = np.array([points[0], *points, points[-1]], dtype=np.float64)
    out = []
    per = max(2, steps // (len(points) - 1))
    for i in range(1, len(p) - 2):
        a, b, c, d = p[i - 1 : i + 3]
        for t in np.linspace(0, 1, per, endpoint=False):
            square, cube = 2 * a - 5 * b + 4 * c - d, 3 * b - a - 3 * c + d
            out += [0.5 * (2 * b + (c - a) * t + square * t**2 + cube * t**3)]
    out.append(p[-2])
    return np.array(out)


def move(loft: Loft, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Loft:
    """The loft shifted."""
    return loft + np.array([x, y, z])
