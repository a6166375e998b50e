from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks import gpu
from benchmarks.harness import Settings
from benchmarks.report import Report, Row
from inference.gpu import CPU, CUDA, TENSORRT, Machine
from inference.runtime import RuntimeSettings
from inference.types import Rung

QUICK = Settings(True, 1, (), None, lambda text: None)
TWO = {
    "cpu": RuntimeSettings("cpu", 1),
    "cuda": RuntimeSettings("cuda"),
    "tensorrt": RuntimeSettings("tensorrt"),
}


def test_without_a_gpu_the_cpu_is_measured_and_the_rest_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "RUNG", Rung(160, 160))
    rows, targets = gpu.measure(QUICK, Machine((TENSORRT, CUDA, CPU)), TWO)
    first, absent = rows
    assert (first["subject"], first["got"], first["cancellable"]) == ("cpu", "cpu", True)
    assert isinstance(first["run_ms_p50"], float) and first["run_ms_p50"] > 0
    assert first["largest_difference"] == 0
    assert absent["subject"] == "not measured"
    assert str(absent["note"]).startswith("cuda; tensorrt: no CUDA device")
    assert targets == [], "nothing is promised without a GPU"
    figure = Figure()
    gpu.draw(Report("gpu", {}, "c", rows), figure)
    assert "no CUDA device" in figure.axes[0].get_title()


def test_a_gpu_that_is_there_has_to_be_used_and_to_be_faster() -> None:
    rows: dict[str, Row] = {
        "cpu": {"subject": "cpu", "got": "cpu", "run_ms_p50": 20.0},
        "cuda": {"subject": "cuda", "got": "cuda", "run_ms_p50": 2.0},
        "cuda, graphs": {"subject": "cuda, graphs", "got": "cpu", "run_ms_p50": 21.0},
    }
    used, faster = gpu._judge(rows)
    assert (used.value, used.ok) == (50, False)
    assert (faster.value, faster.ok) == (0.1, True)


def test_differences_are_shares_of_the_largest_value() -> None:
    one, other = np.array([1.0, 9.0]), np.array([1.0, 10.0])
    assert gpu._difference(one, other) == 0.1
