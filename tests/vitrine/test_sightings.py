from __future__ import annotations

from inference.types import Box, FrameResult, Match, MatchState, Outcome, Track
from overlay.types import Hotspot, HotspotFrame
from stream.types import MediaTime, stream_id
from vitrine.sightings import Sightings

DEMO = stream_id("demo")
SECOND = 1_000_000_000
EXACT = Match("mug", MatchState.EXACT, 0.8, 0.3, 4, "seen from 4 views")


def seen(
    sightings: Sightings,
    at_s: float,
    *products: str,
    epoch: int = 1,
    side: float = 0.2,
    outcome: Outcome = Outcome.DETECTED,
) -> None:
    time, pts_ns = MediaTime(epoch, round(at_s * 90_000) & 0xFFFF_FFFF), round(at_s * SECOND)
    box = Box(0.1, 0.1, 0.1 + side, 0.1 + side)
    track = Track(1, box, (0, 0, 0, 0), "product", 0.9, pts_ns, True, EXACT)
    result = FrameResult(DEMO, time, pts_ns, 0, outcome, (track,))
    spots = tuple(Hotspot(n, n, product, MatchState.EXACT, box) for n, product in enumerate(products, 1))
    sightings.add(result, HotspotFrame(DEMO, time, True, spots))


def test_the_decision_nearest_to_a_moment_is_found() -> None:
    sightings = Sightings(60 * SECOND)
    for tenth in range(100):
        seen(sightings, tenth / 10)
    found = sightings.near(MediaTime(1, 4 * 90_000 + 3000))
    assert found is not None and abs(found.pts_ns - 4 * SECOND) <= SECOND // 5
    assert found.tracks[0].match == EXACT
    assert sightings.near(MediaTime(2, 4 * 90_000)) is None
    assert sightings.near(MediaTime(1, 11 * 90_000)) is None


def test_decisions_are_bounded_in_time_and_number() -> None:
    sightings = Sightings(10 * SECOND)
    for frame in range(30 * 60):
        seen(sightings, frame / 30)
    assert len(sightings) <= 52
    assert sightings.near(MediaTime(1, 40 * 90_000)) is None


def test_predictions_say_nothing() -> None:
    sightings = Sightings(10 * SECOND)
    seen(sightings, 1.0, "mug", outcome=Outcome.COASTED)
    assert len(sightings) == 0 and sightings.shown("mug") == ()
    assert sightings.newest_ns == SECOND


def test_what_was_shown_when_is_remembered_longer_than_the_video() -> None:
    sightings = Sightings(5 * SECOND)
    for tenth in range(30):
        seen(sightings, tenth / 10, "mug", side=0.4 if tenth == 12 else 0.2)
    for tenth in range(200):
        seen(sightings, 3 + tenth / 10, "vase")
    seen(sightings, 60.0, "mug")
    newest, first = sightings.shown("mug")
    assert (first.first_ns, first.last_ns) == (0, round(2.9 * SECOND))
    assert first.best == MediaTime(1, round(1.2 * 90_000)) and first.best_ns == round(1.2 * SECOND)
    assert newest.first_ns == newest.last_ns == 60 * SECOND
    assert sightings.shown("sofa") == ()


def test_a_short_absence_is_one_showing() -> None:
    sightings = Sightings(5 * SECOND)
    seen(sightings, 1.0, "mug")
    seen(sightings, 4.5, "mug")
    (span,) = sightings.shown("mug")
    assert (span.first_ns, span.last_ns) == (SECOND, round(4.5 * SECOND))
