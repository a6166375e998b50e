from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.stats import histogram, interleaved, percentile, rtp_after, share, slope, spread


@pytest.mark.parametrize("q", [0, 5, 50, 95, 99, 100])
def test_percentile_agrees_with_numpy(q: float) -> None:
    values = [float(v) for v in np.random.default_rng(3).exponential(size=137)]
    assert percentile(values, q) == pytest.approx(float(np.percentile(values, q)))


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([4.0], 99) == 4.0


def test_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 50))


def test_percentile_outside_0_to_100_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0..100"):
        percentile([1.0], 101)


def test_spread_names_its_figures() -> None:
    assert spread([1.0, 2.0, 3.0], "age_ms") == {"age_ms_p50": 2.0, "age_ms_p95": 2.9, "age_ms_p99": 2.98}


def test_share_of_nothing_is_not_a_number() -> None:
    assert share(1, 4) == 25.0
    assert math.isnan(share(0, 0))


def test_histogram_keeps_the_tails_at_the_limit() -> None:
    assert histogram([0, 0, -1, 9, -9, 3], limit=3) == {-3: 1, -1: 1, 0: 2, 3: 2}


def test_slope_of_a_line_and_of_too_few_points() -> None:
    assert slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
    assert math.isnan(slope([(1, 1)]))
    assert math.isnan(slope([(1, 1), (1, 2)]))


def test_interleaving_gives_each_subject_one_turn_per_round_and_repeats_with_the_seed() -> None:
    plan = interleaved(["a", "b", "c"], rounds=4, seed=1)
    assert all(sorted(plan[i : i + 3]) == ["a", "b", "c"] for i in range(0, 12, 3))
    assert plan == interleaved(["a", "b", "c"], rounds=4, seed=1)
    assert len({tuple(plan[i : i + 3]) for i in range(0, 12, 3)}) > 1, "the order must change between rounds"


def test_rtp_difference_crosses_the_wrap() -> None:
    assert rtp_after(5, 0xFFFF_FFFB) == 10
    assert rtp_after(0xFFFF_FFFB, 5) == -10
