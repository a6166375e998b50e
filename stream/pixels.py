"""`Pixels` over PyAV frames: colour conversion and scaling in one swscale pass, and only when asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from stream.types import Corners, Planes

_ORDERS = ("bgr", "rgb", "gray")
_PLANAR = "gbrp"
"""Planes, because swscale's packed formats are dearer or worse where it scales too: ``rgb24`` takes twice the
time and ``bgr24`` halves the chroma across (errors up to 34 of 255 instead of 1.5); 720p to 416x234."""
_GBR = (2, 0, 1)
"""Which plane of `_PLANAR` holds red, green, blue."""
_KEPT = 12
"""Converters kept per stream: the sizes of the ladder in use, parts of the picture, a crop, a luma plane."""


class StreamReformatter:
    """A stream's converters, one per size, target size and format, safe to use from several threads.

    PyAV's `VideoReformatter` keeps swscale's tables between frames as long as nothing changes, and releases
    the interpreter's lock while it works. One for everything would compute the tables anew whenever a crop
    follows a detector's picture: 0.14 ms each time.
    """

    def __init__(self) -> None:
        self._converters: OrderedDict[
            tuple[int, int, int | None, int | None, str | None], tuple[VideoReformatter, threading.Lock]
        ] = OrderedDict()
        self._lock = threading.Lock()

    def reformat(
        self,
        frame: av.VideoFrame,
        width: int | None = None,
        height: int | None = None,
        format: str | None = None,
        *,
        interpolation: int | None = None,
        threads: int | None = None,
    ) -> av.VideoFrame:
        """As `VideoReformatter.reformat`; conversions to the same target wait for each other."""
        target = (frame.width, frame.height, width, height, format)
        with self._lock:
            entry = self._converters.pop(target, None) or (VideoReformatter(), threading.Lock())
            self._converters[target] = entry
            if len(self._converters) > _KEPT:
                self._converters.popitem(last=False)
        converter, busy = entry
        with busy:
            return converter.reformat(
                frame, width, height, format, interpolation=interpolation, threads=threads
            )


class AvPixels:
    """A decoded frame, upright, that converts lazily.

    Converters are shared by all frames of a stream: they keep swscale's tables between frames (a new one per
    frame costs three times as much). Single-threaded on purpose: swscale's own threads make the tail worse.

    Args:
        frame: the decoded frame; never given to an encoder (encoders change it).
        reformatter: the stream's converter; a `StreamReformatter` where several threads convert.
    """

    __slots__ = ("_frame", "_reformatter", "_turns")

    def __init__(self, frame: av.VideoFrame, reformatter: VideoReformatter | StreamReformatter) -> None:
        self._frame = frame
        self._reformatter = reformatter
        self._turns = round(frame.rotation / 90) % 4

    @property
    def width(self) -> int:
        """Displayed width in pixels, rotation applied."""
        return self._frame.height if self._turns % 2 else self._frame.width

    @property
    def height(self) -> int:
        """Displayed height in pixels, rotation applied."""
        return self._frame.width if self._turns % 2 else self._frame.height

    def rgb(self) -> NDArray[np.uint8]:
        """Full resolution, (height, width, 3), RGB."""
        # Without scaling swscale is fastest in the packed format, and exact enough.
        whole = self._reformatted(self._frame, self._frame.width, self._frame.height, "rgb24")
        return np.ascontiguousarray(self._upright(cast("NDArray[np.uint8]", whole.to_ndarray())))

    def scaled(self, width: int, height: int, order: str = "bgr") -> NDArray[np.uint8]:
        """Scale and convert in one pass; see `stream.types.Pixels.scaled`.

        Raises:
            ValueError: unknown `order`, or a size below one pixel.
        """
        if order not in _ORDERS:
            raise ValueError(f"order: got {order!r}, expected one of {', '.join(_ORDERS)}")
        if order != "gray":
            planes = self.planes(width, height)
            return _interleaved(planes if order == "rgb" else planes[::-1])
        luma = self._reformatted(self._frame, *self._coded(width, height), "gray")
        return self._upright(_view(luma.planes[0])).copy()

    def planes(self, width: int, height: int) -> Planes:
        """Scale and convert in one pass; see `stream.types.Pixels.planes`. Views of swscale's output.

        Raises:
            ValueError: a size below one pixel.
        """
        red, green, blue = _planes(self._reformatted(self._frame, *self._coded(width, height), _PLANAR))
        return self._upright(red), self._upright(green), self._upright(blue)

    def crop(self, box: tuple[float, float, float, float], size: int) -> NDArray[np.uint8]:
        """Cut `box` (x0 y0 x1 y1, 0..1, clipped) and squash it to (size, size, 3) RGB.

        Only the luma and chroma inside the box are converted.

        Raises:
            ValueError: `size` below one pixel.
        """
        if size < 1:
            raise ValueError(f"size: got {size}, expected at least 1")
        cut, _ = self._rectangle(box)
        red, green, blue = _planes(self._reformatted(cut, size, size, _PLANAR))
        return _interleaved((self._upright(red), self._upright(green), self._upright(blue)))

    def part(self, box: Corners) -> tuple[AvPixels, Corners]:
        """A rectangle as a picture of its own, copied; see `stream.types.Pixels.part`."""
        cut, shown = self._rectangle(box)
        part = AvPixels(cut, self._reformatter)
        part._turns = self._turns
        return part, shown

    def _rectangle(self, box: Corners) -> tuple[av.VideoFrame, Corners]:
        """What is inside `box`, as coded and on even pixels, and which box that is as displayed."""
        x0, y0, x1, y1 = _unrotate(_clip(box), self._turns)
        frame = self._frame
        if frame.format.name not in ("yuv420p", "yuvj420p"):
            frame = self._reformatter.reformat(frame, format="yuv420p", threads=1)
        left = min(int(x0 * frame.width), frame.width - 2) & ~1
        top = min(int(y0 * frame.height), frame.height - 2) & ~1
        right = min(max(round(x1 * frame.width), left + 2), frame.width)
        bottom = min(max(round(y1 * frame.height), top + 2), frame.height)
        width, height = (right - left) & ~1, (bottom - top) & ~1
        coded = (
            left / frame.width,
            top / frame.height,
            (left + width) / frame.width,
            (top + height) / frame.height,
        )
        return _cut(frame, left, top, width, height), _unrotate(coded, -self._turns % 4)

    def motion_vectors(self) -> NDArray[np.float32] | None:
        """Codec motion, float32 (n, 4): centre x, y and shift dx, dy since the previous frame, all 0..1."""
        # Not frame.side_data: that container and its frame refer to each other, so every picture read from
        # would stay, 1.4 MB at 720p, until Python next looks for cycles, and that is minutes.
        side = SideDataContainer(self._frame).get("MOTION_VECTORS")  # type: ignore[call-arg]
        if side is None:
            return None
        raw = side.to_ndarray()
        if not len(raw):
            return None
        # A vector points from the block to where its content was in the past (source < 0).
        back = np.copysign(
            np.float32(1.0) / np.maximum(raw["motion_scale"], 1), raw["source"].astype(np.float32)
        )
        out = np.empty((4, len(raw)), np.float32).T  # whoever reads it reads columns
        for at, pixels in enumerate((self._frame.width, self._frame.height)):
            share = np.float32(1.0 / pixels)
            np.multiply(raw[("dst_x", "dst_y")[at]], share, out=out[:, at], dtype=np.float32)
            moved = raw[("motion_x", "motion_y")[at]]
            # int32 times float32 would be worked out in float64
            np.multiply(moved, back * share, out=out[:, 2 + at], dtype=np.float32, casting="unsafe")
        return _rotate_vectors(out, self._turns)

    def _coded(self, width: int, height: int) -> tuple[int, int]:
        """A displayed size as the frame is coded.

        Raises:
            ValueError: a size below one pixel.
        """
        if width < 1 or height < 1:
            raise ValueError(f"size: got {width}x{height}, expected at least 1x1")
        return (height, width) if self._turns % 2 else (width, height)

    def _upright(self, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turned as displayed: a view."""
        # rotation is counter-clockwise degrees to apply for display, as np.rot90 turns
        return np.rot90(array, self._turns) if self._turns else array

    def _reformatted(self, frame: av.VideoFrame, width: int, height: int, fmt: str) -> av.VideoFrame:
        return self._reformatter.reformat(
            frame, width=width, height=height, format=fmt, interpolation=Interpolation.BILINEAR, threads=1
        )


def _planes(frame: av.VideoFrame) -> Planes:
    """Red, green and blue of a `_PLANAR` frame, each (height, width), without a copy."""
    red, green, blue = (_view(frame.planes[index]) for index in _GBR)
    for plane in (red, green, blue):
        plane.flags.writeable = False  # where nothing had to be converted it is the decoder's own picture
    return red, green, blue


def _view(plane: VideoPlane) -> NDArray[np.uint8]:
    """What a plane shows, (height, width), without a copy; keeps its frame's memory alive."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _interleaved(planes: Planes) -> NDArray[np.uint8]:
    """Planes as one picture (height, width, 3), contiguous, in the same order of channels."""
    out = np.empty((*planes[0].shape, 3), np.uint8)
    for channel, plane in enumerate(planes):
        out[:, :, channel] = plane
    return out


def _clip(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, x1 = sorted((min(max(box[0], 0.0), 1.0), min(max(box[2], 0.0), 1.0)))
    y0, y1 = sorted((min(max(box[1], 0.0), 1.0), min(max(box[3], 0.0), 1.0)))
    return x0, y0, x1, y1


def _unrotate(box: tuple[float, float, float, float], turns: int) -> tuple[float, float, float, float]:
    """A box of the displayed picture in the coded picture, `turns` quarter turns counter-clockwise before."""
    x0, y0, x1, y1 = box
    for _ in range(turns):
        # displayed (x, y) came from coded (1 - y, x) of one quarter turn less
        x0, y0, x1, y1 = 1 - y1, x0, 1 - y0, x1
    return x0, y0, x1, y1


def _rotate_vectors(vectors: NDArray[np.float32], turns: int) -> NDArray[np.float32]:
    for _ in range(turns):
        x, y, dx, dy = vectors.T
        vectors = np.stack((y, 1 - x, dy, -dx), axis=1)
    return vectors


def _cut(frame: av.VideoFrame, left: int, top: int, width: int, height: int) -> av.VideoFrame:
    """Copy an even-aligned rectangle of a yuv420p frame."""
    out = av.VideoFrame(width, height, "yuv420p")
    for index, plane in enumerate(frame.planes):
        half = 0 if index == 0 else 1
        rows, columns = height >> half, width >> half
        part = _view(plane)[(top >> half) : (top >> half) + rows, (left >> half) : (left >> half) + columns]
        _view(out.planes[index])[:rows, :columns] = part
    out.colorspace = frame.colorspace
    out.color_range = frame.color_range
    return out
