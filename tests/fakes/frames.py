"""Frames without a video."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.types import Frame, MediaTime, Planes, stream_id

DEMO = stream_id("demo")


class FlatPixels:
    """A grey picture."""

    def __init__(self, width: int = 64, height: int = 36) -> None:
        self.width, self.height = width, height

    def rgb(self) -> NDArray[np.uint8]:
        return np.full((self.height, self.width, 3), 128, np.uint8)

    def scaled(self, width: int, height: int, order: str = "bgr") -> NDArray[np.uint8]:
        shape = (height, width) if order == "gray" else (height, width, 3)
        return np.full(shape, 128, np.uint8)

    def planes(self, width: int, height: int) -> Planes:
        plane = np.full((height, width), 128, np.uint8)
        return plane, plane, plane

    def crop(self, box: tuple[float, float, float, float], size: int) -> NDArray[np.uint8]:
        return np.full((size, size, 3), 128, np.uint8)

    def part(
        self, box: tuple[float, float, float, float]
    ) -> tuple[FlatPixels, tuple[float, float, float, float]]:
        width, height = round((box[2] - box[0]) * self.width), round((box[3] - box[1]) * self.height)
        return FlatPixels(width, height), box

    def motion_vectors(self) -> NDArray[np.float32] | None:
        return None


def frame(number: int, *, epoch: int = 1, fps: int = 30, now_ns: int = 0) -> Frame:
    """Frame `number` of a stream at `fps`."""
    return Frame(
        stream=DEMO,
        time=MediaTime(epoch, number * 90_000 // fps),
        pts_ns=number * 1_000_000_000 // fps,
        arrived_ns=now_ns,
        decoded_ns=now_ns,
        pixels=FlatPixels(),
    )
