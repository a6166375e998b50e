from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.apart import Telling, Verdict, assess, in_words
from inference.evidence import Limits

LIMITS = Limits(0.6, 0.4, 0.1)


def views(count: int, alike: float = 0.8) -> NDArray[np.float32]:
    """Unit vectors whose cosines with one another are `alike`."""
    shared, own = np.sqrt(alike), np.sqrt(1 - alike)
    made = np.zeros((count, count + 1), np.float32)
    made[:, 0] = shared
    made[np.arange(count), np.arange(count) + 1] = own
    return made


def judged(
    made: NDArray[np.float32], found: Sequence[Mapping[str, float]], product: str, limits: Limits
) -> Verdict:
    return assess(made, made, found, product, limits)


def test_views_that_name_each_other_tell_the_product_apart() -> None:
    verdict = judged(views(6), [{"mug": 0.5, "jar": 0.2}] * 6, "mug", LIMITS)
    assert verdict == Verdict(Telling.APART, 6, 6, 0, ())
    words = in_words(verdict, {})
    assert words.startswith("It can be told from everything else in the catalogue")
    assert "6 of 6 views are recognised for sure, 0 without them" in words


def test_a_look_alike_that_is_as_near_cannot_be_told_apart() -> None:
    found = [{"mug": 0.5, "vase": 0.78, "jar": 0.2}] * 6
    verdict = judged(views(6), found, "mug", LIMITS)
    assert verdict.telling is Telling.NOT
    assert [(one.product_id, one.views) for one in verdict.confused] == [("vase", 6)]
    assert in_words(verdict, {"vase": "Blue vase"}).startswith("It cannot be told from Blue vase")


def test_a_look_alike_from_some_sides_only() -> None:
    found = [{"vase": 0.79}] * 2 + [{"vase": 0.3}] * 4
    verdict = judged(views(6), found, "mug", LIMITS)
    assert (verdict.telling, verdict.right) == (Telling.MOSTLY, 4)
    assert "from some sides it looks like vase" in in_words(verdict, {})


def test_a_look_alike_needs_the_lead_that_the_catalogue_gives_it() -> None:
    made, found = views(6), [{"mug": 0.5, "vase": 0.75}] * 6
    assert assess(made, made, found, "mug", LIMITS).telling is Telling.NOT
    assert assess(made, made, found, "mug", LIMITS, {"vase": 0.04}).telling is Telling.APART


def test_views_that_do_not_find_each_other_are_not_enough() -> None:
    verdict = judged(views(6, alike=0.3), [{"jar": 0.1}] * 6, "mug", LIMITS)
    assert verdict.telling is Telling.NOT and verdict.confused == ()
    assert "Show more of its sides" in in_words(verdict, {})


def test_what_the_catalogue_knew_before_is_counted_apart() -> None:
    found = [{"mug": 0.9, "jar": 0.2}] * 2 + [{"mug": 0.5, "jar": 0.2}] * 4
    assert judged(views(6), found, "mug", LIMITS).right_before == 2


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_views_say_nothing(count: int) -> None:
    verdict = judged(views(count), [{"jar": 0.2}] * count, "mug", LIMITS)
    assert verdict.telling is Telling.TOO_FEW and verdict.views == count
    assert "too few to say" in in_words(verdict, {})


def test_several_look_alikes_are_listed_the_likeliest_first() -> None:
    found = [{"vase": 0.78, "cup": 0.76, "jug": 0.75}] * 5 + [{"cup": 0.76, "jug": 0.2, "vase": 0.78}]
    words = in_words(judged(views(6), found, "mug", LIMITS), {})
    assert "vase, cup and jug" in words


def test_a_view_that_looks_like_much_else_counts_for_less() -> None:
    made = views(6)
    found = [{"mug": 0.1, "jar": 0.1}] * 6
    assert assess(made, made * np.float32(0.5), found, "mug", LIMITS).right == 0
    assert assess(made, made, found, "mug", LIMITS).right == 6
