from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.field import MotionField
from inference.kalman import KalmanBank, MotionSettings, to_centre, to_corners
from inference.motion import MotionPath

BOX = np.array([[0.4, 0.4, 0.5, 0.6]], np.float32)
ONE = np.ones(1, np.float32)
ROW = np.array([0])
STILL = np.zeros((1, 2))
MS = 1_000_000


def moved(dx: float, dy: float = 0.0) -> NDArray[np.float32]:
    return BOX + np.array([dx, dy, dx, dy], np.float32)


def vectors(dx: float, dy: float, x0: float = 0.0, x1: float = 1.0) -> NDArray[np.float32]:
    """A 20 x 20 field of blocks that move by (dx, dy) where x0 < x < x1, and stand still elsewhere."""
    x, y = np.meshgrid((np.arange(20) + 0.5) / 20, (np.arange(20) + 0.5) / 20)
    inside = ((x > x0) & (x < x1)).ravel()
    field = np.stack([x.ravel(), y.ravel(), np.where(inside, dx, 0), np.where(inside, dy, 0)], axis=1)
    return field.astype(np.float32)


def follow(bank: KalmanBank, speed: float, step_s: float, steps: int) -> None:
    for i in range(1, steps + 1):
        bank.predict(step_s, bank.speed[:, :2] * step_s)
        bank.update(ROW, moved(speed * step_s * i), ONE)


def test_centre_and_corners_are_inverse() -> None:
    np.testing.assert_allclose(to_corners(to_centre(BOX)), BOX, atol=1e-6)


@pytest.mark.parametrize("step_s", [1 / 60, 1 / 30, 0.1, 0.2])
def test_velocity_is_found_in_seconds_whatever_the_rate(step_s: float) -> None:
    bank = KalmanBank(MotionSettings())
    bank.add(BOX)
    follow(bank, 0.2, step_s, round(1.0 / step_s))
    assert bank.speed[0, 0] == pytest.approx(0.2, rel=0.1)
    assert abs(bank.speed[0, 1]) < 0.01


def test_a_sure_measurement_counts_more_than_an_unsure_one() -> None:
    after = []
    for score in (0.95, 0.1):
        bank = KalmanBank(MotionSettings())
        bank.add(BOX)
        bank.predict(0.1, np.zeros((1, 2)))
        bank.update(ROW, moved(0.05), np.array([score], np.float32))
        after.append(bank.state[0, 0])
    assert 0.45 < after[1] < after[0] < 0.5


def test_noise_of_a_resting_object_is_smoothed() -> None:
    rng, bank = np.random.default_rng(1), KalmanBank(MotionSettings())
    bank.add(BOX)
    raw, kept = [], []
    for _ in range(100):
        noisy = moved(float(rng.normal(0, 0.003)))
        bank.predict(1 / 30, bank.speed[:, :2] / 30)
        bank.update(ROW, noisy, 0.6 * ONE)
        raw.append(float(noisy[0, 0]))
        kept.append(float(bank.boxes()[0, 0]))
    assert np.std(kept[20:]) < 0.8 * np.std(raw[20:])


def test_unmeasured_speed_fades() -> None:
    bank = KalmanBank(MotionSettings(fade_s=0.5))
    bank.add(BOX)
    bank.speed[0] = 1.0
    bank.fade(np.array([True]), 0.5)
    assert bank.speed[0, 0] == pytest.approx(np.exp(-1))


def test_codec_vectors_inside_a_box_shift_it() -> None:
    shift, sure, _ = MotionField(vectors(0.02, -0.01)).shift(BOX, STILL)
    assert sure[0] == 1.0
    np.testing.assert_allclose(shift, [[0.02, -0.01]], atol=1e-6)


def test_the_median_ignores_a_hand_passing_by() -> None:
    field = vectors(0.02, 0.0)
    field[::5, 2:] = 0.3
    shift, sure, _ = MotionField(field).shift(BOX, STILL)
    np.testing.assert_allclose(shift, [[0.02, 0.0]], atol=1e-6)
    assert sure[0] > 0.5


def spreading(middle: float) -> NDArray[np.float32]:
    """Vectors that lead away from (`middle`, 0.5), by 1.2 % of the way."""
    field = vectors(0.0, 0.0)
    field[:, 2:] = 0.012 * (field[:, :2] - np.array([middle, 0.5], np.float32))
    return field


def test_vectors_that_spread_make_the_box_grow() -> None:
    box = np.array([[0.3, 0.3, 0.7, 0.7]], np.float32)
    shift, sure, grown = MotionField(spreading(0.5), (320, 320)).shift(box, STILL)
    assert np.abs(shift).max() < 0.002
    assert sure[0] > 0.9
    assert 1.004 < grown[0] <= 1.012, "quantised vectors are believed by half"
    steady = MotionField(vectors(0.02, -0.01), (320, 320)).shift(box, STILL)
    assert steady.grown[0] == pytest.approx(1.0, abs=1e-6)


def test_a_box_that_grew_is_followed_at_its_new_size() -> None:
    bank, path = KalmanBank(MotionSettings()), MotionPath(MotionSettings())
    bank.add(BOX)
    path.rebase(MS)
    for frame in range(1, 4):
        path.add(spreading(0.45), MS + frame * 33 * MS, size=(320, 320))
    one, three = (path.follow(bank, MS + frames * 33 * MS).grown[0] for frames in (1, 3))
    assert one > 1.002
    assert three == pytest.approx(one**3, rel=0.01)


def test_what_nobody_tells_of_moves_with_the_camera() -> None:
    bank, path = KalmanBank(MotionSettings()), MotionPath(MotionSettings())
    bank.add(BOX)
    path.rebase(MS)
    field = vectors(0.03, 0.0)
    hidden = np.abs(field[:, 0] - 0.45) < 0.12  # the encoder predicted nothing around the box
    path.add(field[~hidden], MS + 33 * MS, size=(320, 320))
    followed = path.follow(bank, MS + 33 * MS)
    assert followed.sure[0] == 0
    assert followed.shift[0] == pytest.approx([0.03, 0.0], abs=0.001)


def test_the_velocity_seen_last_is_where_the_next_look_begins() -> None:
    bank, path = KalmanBank(MotionSettings()), MotionPath(MotionSettings())
    bank.add(BOX)
    path.rebase(MS)
    path.add(vectors(0.02, 0.0, 0.3, 0.7), MS + 33 * MS, size=(320, 320))
    path.add(vectors(0.0, 0.0)[:1], MS + 66 * MS, size=(320, 320))  # nothing is told
    assert path.follow(bank, MS + 66 * MS).shift[0, 0] == pytest.approx(0.04, abs=0.004)


def test_too_few_vectors_give_no_answer() -> None:
    tiny = np.array([[0.4, 0.4, 0.41, 0.41]], np.float32)
    shift, sure, _ = MotionField(vectors(0.02, 0.0)).shift(tiny, STILL + 0.01)
    assert sure[0] == 0.0 and shift.tolist() == [[0.01, 0.01]]


def path_at(base_ns: int) -> tuple[MotionPath, KalmanBank]:
    bank = KalmanBank(MotionSettings(shrink=0.0))
    bank.add(BOX)
    path = MotionPath(MotionSettings())
    path.add(None, base_ns - 33 * MS)
    path.add(None, base_ns)
    path.rebase(base_ns)
    return path, bank


def test_codec_motion_adds_up_over_frames() -> None:
    path, bank = path_at(1000 * MS)
    for i in (1, 2, 3):
        path.add(vectors(0.01, 0.0), (1000 + 33 * i) * MS)
    np.testing.assert_allclose(path.shift(bank, 1099 * MS), [[0.03, 0.0]], atol=1e-6)
    np.testing.assert_allclose(path.shift(bank, 1033 * MS), [[0.01, 0.0]], atol=1e-6)


def test_time_between_frames_is_interpolated() -> None:
    path, bank = path_at(1000 * MS)
    path.add(vectors(0.01, 0.0), 1033 * MS)
    np.testing.assert_allclose(path.shift(bank, 1000 * MS + 33 * MS // 2), [[0.005, 0]], atol=1e-4)


def test_without_codec_motion_the_filters_speed_moves_the_box() -> None:
    path, bank = path_at(1000 * MS)
    bank.speed[0, 0] = 0.3
    assert path.shift(bank, 1033 * MS)[0, 0] == pytest.approx(0.3 * 0.033, rel=0.05)
    far = path.shift(bank, 10_000 * MS)[0, 0]
    assert far == pytest.approx(0.3 * MotionSettings().fade_s, rel=0.01), "it fades instead of flying off"


def test_a_dropped_frame_leaves_a_gap_that_speed_fills() -> None:
    path, bank = path_at(1000 * MS)
    bank.speed[0, 0] = 0.3
    path.add(vectors(0.0, 0.0), 1066 * MS)  # one frame late: the vectors cover only the last 33 ms
    assert path.shift(bank, 1066 * MS)[0, 0] == pytest.approx(0.3 * 0.033, rel=0.1)


def test_motion_after_a_late_detection_is_applied_to_the_new_box() -> None:
    path, bank = path_at(1000 * MS)
    for i in (1, 2, 3, 4):
        path.add(vectors(0.01, 0.0, x0=0.6), (1000 + 33 * i) * MS)
    assert path.shift(bank, 1132 * MS)[0, 0] == pytest.approx(0, abs=1e-6)
    bank.keep(np.array([False]))
    bank.add(np.array([[0.7, 0.4, 0.9, 0.6]], np.float32))
    path.rebase(1066 * MS)
    assert path.shift(bank, 1132 * MS)[0, 0] == pytest.approx(0.02, abs=1e-6)


def test_a_frame_seen_twice_moves_nothing_twice() -> None:
    path, bank = path_at(1000 * MS)
    path.add(vectors(0.01, 0.0), 1033 * MS)
    path.add(vectors(0.01, 0.0), 1033 * MS)
    assert path.shift(bank, 1033 * MS)[0, 0] == pytest.approx(0.01, abs=1e-6)


def test_motion_that_ended_before_the_boxes_were_known_is_skipped() -> None:
    path, bank = path_at(1000 * MS)
    path.add(vectors(0.01, 0.0), 1033 * MS)
    path.base_ns = 1040 * MS
    assert path.shift(bank, 1040 * MS)[0, 0] == 0
    assert MotionPath(MotionSettings()).shift(KalmanBank(MotionSettings()), MS).shape == (0, 2)


def test_a_velocity_within_its_own_error_counts_for_less() -> None:
    bank = KalmanBank(MotionSettings())
    bank.add(BOX)
    bank.speed[0, :2] = 0.01, 2.0
    x, y = bank.pace()[0] / bank.speed[0, :2]
    assert x < 0.1 and y > 0.9


def test_a_velocity_that_foretells_nothing_is_not_shown() -> None:
    """One object moves steadily, one jumps to and fro: only the first is moved on between detections."""
    steady, jerky = KalmanBank(MotionSettings()), KalmanBank(MotionSettings())
    for bank in (steady, jerky):
        bank.add(BOX)
    for i in range(1, 20):
        for bank, at in ((steady, 0.02 * i), (jerky, 0.04 * (i % 2))):
            bank.predict(0.1, bank.pace() * 0.1)
            bank.update(ROW, moved(at), ONE)
    assert steady.proven()[0, 0] == pytest.approx(0.2, rel=0.15)
    assert abs(jerky.proven()[0, 0]) < 0.3 * abs(jerky.pace()[0, 0])


def test_the_pictures_own_motion_is_told_apart() -> None:
    """The camera pans: everything moves, and what is not in the picture moves with it."""
    path, bank = path_at(1000 * MS)
    path.add(vectors(0.01, 0.0), 1033 * MS)
    seen = path.follow(bank, 1033 * MS)
    np.testing.assert_allclose(seen.camera, [0.01, 0.0], atol=1e-6)
    assert seen.sure[0] == pytest.approx(1.0) and not seen.cut


def test_a_frame_with_hardly_any_vectors_is_a_cut() -> None:
    path, bank = path_at(1000 * MS)
    path.add(vectors(0.0, 0.0), 1033 * MS)
    path.add(vectors(0.0, 0.0)[:20], 1066 * MS)
    assert not path.follow(bank, 1033 * MS).cut
    assert path.follow(bank, 1066 * MS).cut


def test_small_pictures_tell_the_motion_where_the_codec_does_not() -> None:
    path, bank = path_at(1000 * MS)
    for i in (1, 2, 3):
        path.add(None, (1000 + 33 * i) * MS, luma=picture(2.0 * i))
    shift = path.shift(bank, 1099 * MS)
    assert shift[0, 0] == pytest.approx(2 * 2.0 / 160, abs=0.002), "the first picture has none before it"


def picture(shift_px: float) -> NDArray[np.uint8]:
    """160 x 90, a texture that moved right by `shift_px`."""
    x, y = np.meshgrid(np.arange(160) - shift_px, np.arange(90))
    value: NDArray[np.float64] = 128 + 60 * np.sin(x / 4) * np.cos(y / 5) + 30 * np.sin(x / 9 + y / 7)
    return value.astype(np.uint8)


def watch_with(dx: float, frames: int, checks: bool = True) -> tuple[MotionPath, float]:
    """A box on a picture that moves by 1/160 a frame while the codec says `dx`, and its last shift."""
    bank = KalmanBank(MotionSettings())
    bank.add(BOX)
    path, went = MotionPath(MotionSettings()), 0.0
    path.rebase(1000 * MS)
    for i in range(frames):
        at_ns = (1000 + 33 * i) * MS
        luma = picture(float(i)) if checks and (i % 15 < 2 or path.vectors_lie) else None
        path.add(vectors(dx, 0.0), at_ns, luma=luma)
        went = float(path.follow(bank, at_ns).shift[0, 0])
        path.rebase(at_ns)
    return path, went


def test_vectors_that_contradict_the_picture_give_way_to_the_optical_flow() -> None:
    path, went = watch_with(-0.02, 100)
    assert path.vectors_lie and went == pytest.approx(1 / 160, abs=0.0008)
    unchecked, believed = watch_with(-0.02, 100, checks=False)
    assert not unchecked.vectors_lie and believed == pytest.approx(-0.02, abs=1e-6)


def test_vectors_that_agree_with_the_picture_are_kept() -> None:
    path, went = watch_with(1 / 160, 100)
    assert not path.vectors_lie and went == pytest.approx(1 / 160, abs=1e-6)


@pytest.mark.parametrize(("score", "follows"), [(0.9, True), (0.4, False)])
def test_a_sure_detection_far_off_is_a_turn_and_an_unsure_one_an_error(score: float, follows: bool) -> None:
    bank, row = KalmanBank(MotionSettings()), np.array([0])
    bank.add(np.array([[0.4, 0.4, 0.5, 0.6]]))
    for _ in range(30):
        bank.predict(1 / 30, np.zeros((1, 2)))
        bank.update(row, np.array([[0.4, 0.4, 0.5, 0.6]]), np.array([0.9]))
    bank.predict(1 / 30, np.zeros((1, 2)))
    bank.update(row, np.array([[0.44, 0.4, 0.54, 0.6]]), np.array([score]))
    assert (bank.state[0, 0] > 0.45 + 0.8 * 0.04) is np.bool_(follows)
