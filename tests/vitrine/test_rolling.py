from __future__ import annotations

import numpy as np
import pytest

from vitrine.figures import Percentiles
from vitrine.rolling import WINDOW_NS, Rolling

S = 1_000_000_000


def test_percentiles_are_nearest_rank() -> None:
    rolling = Rolling()
    for value in np.random.default_rng(1).permutation(np.arange(1, 101)):
        rolling.add(S, float(value))
    assert rolling.percentiles(S) == Percentiles(50.0, 95.0, 99.0)


def test_one_value_is_every_percentile() -> None:
    rolling = Rolling()
    rolling.add(0, 7_000_000)
    assert rolling.percentiles(0, 1e-6) == Percentiles(7.0, 7.0, 7.0)


def test_nothing_gives_nothing() -> None:
    assert Rolling().percentiles(0) == Percentiles()
    assert Rolling().rate(5 * S) == 0.0


def test_values_older_than_the_window_are_forgotten() -> None:
    rolling = Rolling()
    rolling.add(0, 100.0)
    rolling.add(6 * S, 1.0)
    assert rolling.percentiles(WINDOW_NS - 1).p99 == 100.0
    assert rolling.percentiles(WINDOW_NS).p99 == 1.0
    assert rolling.count(6 * S + WINDOW_NS) == 0


def test_the_oldest_go_when_the_ring_is_full() -> None:
    rolling = Rolling(capacity=4)
    for value in range(10):
        rolling.add(value, float(value))
    assert sorted(rolling.values(10)) == [6.0, 7.0, 8.0, 9.0]
    assert rolling.total(10) == 30.0


@pytest.mark.parametrize(("seconds", "expected"), [(4, 30.0), (20, 30.0)])
def test_rate_is_per_second_of_what_was_seen(seconds: int, expected: float) -> None:
    rolling = Rolling()
    for frame in range(seconds * 30):
        rolling.add(frame * S // 30)
    assert rolling.rate(seconds * S) == pytest.approx(expected, rel=0.02)


def test_rate_of_the_first_moment_does_not_explode() -> None:
    rolling = Rolling()
    rolling.add(0)
    assert rolling.rate(1) == 1.0
