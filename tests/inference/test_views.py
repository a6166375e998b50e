from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from inference.types import Box
from inference.views import CUT, Look, View, ViewBank, covered, in_sight, large_enough, sharpness

GRID = np.indices((64, 64)).sum(0) // 4 % 2 * 160 + 40
CHECKS = np.repeat(GRID[..., None], 3, axis=2).astype(np.uint8)


def side(number: int) -> NDArray[np.float32]:
    """A unit vector of one side of an object."""
    vector = np.zeros(8, np.float32)
    vector[number] = 1.0
    return vector


def view(mug: float, number: int | None = None, sharpness: float = 1.0, whole: float = 1.0) -> View:
    vector = None if number is None else side(number)
    return View({"mug": mug, "jar": 0.2}, Look(sharpness, whole, vector))


@dataclass
class Seen:
    box: Box
    label: str = "product"


def test_views_of_one_side_are_alike_and_those_of_several_are_not() -> None:
    bank = ViewBank()
    assert bank.likeness == 0.0
    bank.add(view(0.8, 1))
    assert bank.likeness == 1.0, "a single view shows one side"
    bank.add(view(0.8, 1))
    assert bank.likeness == pytest.approx(1.0)
    bank.add(view(0.8, 2))
    assert bank.likeness == pytest.approx(1 / 3), "one of three pairs is alike"


def test_how_alike_views_without_vectors_are_is_not_known() -> None:
    bank = ViewBank()
    for _ in range(3):
        bank.add(view(0.8))
    assert bank.likeness == 0.0


# ---- how good a look is ------------------------------------------------------------------------------------


def test_blur_makes_a_crop_less_sharp_and_light_does_not() -> None:
    picture = Image.fromarray(CHECKS)
    blurred = [np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))) for radius in (1, 2, 4)]
    values = [sharpness(crop) for crop in (CHECKS, *blurred)]
    assert values == sorted(values, reverse=True) and values[0] > 2 * values[2]
    assert sharpness((CHECKS * 0.4).astype(np.uint8)) == pytest.approx(values[0], rel=0.05)


def test_a_plain_crop_has_no_sharpness_to_speak_of() -> None:
    assert sharpness(np.full((32, 32, 3), 90, np.uint8)) == 0.0


def test_the_box_that_reaches_farther_down_is_in_front() -> None:
    behind, front = Box(0.2, 0.2, 0.4, 0.6), Box(0.3, 0.3, 0.5, 0.8)
    assert covered(behind, [front]) == pytest.approx(0.1 * 0.3 / (0.2 * 0.4))
    assert covered(front, [behind]) == 0.0


def test_a_part_hides_nothing_of_the_whole_and_people_hide_nothing() -> None:
    bottle, label = Seen(Box(0.2, 0.2, 0.4, 0.6)), Seen(Box(0.22, 0.4, 0.38, 0.61))
    assert covered(bottle.box, [label.box]) == 0.0
    host = Seen(Box(0.3, 0.0, 0.9, 1.0), "person")
    assert in_sight(bottle, [bottle, host]) == 1.0
    assert in_sight(bottle, [bottle, Seen(host.box)]) == pytest.approx(0.5)


def test_what_the_edge_cuts_off_is_not_in_sight() -> None:
    assert in_sight(Seen(Box(0.0, 0.2, 0.3, 1.0)), []) == pytest.approx(CUT**2)


def test_a_box_with_fewer_pixels_than_the_embedder_wants_is_too_small() -> None:
    assert large_enough(Box(0, 0, 0.1, 0.1), 640, 640, 128) == pytest.approx(0.5)
    assert large_enough(Box(0, 0, 0.5, 0.5), 1280, 720, 128) == 1.0


# ---- which looks count -------------------------------------------------------------------------------------


def test_a_sharp_view_counts_more_than_a_blurred_or_hidden_one() -> None:
    bank = ViewBank()
    bank.add(view(0.9, sharpness=2.0))
    bank.add(view(0.3, sharpness=0.5))
    bank.add(view(0.3, sharpness=2.0, whole=0.25))
    assert bank.pooled()["mug"] == pytest.approx((0.9 + 0.25 * 0.3) / 1.25)


def test_a_product_that_a_view_does_not_list_counts_as_near_as_the_farthest_listed() -> None:
    bank = ViewBank()
    bank.add(View({"mug": 0.8, "jar": 0.4}))
    bank.add(View({"mug": 0.6, "pen": 0.5}))
    assert bank.pooled() == pytest.approx({"mug": 0.7, "jar": 0.45, "pen": 0.45})


def test_looking_at_one_side_again_and_again_does_not_push_out_the_others() -> None:
    bank = ViewBank(most=4)
    for number in range(3):
        bank.add(view(0.5, number))
    for _ in range(20):
        bank.add(view(0.9, 0))
    assert (bank.looks, len(bank), bank.sides) == (23, 4, 3)


def test_of_two_views_of_one_side_the_better_one_stays() -> None:
    bank = ViewBank(most=2)
    bank.add(view(0.8, 0, sharpness=2.0))
    bank.add(view(0.6, 1, sharpness=2.0))
    bank.add(view(0.1, 0, sharpness=0.4))
    assert bank.pooled()["mug"] == pytest.approx(0.7)


def test_without_vectors_the_newest_views_stay() -> None:
    bank = ViewBank(most=3)
    for score in (0.1, 0.2, 0.7, 0.8, 0.9):
        bank.add(view(score))
    assert bank.pooled()["mug"] == pytest.approx(0.85)


def test_the_half_of_the_views_that_resemble_a_product_most_counts() -> None:
    bank = ViewBank(most=10)
    for score in (0.1, 0.2, 0.3, 0.7, 0.8, 0.9):
        bank.add(view(score))
    assert bank.pooled()["mug"] == pytest.approx(0.8)


def test_the_best_views_are_of_different_sides_and_few_keep_their_crop() -> None:
    bank = ViewBank(most=10, with_crop=2)
    for number, sharp in enumerate((1.0, 3.0, 2.0, 2.5)):
        look = Look(sharp, 1.0, side(number % 3), CHECKS)
        bank.add(View({"mug": 0.5}, look))
    best = bank.best(3)
    assert [look.sharpness for look in best] == [3.0, 2.5, 2.0]
    assert [look.crop is not None for look in best] == [True, True, False]


def test_joined_banks_have_the_views_of_both() -> None:
    one, other = ViewBank(most=4), ViewBank(most=4)
    for number in range(3):
        one.add(view(0.5, number))
        other.add(view(0.5, number + 3))
    one.join(other)
    assert (one.looks, len(one)) == (6, 4)
