"""Which pictures of which product are rendered: for the show, for the catalogue and for training."""

from __future__ import annotations

import math

from training.show import script
from training.show.camera import DISTANCE, ELEVATION, HALF_WIDTH, PLATE_WIDTH, project
from training.show.products import PRODUCTS
from training.show.sprites import Request, View

HELD_ELEVATION, HELD_STEP = 8, 5


def toward(pose: script.Pose) -> float:
    """Degrees by which the camera sees the product turned because it stands beside the picture's middle."""
    spot = project(pose.x, pose.y, pose.z)
    return math.degrees(math.atan2(spot.x - PLATE_WIDTH / 2, PLATE_WIDTH / 2 / HALF_WIDTH * DISTANCE))


def name(elevation: float, yaw: float) -> str:
    """File name of a view without its ending."""
    return f"{round(elevation):02d}_{round(yaw) % 360:03d}"


def show_views() -> list[Request]:
    """What the show needs: every resting place exactly, and a fine ring for what is turned in the hand."""
    requests = []
    for product in PRODUCTS:
        rests = [script.REST[product.id]]
        yaws: list[int] = []
        for act in script.ACTS:
            if act.product == product.id:
                rests.append(script.Pose(act.end[0], act.end[1], 0.0, act.turns[-1][1]))
                turned = [yaw for _, yaw, _ in act.turns]
                low, high = min(turned) - 14, max(turned) + 14
                yaws = list(range(int(low // HELD_STEP) * HELD_STEP, int(high) + HELD_STEP, HELD_STEP))
        views = {
            name(ELEVATION, rest.yaw - toward(rest)): View("", ELEVATION, round(rest.yaw - toward(rest)))
            for rest in rests
        }
        views.update({name(HELD_ELEVATION, yaw): View("", HELD_ELEVATION, yaw) for yaw in yaws})
        requests.append(
            Request(product.id, product.build(), [View(n, v.elevation, v.yaw) for n, v in views.items()])
        )
    return requests


def turntables() -> list[Request]:
    """What training needs: a ring at two elevations under the show's light."""
    rings = [(10, range(0, 360, 10)), (28, range(0, 360, 30))]
    return [
        Request(p.id, p.build(), [View(name(e, y), e, y) for e, ring in rings for y in ring])
        for p in PRODUCTS
    ]
