"""What each question of the models benchmark measures and judges, with finders that need no model."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks import models
from benchmarks.harness import Settings
from benchmarks.model_parts import blank, clips, held
from benchmarks.model_parts.finders import NANODET, OURS, CentreBox, Finder
from benchmarks.model_parts.pictures import Sample, frame_of
from benchmarks.report import Report
from stream.types import Frame
from tests.shared import shared_path

QUICK = Settings(True, 1, (), None, lambda text: None)


class Says:
    """A finder that always says the same."""

    def __init__(self, name: str, *boxes: tuple[float, float, float, float], score: float = 0.9) -> None:
        self.name = name
        self.boxes = np.array(boxes, np.float32).reshape(-1, 4)
        self.scores = np.linspace(score, score / 2, len(boxes)).astype(np.float32)

    def find(self, frame: Frame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self.boxes, self.scores


def test_a_blind_model_misses_every_target_of_the_held_products() -> None:
    shared_path("grocery/dev/wild.csv")
    rows, targets = held.measure(QUICK, [Says(OURS), CentreBox()])
    assert [row["r5_75_prior"] for row in rows][:1] == [0]
    assert len(targets) == 7
    assert [target.ok for target in targets] == [False] * 6 + [True]
    assert 0.6 < float(str(rows[1]["r1_50"])) < 0.95, "the centre box has about .79 at IoU .5"


def test_a_model_that_learnt_the_centre_fails_in_the_corner() -> None:
    shared_path("grocery/dev/wild.csv")
    middle = Says(OURS, (0.28, 0.05, 0.74, 0.97))
    _, targets = held.measure(QUICK, [middle])
    corner = targets[-1]
    assert "corner" in corner.name
    assert corner.value > 0.05 and not corner.ok


def test_the_prior_puts_a_held_product_before_crisp_things_on_the_shelf() -> None:
    shared_path("grocery/dev/wild.csv")
    shelf = [(0.02 + 0.1 * i, 0.05, 0.1 + 0.1 * i, 0.2) for i in range(5)]
    rows, _ = held.measure(QUICK, [Says(OURS, *shelf, (0.28, 0.05, 0.74, 0.97))])
    assert rows[0]["r5_50"] == 0
    assert float(str(rows[0]["r1_50_prior"])) > 0.6


@pytest.mark.parametrize(("score", "count"), [(0.05, 0), (0.4, 12)])
def test_boxes_on_blank_pictures_are_counted_from_the_engines_threshold(score: float, count: int) -> None:
    rows, targets = blank.measure(QUICK, [Says(OURS, (0.3, 0.3, 0.6, 0.6), score=score), CentreBox()])
    assert rows[0]["boxes"] == count and len(rows) == 1
    assert targets[0].ok == (count == 0)


def test_a_set_gives_precision_and_recall() -> None:
    frame = frame_of(np.zeros((32, 32, 3), np.uint8))
    large, small = (0.1, 0.1, 0.5, 0.5), (0.8, 0.8, 0.85, 0.85)
    sample = Sample(frame, np.array([large, small], np.float32))
    row, five = clips.row_of(Says(OURS, large), [sample])
    assert (row["n"], row["ap50"], row["r1_50"], five) == (2, 0.5, 0.5, 0.5)
    shrunk = next(clips.shrunk(iter([sample])))
    np.testing.assert_allclose(shrunk.truth, sample.truth / clips.SMALLER, atol=1e-3)


def test_the_bottles_are_what_the_teacher_is_sure_of() -> None:
    shared_path("clips/dev/intel_bottle.mp4")
    teacher = Says(NANODET, (0.1, 0.1, 0.3, 0.9), (0.5, 0.1, 0.7, 0.9), score=0.5)
    finders: list[Finder] = [Says(OURS), teacher]
    sample = next(clips.pseudo(finders, 100))
    np.testing.assert_array_equal(sample.truth, teacher.boxes[:1])


def test_questions_can_be_asked_alone_and_drawn() -> None:
    assert {"held", "blank", "clips", "cost"} <= set(models.BENCH.subjects)
    assert models.run(dataclasses.replace(QUICK, only=("nothing",))) == ([], [])
    rows = [
        {"subject": f"held: {OURS}", "r1_75": 0.3, "r3_75": 0.5, "r5_75": 0.6, "r1_75_prior": math.nan},
        {"subject": f"mug: {OURS}", "ap50": 0.9},
    ]
    figure = Figure()
    models.draw(Report("models", {}, "abc", list(rows)), figure)  # type: ignore[arg-type]
    left, right = figure.axes
    assert len(left.lines) == 2 and len(right.patches) == 1
