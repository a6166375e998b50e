"""Tracks as they are told: from lives, boxes and speeds. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.geometry import clip_box
from inference.kalman import Floats
from inference.life import Life
from inference.types import Box, Track


def tracks_of(
    lives: Sequence[Life], boxes: NDArray[np.float32], speed: Floats, *, inside: bool
) -> tuple[Track, ...]:
    """A track per life.

    Args:
        lives: whose.
        boxes: where they are, float32 (n, 4), x0 y0 x1 y1; may reach beyond the picture.
        speed: of centre x, centre y, width and height per second, (n, 4).
        inside: cut boxes at the picture's edge.
    """
    velocity = np.concatenate((speed[:, :2] - speed[:, 2:] / 2, speed[:, :2] + speed[:, 2:] / 2), axis=1)
    return tuple(
        Track(
            life.id,
            clip_box(box) if inside else Box(*box),
            tuple(moving),
            life.label,
            life.score,
            life.measured_ns,
            life.confirmed,
        )
        for life, box, moving in zip(lives, boxes.tolist(), velocity.tolist(), strict=True)
    )


def visible(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """At least a sliver lies within the picture."""
    inside = np.concatenate((boxes[:, :2] < 0.999, boxes[:, 2:] > 0.001), axis=1)
    visible: NDArray[np.bool_] = np.logical_and.reduce(inside, axis=1)
    return visible
