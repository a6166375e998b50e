from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.index import IndexHolder, LoadedIndex
from inference.taught import STEEP, Example, Taught


def vector(*numbers: float) -> NDArray[np.float32]:
    found = np.array(numbers, np.float32)
    return found / np.linalg.norm(found)


MUG, JAR = vector(1, 0, 0), vector(0, 1, 0)
LIVE = vector(0.6, 0.4, 0.7)
"""The mug under the studio's light: less like its picture than one would wish."""


def holder(taught: Taught | None = None) -> IndexHolder:
    found = IndexHolder(LoadedIndex(["mug", "jar"], np.stack([MUG, JAR])))
    if taught is not None:
        found.taught = taught
    return found


def asked(
    index: IndexHolder, query: NDArray[np.float32], within: frozenset[str] | None = None
) -> dict[str, float]:
    return dict(index.search(query[None], 5, within)[0])


def test_a_view_taught_to_be_a_product_is_found_from_the_next_search_on() -> None:
    index = holder()
    before = asked(index, LIVE)["mug"]
    index.taught = index.taught.plus([Example("mug", LIVE, True)])
    assert before < 0.7 and asked(index, LIVE)["mug"] == pytest.approx(1.0)


def test_a_view_taught_not_to_be_a_product_is_no_longer_taken_for_it() -> None:
    index = holder(Taught([Example("mug", LIVE, False)], slack=0.1))
    before = asked(holder(), LIVE)
    after = asked(index, LIVE)
    assert after["mug"] == pytest.approx(before["mug"] - STEEP * (1.0 - 0.1 - before["mug"]))
    assert after["jar"] == before["jar"]
    assert asked(index, MUG)["mug"] == pytest.approx(1.0)


def test_a_look_alike_that_was_vetoed_does_not_hide_the_product_itself() -> None:
    lookalike, real = vector(0.6, 0.5, 0.62), vector(0.75, 0.1, 0.65)
    index = holder(Taught([Example("mug", lookalike, False)], slack=0.2))
    assert float(real @ lookalike) > float(real @ MUG)  # nearer to the vetoed view than to its own picture
    assert asked(index, real)["mug"] == pytest.approx(float(real @ MUG))


def test_a_veto_says_nothing_of_what_is_only_somewhat_like_it() -> None:
    index = holder(Taught([Example("mug", LIVE, False)], slack=0.0, near=0.9))
    somewhat = vector(0.2, 0.7, 0.6)
    assert float(somewhat @ MUG) < float(somewhat @ LIVE) < 0.9
    assert asked(index, somewhat)["mug"] == pytest.approx(float(somewhat @ MUG))


def test_a_veto_counts_for_a_query_that_is_shortened_too() -> None:
    index = holder(Taught([Example("mug", LIVE, False)], slack=0.1))
    half = np.asarray(LIVE * 0.5, np.float32)
    assert asked(index, half)["mug"] == pytest.approx(asked(index, LIVE)["mug"] / 2)


def test_what_was_taught_stays_within_the_selection() -> None:
    index = holder(Taught([Example("vase", LIVE, True)]))
    assert "vase" in asked(index, LIVE) and "vase" not in asked(index, LIVE, frozenset({"mug"}))
    assert len(index) == 3


def test_a_product_without_a_picture_is_found_by_what_was_taught_alone() -> None:
    index = IndexHolder()
    index.taught = Taught([Example("vase", LIVE, True)])
    assert len(index) == 1
    assert asked(index, LIVE) == pytest.approx({"vase": 1.0})


def test_what_was_taught_can_be_taken_back_and_a_removed_product_is_forgotten() -> None:
    taught = Taught([Example("mug", LIVE, True), Example("jar", LIVE, False)])
    assert taught.without({"mug"}).products == frozenset() and len(taught.without({"mug"})) == 1
    index = holder(taught)
    index.remove({"mug"})
    assert "mug" not in asked(index, LIVE)
