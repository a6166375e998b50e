"""Reading a painted picture: which frame it shows, where the object is, where the hotspot is. Pure."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.painted.motion import BITS, CELL, OBJECT

Picture = NDArray[np.uint8]

OBJECT_RGB = (0, 200, 0)
MARKER_RGB = (255, 0, 255)


class Area(NamedTuple):
    """Where the video lies in a picture of the page, device pixels."""

    x: float
    y: float
    width: float
    height: float


class Seen(NamedTuple):
    """What one painted picture showed.

    Attributes:
        number: frame number in the barcode; None when it could not be read (torn, or not there).
        object: centre of the object, 0..1 of the video; None when not visible.
        marker: centre of the hotspot, 0..1 of the video; None when not visible.
    """

    number: int | None
    object: tuple[float, float] | None
    marker: tuple[float, float] | None


def picture(data: bytes) -> Picture:
    """Decode a JPEG or PNG to uint8 (height, width, 3) RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def read(page: Picture, video: Area) -> Seen:
    """Look at `page`, a picture of the whole viewport, where `video` says the video lies."""
    return Seen(barcode(page, video), find_object(page, video), find_marker(page, video))


def barcode(page: Picture, video: Area) -> int | None:
    """The frame number: row one says it, row two says it inverted; None where they disagree."""
    rows = []
    cell = CELL * video.width
    for row in range(2):
        value = 0
        for bit in range(BITS):
            level = _level(page, video.x + (bit + 0.5) * cell, video.y + (row + 0.5) * cell, cell * 0.2)
            if level is None or 96 < level < 160:
                return None
            value = value << 1 | int(level >= 160)
        rows.append(value)
    return rows[0] if rows[0] ^ rows[1] == (1 << BITS) - 1 else None


def find_object(page: Picture, video: Area) -> tuple[float, float] | None:
    """Centre of the green object from its outer edges, so that a hotspot on top of it does not move it."""
    cut = _cut(page, video)
    red, green, blue = cut[..., 0], cut[..., 1], cut[..., 2]
    mask = (green > 130) & (red < 110) & (blue < 110)
    return _centre(mask, 0.4 * OBJECT[1] * video.height, 0.4 * OBJECT[0] * video.width)


def find_marker(page: Picture, video: Area) -> tuple[float, float] | None:
    """Centre of the magenta hotspot from its outer edges."""
    cut = _cut(page, video)
    red, green, blue = cut[..., 0], cut[..., 1], cut[..., 2]
    mask = (red > 170) & (blue > 170) & (green < 110)
    return _centre(mask, 3, 3)


def _cut(page: Picture, video: Area) -> NDArray[np.int16]:
    top, left = max(0, round(video.y)), max(0, round(video.x))
    return page[top : round(video.y + video.height), left : round(video.x + video.width)].astype(np.int16)


def _centre(
    mask: NDArray[np.bool_], least_in_column: float, least_in_row: float
) -> tuple[float, float] | None:
    """Middle of the span of columns and rows that hold at least so many set pixels, 0..1."""
    columns = np.flatnonzero(mask.sum(axis=0) >= least_in_column)
    rows = np.flatnonzero(mask.sum(axis=1) >= least_in_row)
    if not len(columns) or not len(rows):
        return None
    height, width = mask.shape
    return (
        float(columns[0] + columns[-1] + 1) / 2 / width,
        float(rows[0] + rows[-1] + 1) / 2 / height,
    )


def _level(page: Picture, x: float, y: float, reach: float) -> float | None:
    patch = page[
        max(0, round(y - reach)) : round(y + reach) + 1, max(0, round(x - reach)) : round(x + reach) + 1
    ]
    return float(patch.mean()) if patch.size else None
