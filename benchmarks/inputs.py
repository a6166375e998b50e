"""What does it cost to make a model's input of a decoded picture, and how much memory is asked for?

One thread, a real 720p picture after another, as the engine does it and as one usually does: swscale to
packed RGB or BGR of the model's size, then an array of planes in the model's type. Times are of the thread's
own processor clock, so that a busy machine spoils less; both ways take turns frame by frame.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks import pipeline
from benchmarks.harness import Benchmark, Outcome, Settings, main
from benchmarks.report import Report, Row, judge
from benchmarks.stats import percentile
from inference.detectors.picture import IMAGENET_MEAN, IMAGENET_STD, UNIT, ImageInput, Picture
from inference.geometry import fit
from inference.model import ModelInfo, TensorInfo
from inference.types import Rung
from stream.pixels import AvPixels, StreamReformatter
from stream.types import Frame, MediaTime, stream_id

FRAMES = 40


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model: its input's size and type, and how it wants its picture."""

    rung: Rung
    picture: Picture
    dtype: str = "tensor(float)"


KINDS: dict[str, Kind] = {
    "YOLOX 416x256": Kind(Rung(416, 256), Picture("bgr", "top-left", 114.0)),
    "NanoDet 416x416": Kind(
        Rung(416, 416), Picture("bgr", "centred", mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1])
    ),
    "RF-DETR 384x384": Kind(Rung(384, 384), Picture("rgb", "stretch", mean=IMAGENET_MEAN, std=IMAGENET_STD)),
    "YOLOv8 640x640": Kind(Rung(640, 640), Picture("rgb", "centred", 114.0, std=UNIT)),
    "YOLOv8 640x640, 16 bit": Kind(
        Rung(640, 640), Picture("rgb", "centred", 114.0, std=UNIT), "tensor(float16)"
    ),
}
Way = Callable[[av.VideoFrame], object]


def run(settings: Settings) -> Outcome:
    """A row per kind of model."""
    clip, said = pipeline._clip()
    with av.open(str(clip)) as container:
        frames = [frame for frame, _ in zip(container.decode(video=0), range(FRAMES), strict=False)]
    rows: list[Row] = []
    for name, kind in KINDS.items():
        if settings.wants(name):
            settings.say(name)
            rows.append(
                {"subject": name, "clip": said, **compare(kind, frames, 120 if settings.quick else 600)}
            )
    ratios = [float(str(row["ratio"])) for row in rows]
    return rows, [judge("ours against the usual way, worst kind", max(ratios), "<= 1", "x")] if rows else []


def compare(kind: Kind, frames: list[av.VideoFrame], runs: int) -> Row:
    """Both ways in turns: medians in ms, their ratio, and what a frame asks of the allocator in KiB."""
    ways = {"ours": ours(kind), "usual": usual(kind)}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(runs):
        for name, way in ways.items():
            began = time.thread_time_ns()
            way(frames[number % len(frames)])
            took[name].append((time.thread_time_ns() - began) / 1e6)
    p50 = {name: percentile(times[runs // 10 :], 50) for name, times in took.items()}
    return {
        **{f"{name}_ms_p50": round(value, 3) for name, value in p50.items()},
        "ratio": round(p50["ours"] / p50["usual"], 3),
        **{f"{name}_kib_per_frame": asked(way, frames) for name, way in ways.items()},
    }


def asked(way: Way, frames: list[av.VideoFrame]) -> int:
    """The most memory held at once for one frame, KiB, beyond what stays: what Python and numpy asked for."""
    way(frames[0])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for frame in frames[1:4]:
            way(frame)
        return round((tracemalloc.get_traced_memory()[1] - before) / 1024)
    finally:
        tracemalloc.stop()


def ours(kind: Kind) -> Way:
    """As the engine does it."""
    width, height = kind.rung.width, kind.rung.height
    info = ModelInfo((TensorInfo("x", (1, 3, height, width), kind.dtype),), ())
    image, reformatter = ImageInput(info, kind.picture), StreamReformatter()
    name = stream_id("bench")

    def way(frame: av.VideoFrame) -> object:
        return image.feed(Frame(name, MediaTime(1, 0), 0, 0, 0, AvPixels(frame, reformatter)), kind.rung)

    return way


def usual(kind: Kind) -> Way:
    """Packed colours from a reused converter; padded, transposed, typed, given the model's values."""
    picture, reformatter = kind.picture, VideoReformatter()
    dtype = np.float16 if kind.dtype == "tensor(float16)" else np.float32
    mean = np.array(picture.mean, np.float32)[:, None, None]
    std = np.array(picture.std, np.float32)[:, None, None]

    def way(frame: av.VideoFrame) -> NDArray[np.generic]:
        width, height = kind.rung.width, kind.rung.height
        top = left = 0
        if picture.place != "stretch":
            centred = picture.place == "centred"
            box, width, height = fit(frame.width, frame.height, kind.rung, centred=centred)
            top, left = int(box.pad_y), int(box.pad_x)
        scaled = reformatter.reformat(
            frame, width, height, f"{picture.order}24", interpolation=Interpolation.BILINEAR, threads=1
        ).to_ndarray()
        canvas = np.full((kind.rung.height, kind.rung.width, 3), picture.fill, np.uint8)
        canvas[top : top + height, left : left + width] = scaled
        planes = canvas.transpose(2, 0, 1).astype(np.float32)
        if picture.mean[0] or picture.std[0] != 1:
            planes = (planes - mean) / std
        return np.ascontiguousarray(planes[None].astype(dtype, copy=False))

    return way


def draw(report: Report, figure: Figure) -> None:
    """Left: milliseconds. Right: memory."""
    for axes, column, label in zip(
        figure.subplots(1, 2, sharey=True),
        ("ms_p50", "kib_per_frame"),
        ("ms a picture, p50", "KiB"),
        strict=True,
    ):
        for index, name in enumerate(("ours", "usual")):
            values = [float(str(row[f"{name}_{column}"])) for row in report.rows]
            axes.barh([place + 0.4 * index for place in range(len(values))], values, 0.4, label=name)
        axes.set_yticks(
            [n + 0.2 for n in range(len(report.rows))], [str(row["subject"]) for row in report.rows]
        )
        axes.set_xlabel(label)
    figure.axes[0].invert_yaxis()
    figure.axes[0].legend()


BENCH = Benchmark("inputs", run, draw, tuple(KINDS))

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
