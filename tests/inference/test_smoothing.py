from __future__ import annotations

import numpy as np
import pytest

from inference.smoothing import BoxSmoother, OneEuro
from inference.types import Box

FRAME_NS = 33_333_333


def at(x: float) -> Box:
    return Box(x, 0.4, x + 0.1, 0.6)


def test_a_trembling_box_becomes_calm() -> None:
    rng, smooth = np.random.default_rng(1), OneEuro()
    raw = [0.4 + float(rng.normal(0, 0.002)) for _ in range(100)]
    shown = [smooth(at(x), i * FRAME_NS).x0 for i, x in enumerate(raw)]
    assert np.diff(shown, 2).std() < 0.5 * np.diff(raw, 2).std()


def test_a_moving_box_lags_little() -> None:
    smooth = OneEuro()
    for i in range(60):
        shown = smooth(at(0.1 + 0.01 * i), i * FRAME_NS)
    assert 0.69 - shown.x0 < 0.02


def test_a_box_that_was_away_begins_anew() -> None:
    smooth = OneEuro()
    smooth(at(0.1), 0)
    assert smooth(at(0.8), 10**9).x0 == pytest.approx(0.8)


def test_time_that_stands_still_changes_nothing() -> None:
    smooth = OneEuro()
    first = smooth(at(0.1), 5)
    assert smooth(at(0.8), 5) == pytest.approx(first)


def test_every_track_has_its_own_filter() -> None:
    smooth = BoxSmoother()
    smooth(1, at(0.1), 0)
    assert smooth(2, at(0.8), FRAME_NS).x0 == pytest.approx(0.8)
    smooth.forget_all_but({2})
    assert smooth(1, at(0.5), FRAME_NS).x0 == pytest.approx(0.5)


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="expected > 0"):
        OneEuro(cutoff_hz=0.0)
