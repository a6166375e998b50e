from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks import search
from benchmarks.harness import plot
from benchmarks.report import Report, Row
from stream.sources.synthetic import TrueBox, load_ground_truth

STAGES = ("answer", "decode", "wait", "look")
ROWS: list[Row] = [
    {"subject": "no searches", "detected_per_s": 25.0},
    {
        "subject": "any frame",
        "detected_per_s": 24.0,
        "right_pct": 96.0,
        **{f"{name}_ms_p{q}": float(q) for name in STAGES for q in (50, 95, 99)},
    },
]


def test_boxes_are_drawn_near_the_true_ones_and_in_the_picture() -> None:
    one, chance = TrueBox("mug", 1, (0.0, 0.2, 0.1, 1.0), 1.0), random.Random(1)
    for _ in range(100):
        x0, y0, x1, y1 = search._drawn(one, chance)
        assert 0 <= x0 <= 0.0125 and 0.1 <= y0 <= 0.3 and 0.0875 <= x1 <= 0.1125 and 0.9 <= y1 <= 1


def test_only_what_can_be_seen_is_searched() -> None:
    assert not search._visible(TrueBox("mug", 1, (0.1, 0.1, 0.3, 0.3), 0.5))
    assert not search._visible(TrueBox("", 1, (0.1, 0.1, 0.3, 0.3), 1.0))
    assert not search._visible(TrueBox("mug", 1, (-0.1, 0.1, 0.3, 0.3), 1.0))
    assert sum(search._visible(one) for frame in load_ground_truth().frames[::30] for one in frame) > 60


def test_targets_are_judged_by_the_slowest_answers_and_what_the_show_kept() -> None:
    found = {target.name: target for target in search._targets(ROWS)}
    assert found["any frame: answer, p99"].value == 99.0 and found["any frame: answer, p99"].ok
    assert found["any frame: right product first"].ok
    assert found["detections kept while any frame is searched"].value == pytest.approx(96.0)


def test_a_stretch_counts_what_was_answered_refused_and_right() -> None:
    stretch = search.Stretch([10.0, 20.0], {"decode": [1.0, 2.0]}, right=1, judged=2, refused=1)
    row = stretch.row()
    assert (row["searches"], row["busy"], row["right_pct"], row["answer_ms_p50"]) == (3, 1, 50.0, 15.0)


def test_the_report_is_drawn(tmp_path: Path) -> None:
    plot(search.BENCH, Report("search", {}, "abc", ROWS, []), tmp_path / "search.png")
    assert (tmp_path / "search.png").stat().st_size > 5_000
