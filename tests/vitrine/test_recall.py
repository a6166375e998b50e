from __future__ import annotations

import pytest

from inference.search import Candidate
from inference.types import Box, FrameResult, Match, MatchState, Outcome, Track
from overlay.types import Hotspot, HotspotFrame, ShowList
from stream.types import EncodedFrame, MediaTime, stream_id
from vitrine.moments import StreamMemory, stream_memory
from vitrine.recall import followed, related, with_followed
from vitrine.settings import SearchConfig

DEMO = stream_id("demo")
SECOND = 1_000_000_000
EXACT, SIMILAR, UNSURE = MatchState.EXACT, MatchState.SIMILAR, MatchState.UNSURE
BOX = Box(0.2, 0.2, 0.5, 0.6)


def match(product: str = "mug", state: MatchState = EXACT, score: float = 0.8) -> Match:
    return Match(product, state, score, 0.3, 5, "seen from 5 views")


def memory(*seen: tuple[float, Match, str]) -> StreamMemory:
    """Of (second, what the one track was, what was shown)."""
    made = stream_memory(SearchConfig())
    assert made is not None
    for at_s, what, shown in seen:
        time, pts_ns = MediaTime(1, round(at_s * 90_000)), round(at_s * SECOND)
        track = Track(1, BOX, (0, 0, 0, 0), "product", 0.9, pts_ns, True, what)
        spots = (Hotspot(1, 1, shown, EXACT, BOX),) if shown else ()
        result = FrameResult(DEMO, time, pts_ns, 0, Outcome.DETECTED, (track,))
        made.sightings.add(result, HotspotFrame(DEMO, time, True, spots))
    return made


def at(second: float) -> MediaTime:
    return MediaTime(1, round(second * 90_000))


def test_a_region_on_a_followed_object_is_what_that_object_is() -> None:
    sightings = memory((1.0, match(), "")).sightings
    near = Box(0.22, 0.22, 0.52, 0.62)
    assert followed(sightings, at(1.1), near, ShowList()) == match()
    assert followed(sightings, at(1.1), Box(0.6, 0.6, 0.9, 0.9), ShowList()) is None
    assert followed(sightings, at(9.0), near, ShowList()) is None
    assert followed(sightings, at(1.1), near, ShowList(hidden=frozenset({"mug"}))) is None
    assert followed(memory((1.0, match("", UNSURE), "")).sightings, at(1.0), BOX, ShowList()) is None


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (None, [("vase", 0.7, EXACT), ("mug", 0.6, SIMILAR)]),
        (match(score=0.9), [("mug", 0.9, EXACT), ("vase", 0.7, SIMILAR)]),
        (match(state=SIMILAR, score=0.5), [("vase", 0.7, EXACT), ("mug", 0.6, SIMILAR)]),
        (
            match("bowl", SIMILAR, 0.65),
            [("vase", 0.7, EXACT), ("bowl", 0.65, SIMILAR), ("mug", 0.6, SIMILAR)],
        ),
    ],
)
def test_many_frames_weigh_more_than_one(
    known: Match | None, expected: list[tuple[str, float, MatchState]]
) -> None:
    candidates = [Candidate("vase", 0.7, EXACT), Candidate("mug", 0.6, SIMILAR)]
    assert with_followed(candidates, known) == [Candidate(*one) for one in expected]


def test_other_showings_are_related_this_one_is_not() -> None:
    made = memory((10.0, match(), "mug"), (100.0, match(), "mug"), (160.0, match("vase"), "vase"))
    made.recorder.add(EncodedFrame("H264", at(100.0), b"x", True, 0))
    titles = {"vase": "Vase", "mug": "Mug", "sofa": "Sofa"}
    (found,) = related(made, titles, at(160.0))
    assert (found.product_id, found.title, found.rtp) == ("mug", "Mug", 9_000_000)
    assert (found.ago_ms, found.recorded) == (60_000, True)
    (older,) = related(made, {"mug": "Mug"}, at(100.0))
    assert (older.ago_ms, older.recorded) == (150_000, False)
    assert related(made, {}, at(160.0)) == ()
