from __future__ import annotations

from typing import cast

import pytest

from inference.search import Scene, Thing
from inference.types import Box, Rung
from overlay.session import Rate
from stream.clock import MonotonicClock
from stream.pixels import AvPixels
from stream.types import MediaTime
from tests.inference.models import painted
from vitrine.choosing import Scope
from vitrine.errors import Busy
from vitrine.http_search import MOST_ASKERS, AskerLimiter
from vitrine.looking import MOST_OBJECTS, Looking, chosen, person_guard
from vitrine.moments import Moment
from vitrine.recognition import load_recognition
from vitrine.settings import InferenceConfig


def test_a_detector_that_knows_people_needs_no_guard_and_another_gets_one() -> None:
    known = load_recognition(InferenceConfig(rungs=(160,)), MonotonicClock())
    assert person_guard(known) is None
    blind = load_recognition(InferenceConfig(rungs=(160,), ignore=("person",)), MonotonicClock())
    guard = person_guard(blind)
    assert guard is not None and "person" in guard.detector.names
    assert guard.rungs == (Rung(320, 320),)


def test_the_surest_products_are_compared_or_those_of_one_person() -> None:
    things = tuple(Thing(Box(n / 20, 0.1, n / 20 + 0.05, 0.2), "product", 1 - n / 20) for n in range(12))
    scene = Scene(things, (), 1.0)
    assert chosen(scene, None) == things[:MOST_OBJECTS]
    assert chosen(scene, Box(0.0, 0.0, 0.11, 1.0)) == things[:2]


def test_each_asker_has_a_rate_of_its_own_and_only_so_many_are_remembered() -> None:
    limiter = AskerLimiter(Rate(1.0, 2.0))
    assert [limiter.take("anna", 0) for _ in range(3)] == [True, True, False]
    assert limiter.take("ben", 0) and limiter.take("anna", 1_000_000_000)
    for number in range(MOST_ASKERS):
        limiter.take(str(number), 1_000_000_000)
    assert limiter.take("anna", 1_000_000_000)  # forgotten, so she begins anew


async def test_searches_beyond_their_share_of_the_device_are_refused() -> None:
    recognition = load_recognition(InferenceConfig(rungs=(160,)), MonotonicClock())
    looking = Looking(recognition, None, 1e-6, MonotonicClock())
    frame = painted(320, 180, (40, 40, 90, 90))
    answered = 0
    with pytest.raises(Busy, match="share of the inference device"):
        for number in range(500):
            moment = Moment(frame.stream, MediaTime(1, number), cast(AvPixels, frame.pixels), 0)
            looked = await looking.region(moment, Box(0.1, 0.1, 0.4, 0.5), 3, Scope())
            assert looked.ranked == [[]] and looked.refused is None  # the catalogue is empty
            answered += 1
    assert answered > 0
    await recognition.device.close()
