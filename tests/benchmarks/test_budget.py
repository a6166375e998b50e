"""The budget benchmark as far as it is arithmetic: scores, what it judges, what it draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import budget
from benchmarks.budget_parts.scoring import (
    Answer,
    Found,
    age_slope,
    average_precision,
    offline_ap,
    recovery_s,
    staleness_ms,
    streaming_ap,
)
from benchmarks.budget_parts.subjects import SCENARIOS, Taken, _numbered, _ours
from benchmarks.harness import plot
from benchmarks.peers.registry import STREAMING
from benchmarks.report import Report, Row

MS = 1_000_000
FRAME = 33_333_333


def cup(at: float, score: float = 0.9) -> Found:
    return (at, 0.2, at + 0.2, 0.6, score, "cup")


MOVING = [[cup(0.01 * number)] for number in range(60)]
"""A cup that moves by a twentieth of its width each frame."""


def told(late_ms: float, every: int = 1, said: Sequence[Sequence[Found]] = MOVING) -> list[Answer]:
    """Perfect boxes, so late."""
    return [
        Answer(n, n * FRAME, n * FRAME + int(late_ms * MS), True, tuple(said[n]))
        for n in range(0, len(said), every)
    ]


def test_lateness_costs_streaming_precision() -> None:
    scores = [streaming_ap(told(late), MOVING, 10 * FRAME, 60 * FRAME) for late in (0, 20, 100, 400)]
    assert scores[0] == pytest.approx(1.0)
    assert scores == sorted(scores, reverse=True) and scores[-1] < 0.1


def test_an_older_frame_answered_later_does_not_replace_a_newer_one() -> None:
    answers = told(0)
    answers.append(Answer(30, 30 * FRAME, 40 * FRAME + 1, False, tuple(MOVING[30])))
    assert streaming_ap(answers, MOVING, 10 * FRAME, 60 * FRAME) == pytest.approx(1.0)


def test_instants_before_the_first_answer_have_no_boxes() -> None:
    late = [one for one in told(5) if one.frame >= 30]
    early = [Answer(0, 0, 0, False, ())]
    assert streaming_ap(early + late, MOVING, 0, 60 * FRAME) < 0.6


def test_precision_counts_each_true_box_once_and_each_class_alike() -> None:
    true = [cup(0.1), (0.6, 0.6, 0.8, 0.8, 1.0, "vase")]
    assert average_precision([(true, true)]) == pytest.approx(1.0)
    assert average_precision([(true[:1], true)]) == pytest.approx(0.5)
    twice = [cup(0.1), cup(0.1, 0.95)]
    assert average_precision([(twice, true[:1])]) == pytest.approx(1.0), "the first of the two counts"
    spurious = [cup(0.7, 0.99), cup(0.1)]
    assert average_precision([(spurious, true[:1])]) == pytest.approx(0.5)
    wrong = [(*cup(0.1)[:5], "vase")]
    assert average_precision([(wrong, true[:1])]) == 0.0
    assert math.isnan(average_precision([([cup(0.1)], [])]))


def test_the_shift_that_fits_is_found() -> None:
    answers = [Answer(n - 2, n * FRAME, n * FRAME, True, tuple(MOVING[n])) for n in range(2, 58)]
    best = max(budget.SHIFTS, key=lambda by: offline_ap(answers, MOVING, by))
    assert best == 2


def test_staleness_counts_frames_that_were_never_answered() -> None:
    answers = [Answer(n, n * FRAME, n * FRAME + 5 * MS, n % 3 == 0, ()) for n in range(30)]
    stale = [round(value) for value in staleness_ms(answers, 100 / 3)]
    assert sorted(set(stale)) == [0, 33, 67, 100]
    assert stale.count(100) < 0.1 * len(stale), "only until the measured one is out"
    slow = told(100, every=3)
    assert min(staleness_ms(slow, 100 / 3)) >= 99


def test_who_answers_rarely_is_stale_in_between() -> None:
    rare = [Answer(n, n * FRAME, n * FRAME + 20 * MS, True) for n in range(0, 90, 15)]
    assert max(staleness_ms(rare, 100 / 3)) >= 466
    assert staleness_ms([Answer(0, 0, MS, False)], 100 / 3) == []


def test_growth_is_seen() -> None:
    growing = [Answer(n, n * FRAME, n * FRAME + n * 10 * MS, True) for n in range(90)]
    assert age_slope(growing) == pytest.approx(300, rel=0.01)
    assert age_slope(told(12)) == pytest.approx(0, abs=1e-6)


def test_recovery_is_the_time_until_ages_are_as_before() -> None:
    ages = [10.0] * 300 + [200.0] * 345 + [10.0] * 255
    answers = [Answer(n, n * FRAME, n * FRAME + int(age * MS), True) for n, age in enumerate(ages)]
    over_ns = 600 * FRAME
    assert recovery_s(answers, (0, 300 * FRAME), over_ns) == pytest.approx(1.5, abs=0.15)
    never = answers[:600] + [Answer(n, n * FRAME, n * FRAME + 200 * MS, True) for n in range(600, 900)]
    assert math.isnan(recovery_s(never, (0, 300 * FRAME), over_ns))


def test_frames_are_numbered_across_the_wrap_of_their_timestamps() -> None:
    lines = [
        {
            "rtp": (2**32 - 3000 + 3000 * n) % 2**32,
            "arrived_ns": n,
            "sent_ns": n,
            "outcome": "detected",
            "boxes": [],
        }
        for n in range(4)
    ]
    assert [one.frame for one in _numbered(lines, 3000, _ours)] == [0, 1, 2, 3]


def test_figures_count_what_was_sent_and_never_answered() -> None:
    answers = [one for one in told(20) if one.frame not in (20, 21)]
    again = [Answer(one.frame, one.arrived_ns, one.sent_ns + 400 * MS, True) for one in answers[:30]]
    taken = Taken(
        [answers + again], 0, 61 * FRAME, rss=[(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)], cpu_s=0.6, dropped=2
    )
    row = budget.figures(SCENARIOS[0], taken, MOVING)
    assert (row["frames_sent"], row["frames_without_overlay"], row["drops_reported"]) == (60, 2, 2)
    assert row["answered_in_time_pct"] == pytest.approx(100 * 58 / 60, abs=0.01)
    assert row["age_ms_p99"] == 20.0 and row["age_measured_ms_p95"] == 420.0, "the first overlay counts"
    assert row["cpu_ms_per_frame"] == 10.0 and row["rss_slope_mib_per_min"] == 0.0
    assert isinstance(row["streaming_ap"], float)
    taken.came = 120
    assert budget.figures(SCENARIOS[0], taken, MOVING)["frames_without_overlay"] == 62, "by its own count"


def row(subject: str, key: str, **figures: float | None) -> Row:
    scenario = next(one for one in SCENARIOS if one.key == key)
    base: Row = {"subject": subject, "scenario": f"({key}) {scenario.words}", "seconds": scenario.seconds}
    base["age_slope_ms_per_s"] = 0.0
    return {**base, **figures}


SPARING = "vitrine, 10 a second"
GOOD = {"age_ms_p99": 40.0, "staleness_ms_p95": 70.0, "detected_per_s_worst_stream": 12.0}


@pytest.mark.parametrize(
    ("key", "figures", "missed"),
    [
        ("a", GOOD, []),
        ("a", {**GOOD, "age_ms_p99": 61.0}, ["age p99"]),
        ("c", {**GOOD, "staleness_ms_p95": 240.0}, []),
        ("d", {**GOOD, "staleness_ms_p95": 240.0}, ["staleness p95"]),
        ("b", {**GOOD, "detected_per_s_worst_stream": 9.0}, ["every stream's detections"]),
        ("e", {"age_slope_ms_per_s": -0.3}, ["slope of age"]),
        ("a", {"staleness_ms_p95": 70.0}, ["age p99"]),
    ],
)
def test_targets_follow_the_scenario(key: str, figures: dict[str, float], missed: list[str]) -> None:
    targets = budget.judged([row("vitrine", key, **figures)])
    assert [target.name.split(",")[0] for target in targets if not target.ok] == missed


def test_the_best_peer_is_the_one_to_beat_at_half_its_cost() -> None:
    ours = row("vitrine", "a", **GOOD, streaming_ap=0.4, cpu_ms_per_frame=10.0)
    peers = [
        row("aiortc loop", "a", streaming_ap=0.3, cpu_ms_per_frame=30.0),
        row("fastrtc", "a", streaming_ap=0.35, cpu_ms_per_frame=15.0),
    ]
    lead, cost = budget.judged([ours, *peers])[-2:]
    assert lead.ok and lead.value == pytest.approx(0.05)
    assert not cost.ok and cost.value == pytest.approx(0.667, abs=0.001)
    sparing = row(SPARING, "a", streaming_ap=0.36, cpu_ms_per_frame=7.0)
    lead, cost = budget.judged([ours, sparing, *peers])[-2:]
    assert lead.ok and cost.ok and cost.value == pytest.approx(0.467, abs=0.001)
    worse = {**sparing, "streaming_ap": 0.34}
    assert not budget.judged([ours, worse, *peers])[-1].ok, "not at equal AP"
    behind = {**ours, "streaming_ap": 0.2}
    assert [target.ok for target in budget.judged([behind, *peers])[-2:]] == [False, False]


def test_a_run_of_ours_that_failed_misses_its_targets() -> None:
    failed: Row = {
        "subject": "vitrine",
        "scenario": "(a) one stream",
        "seconds": 16.0,
        "note": "did not get through",
    }
    targets = budget.judged([failed, row("fastrtc", "a", streaming_ap=0.3, cpu_ms_per_frame=9.0)])
    assert len(targets) == 5 and not any(target.ok for target in targets)


def test_who_is_measured_where() -> None:
    usual = {one.key: budget._usual(one, quick=False) for one in SCENARIOS}
    assert set(usual["a"]) == {*budget.OWN, *STREAMING}
    assert set(usual["b"]) == set(usual["c"]) == set(usual["d"]) == {"vitrine", budget.ELSEWHERE, *STREAMING}
    assert set(usual["e"]) == {"vitrine", *STREAMING}
    assert budget._usual(SCENARIOS[0], quick=True) == ["vitrine"]


def test_it_draws(tmp_path: Path) -> None:
    rows = [
        {**row("vitrine", "a"), "age_curve": "0.0:12 1.0:14"},
        {**row("vitrine", "c"), "age_curve": "0.0:12 1.0:90"},
        {**row("fastrtc", "c"), "note": "left out"},
    ]
    plot(budget.BENCH, Report("budget", {}, "abc", rows), tmp_path / "budget.png")
    assert (tmp_path / "budget.png").stat().st_size > 1_000
