"""The arithmetic of the models benchmark, against cases done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.model_parts.tally import FirstBoxes, Precision, standard_error

A = (0.1, 0.1, 0.3, 0.3)
B = (0.5, 0.5, 0.9, 0.9)
NOWHERE = (0.0, 0.9, 0.1, 1.0)


def boxes(*rows: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


def scores(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_recall_counts_a_true_box_at_the_place_where_it_is_found() -> None:
    tally = FirstBoxes(0.5)
    tally.add(boxes(A), boxes(A))
    tally.add(boxes(NOWHERE, NOWHERE, A), boxes(A))
    tally.add(boxes(NOWHERE, NOWHERE, NOWHERE, NOWHERE, A), boxes(A))
    tally.add(boxes(*[NOWHERE] * 5, A), boxes(A))
    assert tally.recall() == (0.25, 0.5, 0.75)


def test_recall_wants_the_overlap_asked_for() -> None:
    loose, tight = FirstBoxes(0.5), FirstBoxes(0.75)
    off = (0.1, 0.1, 0.3, 0.234)  # IoU .67 with A
    for tally in (loose, tight):
        tally.add(boxes(off), boxes(A))
    assert loose.recall()[0] == 1 and tight.recall()[0] == 0


def test_recall_survives_pictures_without_boxes_or_truth() -> None:
    tally = FirstBoxes(0.5)
    tally.add(boxes(), boxes(A))
    tally.add(boxes(A), boxes())
    assert tally.recall() == (0, 0, 0)
    assert all(math.isnan(value) for value in FirstBoxes(0.5).recall())


def test_average_precision_of_a_perfect_and_of_a_blind_detector() -> None:
    perfect, blind = Precision(), Precision()
    perfect.add(boxes(A, B), scores(0.9, 0.8), boxes(B, A))
    blind.add(boxes(NOWHERE), scores(0.9), boxes(A))
    assert perfect.average() == 1 and blind.average() == 0


def test_average_precision_by_hand() -> None:
    tally = Precision()
    tally.add(boxes(A, NOWHERE), scores(0.9, 0.8), boxes(A))
    tally.add(boxes(B), scores(0.7), boxes(B))
    # right, wrong, right: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1
    assert tally.average() == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_a_second_box_on_the_same_object_is_wrong() -> None:
    tally = Precision()
    tally.add(boxes(A, A), scores(0.9, 0.8), boxes(A))
    assert tally.hits[0].tolist() == [True, False]
    assert math.isnan(Precision().average())


def test_standard_error_of_a_share() -> None:
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert math.isnan(standard_error(0.5, 0))
