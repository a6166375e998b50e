"""A picture whose truth is known: a clip with hand-made boxes, or drawn cards."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

Spot = list[int]
Json = dict[str, Any]


class Show:
    """Frames and true boxes by frame number; loops."""

    def __init__(self, clip: Path | None, speed: int = 12) -> None:
        self.speed = speed
        self.clip = clip if clip and clip.exists() else None
        self.truth: dict[str, list[Json]] = {}
        self.length = 300
        if self.clip:
            told = json.loads(self.clip.with_suffix(".gt.json").read_text())
            self.truth, self.length = told["frames"], told["n_frames"]

    def spots(self, number: int) -> list[Spot]:
        """The true boxes of a frame as wire spots."""
        if not self.clip:
            x, y = self.place(number, self.speed)
            return [self._spot(1, x, y, 160, 120), self._spot(2, 1280 - x - 200, 420, 200, 200)]
        found = self.truth.get(str(number % self.length), [])
        return [self._spot(1 if o["id"] == "mug" else 2, *o["bbox"]) for o in found]

    @staticmethod
    def place(number: int, speed: int) -> tuple[float, float]:
        """Top left of the first card, 1280 x 720 pixels: to and fro, ``speed`` pixels a frame."""
        way = number * speed % 1920
        return 80 + min(way, 1920 - way), 200 + 60 * math.cos(number / 25)

    @staticmethod
    def _spot(pid: int, x: float, y: float, w: float, h: float) -> Spot:
        box = [x / 1280, y / 720, (x + w) / 1280, (y + h) / 720]
        return [pid + 6, pid, 0 if pid == 1 else 1, 0, *(min(10_000, max(0, round(v * 10_000))) for v in box)]

    def frames(self) -> Iterator[av.VideoFrame]:
        """Pictures of 960 x 540, without end."""
        number = 0
        while True:
            if self.clip:
                with av.open(str(self.clip)) as container:
                    for frame in container.decode(video=0):
                        yield frame.reformat(960, 540, "yuv420p")
                continue
            picture = np.full((540, 960, 3), (38, 42, 50), np.uint8)
            for _, pid, _, _, x0, y0, x1, y1 in self.spots(number):
                rows = slice(y0 * 540 // 10_000, y1 * 540 // 10_000)
                picture[rows, x0 * 960 // 10_000 : x1 * 960 // 10_000] = (
                    (70, 160, 220) if pid == 1 else (210, 140, 80)
                )
            for bit in range(16):  # which frame this is, for those who look at the painted picture
                picture[500:, bit * 60 : bit * 60 + 60] = 235 if number >> (15 - bit) & 1 else 20
            yield av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            number += 1
