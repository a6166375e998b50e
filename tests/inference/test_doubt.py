from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.doubt import Doubt

UNSURE, SURE = np.array([0.3]), np.array([0.9])


def shown(off: dict[float, float], times: int = 200, weight: float = 1.0) -> Doubt:
    """What is learned where detections of each score are so far off, many a time."""
    doubt = Doubt(0.025, 3.0)
    scores = np.array(list(off))
    for _ in range(times):
        doubt.learn(scores, np.array(list(off.values())), np.full(len(off), weight))
    return doubt


def noise(doubt: Doubt, scores: NDArray[np.float64]) -> float:
    return float(doubt.noise(scores)[0])


def test_at_first_scores_tell_all() -> None:
    doubt = Doubt(0.025, 3.0)
    assert doubt.told == pytest.approx(1.0)
    np.testing.assert_allclose(doubt.noise(np.array([0.1, 0.5, 0.9, 1.0])), [0.08, 0.05, 0.02, 0.0125])


def test_unsure_boxes_that_lie_as_well_are_believed_as_well() -> None:
    doubt = shown({0.9: 0.02, 0.5: 0.02, 0.3: 0.02})
    assert noise(doubt, UNSURE) == pytest.approx(noise(doubt, SURE), rel=0.1)


def test_unsure_boxes_that_lie_further_off_are_doubted() -> None:
    doubt = shown({0.9: 0.01, 0.5: 0.03, 0.3: 0.05})
    assert doubt.told == 1.0 and noise(doubt, UNSURE) == pytest.approx(0.065)


def test_the_surest_are_worth_more_whatever_is_learned() -> None:
    doubt = shown({0.9: 0.02, 0.3: 0.02})
    assert noise(doubt, np.array([1.0])) < 0.7 * noise(doubt, SURE)


def test_motion_in_all_surprises_hides_no_noise() -> None:
    """Both are as much further off as an object moved; the difference is the detections'."""
    doubt = shown({0.9: 0.10, 0.3: 0.13})
    assert doubt.told > 0.5


def test_what_an_unsure_prediction_says_counts_for_little() -> None:
    assert shown({0.9: 0.02, 0.3: 0.02}, times=5, weight=0.01).told > 0.9


def test_a_detector_that_changes_is_learned_anew() -> None:
    doubt = shown({0.9: 0.01, 0.3: 0.05}, times=2000)
    for _ in range(10_000):
        doubt.learn(np.array([0.9, 0.3]), np.array([0.02, 0.02]), np.ones(2))
    assert doubt.told < 0.1


def test_scores_without_slope_change_nothing() -> None:
    doubt = Doubt(0.04, 0.0)
    doubt.learn(np.array([0.9, 0.3]), np.array([0.02, 0.06]), np.ones(2))
    np.testing.assert_allclose(doubt.noise(np.array([0.9, 0.3])), 0.02)
