from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from overlay.catalog.pictures import (
    PictureError,
    PictureLimits,
    decode_picture,
    encode_jpeg,
    product_box,
    views,
)
from tests.overlay.catalog.makers import encoded, picture

LIMITS = PictureLimits(max_pixels=1_000_000, min_side=16, side=100)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_usual_formats_become_rgb(kind: str) -> None:
    made = decode_picture(encoded(picture(size=(60, 40)), kind), LIMITS)
    assert made.shape == (40, 60, 3) and made.dtype == np.uint8
    assert np.abs(made[20, 30].astype(int) - (200, 30, 30)).max() < 30


def test_big_pictures_are_scaled_down_keeping_their_shape() -> None:
    assert decode_picture(encoded(picture(size=(400, 200))), LIMITS).shape == (50, 100, 3)


def test_transparency_becomes_white() -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert decode_picture(saved(image), LIMITS).min() == 255
    palette = Image.new("P", (40, 40))
    assert decode_picture(saved(palette, transparency=0), LIMITS).shape == (40, 40, 3)


def test_camera_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.new("RGB", (60, 30)), "JPEG", exif=exif)
    assert decode_picture(data, LIMITS).shape == (60, 30, 3)


@pytest.mark.parametrize("mode", ["L", "CMYK", "I;16", "1", "LA"])
def test_other_colour_modes_become_rgb(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert decode_picture(saved(Image.new(mode, (30, 30)), kind), LIMITS).shape == (30, 30, 3)


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"\x89PNG\r\n\x1a\n", bytes(1000)])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="not a picture"):
        decode_picture(data, LIMITS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_pictures_are_refused(kind: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (90, 90, 3)).astype(np.uint8)
    data = encoded(noise, kind)
    with pytest.raises(PictureError):
        decode_picture(data[: int(len(data) * share)], LIMITS)


def test_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = saved(Image.new("1", (10_000, 10_000)))
    assert len(bomb) < 100_000
    with pytest.raises(PictureError, match="scale it down"):
        decode_picture(bomb, LIMITS)
    with pytest.raises(PictureError, match="got 1100x1000 pixels"):
        decode_picture(saved(Image.new("1", (1100, 1000))), LIMITS)


def test_tiny_pictures_are_refused() -> None:
    with pytest.raises(PictureError, match="at least 16"):
        decode_picture(saved(Image.new("RGB", (15, 200))), LIMITS)


def test_product_is_found_on_a_plain_background() -> None:
    assert product_box(picture(size=(120, 80))) == (30, 20, 90, 60)


def test_busy_full_or_empty_pictures_have_no_product_box() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (50, 50, 3)).astype(np.uint8)
    assert product_box(noise) is None
    assert product_box(np.full((50, 50, 3), 255, np.uint8)) is None
    full = np.full((50, 50, 3), 255, np.uint8)
    full[1:-1, 1:-1] = 0
    assert product_box(full) is None


def test_views_are_the_product_and_the_whole_picture() -> None:
    made = views(picture((10, 200, 10)), 32)
    assert made.shape == (2, 32, 32, 3)
    assert (made[0, 4, 4] == (10, 200, 10)).all() and (made[1, 0, 0] == 255).all()
    assert views(np.zeros((50, 50, 3), np.uint8), 32).shape == (1, 32, 32, 3)


def test_jpeg_round_trip() -> None:
    again = decode_picture(encode_jpeg(picture(size=(60, 40))), LIMITS)
    assert again.shape == (40, 60, 3)
