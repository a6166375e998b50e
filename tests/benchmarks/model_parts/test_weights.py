"""Floors under the embedded detector, on a part of what `benchmarks.models` measures in full."""

from __future__ import annotations

import pytest

from benchmarks.harness import Settings
from benchmarks.model_parts import blank, clips, held
from benchmarks.model_parts.finders import FLOOR, OURS, Model
from benchmarks.model_parts.pictures import coffee
from inference.detection import DetectorSettings, load_detector
from inference.embedded import DETECTOR, embedded_model
from inference.runtime import RuntimeSettings
from inference.types import Rung
from tests.shared import shared_path

QUICK = Settings(True, 1, (), None, lambda text: None)


@pytest.fixture(scope="module")
def ours() -> Model:
    settings = DetectorSettings(FLOOR, RuntimeSettings("cpu", 1))
    rungs = [Rung(320, 320)]
    return Model(OURS, load_detector(embedded_model(DETECTOR), rungs=rungs, settings=settings))


def test_a_held_product_is_found_tightly_and_wherever_it_is(ours: Model) -> None:
    shared_path("grocery/dev/wild.csv")
    _, targets = held.measure(QUICK, [ours])
    assert [target.name for target in targets if not target.ok] == []


def test_nothing_is_found_where_there_is_nothing(ours: Model) -> None:
    _, targets = blank.measure(QUICK, [ours])
    assert [target.name for target in targets if not target.ok] == []


@pytest.mark.parametrize("name", ["mug", "kettle"])
def test_a_thing_on_a_table_is_among_the_first_five(ours: Model, name: str) -> None:
    shared_path("clips/dev/sam2_coffee.mp4")
    _, five = clips.row_of(ours, list(coffee(name, 20)))
    assert five >= clips.FLOORS[name]
