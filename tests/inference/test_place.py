"""Where tracks are shown, beside the filter that foretells where they go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.kalman import KalmanBank, MotionSettings, to_corners
from inference.place import PlaceBank, grown

FRAME_S = 0.04
ROW = np.array([0])
SURE = np.array([0.9], np.float32)


def box(x: float, y: float = 0.5, width: float = 0.1, height: float = 0.2) -> NDArray[np.float32]:
    return to_corners(np.array([[x, y, width, height]]))


def follow(bank: KalmanBank, x: float, *, seen: float | None = None) -> None:
    """One frame: foretell, move by what the picture showed (`seen`), take the detection at `x`."""
    if seen is None:
        bank.predict(FRAME_S, bank.pace() * FRAME_S)
    else:
        bank.predict(FRAME_S, np.array([[seen, 0.0]]), np.ones(1))
    bank.update(ROW, box(x), SURE)


def test_detections_that_tremble_are_shown_calmer_and_nearer_than_foretold() -> None:
    rng, bank = np.random.default_rng(1), KalmanBank(MotionSettings())
    bank.add(box(0.5))
    shown, foretold = [], []
    for off in rng.normal(0, 0.0015, 400):
        follow(bank, 0.5 + float(off))
        shown.append(bank.place.state[0, 0])
        foretold.append(bank.state[0, 0])
    assert np.std(shown) < 0.95 * np.std(foretold)
    assert np.diff(shown, 2).std() < 0.95 * np.diff(foretold, 2).std()


def test_what_stops_is_not_overshot() -> None:
    bank = KalmanBank(MotionSettings())
    bank.add(box(0.2))
    for frame in range(1, 21):
        follow(bank, 0.2 + 0.004 * frame)
    stopped, beyond = 0.2 + 0.004 * 20, []
    for _ in range(5):
        follow(bank, stopped)
        beyond.append((bank.place.state[0, 0] - stopped, bank.state[0, 0] - stopped))
    assert max(shown for shown, _ in beyond) <= 1e-9
    assert max(foretold for _, foretold in beyond) > 1e-4


def test_a_jump_is_shown_at_once() -> None:
    bank = KalmanBank(MotionSettings())
    bank.add(box(0.2))
    for _ in range(20):
        follow(bank, 0.2)
    follow(bank, 0.5)
    assert abs(bank.place.state[0, 0] - 0.5) < 0.001


def test_an_unsure_detection_far_off_is_not_shown_at_once() -> None:
    bank = PlaceBank(drift=0.02, turn=1.0)
    bank.add(np.array([[0.2, 0.5, 0.1, 0.2]]), np.full((1, 4), 1e-6))
    bank.predict(FRAME_S, np.full((1, 4), 0.1), np.zeros((1, 2)), None)
    bank.update(ROW, np.array([[0.5, 0.5, 0.1, 0.2]]), np.full((1, 4), 0.02), np.array([False]))
    assert abs(bank.state[0, 0] - 0.2) < 0.02


def test_what_the_picture_shows_moves_the_shown_place_without_lag() -> None:
    still, moved = KalmanBank(MotionSettings()), KalmanBank(MotionSettings())
    lag = []
    for bank, seen in ((still, None), (moved, 0.001)):
        bank.add(box(0.2))
        for frame in range(1, 31):
            follow(bank, 0.2 + 0.001 * frame, seen=seen)
        lag.append(0.23 - bank.place.state[0, 0])
    assert abs(lag[1]) < 1e-6 < 1e-4 < lag[0]


def test_what_is_missed_is_shown_where_it_is_foretold_to_go() -> None:
    bank = KalmanBank(MotionSettings())
    bank.add(box(0.2))
    for frame in range(1, 21):
        follow(bank, 0.2 + 0.004 * frame)
    before, expected = bank.place.state[0, 0], bank.pace()[0, 0] * FRAME_S
    bank.predict(FRAME_S, bank.pace() * FRAME_S)
    assert np.isclose(bank.place.state[0, 0], before + expected) and expected > 0.003
    bank.update(ROW, box(before), SURE)
    assert np.isclose(bank.place.state[0, 0], before)


def test_rows_stay_beside_their_tracks() -> None:
    bank = KalmanBank(MotionSettings())
    bank.add(np.concatenate((box(0.2), box(0.4), box(0.6))))
    bank.keep(np.array([True, False, True]))
    assert np.allclose(bank.place.state[:, 0], (0.2, 0.6))
    assert np.allclose(bank.shown(), bank.boxes())
    bank.restart(1, box(0.8)[0], np.zeros(4))
    assert np.allclose(bank.place.state[:, 0], (0.2, 0.8))


def test_variances_grow_only_for_sure_surprises() -> None:
    variance, noise = np.full((2, 1), 1e-4), np.full((2, 1), 0.01)
    factor = grown(variance, np.full((2, 1), 0.1), noise, np.array([True, False]), 1.0)
    assert np.allclose(factor[:, 0], (99.0, 1.0))
    assert np.allclose(grown(variance, np.full((2, 1), 0.01), noise, np.array([True, True]), 1.0), 1.0)
