"""Pictures with true boxes: photos, clips and the embedded show, as frames that detectors take."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness import CannotRun
from benchmarks.publish import SHARED
from stream.pixels import AvPixels
from stream.sources.synthetic import SHOW, load_ground_truth
from stream.types import Frame, MediaTime, stream_id

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
VISIBLE = 0.5
"""An object of the show counts where at least this share of it is seen."""


class Sample(NamedTuple):
    """One picture and what is in it.

    Attributes:
        frame: to detect on.
        truth: float32 (n, 4), x0 y0 x1 y1 in 0..1 of the picture.
    """

    frame: Frame
    truth: Floats


def frame_of(picture: av.VideoFrame | Picture) -> Frame:
    """A decoded frame, or RGB uint8 (h, w, 3), as the engine would get it."""
    image = picture if isinstance(picture, av.VideoFrame) else av.VideoFrame.from_ndarray(picture, "rgb24")
    pixels = AvPixels(image, VideoReformatter())
    return Frame(stream_id("bench"), MediaTime(1, 0), 0, 0, 0, pixels)


def shared(relative: str) -> Path:
    """A shared data file.

    Raises:
        CannotRun: it is not there.
    """
    path = SHARED / relative
    if not path.exists():
        raise CannotRun(f"shared data not present: {relative}")
    return path


def held_photos(every: int = 1) -> Iterator[tuple[Picture, Floats]]:
    """In-store photos, RGB, with the hand-drawn box of the product held, float32 (1, 4) in 0..1.

    The shelves behind are full of products without a box.
    """
    with shared("grocery/dev/wild.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["x0"]]
    for row in rows[::every]:
        image = np.asarray(Image.open(shared(f"grocery/{row['image']}")).convert("RGB"), np.uint8)
        box = np.array([[float(row[key]) for key in ("x0", "y0", "x1", "y1")]], np.float32)
        yield image, (box / np.array(image.shape[1::-1] * 2, np.float32)).astype(np.float32)


def in_corner(image: Picture, truth: Floats, corner: int, larger: float = 1.6) -> tuple[Picture, Floats]:
    """`image` in a corner (0..3) of a grey picture `larger` times its sides, and `truth` moved along."""
    height, width = image.shape[:2]
    high, wide = round(height * larger), round(width * larger)
    y, x = (high - height) * (corner // 2), (wide - width) * (corner % 2)
    canvas = np.full((high, wide, 3), 114, np.uint8)
    canvas[y : y + height, x : x + width] = image
    size = np.array((width, height) * 2, np.float32)
    moved = (truth * size + np.array((x, y) * 2, np.float32)) / np.array((wide, high) * 2, np.float32)
    return canvas, moved.astype(np.float32)


def clip(path: Path, every: int) -> Iterator[tuple[int, Frame]]:
    """Number and frame of every `every`-th picture of a video file."""
    with av.open(str(path)) as container:
        for number, picture in enumerate(container.decode(video=0)):
            if number % every == 0:
                yield number, frame_of(picture)


def show(every: int) -> Iterator[Sample]:
    """The embedded show with its exact boxes.

    Raises:
        CannotRun: it is not in this checkout.
    """
    if not SHOW.exists():
        raise CannotRun("the embedded show is not here")
    frames = load_ground_truth().frames
    for number, frame in clip(SHOW, every):
        seen = (
            [one.box for one in frames[number] if one.visibility >= VISIBLE] if number < len(frames) else []
        )
        yield Sample(frame, np.array(seen, np.float32).reshape(-1, 4))


def coffee(name: str, every: int) -> Iterator[Sample]:
    """The clip `sam2_coffee` with the boxes of its object `name`."""
    truth = json.loads(shared("clips/dev/sam2_coffee.gt.json").read_text(encoding="utf-8"))["frames"]
    for number, frame in clip(shared("clips/dev/sam2_coffee.mp4"), every):
        found = [one["bbox"] for one in truth.get(str(number), []) if one["id"] == name]
        boxes = np.array(found, np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        size = np.array((frame.pixels.width, frame.pixels.height) * 2, np.float32)
        yield Sample(frame, cast(Floats, boxes / size))


def bottles(every: int) -> Iterator[Frame]:
    """The clip `intel_bottle`; it has no boxes of its own."""
    for _, frame in clip(shared("clips/dev/intel_bottle.mp4"), every):
        yield frame
