from __future__ import annotations

from vitrine.hold import MS, HoldEstimator


def feed(hold: HoldEstimator, *, start_ms: int, count: int, every_ms: int, takes_ms: int) -> list[int]:
    changes = []
    for i in range(count):
        arrived = (start_ms + i * every_ms) * MS
        change = hold.observe(pts_ns=arrived, arrived_ns=arrived, sent_ns=arrived + takes_ms * MS)
        if change is not None:
            changes.append(change)
    return changes


def test_recommends_gap_between_detections_plus_time_of_one() -> None:
    hold = HoldEstimator(min_ms=20, step_ms=20, margin_ms=15)
    assert feed(hold, start_ms=0, count=30, every_ms=66, takes_ms=60) == [160]  # 66 + 60 + 15, rounded up


def test_rises_at_once_when_detection_gets_slower() -> None:
    hold = HoldEstimator(min_ms=20)
    feed(hold, start_ms=0, count=10, every_ms=33, takes_ms=10)
    assert hold.current_ms == 60
    feed(hold, start_ms=400, count=5, every_ms=133, takes_ms=120)
    assert hold.current_ms == 280


def test_falls_only_after_a_whole_window_of_lower_needs() -> None:
    hold = HoldEstimator(min_ms=20)
    feed(hold, start_ms=0, count=5, every_ms=133, takes_ms=120)
    assert hold.current_ms == 280
    assert feed(hold, start_ms=700, count=200, every_ms=33, takes_ms=10) == []
    assert feed(hold, start_ms=7300, count=200, every_ms=33, takes_ms=10) == [60]


def test_never_exceeds_the_maximum_and_never_less_than_the_minimum() -> None:
    hold = HoldEstimator(min_ms=60, max_ms=300)
    feed(hold, start_ms=0, count=5, every_ms=500, takes_ms=400)
    assert hold.current_ms == 300
    low = HoldEstimator(min_ms=60)
    feed(low, start_ms=0, count=50, every_ms=10, takes_ms=1)
    assert low.current_ms == 60


def test_a_pause_of_the_publisher_is_not_taken_for_slow_detection() -> None:
    hold = HoldEstimator(min_ms=60)
    feed(hold, start_ms=0, count=20, every_ms=33, takes_ms=10)
    feed(hold, start_ms=60_000, count=1, every_ms=33, takes_ms=10)
    assert hold.current_ms == 60
