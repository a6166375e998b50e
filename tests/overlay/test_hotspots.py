from __future__ import annotations

import pytest

from inference.types import UNMATCHED, Box, MatchState, Outcome, Track
from overlay.hotspots import HotspotProjector, HotspotSettings
from overlay.types import HotspotFrame, ShowList
from tests.overlay.builders import result, track

SHOW = ShowList(pids={f"product-{n}": n for n in range(1, 21)})
AT_ONCE = HotspotSettings(min_dwell_ms=0)


def ids(frame: HotspotFrame) -> list[int]:
    return [hotspot.id for hotspot in frame.hotspots]


def test_known_product_becomes_a_hotspot_of_the_very_frame() -> None:
    frame = HotspotProjector(AT_ONCE).project(result(track(), at_ms=40), SHOW)
    assert frame.measured and frame.time.rtp == 3600
    (hotspot,) = frame.hotspots
    assert (hotspot.id, hotspot.pid, hotspot.product_id) == (7, 1, "product-1")
    assert hotspot.box == Box(0.1, 0.2, 0.3, 0.4) and not hotspot.pinned


@pytest.mark.parametrize("outcome", [Outcome.COASTED, Outcome.CANCELLED, Outcome.FAILED])
def test_only_a_detection_makes_a_measured_frame(outcome: Outcome) -> None:
    assert not HotspotProjector(AT_ONCE).project(result(track(), outcome=outcome), SHOW).measured


def test_object_is_shown_only_after_its_dwell() -> None:
    projector = HotspotProjector(HotspotSettings(min_dwell_ms=150))
    shown = [ids(projector.project(result(track(), at_ms=ms), SHOW)) for ms in (0, 100, 149, 150, 200)]
    assert shown == [[], [], [], [7], [7]]


def test_dwell_starts_anew_after_a_long_absence() -> None:
    projector = HotspotProjector(HotspotSettings(min_dwell_ms=150))
    projector.project(result(track(), at_ms=0), SHOW)
    projector.project(result(at_ms=11_000), SHOW)
    assert ids(projector.project(result(track(), at_ms=11_001), SHOW)) == []


def test_late_result_of_an_older_frame_does_not_reset_dwell() -> None:
    projector = HotspotProjector(HotspotSettings(min_dwell_ms=150))
    for ms in (0, 200):
        projector.project(result(track(), at_ms=ms), SHOW)
    assert ids(projector.project(result(track(), at_ms=170), SHOW)) == [7]


@pytest.mark.parametrize(
    "hidden",
    [
        track(label="person"),
        track(label="face"),
        track(confirmed=False),
        track(product_id="not-in-show"),
        track(state=MatchState.UNSURE),
        track(box=Box(0.1, 0.1, 0.105, 0.4)),
        Track(7, Box(0.1, 0.2, 0.3, 0.4), (0, 0, 0, 0), "bottle", 0.9, 0, True, UNMATCHED),
    ],
)
def test_never_shown(hidden: Track) -> None:
    assert ids(HotspotProjector(AT_ONCE).project(result(hidden), SHOW)) == []


def test_unsure_objects_are_shown_without_a_product_when_asked_for() -> None:
    projector = HotspotProjector(HotspotSettings(min_dwell_ms=0, show_unsure=True))
    frame = projector.project(result(track(state=MatchState.UNSURE), track(8, "not-in-show")), SHOW)
    assert [(h.id, h.pid, h.product_id, h.state) for h in frame.hotspots] == [
        (7, 0, "", MatchState.UNSURE),
        (8, 0, "", MatchState.UNSURE),
    ]


def test_person_is_never_shown_even_when_unsure_objects_are() -> None:
    projector = HotspotProjector(HotspotSettings(min_dwell_ms=0, show_unsure=True))
    assert ids(projector.project(result(track(label="person")), SHOW)) == []


def test_similar_products_can_be_left_out() -> None:
    similar = result(track(state=MatchState.SIMILAR))
    assert ids(HotspotProjector(AT_ONCE).project(similar, SHOW)) == [7]
    strict = HotspotSettings(min_dwell_ms=0, show_similar=False)
    assert ids(HotspotProjector(strict).project(similar, SHOW)) == []


def test_vetoed_product_is_suppressed_at_once() -> None:
    projector = HotspotProjector(AT_ONCE)
    assert ids(projector.project(result(track()), SHOW)) == [7]
    vetoed = ShowList(pids=SHOW.pids, hidden=frozenset({"product-1"}))
    assert ids(projector.project(result(track(), at_ms=40), vetoed)) == []


def test_nothing_is_shown_without_consent() -> None:
    silent = ShowList(pids=SHOW.pids, recognition=False)
    assert ids(HotspotProjector(AT_ONCE).project(result(track()), silent)) == []


def test_cap_keeps_pinned_first_then_surer_then_higher_score() -> None:
    settings = HotspotSettings(min_dwell_ms=0, max_hotspots=3)
    show = ShowList(pids=SHOW.pids, pinned=frozenset({"product-4"}))
    tracks = [
        track(1, "product-1", score=0.5),
        track(2, "product-2", score=0.9),
        track(3, "product-3", MatchState.SIMILAR, score=0.99),
        track(4, "product-4", MatchState.SIMILAR, score=0.1),
    ]
    frame = HotspotProjector(settings).project(result(*tracks), show)
    assert ids(frame) == [1, 2, 4]
    assert [h.pinned for h in frame.hotspots] == [False, False, True]


def test_cap_does_not_swap_what_is_shown_for_a_slightly_better_newcomer() -> None:
    projector = HotspotProjector(HotspotSettings(min_dwell_ms=0, max_hotspots=1))
    projector.project(result(track(5, "product-5", score=0.7)), SHOW)
    both = result(track(5, "product-5", score=0.7), track(6, "product-6", score=0.8), at_ms=40)
    assert ids(projector.project(both, SHOW)) == [5]


def test_a_part_of_a_product_gets_no_hotspot_of_its_own() -> None:
    projector = HotspotProjector(AT_ONCE)
    whole, label = Box(0.1, 0.1, 0.3, 0.7), Box(0.12, 0.4, 0.28, 0.65)
    beside, other = Box(0.5, 0.1, 0.7, 0.7), Box(0.12, 0.4, 0.28, 0.65)
    frame = projector.project(
        result(
            track(1, box=whole, score=0.9),
            track(2, box=label, score=0.8),
            track(3, box=beside, score=0.7),
            track(4, box=other, product_id="product-2"),
        ),
        SHOW,
    )
    assert ids(frame) == [1, 3, 4]
