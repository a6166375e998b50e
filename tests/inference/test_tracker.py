from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.tracker import Tracker, TrackerSettings
from inference.types import Box, Detections, Track

NAMES = ("product", "person", "vase")
FRAME_NS = 33_333_333
MS = 1_000_000


def seen(*boxes: tuple[float, float, float, float], score: float = 0.9, label: int = 0) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(len(boxes), score, np.float32),
        np.full(len(boxes), label, np.int32),
        NAMES,
    )


def joined(*parts: Detections) -> Detections:
    return Detections(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.scores for p in parts]),
        np.concatenate([p.labels for p in parts]),
        NAMES,
    )


def square(x: float, y: float = 0.4, side: float = 0.1) -> tuple[float, float, float, float]:
    return (x, y, x + side, y + side)


def still(
    tracker: Tracker, frames: int, *boxes: tuple[float, float, float, float], start: int = 0
) -> tuple[Track, ...]:
    tracks: tuple[Track, ...] = ()
    for i in range(start, start + frames):
        tracks = tracker.step(seen(*boxes), None, i * FRAME_NS)
    return tracks


def look(index: int) -> NDArray[np.float32]:
    vector = np.zeros(8, np.float32)
    vector[index] = 1
    return vector


def test_an_object_becomes_one_confirmed_track() -> None:
    tracker = Tracker()
    tracker.step(seen(), None, -FRAME_NS)
    (first,) = tracker.step(seen(square(0.4)), None, 0)
    assert first.id == 1 and not first.confirmed
    (track,) = still(tracker, 5, square(0.4), start=1)
    assert track.id == 1 and track.confirmed and track.label == "product"
    np.testing.assert_allclose(track.box, square(0.4), atol=0.005)
    assert track.measured_ns == 5 * FRAME_NS


def test_a_single_false_detection_is_never_confirmed_and_forgotten() -> None:
    tracker = Tracker()
    tracker.step(seen(), None, -FRAME_NS)
    tracker.step(seen(square(0.1)), None, 0)
    assert tracker.step(seen(), None, FRAME_NS) == ()
    assert tracker.known() == frozenset()


def test_what_is_there_from_the_start_is_shown_at_once() -> None:
    tracks = Tracker().step(joined(seen(square(0.1)), seen(square(0.6), score=0.65)), None, 0)
    assert [track.confirmed for track in tracks] == [True, True]


@pytest.mark.parametrize(("gone", "at_once"), [(False, True), (True, False)])
def test_what_comes_between_rare_detections_is_shown_at_once_unless_it_may_be_something_lost(
    gone: bool, at_once: bool
) -> None:
    tracker = Tracker()
    still(tracker, 5, square(0.1))
    there = [] if gone else [square(0.1)]
    new = tracker.step(seen(*there, square(0.7)), None, 4 * FRAME_NS + 150_000_000)[-1]
    assert new.box.x0 > 0.6 and new.confirmed is at_once


@pytest.mark.parametrize(("last", "at_once"), [(True, True), (False, False)])
def test_what_came_of_earlier_tracks_decides_whether_one_rare_detection_is_enough(
    last: bool, at_once: bool
) -> None:
    """One object is lost all the while. Others appear one by one, and stay or are never seen again."""
    tracker, step_ns = Tracker(), 200 * MS
    tracker.step(seen(square(0.1, 0.8)), None, 0)
    there: list[tuple[float, float, float, float]] = []
    for i in range(6):
        there = [*(there if last else []), square(0.02 + 0.15 * i, 0.1)]
        tracker.step(seen(*there), None, (2 * i + 1) * step_ns)
        tracker.step(seen(*(there if last else [])), None, (2 * i + 2) * step_ns)
    tracks = tracker.step(seen(square(0.7), score=0.58), None, 13 * step_ns)
    assert [t.confirmed for t in tracks if t.box.y0 > 0.3] == ([True] if at_once else [])


def test_weak_detections_need_more_evidence() -> None:
    tracker = Tracker(TrackerSettings(new_score=0.3, high_score=0.3, doubt_score=0.3))
    tracker.step(seen(), None, -FRAME_NS)
    confirmed_after = next(
        i
        for i in range(20)
        if any(t.confirmed for t in tracker.step(seen(square(0.4), score=0.4), None, i * FRAME_NS))
    )
    assert confirmed_after >= 4


@pytest.mark.parametrize("stride", [1, 3, 6])
def test_a_moving_object_keeps_its_id_and_is_predicted(stride: int) -> None:
    tracker, speed, errors = Tracker(), 0.3, []
    for i in range(60):
        x = 0.05 + speed * i / 30
        if i % stride == 0:
            tracks = tracker.step(seen(square(x)), None, i * FRAME_NS)
        else:
            tracks = tracker.coast(None, i * FRAME_NS)
        if i > 20:
            assert [t.id for t in tracks] == [1]
            errors.append(abs(tracks[0].box.x0 - x))
    assert np.mean(errors) < 0.01
    assert tracker.query(59 * FRAME_NS)[0].velocity[0] == pytest.approx(speed, rel=0.25)


def test_two_crossing_objects_keep_their_ids() -> None:
    tracker = Tracker()
    for i in range(40):
        a, b = square(0.1 + 0.02 * i, 0.40), square(0.9 - 0.02 * i, 0.44)
        tracks = tracker.step(seen(a, b), None, i * FRAME_NS)
    by_id = {t.id: t for t in tracks}
    assert by_id[1].box.x0 > 0.8 and by_id[2].box.x0 < 0.2


def test_low_scores_prolong_a_track_but_start_none() -> None:
    tracker = Tracker()
    still(tracker, 5, square(0.4))
    for i in range(5, 30):
        tracks = tracker.step(seen(square(0.4), square(0.7), score=0.2), None, i * FRAME_NS)
    assert [t.id for t in tracks] == [1]
    assert tracks[0].score == pytest.approx(0.2)


@pytest.mark.parametrize(("off", "kept"), [(0.0, True), (0.015, False)])
def test_low_scores_bring_back_what_was_missed_where_they_lie_as_well_as_high_ones(
    off: float, kept: bool
) -> None:
    tracker = Tracker()
    for i in range(300):
        low, side = i % 3 == 0, 1 if i % 2 else -1
        box = square(0.4 + (side * off if low else side * 0.002))
        tracker.step(seen(box, score=0.3 if low else 0.9), None, i * FRAME_NS)
    for i in range(300, 310):
        missed = tracker.step(seen(), None, i * FRAME_NS)
    assert not missed
    tracks = tracker.step(seen(square(0.4), score=0.3), None, 310 * FRAME_NS)
    assert bool(tracks) is kept


def test_an_unsure_detection_finds_what_stopped_short_where_it_lies_as_well() -> None:
    tracker = Tracker()
    for i in range(300):
        tracker.step(seen(square(0.4), score=0.3 if i % 3 else 0.9), None, i * FRAME_NS)
    for i in range(300, 306):
        before = tracker.step(seen(square(0.4, 0.4 + 0.04 * (i - 299))), None, i * FRAME_NS)
    tracks = tracker.step(seen(square(0.4, 0.64), score=0.3), None, 306 * FRAME_NS)
    assert before[0].box.y0 == pytest.approx(0.64, abs=0.01) and before[0].velocity[1] > 1.0
    assert tracks[0].box.y0 == pytest.approx(0.64, abs=0.01)


def test_asking_changes_nothing() -> None:
    tracker = Tracker()
    still(tracker, 10, square(0.4))
    before = tracker.query(9 * FRAME_NS)
    for ms in (-200, 0, 17, 200, 5_000):
        tracker.query(9 * FRAME_NS + ms * MS)
    assert tracker.query(9 * FRAME_NS) == before


def test_the_past_is_interpolated_between_measurements() -> None:
    tracker = Tracker()
    for i in range(0, 31, 6):
        tracker.step(seen(square(0.1 + 0.01 * i)), None, i * FRAME_NS)
    (then,) = tracker.query(21 * FRAME_NS)
    assert then.box.x0 == pytest.approx(0.31, abs=0.02)
    assert tracker.query(-1000 * MS) == ()


def test_the_past_of_an_absence_is_held_briefly_not_invented() -> None:
    tracker = Tracker()
    still(tracker, 10, square(0.4))
    for i in range(10, 40):
        tracker.step(seen(), None, i * FRAME_NS)
    still(tracker, 5, square(0.45), start=40)
    assert tracker.query(9 * FRAME_NS + 100 * MS)
    assert tracker.query(25 * FRAME_NS) == ()
    assert tracker.query(42 * FRAME_NS)


def test_a_late_detection_is_carried_forward_through_the_motion_seen_since() -> None:
    """Frames 1..6 are coasted with codec motion; then the detection of frame 3 arrives."""
    tracker = Tracker()
    still(tracker, 5, square(0.4))
    x, y = np.meshgrid((np.arange(40) + 0.5) / 40, (np.arange(40) + 0.5) / 40)
    right = np.stack([x.ravel(), y.ravel(), np.full(1600, 0.01), np.zeros(1600)], axis=1).astype(np.float32)
    for i in range(5, 11):
        tracks = tracker.coast(right, i * FRAME_NS)
    assert tracks[0].box.x0 == pytest.approx(0.46, abs=0.006)
    tracker.step(seen(square(0.43)), None, 7 * FRAME_NS)
    (now,) = tracker.query(10 * FRAME_NS)
    assert now.id == 1 and now.measured_ns == 7 * FRAME_NS
    assert now.box.x0 == pytest.approx(0.46, abs=0.006)


def test_detections_older_than_the_last_are_ignored() -> None:
    tracker = Tracker()
    still(tracker, 5, square(0.4))
    tracks = tracker.step(seen(square(0.8)), None, 2 * FRAME_NS)
    assert [t.id for t in tracks] == [1]
    assert [t.id for t in tracker.query(4 * FRAME_NS)] == [1]


def test_a_missed_object_is_held_then_hidden_then_found_again() -> None:
    tracker = Tracker()
    still(tracker, 30, square(0.4))
    held = [bool(tracker.step(seen(), None, i * FRAME_NS)) for i in range(30, 50)]
    assert held[:4] == [True] * 4 and not held[-1]
    assert tracker.lost() == (1,)
    tracks = still(tracker, 1, square(0.42), start=50)
    assert [t.id for t in tracks] == [1]


def test_what_was_seen_only_briefly_is_held_only_briefly() -> None:
    tracker = Tracker()
    still(tracker, 4, square(0.4))
    held = [bool(tracker.step(seen(), None, i * FRAME_NS)) for i in range(4, 10)]
    assert not held[0]


def test_boxes_vanish_when_no_detection_comes_at_all() -> None:
    tracker = Tracker()
    still(tracker, 5, square(0.4))
    assert tracker.query(4 * FRAME_NS + 400 * MS)
    assert tracker.query(4 * FRAME_NS + 600 * MS) == ()


def test_tracks_survive_a_reconnect_however_long() -> None:
    tracker = Tracker()
    still(tracker, 10, square(0.4), square(0.7))
    later = 10 * FRAME_NS + 60_000 * MS
    tracks = tracker.step(seen(square(0.4), square(0.7)), None, later)
    assert sorted(t.id for t in tracks) == [1, 2]


def test_ids_are_never_reused() -> None:
    used: list[int] = []
    tracker = Tracker(TrackerSettings(near_ms=0, lost_ms=100))
    for spot in (0.1, 0.3, 0.5, 0.7):
        tracks = still(tracker, 5, square(spot), start=len(used) * 20)
        used.append(tracks[-1].id)
        for i in range(5, 20):
            tracker.step(seen(), None, ((len(used) - 1) * 20 + i) * FRAME_NS)
    assert used == sorted(set(used)) and len(used) == 4


def test_an_object_picked_up_elsewhere_is_recognised_by_its_look() -> None:
    tracker = Tracker()
    still(tracker, 10, square(0.1), square(0.3))
    tracker.attach_embedding(1, look(0))
    tracker.attach_embedding(2, look(1))
    for i in range(10, 100):
        tracker.step(seen(square(0.3)), None, i * FRAME_NS)
    (_, new) = still(tracker, 5, square(0.3), square(0.8), start=100)
    assert new.id == 3
    assert tracker.attach_embedding(3, look(0)) == 1
    assert sorted(t.id for t in tracker.query(104 * FRAME_NS)) == [1, 2]


def test_the_look_of_a_returned_object_is_a_mixture_of_all_views() -> None:
    tracker = Tracker()
    still(tracker, 80, square(0.3))
    tracker.attach_embedding(1, look(0))
    assert tracker.attach_embedding(1, look(1)) == 1, "an old track is taken for no other"
    for i in range(80, 120):
        tracker.step(seen(), None, i * FRAME_NS)
    still(tracker, 5, square(0.8), start=120)
    assert tracker.attach_embedding(2, look(2)) == 2
    assert tracker.attach_embedding(2, look(2)) == 2


def test_a_look_between_two_lost_objects_decides_nothing() -> None:
    tracker = Tracker()
    still(tracker, 10, square(0.1), square(0.3))
    tracker.attach_embedding(1, look(0))
    tracker.attach_embedding(2, look(0))
    for i in range(10, 100):
        tracker.step(seen(), None, i * FRAME_NS)
    still(tracker, 5, square(0.8), start=100)
    assert tracker.attach_embedding(3, look(0)) == 3


def test_lookalikes_on_screen_together_stay_apart() -> None:
    tracker = Tracker()
    still(tracker, 10, square(0.1), square(0.5))
    tracker.attach_embedding(1, look(0))
    assert tracker.attach_embedding(2, look(0)) == 2


def test_a_person_never_becomes_a_product() -> None:
    tracker = Tracker()
    still(tracker, 20, square(0.4))
    tracks = tracker.step(seen(square(0.4), label=1), None, 20 * FRAME_NS)
    assert {t.id: t.label for t in tracks} == {1: "product", 2: "person"}


def test_a_wavering_label_stays_one_track_with_the_usual_name() -> None:
    tracker = Tracker()
    still(tracker, 10, square(0.4))
    tracks = tracker.step(seen(square(0.4), label=2), None, 10 * FRAME_NS)
    assert [(t.id, t.label) for t in tracks] == [(1, "product")]


def test_a_double_detection_starts_no_second_track() -> None:
    tracker = Tracker()
    for i in range(10):
        both = joined(seen(square(0.4)), seen(square(0.405), score=0.8, label=2))
        tracks = tracker.step(both, None, i * FRAME_NS)
    assert len([t for t in tracks if t.confirmed]) == 1


def test_boxes_are_clipped_to_the_picture() -> None:
    tracker = Tracker()
    for i in range(30):
        x = 0.6 + 0.02 * i
        boxes = [(x, 0.4, min(1.0, x + 0.2), 0.6)] if x < 0.99 else []
        for track in tracker.step(seen(*boxes), None, i * FRAME_NS):
            assert track.box == Box(*(min(max(v, 0.0), 1.0) for v in track.box))
            assert track.box.x1 > track.box.x0


def test_an_empty_stream_has_no_tracks() -> None:
    tracker = Tracker()
    assert tracker.query(0) == tracker.coast(None, FRAME_NS) == ()
    assert tracker.step(None, None, 2 * FRAME_NS) == ()
    assert tracker.step(Detections.empty(NAMES), None, 3 * FRAME_NS) == ()
    assert tracker.attach_embedding(7, look(0)) == 7


def test_looks_given_with_detections_tell_crossing_objects_apart() -> None:
    """Two objects swap places between detections; boxes alone would swap their ids."""
    tracker = Tracker()
    looks = np.stack([look(0), look(1)])
    for i in range(10):
        tracker.step(seen(square(0.40), square(0.44)), None, i * FRAME_NS, looks=looks)
    tracks = tracker.step(seen(square(0.40), square(0.44)), None, 10 * FRAME_NS, looks=looks[::-1])
    left_to_right = [t.id for t in sorted(tracks, key=lambda t: t.box.x0)]
    assert left_to_right == [2, 1]


def test_looks_find_a_lost_object_wherever_it_appears() -> None:
    tracker = Tracker()
    for i in range(10):
        tracker.step(seen(square(0.1)), None, i * FRAME_NS, looks=look(0)[None])
    for i in range(10, 60):
        tracker.step(seen(), None, i * FRAME_NS, looks=np.zeros((0, 8), np.float32))
    tracks = tracker.step(seen(square(0.8)), None, 60 * FRAME_NS, looks=look(0)[None])
    assert [t.id for t in tracks] == [1]


@pytest.mark.parametrize(("index", "ids"), [(0, [1]), (1, [])])
def test_looks_vouch_for_an_unsure_detection_of_a_lost_object(index: int, ids: list[int]) -> None:
    tracker = Tracker()
    for i in range(10):
        tracker.step(seen(square(0.1)), None, i * FRAME_NS, looks=look(0)[None])
    for i in range(10, 60):
        tracker.step(seen(), None, i * FRAME_NS, looks=np.zeros((0, 8), np.float32))
    tracks = tracker.step(seen(square(0.8), score=0.3), None, 60 * FRAME_NS, looks=look(index)[None])
    assert [t.id for t in tracks] == ids


@pytest.mark.parametrize(
    ("index", "shift", "ids"),
    [(0, 0.03, [1]), (1, 0.03, [2]), (0, 0.12, [2])],
    ids=["alike on its place", "another look", "another place"],
)
def test_an_object_followed_twice_is_one_track_again_when_the_first_is_missed(
    index: int, shift: float, ids: list[int]
) -> None:
    tracker, tracks = Tracker(), tuple[Track, ...]()
    whole, part, both = square(0.4), square(0.4 + shift), np.stack([look(0), look(index)])
    for i in range(30):
        tracker.step(seen(whole), None, i * FRAME_NS, looks=both[:1])
    for i in range(30, 34):
        tracks = tracker.step(seen(whole, part), None, i * FRAME_NS, looks=both)
    assert [t.id for t in tracks] == [1, 2]
    for i in range(34, 64):
        tracks = tracker.step(seen(part), None, i * FRAME_NS, looks=both[1:])
    assert [t.id for t in tracks] == ids


def test_a_look_shared_by_two_lost_objects_finds_neither() -> None:
    tracker, both = Tracker(), np.stack([look(0), look(0)])
    for i in range(10):
        tracker.step(seen(square(0.1), square(0.3)), None, i * FRAME_NS, looks=both)
    for i in range(10, 60):
        tracker.step(seen(), None, i * FRAME_NS, looks=np.zeros((0, 8), np.float32))
    (track,) = tracker.step(seen(square(0.8)), None, 60 * FRAME_NS, looks=both[:1])
    assert track.id == 3


def test_the_same_product_coming_back_is_the_same_track() -> None:
    tracker = Tracker()
    still(tracker, 10, square(0.1), square(0.3))
    assert tracker.attach_product(1, "serum") == 1
    assert tracker.attach_product(2, "cream") == 2
    for i in range(10, 100):
        tracker.step(seen(square(0.3)), None, i * FRAME_NS)
    still(tracker, 5, square(0.3), square(0.8), start=100)
    assert tracker.attach_product(3, "serum") == 1
    assert tracker.attach_product(99, "serum") == 99


def test_two_of_the_same_product_in_view_stay_two_tracks() -> None:
    tracker = Tracker()
    still(tracker, 10, square(0.1), square(0.3))
    assert tracker.attach_product(1, "serum") == 1
    assert tracker.attach_product(2, "serum") == 2


def field(dx: float) -> NDArray[np.float32]:
    """40 x 40 codec vectors, all the same."""
    x, y = np.meshgrid((np.arange(40) + 0.5) / 40, (np.arange(40) + 0.5) / 40)
    return np.stack([x.ravel(), y.ravel(), np.full(1600, dx), np.zeros(1600)], axis=1).astype(np.float32)


def test_after_a_cut_nothing_is_shown_where_it_was() -> None:
    tracker = Tracker()
    still(tracker, 20, square(0.4))
    tracker.coast(field(0.0), 20 * FRAME_NS)
    assert tracker.coast(field(0.0), 21 * FRAME_NS)
    assert tracker.coast(field(0.0)[:100], 22 * FRAME_NS) == ()
    (track,) = tracker.step(seen(square(0.4)), None, 22 * FRAME_NS)
    assert track.id == 2, "something else stands there in another scene"


def test_a_lost_object_is_looked_for_where_the_camera_took_its_place() -> None:
    tracker = Tracker()
    still(tracker, 20, square(0.2))
    for i in range(20, 35):  # hidden while the camera pans by a third of the picture
        tracker.observe(field(0.02), i * FRAME_NS)
        tracker.step(seen(), None, i * FRAME_NS)
    (track,) = tracker.step(seen(square(0.5)), None, 35 * FRAME_NS)
    assert track.id == 1


def test_where_detections_are_rare_fewer_of_them_confirm_a_track() -> None:
    def first_shown(step_ms: int) -> int:
        tracker = Tracker()
        tracker.step(seen((0.1, 0.1, 0.2, 0.3)), None, 0)
        for number in range(1, 6):
            here = seen((0.1, 0.1, 0.2, 0.3)), seen((0.6, 0.6, 0.7, 0.8), score=0.7)
            tracks = tracker.step(joined(*here), None, number * step_ms * MS)
            if any(track.confirmed and track.box.x0 > 0.5 for track in tracks):
                return number
        return 0

    assert first_shown(33) == 3
    assert first_shown(150) == 2
    assert first_shown(400) == 1
