from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.enrolment import Advice, Enrolment, EnrolmentSettings
from inference.types import Box, Track
from inference.views import Look

MS = 1_000_000
SETTINGS = EnrolmentSettings(seconds=10, views=4)


def side(number: int) -> NDArray[np.float32]:
    vector = np.zeros(16, np.float32)
    vector[number] = 1.0
    return vector


def track(track_id: int, side: float = 0.4, label: str = "product", measured_ms: int = 0) -> Track:
    box = Box(0.5 - side / 2, 0.5 - side / 2, 0.5 + side / 2, 0.5 + side / 2)
    return Track(track_id, box, (0, 0, 0, 0), label, 0.8, measured_ms * MS, True)


def test_it_follows_the_most_prominent_object_and_no_person() -> None:
    enrolment = Enrolment("mug", SETTINGS)
    tracks = [track(1, 0.9, "person"), track(2, 0.1), track(3, 0.5)]
    assert enrolment.wanted(tracks, 0) == 3
    larger = [track(3, 0.3, measured_ms=200), track(4, 0.6, measured_ms=200)]
    assert enrolment.wanted(larger, 200 * MS) == 3  # it stays with what it began with
    assert enrolment.wanted([track(4, 0.6, measured_ms=400)], 400 * MS) == 4


def test_a_track_that_continues_another_is_followed() -> None:
    enrolment = Enrolment("mug", SETTINGS)
    enrolment.wanted([track(7)], 0)
    enrolment.followed(7, 2)
    tracks = [track(2, 0.2, measured_ms=200), track(9, 0.6, measured_ms=200)]
    assert enrolment.wanted(tracks, 200 * MS) == 2


def test_it_looks_at_a_measured_pace_and_only_at_what_was_measured() -> None:
    enrolment = Enrolment("mug", SETTINGS)
    asked = [ms for ms in range(0, 600, 33) if enrolment.wanted([track(1, measured_ms=ms)], ms * MS)]
    assert asked == [0, 165, 330, 495]
    assert enrolment.wanted([track(1, measured_ms=0)], 700 * MS) is None
    assert Enrolment("mug").wanted([], 0) is None


@pytest.mark.parametrize(
    ("look", "advice"),
    [
        (Look(1.0, 1.0, None), Advice.BLURRED),
        (Look(0.4, 1.0, side(2)), Advice.BLURRED),
        (Look(1.0, 0.4, side(2)), Advice.HIDDEN),
        (Look(1.0, 0.1, side(2)), Advice.SMALL),
        (Look(1.0, 1.0, side(1)), Advice.ALIKE),
        (Look(0.9, 0.8, side(2)), Advice.TAKEN),
    ],
)
def test_a_view_is_taken_when_it_is_sharp_whole_large_and_new(look: Look, advice: Advice) -> None:
    enrolment = Enrolment("mug", SETTINGS)
    assert enrolment.add(Look(1.0, 1.0, side(1))) is Advice.TAKEN
    assert enrolment.add(look) is advice
    assert len(enrolment.taken) == 1 + (advice is Advice.TAKEN)


def test_it_is_done_when_all_views_are_there() -> None:
    enrolment = Enrolment("mug", SETTINGS)
    shares = []
    for number in range(4):
        assert not enrolment.done
        enrolment.add(Look(1.0, 1.0, side(number)))
        shares.append(enrolment.progress)
    assert shares == [0.25, 0.5, 0.75, 1.0]
    assert enrolment.add(Look(1.0, 1.0, side(9))) is Advice.DONE and len(enrolment.taken) == 4
    assert enrolment.wanted([track(1)], 0) is None


def test_it_is_done_when_time_is_up_or_a_recording_ends() -> None:
    enrolment = Enrolment("mug", SETTINGS)
    enrolment.wanted([], 5_000 * MS)  # media time begins anywhere
    assert enrolment.advice is Advice.NOTHING and enrolment.progress == 0.0
    enrolment.wanted([], 10_000 * MS)
    assert enrolment.progress == pytest.approx(0.5)
    enrolment.wanted([], 15_000 * MS)
    assert enrolment.done and enrolment.progress == 1.0
    short = Enrolment("mug", SETTINGS)
    short.end()
    assert short.done


def test_one_glimpse_of_something_sharper_does_not_end_it() -> None:
    enrolment = Enrolment("mug", SETTINGS)
    enrolment.add(Look(9.0, 0.1, side(0)))
    advice = [enrolment.add(Look(2.0, 1.0, side(1))) for _ in range(100)]
    assert advice[0] is Advice.BLURRED and Advice.TAKEN in advice
