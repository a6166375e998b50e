from __future__ import annotations

import math

import pytest

from benchmarks.overload import curve
from benchmarks.trace import at_viewer, between, overlays, summary, worst_growth

MS = 1_000_000
LINES = [
    {
        "rtp": 3000,
        "arrived_ns": 0,
        "sent_ns": 20 * MS,
        "outcome": "detected",
        "stages_ns": {"receive": 2 * MS, "detect": 14 * MS, "embed": 9 * MS, "track": MS},
    },
    {
        "rtp": 6000,
        "arrived_ns": 33 * MS,
        "sent_ns": 37 * MS,
        "outcome": "coasted",
        "stages_ns": {"receive": 3 * MS},
    },
]


def test_age_and_own_time_of_an_overlay() -> None:
    first, second = overlays(LINES)
    assert (first.age_ms, first.own_ms) == (20, 4)
    assert (second.age_ms, second.own_ms) == (4, 1)


def test_overlays_come_in_the_order_they_were_sent() -> None:
    assert [one.rtp for one in overlays(LINES[::-1])] == [3000, 6000]


def test_a_stretch_holds_the_frames_that_arrived_in_it() -> None:
    assert [one.rtp for one in between(overlays(LINES), 10 * MS, 40 * MS)] == [6000]


def test_summary_keeps_detected_and_all_apart() -> None:
    row = summary(overlays(LINES), seconds=1.0)
    assert row["frames_per_s"] == 2
    assert row["detected_per_s"] == 1
    assert row["age_detected_ms_p50"] == 20
    assert row["age_ms_p50"] == 12
    assert row["own_share_pct"] == pytest.approx(100 * 5 / 24, abs=0.1)
    assert row["detect_ms_p99"] == 14
    assert row["staleness_ms_p50"] == pytest.approx(100 / 6, abs=0.01)


def test_a_late_detection_is_stale_by_the_frames_that_came_meanwhile() -> None:
    late = {**LINES[1], "rtp": 9000, "sent_ns": 70 * MS}
    detected = {**LINES[1], "outcome": "detected", "sent_ns": 90 * MS}
    stale = [one.staleness_ns for one in overlays([detected, late, *LINES])]
    assert stale == [0, pytest.approx(33.3 * MS, abs=MS), pytest.approx(66.7 * MS, abs=MS), 33_333_333]


def test_staleness_crosses_the_wrap_of_rtp() -> None:
    before = {**LINES[0], "rtp": 0xFFFF_FFFF - 1499}
    after = {**LINES[1], "rtp": 1500}
    assert overlays([before, after])[1].staleness_ns == 33_333_333


def test_nothing_detected_yet_has_no_staleness() -> None:
    assert overlays(LINES[1:])[0].staleness_ns is None


def test_a_frame_with_a_prediction_and_a_measurement_counts_once() -> None:
    twice = [*LINES, {**LINES[1], "outcome": "detected", "sent_ns": 60 * MS}]
    row = summary(overlays(twice), seconds=1.0)
    assert (row["frames_per_s"], row["detected_per_s"]) == (2, 2)


def test_the_viewers_clock_is_joined_by_frame_and_kind() -> None:
    seen = {(3000, True): 21 * MS, (6000, True): 99 * MS}
    assert at_viewer(overlays(LINES), seen) == [21]


def test_growth_of_a_flat_and_of_a_growing_age() -> None:
    assert worst_growth([(float(t), 350.0) for t in range(40)]) == 1.0
    assert worst_growth([(float(t), 300.0 * (t + 1)) for t in range(40)]) > 5
    assert math.isnan(worst_growth([(0.0, 1.0)]))


def test_curve_survives_its_row() -> None:
    assert curve("0.3:350 1.5:360") == ([0.3, 1.5], [350.0, 360.0])
