"""Ranking boxes by how likely each is the product being shown."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.prominence import prominence, rank

HELD = (0.3, 0.1, 0.7, 0.9)


def boxes(*rows: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


def scores(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def first(*rows: tuple[float, float, float, float], at: tuple[float, ...]) -> int:
    return int(rank(boxes(*rows), scores(*at))[0])


def test_a_large_box_comes_before_a_crisper_small_one() -> None:
    assert first((0.8, 0.2, 0.88, 0.4), HELD, at=(0.8, 0.4)) == 1


def test_a_much_better_score_still_wins() -> None:
    assert first((0.35, 0.2, 0.65, 0.6), HELD, at=(0.9, 0.05)) == 0


def test_of_two_alike_the_one_nearer_the_middle_comes_first() -> None:
    assert first((0.02, 0.3, 0.32, 0.7), (0.4, 0.3, 0.7, 0.7), at=(0.5, 0.5)) == 1


def test_a_box_cut_off_by_the_picture_comes_after_a_whole_one() -> None:
    assert first((0.0, 0.3, 0.4, 0.7), (0.02, 0.3, 0.42, 0.7), at=(0.5, 0.5)) == 1


def test_a_part_comes_after_its_whole() -> None:
    label = (0.32, 0.3, 0.68, 0.88)
    alone = prominence(boxes(label), scores(0.6))[0]
    beside = prominence(boxes(label, HELD), scores(0.6, 0.5))
    assert beside[0] == pytest.approx(0.7 * alone)
    assert beside[1] > beside[0]


def test_a_weak_box_around_it_does_not_make_a_box_a_part() -> None:
    inner = (0.4, 0.3, 0.6, 0.7)
    alone = prominence(boxes(inner), scores(0.8))[0]
    assert prominence(boxes(inner, HELD), scores(0.8, 0.1))[0] == pytest.approx(alone)


def test_the_picture_itself_is_no_product_and_makes_nothing_a_part() -> None:
    whole = (0.0, 0.0, 1.0, 1.0)
    alone = prominence(boxes(HELD), scores(0.4))[0]
    both = prominence(boxes(whole, HELD), scores(0.9, 0.4))
    assert both[1] == pytest.approx(alone)
    assert both[1] > both[0]


def test_order_does_not_depend_on_the_order_given() -> None:
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 0.6, (40, 2))
    made = np.concatenate((low, low + rng.uniform(0.05, 0.4, (40, 2))), axis=1).astype(np.float32)
    at = rng.uniform(0.05, 0.95, 40).astype(np.float32)
    turned = rng.permutation(40)
    np.testing.assert_allclose(prominence(made, at)[turned], prominence(made[turned], at[turned]), rtol=1e-5)


def test_mirroring_the_picture_changes_nothing() -> None:
    made, at = boxes(HELD, (0.1, 0.2, 0.3, 0.5), (0.0, 0.4, 0.2, 0.9)), scores(0.5, 0.4, 0.3)
    mirrored = made[:, [2, 1, 0, 3]].copy()
    mirrored[:, [0, 2]] = 1 - mirrored[:, [0, 2]]
    np.testing.assert_allclose(prominence(made, at), prominence(mirrored, at), rtol=1e-5)


def test_values_stay_within_0_and_1_and_nothing_ranks_nothing() -> None:
    made = boxes((-0.2, -0.2, 1.3, 1.3), (0.5, 0.5, 0.5, 0.5), HELD)
    values = prominence(made, scores(1.5, 1.0, -0.3))
    assert values.dtype == np.float32
    assert (values >= 0).all() and (values <= 1).all()
    assert rank(boxes(), scores()).tolist() == []


@pytest.mark.parametrize("at", [scores(0.5), np.zeros((2, 1), np.float32)])
def test_arrays_that_do_not_fit_are_refused(at: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match=r"got boxes \(2, 4\)"):
        prominence(boxes(HELD, HELD), at)
