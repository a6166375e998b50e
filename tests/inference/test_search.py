from __future__ import annotations

import numpy as np
import pytest

from inference.search import (
    GREY,
    Refusal,
    Scene,
    Thing,
    Thresholds,
    crops_of,
    head_zone,
    inside,
    judge,
    merged,
    occupied,
    on_person,
    refusal,
    scene_of,
    share,
    without_heads,
)
from inference.types import Box, Detections, MatchState
from tests.shared import shared_path

WIDE = 16 / 9
HOST = Thing(Box(0.3, 0.1, 0.7, 1.0), "person", 0.9)
MUG = Thing(Box(0.55, 0.5, 0.68, 0.75), "product", 0.8)
LIPSTICK = Thing(Box(0.48, 0.25, 0.53, 0.45), "product", 0.8)
SHOW = Scene((MUG, LIPSTICK), (HOST,), WIDE)
HEAD = head_zone(HOST.box, WIDE)


def test_the_head_is_at_the_top_of_a_person_in_its_proportions() -> None:
    standing = head_zone(Box(0.4, 0.0, 0.6, 1.0), aspect=0.75)  # .15 of the height wide: .7 of it is the head
    assert standing.y0 == 0.0 and standing.y1 == pytest.approx(0.105)
    assert standing.x0 == pytest.approx(0.42) and standing.x1 == pytest.approx(0.58)
    close = head_zone(Box(0.0, 0.1, 1.0, 0.6), aspect=WIDE)
    assert close.y1 == pytest.approx(0.6)  # never below the person


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (HOST.box, Refusal.PERSON),
        (Box(0.25, 0.05, 0.75, 1.0), Refusal.PERSON),
        (HEAD, Refusal.FACE),
        (Box(0.42, 0.15, 0.58, 0.4), Refusal.FACE),
        (Box(0.35, 0.1, 0.65, 0.55), Refusal.FACE),
        (MUG.box, None),
        (Box(0.5, 0.45, 0.7, 0.8), None),
        (LIPSTICK.box, None),
        (Box(0.35, 0.68, 0.5, 0.98), None),
        (Box(0.02, 0.5, 0.2, 0.8), None),
        (Box(0.0, 0.0, 1.0, 1.0), None),
    ],
    ids="person around face wider-face bust mug loose-mug lipstick jeans table whole".split(),
)
def test_people_and_faces_are_refused_and_products_are_not(region: Box, expected: Refusal | None) -> None:
    assert refusal(region, SHOW) is expected


def test_a_person_is_refused_where_nothing_else_was_detected() -> None:
    assert refusal(HOST.box, Scene((), (HOST,), WIDE)) is Refusal.PERSON
    assert refusal(LIPSTICK.box, Scene((), (HOST,), WIDE)) is Refusal.FACE
    assert refusal(MUG.box, Scene((), (HOST,), WIDE)) is None


def test_a_persons_own_outline_is_no_product_and_faint_products_do_not_count() -> None:
    boxes = np.array([HOST.box, (0.31, 0.12, 0.69, 0.98), MUG.box, (0, 0, 0.1, 0.1)], np.float32)
    scores, labels = np.array([0.9, 0.8, 0.7, 0.2], np.float32), np.array([1, 0, 0, 0], np.int32)
    scene = scene_of([Detections(boxes, scores, labels, ("product", "person"))], WIDE)
    assert len(scene.persons) == 1
    assert [thing.box.x0 for thing in scene.products] == [pytest.approx(MUG.box.x0)]


def test_a_second_detector_adds_its_persons_and_nothing_else() -> None:
    sure, first = np.ones(1, np.float32), np.zeros(1, np.int32)
    garments = Detections(np.array([MUG.box], np.float32), sure, first, ("shirt",))
    boxes, scores = np.array([HOST.box, (0, 0, 0.1, 0.1)], np.float32), np.array([0.9, 0.9], np.float32)
    guard = Detections(boxes, scores, np.array([1, 0], np.int32), ("product", "person"))
    scene = scene_of([garments, guard], WIDE)
    assert [thing.label for thing in scene.products] == ["shirt"] and len(scene.persons) == 1


def test_a_rough_region_also_means_the_object_it_was_drawn_around() -> None:
    rough = Box(0.53, 0.47, 0.7, 0.78)
    assert crops_of(rough, SHOW) == (rough, MUG.box)
    elsewhere = Box(0.0, 0.5, 0.2, 0.8)
    assert crops_of(elsewhere, SHOW) == (elsewhere,)
    assert crops_of(elsewhere, Scene((), (), WIDE)) == (elsewhere,)


def test_a_person_found_twice_is_one_and_what_is_held_is_on_that_person() -> None:
    again = Thing(Box(0.42, 0.12, 0.8, 1.0), "person", 0.5)
    beside = Thing(Box(0.75, 0.1, 1.0, 1.0), "person", 0.6)
    scene = Scene((MUG,), (HOST, again, beside), WIDE)
    assert scene.people == (HOST, beside)
    assert on_person(MUG, scene)
    assert not on_person(Thing(Box(0.0, 0.5, 0.2, 0.8), "product", 0.9), scene)


def test_something_is_in_a_region_that_overlaps_it_or_holds_it() -> None:
    assert occupied(Box(0.5, 0.45, 0.7, 0.8), SHOW)
    assert occupied(Box(0.0, 0.0, 1.0, 1.0), SHOW)
    assert not occupied(Box(0.0, 0.5, 0.2, 0.8), SHOW)
    assert not occupied(Box(0.66, 0.7, 0.9, 0.9), SHOW)


def test_where_nothing_is_more_likeness_is_asked_for() -> None:
    strict = LIMITS.strict
    assert [strict.exact, strict.similar, strict.margin] == pytest.approx([0.8, 0.65, 0.1])
    assert [one.state for one in judge([("a", 0.7), ("b", 0.5)], LIMITS.strict)] == ["similar", "unsure"]


def test_what_a_person_wears_or_holds_lies_in_that_person() -> None:
    beside = Thing(Box(0.75, 0.5, 0.9, 0.7), "product", 0.9)
    assert inside(HOST.box, (MUG, beside)) == (MUG,)


def test_heads_are_painted_over_but_not_what_is_held_before_them() -> None:
    box = Box(0.3, 0.1, 0.7, 0.9)
    crop = np.full((100, 100, 3), 200, np.uint8)
    masked = without_heads(crop, box, SHOW)
    assert (masked[5, 50] == GREY).all() and (masked[30, 30] == GREY).all()
    assert (masked[30, 50] == 200).all()  # the lipstick
    assert (masked[90, 50] == 200).all()
    assert (crop == 200).all()
    assert without_heads(crop, Box(0.0, 0.7, 0.2, 0.9), SHOW) is crop


LIMITS = Thresholds(exact=0.6, similar=0.45, margin=0.1)


@pytest.mark.parametrize(
    ("ranked", "states"),
    [
        ([("a", 0.8), ("b", 0.5), ("c", 0.3), ("d", 0.1)], "exact similar unsure"),
        ([("a", 0.8), ("b", 0.75)], "similar similar"),
        ([("a", 0.5)], "similar"),
        ([("a", 0.4), ("b", 0.39)], "unsure unsure"),
        ([("a", 0.2)], ""),
        ([], ""),
    ],
)
def test_states_follow_from_score_and_lead(ranked: list[tuple[str, float]], states: str) -> None:
    found = judge(ranked, LIMITS)
    assert [one.state for one in found] == [MatchState(word) for word in states.split()]
    assert [one.product_id for one in found] == [name for name, _ in ranked[: len(found)]]


def test_views_of_one_thing_are_merged_at_their_best() -> None:
    assert merged([[("a", 0.5), ("b", 0.4)], [("b", 0.6)]]) == [("b", 0.6), ("a", 0.5)]


def test_the_embedded_detector_keeps_a_real_face_from_being_searched() -> None:
    from inference.detection import load_detector
    from inference.embedded import DETECTOR, embedded_model
    from stream.clock import MonotonicClock
    from tests.inference.models import clip

    frames = clip(shared_path("clips/dev/mediapipe_gesture_face.mp4"), (20, 60, 100, 140))
    detector = load_detector(embedded_model(DETECTOR))
    for frame in frames:
        found = detector.detect(frame, detector.rungs[0], None, MonotonicClock()).detections
        scene = scene_of([found], frame.pixels.width / frame.pixels.height)
        (person, *_) = scene.persons
        head = head_zone(person.box, scene.aspect)
        assert refusal(person.box, scene) is Refusal.PERSON
        eyes_to_mouth = Box(head.x0 + 0.1, head.y0 + 0.15, head.x1 - 0.1, head.y1 - 0.15)
        assert refusal(eyes_to_mouth, scene) is Refusal.FACE
        assert share(head, person.box) > 0.7
