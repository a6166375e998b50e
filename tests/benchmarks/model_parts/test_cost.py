"""What is promised of the weights' cost, on made-up figures."""

from __future__ import annotations

import pytest

from benchmarks.model_parts import cost
from benchmarks.report import Row


@pytest.mark.parametrize(
    ("size_mb", "median_ms", "kept"), [(3.9, 2.9, True), (4.1, 2.9, False), (3.9, 3.1, False)]
)
def test_the_embedder_is_held_to_its_size_and_to_the_median(
    size_mb: float, median_ms: float, kept: bool
) -> None:
    rows: list[Row] = [
        {"subject": "cost: vitrine_detect 320x320", "file_mb": 2.2, "ms_min": 4.0, "ms_p50": 4.5},
        {"subject": "cost: yolox_nano 416", "file_mb": 3.7, "ms_min": 9.0, "ms_p50": 10.0},
        {"subject": "cost: vitrine_embed, one crop", "file_mb": size_mb, "ms_min": 1.0, "ms_p50": median_ms},
    ]
    judged = cost.targets(rows)
    assert [target.ok for target in judged[:2]] == [True, True]
    assert all(target.ok for target in judged[2:]) == kept


def test_a_slow_detector_is_told_by_its_median() -> None:
    rows: list[Row] = [
        {"subject": "cost: vitrine_detect 320x320", "file_mb": 3.1, "ms_min": 5.0, "ms_p50": 6.5},
        {"subject": "cost: vitrine_embed, one crop", "file_mb": 3.9, "ms_min": 1.0, "ms_p50": 1.2},
    ]
    assert [target.ok for target in cost.targets(rows)] == [False, False, True, True]
