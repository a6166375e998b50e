from __future__ import annotations

from inference.costs import CostEstimate, RungCosts
from inference.types import Rung

LARGE, SMALL = Rung(416, 416), Rung(208, 208)
MS = 1_000_000
SECOND = 1_000_000_000


def costs() -> RungCosts:
    return RungCosts((SMALL, LARGE), 0.9, 30, 3_000.0)


def test_the_quantile_forgives_one_slow_run_in_twenty_and_not_three() -> None:
    estimate = CostEstimate(30, 0.9, 3_000.0)
    for _ in range(19):
        estimate.add(10 * MS, 0)
    estimate.add(80 * MS, 0)
    assert estimate.bound_ns(0) == 10 * MS
    estimate.add(80 * MS, 0)
    assert estimate.bound_ns(0) == 80 * MS, "two of the last three"


def test_what_a_busy_machine_taught_is_forgotten_when_it_is_old() -> None:
    learned = costs()
    learned.add(LARGE, 90 * MS, 0)
    learned.add(SMALL, 3 * MS, 10 * SECOND)
    assert learned.bound_ns(LARGE, 10 * SECOND) == 12 * MS, "scaled by area from what is fresh"
    assert learned.typical_ns(LARGE, 10 * SECOND) == 12 * MS
    assert learned.bound_ns(LARGE, 20 * SECOND) == 90 * MS, "nothing is fresh: better old than none"


def test_a_run_that_was_cut_off_counts_for_more_than_it_took() -> None:
    learned = costs()
    for _ in range(30):
        learned.add(LARGE, 10 * MS, 0)
    learned.exceeded(LARGE, 56 * MS, 0)
    assert learned.bound_ns(LARGE, 0) == 70 * MS


def test_another_provider_starts_afresh() -> None:
    learned = costs()
    learned.add(LARGE, 10 * MS, 0)
    learned.forget()
    assert (learned.known, learned.bound_ns(LARGE, 0)) == (False, 0)


def test_a_rung_of_another_ladder_is_ignored() -> None:
    learned = costs()
    learned.add(Rung(96, 96), MS, 0)
    learned.exceeded(Rung(96, 96), MS, 0)
    assert not learned.known


def test_what_is_not_fresh_is_scaled_as_the_warm_up_was() -> None:
    fast = Rung(416, 416, 1)
    learned = RungCosts((LARGE, fast), 0.9, 30, 3_000.0)
    assert learned.rungs == [LARGE, fast], "of several models the order is the caller's"
    learned.warmed(LARGE, 20 * MS, 0)
    learned.warmed(fast, 5 * MS, 0)
    learned.add(fast, 15 * MS, 10 * SECOND)
    assert learned.typical_ns(LARGE, 10 * SECOND) == 60 * MS
