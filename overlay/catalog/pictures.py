"""Catalogue pictures: bytes to a normalised RGB picture, and to the views that are embedded. Blocking."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_PLAIN = 12
"""Corners that differ by no more than this (0..255) are one background."""
_DIFFERENT = 20
"""A pixel that differs from the background by more than this belongs to the product."""


class PictureError(Exception):
    """A picture that cannot be used; the message says why and how to fix it."""


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a picture may be.

    Attributes:
        max_pixels: width times height as stored; more is taken for a decompression bomb.
        min_side: smaller ones show too little to recognise anything by.
        side: the normalised picture's longer side at most.
    """

    max_pixels: int = 50_000_000
    min_side: int = 16
    side: int = 640


def decode_picture(data: bytes, limits: PictureLimits) -> NDArray[np.uint8]:
    """A picture as RGB uint8 (height, width, 3): upright, on white, at most `limits.side` long.

    Raises:
        PictureError: not a picture, damaged, too big or too small.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > limits.max_pixels:
                raise PictureError(
                    f"got {width}x{height} pixels, expected at most {limits.max_pixels}; scale it down"
                )
            if min(width, height) < limits.min_side:
                raise PictureError(
                    f"got {width}x{height} pixels, expected at least {limits.min_side} on the shorter side"
                )
            image.draft("RGB", (2 * limits.side, 2 * limits.side))
            upright = ImageOps.exif_transpose(image)
            upright.thumbnail((limits.side, limits.side), Image.Resampling.LANCZOS)
            return _on_white(upright)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(f"more than {limits.max_pixels} pixels; scale it down") from None
    except UnidentifiedImageError:
        raise PictureError(f"{len(data)} bytes that are not a picture; expected JPEG, PNG or WebP") from None
    except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
        raise PictureError(f"damaged picture ({error}); export it again") from None


def _on_white(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in ("RGBA", "LA", "PA", "P"):
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return np.asarray(image.convert("RGB"), np.uint8)


def encode_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """RGB uint8 (height, width, 3) as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=88, optimize=True)
    return buffer.getvalue()


def product_box(picture: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Where the product is on a plain background: x0 y0 x1 y1 in pixels; None where there is none such.

    In live video a product is cut out along its box, so a catalogue picture with wide margins has to be cut
    the same way to look alike.
    """
    height, width = picture.shape[:2]
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]].astype(np.int16)
    if np.ptp(corners, axis=0).max() > _PLAIN:
        return None
    background = np.median(corners, axis=0)
    differs = np.abs(picture.astype(np.int16) - background).max(axis=2) > _DIFFERENT
    columns, rows = np.flatnonzero(differs.mean(axis=0) > 0.005), np.flatnonzero(differs.mean(axis=1) > 0.005)
    if not len(columns) or not len(rows):
        return None
    x0, x1, y0, y1 = int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1
    share = (x1 - x0) * (y1 - y0) / (width * height)
    return (x0, y0, x1, y1) if 0.02 < share < 0.92 else None


def views(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """What is embedded of a picture: uint8 (n, size, size, 3): the product cut out, and the whole picture."""
    boxes = [(0, 0, picture.shape[1], picture.shape[0])]
    product = product_box(picture)
    if product is not None:
        boxes.insert(0, product)
    return np.stack([resized(picture, size, box) for box in boxes])


def resized(
    picture: NDArray[np.uint8], size: int, box: tuple[int, int, int, int] | None = None
) -> NDArray[np.uint8]:
    """A picture, or a `box` of it (x0 y0 x1 y1 in pixels), squashed to uint8 (size, size, 3)."""
    image = Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image, np.uint8)
