"""Colour names: flat cloth, cloth in front of something, and what the surroundings must not change."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.colours import NAMES, SHADES, colours, foreground, lab, resize

RGB = tuple[int, int, int]


def flat(colour: RGB, height: int = 60, width: int = 40) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def on(ground: RGB, colour: RGB) -> NDArray[np.uint8]:
    """A block of `colour` in the middle of `ground`."""
    image = flat(ground, 90, 90)
    image[18:72, 18:72] = colour
    return image


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0.0, 0.0)),
    ],
)
def test_lab_agrees_with_the_published_values(rgb: RGB, expected: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(lab(np.array(rgb, np.uint8)), expected, atol=0.05)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((200, 20, 30), "red"), ((20, 20, 22), "black"), ((250, 250, 250), "white"),
        ((120, 120, 120), "grey"),
        ((30, 120, 40), "green"), ((40, 90, 200), "blue"), ((25, 35, 70), "navy"), ((245, 220, 60), "yellow"),
        ((235, 130, 40), "orange"), ((130, 60, 160), "purple"), ((240, 130, 175), "pink"),
        ((100, 65, 35), "brown"), ((222, 205, 175), "beige"), ((40, 180, 175), "turquoise"),
    ],
)  # fmt: skip
def test_flat_cloth_has_the_colour_people_call_it(rgb: RGB, name: str) -> None:
    found = colours(flat(rgb))
    assert [colour.name for colour in found] == [name]
    assert found[0].share == pytest.approx(1, abs=1e-3) and found[0].confidence > 0.5


@pytest.mark.parametrize("shade", sorted({shade for shades in SHADES.values() for shade in shades}))
def test_every_shade_of_the_palette_is_nearest_to_its_own_name(shade: str) -> None:
    first = colours(flat(tuple(bytes.fromhex(shade))))[0]  # type: ignore[arg-type]
    assert shade in SHADES[first.name]


@pytest.mark.parametrize("ground", [(255, 255, 255), (20, 20, 20), (150, 110, 70)])
def test_surroundings_do_not_count(ground: RGB) -> None:
    found = colours(on(ground, (40, 90, 200)))
    assert found[0].name == "blue" and found[0].share > 0.9


def test_a_product_of_the_surroundings_colour_is_still_named() -> None:
    assert colours(on((240, 240, 240), (241, 241, 241)))[0].name == "white"


def test_two_colours_come_in_the_order_of_their_share() -> None:
    image = on((255, 255, 255), (200, 20, 30))
    image[54:72, 18:72] = (30, 120, 40)
    found = colours(image)
    assert [colour.name for colour in found[:2]] == ["red", "green"]
    assert found[0].share > found[1].share >= 0.15


def test_at_most_as_many_as_asked_for() -> None:
    image = np.concatenate([flat(c, 30, 60) for c in ((200, 20, 30), (30, 120, 40), (40, 90, 200))])
    assert len(colours(image, most=2, least=0.05)) == 2


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (4, 4), (4, 4, 4)])
def test_what_is_no_picture_has_no_colour(shape: tuple[int, ...]) -> None:
    assert colours(np.zeros(shape, np.uint8)) == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (333, 7), (48, 48)])
def test_any_size_will_do(shape: tuple[int, int]) -> None:
    assert colours(flat((200, 20, 30), *shape))[0].name == "red"


def test_the_names_are_those_of_the_palette() -> None:
    assert set(NAMES) == set(SHADES) and len(NAMES) == len(SHADES)


def test_resizing_averages_areas_exactly() -> None:
    image = np.random.default_rng(1).integers(0, 256, (12, 8, 3)).astype(np.uint8)
    wanted = image.reshape(3, 4, 4, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resize(image, 4, 3), wanted, atol=1e-3)
    uneven = resize(image, 5, 7)
    assert uneven.shape == (7, 5, 3)
    np.testing.assert_allclose(uneven.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=1e-3)


def test_foreground_leaves_out_a_plain_border_and_keeps_the_middle() -> None:
    pixels = lab(np.clip(resize(on((255, 255, 255), (40, 90, 200)), 48, 48), 0, 255))
    weight = foreground(pixels)
    assert weight[:4].max() < 0.05 and weight[24, 24] > 0.9
