"""Which stage gives which detection to which track."""

from __future__ import annotations

import numpy as np
import pytest

from inference.life import TrackerSettings
from inference.pairing import Sides, pair

TRACK = (0.40, 0.40, 0.50, 0.70)
STRANGER = (0.43, 0.40, 0.53, 0.70)


def sides(*, told: float, likeness: tuple[float, float] | None) -> Sides:
    """A track, a sure detection of a stranger that half covers it, and an unsure one on its very place."""
    track, boxes = np.array([TRACK], np.float32), np.array([STRANGER, TRACK], np.float32)
    alike = None if likeness is None else np.array([likeness], np.float32)
    code = np.ones(1, np.intp)
    return Sides(
        np.array([40.0]),
        track,
        track,
        code,
        boxes,
        np.array([0.7, 0.2], np.float32),
        np.ones(2, np.intp),
        alike,
        told,
    )


@pytest.mark.parametrize(
    ("told", "likeness", "given"),
    [
        (0.0, (0.5, 0.9), 1),
        (0.0, (0.85, 0.9), 0),
        (0.0, (0.5, 0.2), 0),
        (0.0, None, 0),
        (1.0, (0.5, 0.9), 0),
    ],
    ids=["place and look", "both look alike", "other look", "no looks", "scores tell"],
)
def test_an_unsure_detection_beats_a_sure_one_of_something_else(
    told: float, likeness: tuple[float, float] | None, given: int
) -> None:
    assert pair(sides(told=told, likeness=likeness), TrackerSettings(), 40.0) == [(0, given)]
