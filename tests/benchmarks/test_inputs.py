from __future__ import annotations

import av
import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks import inputs
from benchmarks.report import Report


def frames() -> list[av.VideoFrame]:
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (9, 16, 3), np.uint8)
    whole = np.repeat(np.repeat(small, 40, axis=0), 40, axis=1)
    return [av.VideoFrame.from_ndarray(whole, format="rgb24").reformat(format="yuv420p") for _ in range(4)]


@pytest.mark.parametrize("name", inputs.KINDS)
def test_both_ways_make_nearly_the_same_input(name: str) -> None:
    kind, frame = inputs.KINDS[name], frames()[0]
    ours, usual = inputs.ours(kind)(frame), inputs.usual(kind)(frame)
    assert isinstance(ours, tuple) and isinstance(usual, np.ndarray)
    array = ours[0]
    assert array.shape == usual.shape and array.dtype == usual.dtype
    levels = max(kind.picture.std)  # one step of 0..255, as the model sees it
    assert np.abs(array.astype(float) - usual).mean() * levels < 4


def test_a_row_compares_time_and_memory() -> None:
    row = inputs.compare(inputs.KINDS["YOLOX 416x256"], frames(), 20)
    ours, usual = row["ours_kib_per_frame"], row["usual_kib_per_frame"]
    assert isinstance(ours, int) and isinstance(usual, int)
    assert ours < 100 < usual, "an input of 1.2 MiB is used again"
    figure = Figure()
    inputs.draw(Report("inputs", {}, "c", [{"subject": "YOLOX", **row}]), figure)
    assert len(figure.axes) == 2
