from __future__ import annotations

import pytest

from overlay.bus.registry import Lease
from tests.fakes.clock import FakeClock
from vitrine.studio.lease import HeldLease, Standing

TTL_MS = 4_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def held(clock: FakeClock) -> HeldLease:
    return HeldLease(Lease("me", 7, TTL_MS), clock.now)


def test_lease_counts_from_the_moment_it_was_asked_for(clock: FakeClock) -> None:
    mine = held(clock)
    clock.advance_ms(TTL_MS - 1)
    assert mine.standing(clock.now) is Standing.HELD
    asked_ns = clock.now
    clock.advance_ms(500)  # the answer took so long
    assert mine.standing(clock.now) is Standing.UNSURE
    assert mine.answered(Lease("me", 7, TTL_MS), asked_ns) is Standing.HELD
    clock.advance_ms(TTL_MS - 500 - 1)
    assert mine.standing(clock.now) is Standing.HELD
    clock.advance_ms(1)
    assert mine.standing(clock.now) is Standing.UNSURE


def test_lease_is_extended_four_times_in_its_life_and_not_asked_twice_at_once(clock: FakeClock) -> None:
    mine = held(clock)
    assert not mine.due(clock.now)
    clock.advance_ms(TTL_MS / 4)
    assert mine.due(clock.now)
    mine.asking(clock.now)
    assert not mine.due(clock.now)
    clock.advance_ms(TTL_MS / 4)
    assert mine.due(clock.now), "no answer: it is tried again"


def test_lease_without_an_answer_is_unsure_and_held_again_with_the_next(clock: FakeClock) -> None:
    mine = held(clock)
    clock.advance_ms(60_000)
    assert mine.standing(clock.now) is Standing.UNSURE
    assert mine.age_ms(clock.now) == 60_000
    assert mine.answered(Lease("me", 7, TTL_MS), clock.now) is Standing.HELD
    assert mine.age_ms(clock.now) == 0


@pytest.mark.parametrize("answer", [Lease("other", 8, TTL_MS), Lease("me", 9, TTL_MS), Lease("", 7, 0)])
def test_lease_that_another_has_is_lost_for_good(clock: FakeClock, answer: Lease) -> None:
    mine = held(clock)
    assert mine.answered(answer, clock.now) is Standing.LOST
    clock.advance_ms(TTL_MS)
    assert mine.standing(clock.now) is Standing.LOST
    assert not mine.due(clock.now)
    assert mine.lease == answer
