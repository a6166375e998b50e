from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.flow import FlowField, Pyramid, flow_size

BOXES = np.array([[0.2, 0.2, 0.4, 0.5], [0.6, 0.5, 0.7, 0.7]])
STILL = np.zeros((2, 2))


def scene(dx: float = 0.0, dy: float = 0.0, light: float = 0.0, nearer: float = 1.0) -> NDArray[np.uint8]:
    """160 x 90: smooth noise that moved by (dx, dy) pixels, enlarged about the middle."""
    rng = np.random.default_rng(5)
    waves = rng.uniform(0.1, 0.5, (12, 2)), rng.uniform(0, 6, 12), rng.uniform(4, 14, 12)
    x, y = np.meshgrid(
        (np.arange(160) - 79.5) / nearer + 79.5 - dx, (np.arange(90) - 44.5) / nearer + 44.5 - dy
    )
    value = np.full(x.shape, 120.0 + light)
    for (across, down), phase, height in zip(*waves, strict=True):
        value += height * np.sin(across * x + down * y + phase)
    return np.clip(value, 0, 255).astype(np.uint8)


def flow(after: NDArray[np.uint8]) -> FlowField:
    return FlowField(Pyramid(scene()), Pyramid(after))


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.4, -0.3), (2.5, 1.0), (-6.0, 4.0)])
def test_a_moved_scene_moves_its_boxes(dx: float, dy: float) -> None:
    shift, sure, _ = flow(scene(dx, dy)).shift(BOXES, STILL)
    np.testing.assert_allclose(shift * (160, 90), [[dx, dy]] * 2, atol=0.25)
    assert (sure > 0.8).all()


def test_a_scene_that_comes_nearer_makes_its_boxes_grow() -> None:
    before, after = Pyramid(scene()), Pyramid(scene(nearer=1.02))
    centred = np.array([[0.35, 0.3, 0.65, 0.7]])
    shift, sure, grown = FlowField(before, after).shift(centred, STILL[:1])
    assert np.abs(shift * (160, 90)).max() < 0.5
    assert sure[0] > 0.8
    assert 1.006 < grown[0] <= 1.02, "believed by half"
    assert flow(scene(2.5, 1.0)).shift(BOXES, STILL).grown == pytest.approx(1.0, abs=0.004)


def test_changing_light_moves_nothing() -> None:
    shift, sure, _ = flow(scene(light=15)).shift(BOXES, STILL)
    np.testing.assert_allclose(shift * (160, 90), 0, atol=0.1)
    assert (sure > 0.8).all()


def test_a_flat_picture_says_nothing_and_the_guess_stands() -> None:
    flat = Pyramid(np.full((90, 160), 100, np.uint8))
    shift, sure, _ = FlowField(flat, flat).shift(BOXES, STILL + 0.01)
    assert sure.tolist() == [0, 0]
    np.testing.assert_allclose(shift, 0.01)


def test_another_scene_is_a_cut_and_a_moved_one_is_not() -> None:
    assert flow(np.where(scene() > 120, 20, 230).astype(np.uint8)).cut
    assert not flow(scene(6, 4)).cut


def test_boxes_beyond_the_picture_are_no_trouble() -> None:
    outside = np.array([[-0.5, -0.5, -0.1, -0.1], [0.9, 0.9, 1.4, 1.3], [0.5, 0.5, 0.5, 0.5]])
    shift, sure, _ = flow(scene(1, 1)).shift(outside, np.zeros((3, 2)))
    assert np.isfinite(shift).all() and np.isfinite(sure).all()
    assert flow(scene()).shift(np.zeros((0, 4)), np.zeros((0, 2)))[0].shape == (0, 2)


def test_the_small_picture_keeps_the_big_ones_shape() -> None:
    assert flow_size(1280, 720) == (160, 90)
    assert flow_size(720, 1280) == (90, 160)
    assert flow_size(0, 0) == (2, 2)
