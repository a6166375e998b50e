from __future__ import annotations

import numpy as np
import pytest

from inference.easing import Easing
from inference.tracker import Tracker, TrackerSettings
from inference.types import Detections

MS = 1_000_000
HERE, THERE = np.array([0.5, 0.5, 0.3, 0.3]), np.array([0.6, 0.5, 0.3, 0.3])


def shown(easing: Easing, pts_ns: int) -> float:
    return float(easing.applied(THERE[None].copy(), [7], pts_ns)[0, 0])


def test_a_late_correction_is_spread_over_time() -> None:
    easing = Easing(1.0, 100.0)
    easing.corrected({7: HERE}, {7: THERE}, 1000 * MS)
    ways = [shown(easing, (1000 + ms) * MS) for ms in (0, 25, 50, 100, 500)]
    assert ways == pytest.approx([0.5, 0.525, 0.55, 0.6, 0.6])


def test_only_its_share_is_eased_in() -> None:
    easing = Easing(0.25, 100.0)
    easing.corrected({7: HERE}, {7: THERE}, 1000 * MS)
    assert shown(easing, 1000 * MS) == pytest.approx(0.575)


def test_the_past_and_new_tracks_are_where_they_belong() -> None:
    easing = Easing(1.0, 100.0)
    easing.corrected({7: HERE}, {7: THERE, 8: THERE}, 1000 * MS)
    assert shown(easing, 999 * MS) == pytest.approx(0.6)
    assert easing.applied(THERE[None].copy(), [8], 1000 * MS)[0, 0] == pytest.approx(0.6)
    assert shown(Easing(0.0, 100.0), 1000 * MS) == pytest.approx(0.6)


def test_a_leap_is_made_at_once() -> None:
    easing, far = Easing(1.0, 100.0), np.array([0.4, 0.5, 0.3, 0.3])
    easing.corrected({7: far}, {7: THERE}, 1000 * MS)
    assert shown(easing, 1000 * MS) == pytest.approx(0.6)


def found(x: float) -> Detections:
    box = np.array([[x, 0.4, x + 0.1, 0.6]], np.float32)
    return Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int32), ("mug",))


def follow(share: float, late: bool) -> list[float]:
    """Where a mug is shown that stands still, and was 0.02 further on from frame 10 on."""
    tracker, at = Tracker(TrackerSettings(ease_share=share)), []
    for number in range(18):
        tracker.observe(None, number * 33 * MS)
        captured = number - 3 if late else number
        if captured >= 0 and captured % 3 == 0:
            tracker.step(found(0.3 if captured < 10 else 0.32), None, captured * 33 * MS)
        at += [track.box.x0 for track in tracker.query(number * 33 * MS)]
    return at


@pytest.mark.parametrize("late", [False, True])
def test_detections_after_predicted_frames_move_boxes_without_a_jump(late: bool) -> None:
    jumps = [max(abs(np.diff(follow(share, late)))) for share in (0.0, 1.0)]
    assert jumps[1] < 0.75 * jumps[0]


def test_where_every_frame_is_detected_nothing_is_eased() -> None:
    def every(share: float) -> list[float]:
        tracker, at = Tracker(TrackerSettings(ease_share=share)), []
        for number in range(18):
            tracks = tracker.step(found(0.3 if number < 10 else 0.32), None, number * 33 * MS)
            at += [track.box.x0 for track in tracks]
        return at

    assert every(0.0) == every(1.0)


def test_what_comes_back_is_not_eased_to_its_place() -> None:
    tracker = Tracker(TrackerSettings(ease_share=1.0))
    nothing = Detections(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), ("mug",)
    )
    for number in range(12):
        tracker.step(found(0.3), None, number * 99 * MS)
    tracker.step(nothing, None, 12 * 99 * MS)
    for number in range(37, 39):
        tracker.observe(None, number * 33 * MS)
    (back,) = tracker.step(found(0.35), None, 39 * 33 * MS)
    assert back.box.x0 == pytest.approx(0.35, abs=0.005)
