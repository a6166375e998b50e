from __future__ import annotations

from inference.allowance import Allowance

MS = 1_000_000


def test_a_rested_device_may_be_used_at_once() -> None:
    allowance = Allowance(0.1, burst_ns=100 * MS)
    assert allowance.wait_ns(0) == 0
    allowance.spent(60 * MS, 0)
    assert allowance.wait_ns(0) == 0


def test_what_is_overdrawn_is_waited_for() -> None:
    allowance = Allowance(0.1, burst_ns=100 * MS)
    allowance.spent(130 * MS, 0)
    assert allowance.wait_ns(0) == 300 * MS + 1
    assert allowance.wait_ns(299 * MS) > 0
    assert allowance.wait_ns(301 * MS) == 0


def test_over_time_no_more_than_the_share_is_used() -> None:
    allowance = Allowance(0.1, burst_ns=100 * MS)
    used = now = 0
    while now < 60_000 * MS:
        now += allowance.wait_ns(now)
        allowance.spent(12 * MS, now)
        used += 12 * MS
        now += 1
    assert used <= 0.1 * now + 112 * MS


def test_rest_is_not_saved_up_for_ever() -> None:
    allowance = Allowance(0.5, burst_ns=100 * MS)
    allowance.wait_ns(0)
    allowance.spent(150 * MS, 3_600_000 * MS)
    assert allowance.wait_ns(3_600_000 * MS) > 0
