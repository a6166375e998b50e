from __future__ import annotations

import pytest

from stream.timeline import OutgoingTimeline, Timeline, signed_delta

MS = 1_000_000
FRAME = 3000  # ticks of a 30 fps frame
TOP = (1 << 32) - 1


@pytest.mark.parametrize(
    ("newer", "older", "delta"),
    [
        (5, 2, 3),
        (2, 5, -3),
        (2, TOP, 3),
        (TOP, 2, -3),
        (1 << 31, 0, -(1 << 31)),
        ((1 << 31) - 1, 0, (1 << 31) - 1),
    ],
)
def test_signed_delta_is_the_shortest_way_round(newer: int, older: int, delta: int) -> None:
    assert signed_delta(newer, older) == delta


def test_first_frame_is_zero_wherever_the_sender_begins() -> None:
    assert Timeline().map(1, 4_000_000_000, 77) == 0


def test_media_time_follows_ticks_not_arrival() -> None:
    timeline = Timeline()
    assert [timeline.map(1, 1000 + n * FRAME, n * 50 * MS) for n in range(4)] == [
        0,
        33_333_333,
        66_666_666,
        100_000_000,
    ]


def test_no_rounding_error_builds_up_over_an_hour() -> None:
    timeline = Timeline()
    last = [timeline.map(1, (5 + n * FRAME) % (1 << 32), 0) for n in range(30 * 3600 + 1)][-1]
    assert last == 3600 * 1_000_000_000


def test_wrap_continues() -> None:
    timeline = Timeline()
    assert timeline.map(1, TOP - 1499, 0) == 0
    assert timeline.map(1, 1500, 33 * MS) == 33_333_333
    assert timeline.map(1, 4500, 66 * MS) == 66_666_666


def test_one_reordered_frame_stays_monotonic_and_moves_nothing() -> None:
    timeline = Timeline()
    assert timeline.map(1, 0, 0) == 0
    assert timeline.map(1, 2 * FRAME, 66 * MS) == 66_666_666
    assert timeline.map(1, FRAME, 67 * MS) == 66_666_667
    assert timeline.map(1, 3 * FRAME, 100 * MS) == 100_000_000


def test_duplicate_timestamp_stays_strictly_increasing() -> None:
    timeline = Timeline()
    timeline.map(1, 0, 0)
    assert timeline.map(1, 0, 10 * MS) == 1


def test_sender_that_begins_again_continues_from_the_wall_gap() -> None:
    timeline = Timeline()
    timeline.map(1, 900_000, 0)
    assert timeline.map(1, 903_000, 33 * MS) == 33_333_333
    assert timeline.map(1, 0, 133 * MS) == 133_333_333  # ten seconds back
    assert timeline.map(1, FRAME, 166 * MS) == 166_666_666


def test_small_step_back_that_lasts_is_a_new_clock() -> None:
    timeline = Timeline()
    timeline.map(1, 90_000, 0)
    assert timeline.map(1, 45_000, 30 * MS) == 1
    assert timeline.map(1, 48_000, 60 * MS) == 2
    assert timeline.map(1, 51_000, 90 * MS) == 30 * MS + 2  # third in a row: 30 ms after the last arrival
    assert timeline.map(1, 54_000, 120 * MS) == 30 * MS + 2 + 33_333_333


def test_pause_of_five_seconds_is_kept() -> None:
    timeline = Timeline()
    timeline.map(1, 0, 0)
    assert timeline.map(1, 450_000, 5000 * MS) == 5000 * MS


def test_jump_ahead_of_a_minute_is_replaced_by_the_wall_gap() -> None:
    timeline = Timeline()
    timeline.map(1, 0, 0)
    assert timeline.map(1, 60 * 90_000, 40 * MS) == 40 * MS


def test_new_epoch_continues_from_the_wall_gap() -> None:
    timeline = Timeline()
    timeline.map(1, 1_000_000, 0)
    timeline.map(1, 1_003_000, 33 * MS)
    assert timeline.map(2, 7, 3033 * MS) == 3_033_333_333
    assert timeline.map(2, 7 + FRAME, 3066 * MS) == 3_066_666_666


def test_outgoing_offset_of_the_first_epoch_is_zero() -> None:
    out = OutgoingTimeline()
    assert out.offset(1) is None
    assert out.map(1, 4_294_967_000, 0) == 4_294_967_000
    assert out.offset(1) == 0


def test_outgoing_timeline_goes_on_by_the_elapsed_time_in_a_new_epoch() -> None:
    out = OutgoingTimeline()
    out.map(1, 1000, 0)
    out.map(1, 4000, 33 * MS)
    assert out.map(2, 500_000, 1033 * MS) == 94_000  # one second later
    assert out.offset(2) == (94_000 - 500_000) % (1 << 32)
    assert out.map(2, 503_000, 1066 * MS) == 97_000


def test_outgoing_offset_wraps() -> None:
    out = OutgoingTimeline()
    out.map(1, TOP, 0)
    assert out.map(2, 10, 1000 * MS) == 89_999


def test_outgoing_audio_counts_in_its_own_clock() -> None:
    out = OutgoingTimeline(48_000)
    out.map(1, 100, 0)
    assert out.map(2, 0, 1000 * MS) == 48_100


def test_reordered_packet_does_not_move_where_the_next_epoch_begins() -> None:
    out = OutgoingTimeline()
    out.map(1, 6000, 60 * MS)
    out.map(1, 3000, 61 * MS)
    assert out.map(2, 0, 160 * MS) == 15_000
