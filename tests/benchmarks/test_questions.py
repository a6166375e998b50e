"""The three benchmarks themselves, as far as they are arithmetic: what they run, judge and draw."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks import overload, pipeline, sync
from benchmarks.harness import Benchmark, Settings, plot
from benchmarks.report import Report, Row


def settings(quick: bool = False, only: tuple[str, ...] = ()) -> Settings:
    return Settings(quick, 1, only, None, lambda text: None)


SYNC_ROWS: list[Row] = [
    {
        "subject": "vitrine",
        "codec": "H264",
        "delay_ms": delay,
        "hold": hold,
        "hotspot_pct": 100.0,
        "aligned_pct": 99.5 if hold else 40.0,
        "off_+0": 300,
        "off_-1": 2,
    }
    for delay in (0, 60)
    for hold in (True, False)
]
CPU_ROWS: list[Row] = [
    {
        "subject": "cpu",
        "codec": "H264",
        "delay_ms": 60,
        "hold": True,
        "page": page,
        "browser_ms_per_frame": ms,
    }
    for page, ms in (("with overlay", 10.0), ("video only", 8.0))
]


def test_a_full_sync_run_films_every_codec_delay_and_hold() -> None:
    films = [
        (case.subject, case.codec, case.delay_ms, case.hold)
        for codec in ("H264", "VP8")
        for delay_ms in (0, 60, 120)
        for case in sync.cases(codec, delay_ms, settings())
    ]
    assert len(films) == len(set(films))
    assert sum(film[0] == "vitrine" for film in films) == 12
    assert {film[0] for film in films} == {"vitrine", "div on arrival", "div in callback"}


def test_a_quick_sync_run_films_vitrine_and_one_peer() -> None:
    assert [case.subject for case in sync.cases("H264", 60, settings(quick=True))] == [
        "vitrine",
        "div in callback",
    ]


def test_only_limits_the_films() -> None:
    cases = sync.cases("H264", 60, settings(only=("div on arrival",)))
    assert {case.subject for case in cases} == {"div on arrival"}


def test_sync_judges_held_rows_and_the_price_in_points() -> None:
    targets = {target.name: target for target in sync._judge([*SYNC_ROWS, *CPU_ROWS])}
    assert len(targets) == 5, "two delays, two promises each, and the price"
    assert all(target.ok for target in targets.values())
    assert targets["browser above plain video, 30 fps"].value == 6.0


def test_sync_without_its_cpu_rows_lists_no_price() -> None:
    assert all("browser" not in target.name for target in sync._judge(SYNC_ROWS))


def test_a_sync_run_that_saw_no_hotspot_misses_its_target() -> None:
    row: Row = {**SYNC_ROWS[0], "aligned_pct": math.nan, "hotspot_pct": 0.0}
    assert [target.ok for target in sync._judge([row])] == [False, False]


PIPELINE_ROW: Row = {
    "subject": "vitrine",
    "age_ms_p50": 20.0,
    "age_ms_p95": 40.0,
    "age_ms_p99": 55.0,
    "staleness_ms_p95": 67.0,
    "own_ms_p50": 3.0,
    "detect_ms_p50": 14.0,
    "detect_ms_p95": 18.0,
}


def test_pipeline_judges_age_staleness_and_own_time() -> None:
    assert [target.ok for target in pipeline._judge(PIPELINE_ROW)] == [True, True, True]
    late: Row = {**PIPELINE_ROW, "staleness_ms_p95": 400.0}
    assert [target.ok for target in pipeline._judge(late)] == [True, False, True]


OVERLOAD_ROW: Row = {
    "subject": "vitrine",
    "age_in_handlers": 1.1,
    "lost": 0,
    "age_growth": 1.0,
    "rss_growth_mib": 2.0,
    "age_curve": "0.3:350 0.7:360",
}


def test_a_short_overload_run_does_not_judge_growth() -> None:
    assert len(overload._judge(OVERLOAD_ROW, long_enough=False)) == 2
    assert len(overload._judge(OVERLOAD_ROW, long_enough=True)) == 4


def test_a_lost_frame_misses_the_target() -> None:
    assert not overload._judge({**OVERLOAD_ROW, "lost": 1}, long_enough=False)[1].ok


def test_memory_growth_compares_quarters() -> None:
    flat = [(float(t), 200.0 + (t < 10) * 30) for t in range(120)]
    growing = [(float(t), 200.0 + t) for t in range(120)]
    assert overload._memory(flat)["rss_growth_mib"] == 0
    assert overload._memory(growing)["rss_growth_mib"] == 60


def test_accounts_balance_but_for_two_frames_on_their_way() -> None:
    frames = {"in": 100, "detected": 10, "propagated": 80, "cancelled": 1, "failed": 0, "dropped": 14}
    drops = {"late": 7, "decoder-full": 5, "undecodable": 2}
    row = overload.accounts({"frames": frames, "drops": drops})
    assert (row["processed"], row["dropped"], row["dropped_before_decoding"]) == (91, 7, 7)
    assert row["lost"] == 0
    assert overload.accounts({"frames": {**frames, "in": 105}, "drops": drops})["lost"] == 5


def test_frames_without_an_overlay_are_seen_by_the_gaps_they_leave() -> None:
    stamps = [(0xFFFF_F000 + 3000 * index) & 0xFFFF_FFFF for index in range(10) if index != 4]
    assert overload._uncovered([*stamps, stamps[0]]) == 1
    assert overload._uncovered([]) is None


def test_ages_of_nothing_are_not_measured() -> None:
    row = overload._ages([])
    assert row["age_end_ms"] is None
    assert row["age_curve"] == ""


@pytest.mark.parametrize(
    ("bench", "rows"),
    [
        (sync.BENCH, [*SYNC_ROWS, *CPU_ROWS]),
        (pipeline.BENCH, [PIPELINE_ROW, {"subject": "aiortc loop", "age_ms_p50": 900.0}]),
        (overload.BENCH, [OVERLOAD_ROW, {"subject": "fastrtc", "note": "left out"}]),
    ],
)
def test_each_report_can_be_drawn(bench: Benchmark, rows: list[Row], tmp_path: Path) -> None:
    plot(bench, Report(bench.name, {}, "abc", rows), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000
