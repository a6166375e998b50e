from __future__ import annotations

from stream.guard import KeyframeRequests, LossGuard

MS = 1_000_000


def test_first_keyframe_request_goes_out_at_once() -> None:
    requests = KeyframeRequests()
    requests.ask()
    assert requests.due(5)
    assert not requests.due(6)


def test_requests_in_between_wait_and_melt_into_one() -> None:
    requests = KeyframeRequests(interval_ns=500 * MS)
    requests.ask()
    assert requests.due(0)
    requests.ask()
    requests.ask()
    assert not requests.due(499 * MS)
    assert requests.due(500 * MS)
    assert not requests.due(2000 * MS)


def test_a_keyframe_that_arrived_satisfies_a_waiting_request() -> None:
    requests = KeyframeRequests(interval_ns=500 * MS)
    requests.ask()
    assert requests.due(0)
    requests.ask()
    requests.satisfied()
    assert not requests.due(900 * MS)


def test_heavy_loss_lowers_the_rate_by_half_the_loss() -> None:
    guard = LossGuard(start_kbps=4000, max_kbps=4000)
    assert guard.update(1000, 200) == 3600


def test_moderate_loss_holds_the_rate() -> None:
    guard = LossGuard(start_kbps=2000, max_kbps=4000)
    assert guard.update(1000, 50) == 2000


def test_no_loss_raises_the_rate_to_the_ceiling() -> None:
    guard = LossGuard(start_kbps=2000, max_kbps=2150)
    assert [guard.update(n * 100, 0) for n in range(1, 4)] == [2100, 2150, 2150]


def test_only_new_loss_counts() -> None:
    guard = LossGuard(start_kbps=4000, max_kbps=4000)
    guard.update(1000, 500)
    lowered = guard.kbps
    assert guard.update(2000, 500) == int(lowered * 1.05)


def test_recovered_packets_are_no_negative_loss() -> None:
    guard = LossGuard(start_kbps=1000, max_kbps=4000)
    guard.update(1000, 50)
    assert guard.update(2000, 0) == 1050


def test_floor_and_silence() -> None:
    guard = LossGuard(start_kbps=200, max_kbps=4000, min_kbps=150)
    for n in range(1, 20):
        guard.update(n * 100, n * 90)
    assert guard.update(19 * 100, 19 * 90) == 150  # nothing new arrived: unchanged
