"""Where the models benchmark gets its pictures and true boxes from."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from benchmarks.harness import CannotRun
from benchmarks.model_parts import blank, pictures
from tests.shared import shared_path


@pytest.mark.parametrize("corner", range(4))
def test_a_photo_in_a_corner_keeps_its_pixels_and_its_box(corner: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    truth = np.array([[0.25, 0.5, 0.75, 1.0]], np.float32)
    larger, moved = pictures.in_corner(image, truth, corner)
    assert larger.shape == (64, 96, 3)
    x0, y0, x1, y1 = (moved[0] * (96, 64, 96, 64)).round().astype(int)
    np.testing.assert_array_equal(larger[y0:y1, x0:x1], image[20:40, 15:45])
    assert (larger == 114).all(axis=2).sum() >= 64 * 96 - 40 * 60


def test_a_frame_shows_the_picture_it_was_made_of() -> None:
    image = np.zeros((32, 48, 3), np.uint8)
    image[:, 24:] = (200, 100, 50)
    pixels = pictures.frame_of(image).pixels
    assert (pixels.width, pixels.height) == (48, 32)
    np.testing.assert_allclose(pixels.rgb()[16, 40], (200, 100, 50), atol=2)


def test_blank_pictures_are_wide_and_square_and_seeded() -> None:
    first, again = blank.blanks(5), blank.blanks(5)
    assert {one.shape for one in first} == {(360, 640, 3), (480, 480, 3)}
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_the_show_has_boxes_within_the_picture() -> None:
    samples = list(pictures.show(200))
    assert len(samples) >= 3
    truth = np.concatenate([sample.truth for sample in samples])
    assert len(truth) >= 5
    assert (truth >= 0).all() and (truth <= 1).all() and (truth[:, 2:] > truth[:, :2]).all()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(CannotRun, match="no/such/file"):
        pictures.shared("no/such/file")


def test_every_boxed_photo_is_used_once() -> None:
    with shared_path("grocery/dev/wild.csv").open(newline="") as file:
        count = sum(bool(row["x0"]) for row in csv.DictReader(file))
    found = list(pictures.held_photos(10))
    assert len(found) == -(-count // 10)
    assert all((box >= 0).all() and (box <= 1).all() and box.shape == (1, 4) for _, box in found)
