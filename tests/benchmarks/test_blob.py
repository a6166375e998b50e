from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.painted.blob import find


def planes(x0: float, y0: float, x1: float, y1: float) -> NDArray[np.float32]:
    """BGR planes with an anti-aliased green rectangle."""
    picture = np.full((3, 256, 416), 110, np.float32)
    xs = np.clip(np.minimum(np.arange(1, 417), x1) - np.maximum(np.arange(416), x0), 0, 1)
    ys = np.clip(np.minimum(np.arange(1, 257), y1) - np.maximum(np.arange(256), y0), 0, 1)
    cover = (ys[:, None] * xs[None, :]).astype(np.float32)
    for channel, value in enumerate((0, 200, 0)):
        picture[channel] += (value - 110) * cover
    return picture


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.8])
def test_centre_is_found_to_a_third_of_a_pixel(shift: float) -> None:
    box = find(planes(100 + shift, 60 + shift, 135 + shift, 95 + shift))
    assert box is not None
    assert (box[0] + box[2]) / 2 == pytest.approx(117.5 + shift, abs=0.34)
    assert (box[1] + box[3]) / 2 == pytest.approx(77.5 + shift, abs=0.34)
    assert box[2] - box[0] == pytest.approx(35, abs=1.5)


def test_nothing_green_is_nothing() -> None:
    assert find(np.full((3, 256, 416), 110, np.float32)) is None


def test_specks_that_an_encoder_leaves_behind_do_not_move_the_object() -> None:
    picture = planes(100, 60, 135, 95)
    picture[:, 200:206, 300:306] = np.array([0, 200, 0], np.float32)[:, None, None]
    box = find(picture)
    assert box is not None
    assert (box[0] + box[2]) / 2 == pytest.approx(117.5, abs=0.1)
    assert (box[1] + box[3]) / 2 == pytest.approx(77.5, abs=0.1)
