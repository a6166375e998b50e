"""What happens in the show: where things stand, what the hand does, how the camera moves, by time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.show.camera import PLATE_HEIGHT, PLATE_WIDTH, Window, project

DURATION_S = 38.0


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a product is: its base centre in decimetres, yaw and lean in the picture plane in degrees."""

    x: float
    y: float
    z: float = 0.0
    yaw: float = 0.0
    lean: float = 0.0


@dataclass(frozen=True, slots=True)
class Act:
    """The hand takes a product at `start`, shows it at `show` while the turns last, and puts it at `end`.

    turns: (seconds since start, yaw, lean) key frames while it is held. grip_z: height at which it is held.
    """

    product: str
    start: float
    turns: tuple[tuple[float, float, float], ...]
    show: tuple[float, float, float]
    end: tuple[float, float]
    grip_z: float
    stop: float


@dataclass(frozen=True, slots=True)
class HandPose:
    """Where the hand's grip point is and which sprite it is ("grip" or "open")."""

    kind: str
    x: float
    y: float
    z: float
    lean: float
    holds: str = ""


REST: dict[str, Pose] = {
    "kova-house-blend": Pose(-5.7, 1.1, yaw=22),
    "lumen-serum-c": Pose(-4.5, -0.35, yaw=8),
    "lumen-serum-h": Pose(-3.3, -0.1, yaw=-6),
    "tide-hand-cream": Pose(-2.15, 0.9, yaw=-12),
    "fennmark-honey": Pose(-1.0, -0.5, yaw=10),
    "morrow-mug": Pose(0.3, 0.75, yaw=-18),
    "pikk-yuzu": Pose(1.35, -0.5, yaw=14),
    "oolin-tea-tin": Pose(2.35, 1.0, yaw=-20),
    "strid-court": Pose(3.5, -0.75, yaw=24),
    "alda-bag": Pose(4.45, 1.25, yaw=-14),
    "nord-flask": Pose(5.75, 0.0, yaw=5),
}
ACTS: tuple[Act, ...] = (
    Act(
        "lumen-serum-c",
        1.0,
        ((1.6, 8, 0), (2.6, -4, -6), (4.1, -62, 4), (5.6, 48, -5), (6.6, 6, 3), (7.6, 8, 0)),
        (-2.7, -5.0, 1.62),
        (-4.4, -0.3),
        0.3,
        9.6,
    ),
    Act(
        "pikk-yuzu",
        14.6,
        ((1.6, 14, 0), (2.6, 0, 8), (4.0, 74, -4), (5.6, -58, 6), (6.6, 0, 0), (7.6, -8, 0)),
        (2.0, -4.8, 1.4),
        (1.2, -0.75),
        0.55,
        23.0,
    ),
    Act(
        "nord-flask",
        22.2,
        ((1.6, 5, 0), (2.5, 10, -10), (3.9, -50, 6), (5.3, 60, 8), (6.3, 0, -2), (7.2, 10, 0)),
        (3.4, -4.2, 1.12),
        (5.5, -0.2),
        0.65,
        30.2,
    ),
    Act(
        "lumen-serum-h",
        30.8,
        ((1.5, -6, 0), (2.5, 0, 6), (3.7, 50, -4), (4.9, -30, 4), (5.6, 0, 0), (6.4, 0, 0)),
        (-2.4, -4.6, 1.6),
        (-3.2, 0.0),
        0.3,
        37.9,
    ),
)
COVER = (
    (9.2, 3.4, -2.6, -3.6),
    (10.2, -0.6, -1.2, 0.35),
    (10.9, -0.75, -1.15, 0.3),
    (11.5, -1.9, -0.8, 0.75),
    (12.2, -2.0, -0.8, 0.8),
    (13.4, 3.2, -2.6, -3.6),
)
CAMERA: tuple[tuple[float, float, float, float], ...] = (
    (0.0, -2.7, 0.0, 1.06),
    (2.6, -2.7, 0.0, 1.1),
    (4.5, -2.7, 0.05, 1.22),
    (8.0, -2.7, 0.02, 1.2),
    (11.0, -2.0, -0.1, 1.14),
    (13.0, -1.6, 0.0, 1.12),
    (16.2, 2.4, 0.0, 1.1),
    (18.5, 2.3, 0.05, 1.22),
    (22.0, 2.6, 0.0, 1.16),
    (25.0, 3.0, 0.0, 1.1),
    (29.4, 2.9, 0.0, 1.1),
    (32.4, -2.6, 0.0, 1.1),
    (34.5, -2.6, 0.05, 1.2),
    (38.0, -2.5, 0.0, 1.12),
)
EXPOSURE = (
    (0.0, 1.0),
    (17.4, 1.0),
    (17.9, 0.62),
    (19.0, 0.8),
    (20.0, 1.0),
    (30.4, 1.0),
    (30.8, 1.3),
    (31.6, 1.08),
    (32.6, 1.0),
    (38.0, 1.0),
)


def ease(t: float) -> float:
    """Smooth step 0..1."""
    t = min(1.0, max(0.0, t))
    return t * t * t * (t * (6 * t - 15) + 10)


def key(frames: Sequence[tuple[float, ...]], t: float) -> tuple[float, ...]:
    """Values between key frames (time, value, ...), eased."""
    times = [frame[0] for frame in frames]
    i = bisect_right(times, t)
    if i == 0:
        return tuple(frames[0][1:])
    if i == len(frames):
        return tuple(frames[-1][1:])
    a, b = frames[i - 1], frames[i]
    k = ease((t - a[0]) / (b[0] - a[0]))
    return tuple(p + (q - p) * k for p, q in zip(a[1:], b[1:], strict=True))


def _home(product: str, t: float) -> Pose:
    pose = REST[product]
    for act in ACTS:
        if act.product == product and t >= act.start + act.turns[-1][0]:
            pose = Pose(act.end[0], act.end[1], 0.0, act.turns[-1][1], 0.0)
    return pose


def product_pose(product: str, t: float) -> Pose:
    """Where the product is at second t."""
    pose = _home(product, t)
    for act in ACTS:
        since = t - act.start
        first, last = act.turns[0][0], act.turns[-1][0]
        if act.product == product and first <= since < last:
            rest = REST[product]
            x, y, z = act.show
            up, down = act.turns[1][0], act.turns[-2][0]
            path = (
                (first, rest.x, rest.y, 0.0),
                ((first + up) / 2, (rest.x * 0.6 + x * 0.4), rest.y * 0.6 + y * 0.4, 0.8 + 0.4 * z),
                (up, x, y, z),
                (down, x + 0.1, y, z + 0.05),
                ((down + last) / 2, act.end[0] * 0.6 + x * 0.4, act.end[1] * 0.6 + y * 0.4, 0.8 + 0.4 * z),
                (last, act.end[0], act.end[1], 0.0),
            )
            px, py, pz = _smooth_path(path, since)
            yaw, lean = key(act.turns, since)
            return Pose(px, py, max(0.0, pz), yaw, lean)
    return pose


def _smooth_path(frames: Sequence[tuple[float, ...]], t: float) -> tuple[float, float, float]:
    """Lift and lower without stopping half way: two quadratic Bezier arcs round a hold."""
    if t < frames[2][0]:
        a, b, c = frames[0], frames[1], frames[2]
    elif t > frames[3][0]:
        a, b, c = frames[3], frames[4], frames[5]
    else:
        x, y, z = key((frames[2], frames[3]), t)
        return x, y, z + 0.03 * math.sin(3 * (t - frames[2][0]))
    k = ease((t - a[0]) / (c[0] - a[0]))
    x, y, z = (
        (1 - k) ** 2 * p + 2 * k * (1 - k) * q + k**2 * r for p, q, r in zip(a[1:], b[1:], c[1:], strict=True)
    )
    return x, y, z


def hand_poses(t: float) -> list[HandPose]:
    """The hand at second t; none while it is out of the picture."""
    poses = []
    for act in ACTS:
        since = t - act.start
        first, last = act.turns[0][0], act.turns[-1][0]
        if not 0 <= since <= act.stop - act.start:
            continue
        pose = product_pose(act.product, t)
        grip = HandPose("grip", pose.x, pose.y, pose.z + act.grip_z, pose.lean, act.product)
        if since < first:
            k = ease(since / first)
            away = (pose.x + 3.6, pose.y - 2.6, act.grip_z - 3.4)
        elif since >= last:
            k = 1 - ease((since - last) / max(0.3, act.stop - act.start - last))
            away = (pose.x + 3.6, pose.y - 2.6, act.grip_z - 3.4)
        else:
            k, away = 1.0, (0.0, 0.0, 0.0)
        bulge = math.sin(math.pi * k) * 0.35
        if k < 1:
            grip = replace(
                grip,
                x=away[0] + (grip.x - away[0]) * k + bulge,
                y=away[1] + (grip.y - away[1]) * k,
                z=away[2] + (grip.z - away[2]) * k,
                lean=8 * (1 - k),
            )
        poses.append(grip)
    if COVER[0][0] <= t <= COVER[-1][0]:
        x, y, z = key(COVER, t)
        poses.append(HandPose("open", x, y, z, 6 * math.sin(t)))
    return poses


def window(t: float) -> Window:
    """The picture's place in the plate at second t, with a breath of hand-held movement."""
    x, up, zoom = key(CAMERA, t)
    spot = project(x, 0.3, 1.35 + up)
    sway = (
        1.6 * math.sin(1.1 * t) + 1.0 * math.sin(2.3 * t + 1),
        1.2 * math.sin(0.9 * t + 2) + 0.8 * math.sin(2.9 * t),
    )
    half_w, half_h = 640 / zoom, 360 / zoom
    return Window(
        min(max(spot.x + sway[0], half_w + 1), PLATE_WIDTH - half_w - 1),
        min(max(spot.y + sway[1], half_h + 1), PLATE_HEIGHT - half_h - 1),
        zoom,
    )


def exposure(t: float) -> float:
    """Gain of the camera at second t."""
    return key(EXPOSURE, t)[0]
