from __future__ import annotations

import pytest

from overlay.samples import Absent, Basis, Layer, SampleHistory, is_newer, ticks_between
from stream.types import MediaTime
from tests.overlay.builders import MS, sample, spot

S = 1_000 * MS
FRAME = 3_000


def history(*rtps: int, x_step: int = 100, ids: tuple[int, ...] = (7,)) -> SampleHistory:
    made = SampleHistory()
    for index, rtp in enumerate(rtps):
        made.add(sample(*(spot(i, x0=1000 + index * x_step) for i in ids), rtp=rtp), index * MS)
    return made


def layer(made: SampleHistory, rtp: int, basis: Basis) -> Layer | None:
    found = made.layers(MediaTime(1, rtp & 0xFFFFFFFF))
    return None if isinstance(found, Absent) else next((x for x in found if x.basis is basis), None)


@pytest.mark.parametrize(
    ("later", "earlier", "ticks"),
    [(10, 4, 6), (4, 10, -6), (5, 0xFFFFFFFB, 10), (0xFFFFFFFB, 5, -10), (0x80000000, 0, -0x80000000)],
)
def test_ticks_between_takes_the_shorter_way_round(later: int, earlier: int, ticks: int) -> None:
    assert ticks_between(later, earlier) == ticks


def test_newer_means_a_later_epoch_or_a_later_frame_of_it() -> None:
    assert is_newer(MediaTime(2, 0), MediaTime(1, 500))
    assert not is_newer(MediaTime(1, 500), MediaTime(2, 0))
    assert is_newer(MediaTime(1, 2), MediaTime(1, 0xFFFFFFF0))
    assert not is_newer(MediaTime(1, 2), MediaTime(1, 2))


def test_measured_sample_of_the_frame_comes_first() -> None:
    found = history(0, FRAME).layers(MediaTime(1, FRAME))
    assert not isinstance(found, Absent)
    assert found[0].basis is Basis.MEASURED and found[0].spots[0].x0 == 1100


def test_between_two_measured_samples_hotspots_move_linearly() -> None:
    made = layer(history(0, 4 * FRAME, x_step=400), FRAME, Basis.INTERPOLATED)
    assert made is not None and (made.spots[0].x0, made.spots[0].x1) == (1100, 3100)


def test_interpolation_crosses_the_wrap_of_the_timestamp() -> None:
    made = layer(history(0xFFFFFFFF - FRAME + 1, FRAME, x_step=200), 0, Basis.INTERPOLATED)
    assert made is not None and made.spots[0].x0 == 1100


def test_samples_too_far_apart_are_not_interpolated() -> None:
    assert layer(history(0, 54_000), FRAME, Basis.INTERPOLATED) is not None
    assert layer(history(0, 54_001), FRAME, Basis.INTERPOLATED) is None


def test_only_hotspots_of_both_neighbours_are_interpolated() -> None:
    made = SampleHistory()
    made.add(sample(spot(7), spot(8), rtp=0), 0)
    made.add(sample(spot(7), spot(9), rtp=2 * FRAME), 0)
    found = layer(made, FRAME, Basis.INTERPOLATED)
    assert found is not None and [s.id for s in found.spots] == [7]


def test_after_the_newest_measured_sample_the_prediction_of_the_frame_counts() -> None:
    made = history(0)
    made.add(sample(spot(x0=5000), rtp=FRAME, measured=False), 0)
    found = made.layers(MediaTime(1, FRAME))
    assert not isinstance(found, Absent)
    assert [x.basis for x in found] == [Basis.PREDICTED, Basis.EXTRAPOLATED]
    assert found[0].spots[0].x0 == 5000


def test_extrapolation_goes_on_for_400_ms_and_stays_in_the_picture() -> None:
    made = history(0, FRAME)
    at_end = layer(made, FRAME + 36_000, Basis.EXTRAPOLATED)
    assert at_end is not None and at_end.spots[0].x0 == 1100 + 1200
    assert made.layers(MediaTime(1, FRAME + 36_001)) is Absent.TOO_NEW
    fast = layer(history(0, FRAME, x_step=3000), 13 * FRAME, Basis.EXTRAPOLATED)
    assert fast is not None and fast.spots[0].x1 == 10_000


def test_extrapolation_goes_on_from_predictions_too() -> None:
    made = history(0)
    made.add(sample(spot(x0=1300), rtp=30_000, measured=False), 0)
    found = layer(made, 60_000, Basis.EXTRAPOLATED)
    assert found is not None and found.spots[0].x0 == 1600
    assert made.layers(MediaTime(1, 30_000 + 36_001)) is Absent.TOO_NEW


def test_between_two_products_the_nearer_sample_names_it() -> None:
    made = SampleHistory()
    made.add(sample(spot(7, 1), rtp=0), 0)
    made.add(sample(spot(7, 2), rtp=4 * FRAME), 0)
    names = []
    for rtp in (FRAME, 2 * FRAME, 3 * FRAME):
        found = layer(made, rtp, Basis.INTERPOLATED)
        assert found is not None
        names.append(found.spots[0].pid)
    assert names == [1, 2, 2]


def test_sightings_are_all_samples_a_hotspot_may_have_been_drawn_from_nearest_first() -> None:
    made = SampleHistory()
    made.add(sample(spot(7, 1), spot(8, 9), rtp=0), 0)
    made.add(sample(spot(7, 2), rtp=FRAME, measured=False), 0)
    made.add(sample(spot(7, 3), rtp=FRAME), 0)
    made.add(sample(spot(8, 9), rtp=2 * FRAME), 0)
    made.add(sample(spot(7, 4), rtp=2 * FRAME + 54_000), 0)
    made.add(sample(spot(7, 5), rtp=2 * FRAME + 54_001), 0)
    found = made.sightings(MediaTime(1, 2 * FRAME), 7)
    assert [(basis, seen.pid) for basis, seen in found] == [
        (Basis.MEASURED, 3),
        (Basis.PREDICTED, 2),
        (Basis.MEASURED, 1),
        (Basis.MEASURED, 4),
    ]
    assert made.sightings(MediaTime(2, FRAME), 7) == ()


def test_single_sample_is_held_and_newcomers_do_not_move() -> None:
    made = layer(history(0), FRAME, Basis.EXTRAPOLATED)
    assert made is not None and made.spots[0].x0 == 1000
    two = SampleHistory()
    two.add(sample(spot(7), rtp=0), 0)
    two.add(sample(spot(7, x0=1100), spot(8, x0=4000), rtp=FRAME), 0)
    found = layer(two, 2 * FRAME, Basis.EXTRAPOLATED)
    assert found is not None and [(s.id, s.x0) for s in found.spots] == [(7, 1200), (8, 4000)]


def test_unknown_epoch_and_frames_before_the_history_are_named() -> None:
    made = history(90_000)
    assert made.layers(MediaTime(2, 90_000)) is Absent.UNKNOWN_EPOCH
    assert made.layers(MediaTime(1, 0)) is Absent.TOO_OLD


def test_repeated_sample_is_kept_once() -> None:
    made = SampleHistory()
    assert made.add(sample(spot()), 0) and not made.add(sample(spot()), 1)
    assert made.add(sample(spot(), measured=False), 2)
    assert len(made) == 2


def test_late_measured_sample_finds_its_place() -> None:
    made = history(0, 4 * FRAME)
    made.add(sample(spot(x0=9), rtp=2 * FRAME), 5)
    found = layer(made, 2 * FRAME, Basis.MEASURED)
    assert found is not None and found.spots[0].x0 == 9


def test_history_forgets_by_arrival_time_over_all_epochs() -> None:
    made = SampleHistory(keep_ns=20 * S)
    made.add(sample(spot(), epoch=1), 0)
    made.add(sample(spot(), epoch=2), 15 * S)
    assert not isinstance(made.layers(MediaTime(1, 0)), Absent)
    made.add(sample(spot(), epoch=2, rtp=FRAME), 21 * S)
    assert made.layers(MediaTime(1, 0)) is Absent.UNKNOWN_EPOCH
    assert not isinstance(made.layers(MediaTime(2, 0)), Absent)


def test_history_is_bounded_in_number() -> None:
    made = SampleHistory(limit=10)
    for index in range(50):
        made.add(sample(spot(), rtp=index * FRAME), index)
        made.add(sample(spot(), rtp=index * FRAME, measured=False), index)
    assert len(made) <= 10
    assert made.layers(MediaTime(1, 0)) is Absent.TOO_OLD


def test_what_came_since_is_measured_and_in_order_of_its_epochs() -> None:
    made = SampleHistory(keep_ns=60 * S)
    for number in range(6):
        made.add(sample(spot(), rtp=number * 3000, epoch=1 + number // 3), number * S)
    made.add(sample(spot(), rtp=99_000, epoch=2, measured=False), 5 * S)
    found = [(one.epoch, one.rtp) for one in made.since(2 * S)]
    assert found == [(1, 6000), (2, 9000), (2, 12_000), (2, 15_000)]
