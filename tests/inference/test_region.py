from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from inference.detection import DetectorSettings, load_detector
from inference.region import as_detailed, looked_at, region_of, to_picture, zoom
from inference.runtime import RuntimeSettings
from inference.tracker import Tracker
from inference.types import Box, Detections, Rung
from stream.clock import MonotonicClock
from stream.pixels import AvPixels
from tests.inference.models import clip
from tests.shared import shared_path

LADDER = (Rung(416, 416), Rung(320, 320), Rung(224, 224))
MS = 1_000_000


def found(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Detections:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    scores = np.full(len(rows), score, np.float32)
    return Detections(rows, scores, np.zeros(len(rows), np.int32), ("bottle",))


def test_a_region_holds_the_boxes_with_room_and_keeps_the_pictures_aspect() -> None:
    boxes = (Box(0.4, 0.4, 0.5, 0.6), Box(0.55, 0.3, 0.6, 0.4))
    region = region_of(boxes)
    assert region is not None
    assert region.x1 - region.x0 == pytest.approx(region.y1 - region.y0)
    for box in boxes:
        assert region.x0 < box.x0 and region.y0 < box.y0 and region.x1 > box.x1 and region.y1 > box.y1


def test_a_region_at_the_edge_stays_in_the_picture() -> None:
    region = region_of((Box(0.95, 0.0, 1.0, 0.1),))
    assert region is not None and region.y0 == 0.0 and region.x1 == pytest.approx(1.0)


@pytest.mark.parametrize("boxes", [(), (Box(0.0, 0.0, 0.1, 0.1), Box(0.9, 0.9, 1.0, 1.0))])
def test_no_region_where_there_is_nothing_or_it_is_everywhere(boxes: tuple[Box, ...]) -> None:
    assert region_of(boxes) is None


def test_boxes_come_back_to_their_exact_place() -> None:
    region = Box(0.25, 0.5, 0.625, 0.875)
    back = to_picture(found((0.25, 0.25, 0.5, 0.75)), region)
    np.testing.assert_allclose(back.boxes, [[0.34375, 0.59375, 0.4375, 0.78125]], atol=1e-7)


def test_what_the_regions_edge_cuts_off_is_dropped_but_not_what_the_pictures_edge_does() -> None:
    region = Box(0.0, 0.25, 0.5, 0.75)
    cut, whole = (0.5, 0.2, 1.0, 0.6), (0.0, 0.2, 0.5, 0.6)
    assert len(to_picture(found(cut), region)) == 0
    assert len(to_picture(found(whole), region)) == 1


def test_only_what_lies_wholly_in_a_region_was_looked_at() -> None:
    boxes = np.array([[0.3, 0.3, 0.4, 0.4], [0.2, 0.3, 0.4, 0.4], [0.6, 0.6, 0.9, 0.9]])
    assert looked_at(boxes, Box(0.25, 0.25, 0.75, 0.75)).tolist() == [True, False, False]


def test_a_small_input_sees_as_much_of_a_region_as_a_large_one_of_the_whole() -> None:
    half, large = Box(0.25, 0.25, 0.75, 0.75), Box(0.1, 0.1, 0.85, 0.85)
    assert zoom(half) == 2.0
    assert as_detailed(LADDER, 0, half) == Rung(224, 224)
    assert as_detailed(LADDER, 0, large) == Rung(320, 320)
    assert as_detailed(LADDER, 2, large) == Rung(224, 224), "never above what can be afforded"
    fast = (*LADDER[:1], Rung(320, 320, 1), Rung(160, 160, 1))
    assert as_detailed(fast, 0, half) == Rung(416, 416), "another model is no smaller size of this one"


def test_a_part_of_a_picture_is_that_part() -> None:
    rng = np.random.default_rng(3)
    picture = np.repeat(np.repeat(rng.integers(0, 255, (18, 32, 3), np.uint8), 20, 0), 20, 1)
    pixels = AvPixels(av.VideoFrame.from_ndarray(picture, format="rgb24"), VideoReformatter())
    part, shown = pixels.part((0.2013, 0.2513, 0.7, 0.75))
    left, top = round(shown[0] * 640), round(shown[1] * 360)
    assert (part.width, part.height) == (round(shown[2] * 640) - left, round(shown[3] * 360) - top)
    expected = pixels.rgb()[top : top + part.height, left : left + part.width].astype(int)
    assert np.median(np.abs(part.rgb().astype(int) - expected)) <= 2


def test_a_detector_finds_the_same_boxes_in_a_region() -> None:
    settings = DetectorSettings(0.3, RuntimeSettings("cpu", 1))
    loaded = load_detector(
        shared_path("models/detect/yolox_nano.onnx"),
        rungs=[Rung(416, 416), Rung(224, 224)],
        settings=settings,
    )
    (frame,) = clip(shared_path("clips/dev/intel_bottle.mp4"), (250,))
    whole = loaded.detect(frame, Rung(416, 416), None, MonotonicClock()).detections
    bottles = whole.boxes[[whole.names[label] == "bottle" for label in whole.labels]]
    region = Box(0.0, 0.0, 0.75, 0.75) if bottles[0][2] < 0.7 else Box(0.25, 0.25, 1.0, 1.0)
    inside = bottles[looked_at(bottles, region)]
    seen = loaded.detect(frame, Rung(416, 416), None, MonotonicClock(), region)
    assert seen.region is not None and len(inside)
    for box in inside:
        assert np.abs(seen.detections.boxes - box).max(axis=1).min() < 0.03


def test_a_track_outside_of_the_region_was_not_missed() -> None:
    tracker = Tracker()
    near, far = (0.4, 0.4, 0.5, 0.5), (0.8, 0.8, 0.9, 0.9)
    for number in range(5):
        tracker.step(found(near, far), None, number * 33 * MS)
    region = Box(0.25, 0.25, 0.625, 0.625)
    for number in range(5, 20):
        tracks = tracker.step(found(near), None, number * 33 * MS, region=region)
    assert len(tracks) == 2
    for number in range(20, 35):
        tracks = tracker.step(found(near), None, number * 33 * MS)
    assert len(tracks) == 1, "a look at the whole picture tells"


def test_the_whole_picture_is_wanted_when_something_may_come_back() -> None:
    tracker = Tracker()
    near, far = (0.4, 0.4, 0.5, 0.5), (0.6, 0.6, 0.7, 0.7)
    assert tracker.region(0) is None
    for number in range(12):
        tracker.step(found(near, far), None, number * 33 * MS)
    assert tracker.region(11 * 33 * MS) is not None
    for number in range(12, 22):
        tracker.step(found(near), None, number * 33 * MS)
    assert tracker.region(21 * 33 * MS) is None, "lost just now"


def test_the_whole_picture_is_wanted_when_the_camera_moves_or_the_scene_changes() -> None:
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 22)), axis=-1).reshape(-1, 2)
    still = np.column_stack((grid, np.zeros_like(grid))).astype(np.float32)
    pan = np.column_stack((grid, np.full_like(grid, 0.02))).astype(np.float32)
    for motion, wanted in ((still, True), (pan, False), (still[:4], False)):
        tracker = Tracker()
        for number in range(6):
            tracker.step(found((0.4, 0.4, 0.5, 0.5)), still, number * 33 * MS)
        tracker.observe(motion, 6 * 33 * MS)
        assert (tracker.region(6 * 33 * MS) is not None) is wanted
