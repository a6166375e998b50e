"""The referee of the sync benchmark, refereed: drawn pictures with known answers."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.painted.motion import BITS, CELL, OBJECT, SAME_PX, ellipse
from benchmarks.painted.readback import MARKER_RGB, OBJECT_RGB, Area, Picture, Seen, picture, read
from benchmarks.painted.verdict import Reading, verdict

MOTION = ellipse()
AREA = Area(60, 30, 1280, 720)


def painted(
    number: int | None, object_at: tuple[float, float] | None, marker_at: tuple[float, float] | None
) -> Picture:
    image = Image.new("RGB", (1440, 900), (120, 120, 120))
    draw = ImageDraw.Draw(image)

    def rectangle(x0: float, y0: float, x1: float, y1: float, fill: tuple[int, int, int]) -> None:
        draw.rectangle((AREA.x + x0, AREA.y + y0, AREA.x + x1 - 1, AREA.y + y1 - 1), fill=fill)

    if object_at:
        x, y = object_at[0] * AREA.width, object_at[1] * AREA.height
        w, h = OBJECT[0] * AREA.width / 2, OBJECT[1] * AREA.height / 2
        rectangle(x - w, y - h, x + w, y + h, OBJECT_RGB)
    if number is not None:
        cell = CELL * AREA.width
        for row, value in enumerate((number, ~number)):
            for bit in range(BITS):
                shade = 255 if value >> (BITS - 1 - bit) & 1 else 0
                rectangle(bit * cell, row * cell, (bit + 1) * cell, (row + 1) * cell, (shade, shade, shade))
    if marker_at:
        x, y = marker_at[0] * AREA.width, marker_at[1] * AREA.height
        rectangle(x - 12, y - 12, x + 12, y + 12, MARKER_RGB)
    return np.asarray(image)


def through_jpeg(page: Picture) -> Picture:
    data = io.BytesIO()
    Image.fromarray(page).save(data, "JPEG", quality=85)
    return picture(data.getvalue())


@pytest.mark.parametrize("number", [0, 1, 0x5555, 0xAAAA, 65535, 12345])
def test_barcode_survives_jpeg(number: int) -> None:
    assert read(through_jpeg(painted(number, None, None)), AREA).number == number


def test_barcode_that_is_not_there_is_not_read() -> None:
    assert read(painted(None, None, None), AREA).number is None


def test_barcode_torn_between_two_frames_is_not_read() -> None:
    upper, lower = painted(7, None, None), painted(8, None, None)
    torn = upper.copy()
    torn[int(AREA.y + CELL * AREA.width) :] = lower[int(AREA.y + CELL * AREA.width) :]
    assert read(torn, AREA).number is None


@pytest.mark.parametrize("shift", [0, 1, -3])
def test_misaligned_marker_is_told_by_the_frame_it_belongs_to(shift: int) -> None:
    number = 70
    seen = read(through_jpeg(painted(number, MOTION.at(number), MOTION.at(number + shift))), AREA)
    assert seen.number == number
    assert seen.object == pytest.approx(MOTION.at(number), abs=1.5 / AREA.height)
    assert seen.marker is not None
    assert MOTION.misalignment(number, seen.marker, AREA.width)[0] == shift


def test_marker_in_front_does_not_move_the_object() -> None:
    number = 40
    with_marker = read(painted(number, MOTION.at(number), MOTION.at(number)), AREA)
    without = read(painted(number, MOTION.at(number), None), AREA)
    assert with_marker.object == without.object
    assert without.marker is None


def test_specks_of_the_objects_colour_are_not_the_object() -> None:
    page = painted(40, MOTION.at(40), None).copy()
    page[500:510, 700:712] = OBJECT_RGB
    assert read(page, AREA).object == pytest.approx(MOTION.at(40), abs=0.002)


def test_object_outside_the_picture_is_not_found() -> None:
    assert read(painted(5, None, None), AREA).object is None


def test_standing_still_is_never_misaligned() -> None:
    still = len(MOTION.centres) - 2
    assert MOTION.step_px(still, 1280) < 0.5
    assert MOTION.misalignment(still, MOTION.at(still), 1280) == (0, 0.0)


def test_every_cruising_frame_is_far_enough_from_its_neighbours_to_be_told_apart() -> None:
    steps = [MOTION.step_px(number, 1280) for number in range(17, 135)]
    assert min(steps) > 2 * SAME_PX
    for number in range(17, 135):
        assert MOTION.misalignment(number, MOTION.at(number + 1), 1280)[0] == 1
        assert MOTION.misalignment(number, MOTION.at(number - 1), 1280)[0] == -1


def test_motion_is_periodic_and_stays_in_the_picture_clear_of_the_barcode() -> None:
    assert MOTION.at(3) == MOTION.at(3 + len(MOTION.centres))
    jump = MOTION.step_px(0, 1280)
    assert jump < 2, "the lap must end where it began"
    for x, y in MOTION.centres:
        assert OBJECT[0] / 2 < x < 1 - OBJECT[0] / 2
        assert 2 * CELL * 16 / 9 < y - OBJECT[1] / 2 and y + OBJECT[1] / 2 < 1


def test_verdict_counts_alignment_coverage_and_what_it_could_not_judge() -> None:
    readings = [
        Reading(Seen(50, MOTION.at(50), MOTION.at(50)), 1280),
        Reading(Seen(51, MOTION.at(51), MOTION.at(50)), 1280),
        Reading(Seen(52, MOTION.at(52), None), 1280),
        Reading(Seen(53, MOTION.at(60), MOTION.at(53)), 1280),
        Reading(Seen(None, MOTION.at(54), MOTION.at(54)), 1280),
    ]
    row = verdict(MOTION, readings, seconds=1.0)
    assert row["pictures_per_s"] == 5
    assert row["readable"] == 3
    assert row["hotspot_pct"] == pytest.approx(66.67)
    assert row["aligned_pct"] == 50
    assert (row["off_-1"], row["off_+0"], row["off_+1"]) == (1, 1, 0)


def test_verdict_of_no_pictures_claims_nothing() -> None:
    row = verdict(MOTION, [], seconds=1.0)
    aligned = row["aligned_pct"]
    assert isinstance(aligned, float) and math.isnan(aligned)
