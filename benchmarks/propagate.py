"""How well do boxes follow their objects between detections, and at what cost?

Clips with true boxes, re-encoded without B-frames, at their own and at four times their speed. A true box is
given every k frames; every frame in between is compared with its own true box (IoU). Vitrine is its real
tracker fed with the H264 stream's motion vectors, or, for VP8, with a 160 x 90 luma picture. Beside it the
same boxes held, moved on at constant velocity, and followed by OpenCV's pyramidal Lucas-Kanade. In "late3"
the true box of a frame arrives three frames later. Costs are processor time of one thread, without decoding
the video.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.machine import ROOT
from benchmarks.peers.registry import LUCAS_KANADE
from benchmarks.propagate_data import Box, Clip, Truth, coffee_truth, encoded, overlap, show_truth
from benchmarks.publish import CACHE, COFFEE, ffmpeg
from benchmarks.report import Report, Row, Target, judge, value_of
from benchmarks.stats import percentile
from inference.tracker import Tracker
from inference.types import Detections
from stream.pixels import AvPixels, StreamReformatter
from stream.sources.synthetic import SHOW

STRIDES = (3, 6, 10)
SPEEDS = (1, 4)
LUMA = (160, 90)
SIZE = (1280, 720)
FRAME_NS = 33_333_333
SUBJECTS = ("vitrine", "hold", "constant velocity", "lucas-kanade")
MADE_FOR = {"H264": "mp4", "VP8": "webm"}
LIMITS = {3: 0.80, 6: 0.74}


def run(settings: Settings) -> Outcome:
    """Every subject on every clip."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, speed, truth, source in _sources(settings):
            for codec in MADE_FOR if not settings.quick else ("H264",):
                clip = _clip(name, source, truth, speed, codec)
                settings.say(f"{name} x{speed} {codec}")
                if settings.wants("vitrine"):
                    rows.append(_vitrine(clip, speed, codec))
                if codec == "H264":
                    rows += [row for row in _simple(clip, speed) if settings.wants(str(row["subject"]))]
                    if settings.wants("lucas-kanade"):
                        rows.append(_lucas_kanade(clip, speed, Path(folder)))
    return rows, _judge(rows)


def _sources(settings: Settings) -> Iterator[tuple[str, int, Truth, Path]]:
    """Clip, speed, truth of the frames that are kept, file."""
    found: list[tuple[str, Truth, Path]] = []
    if COFFEE.exists():
        found.append(("coffee", coffee_truth(COFFEE.with_suffix(".gt.json")), COFFEE))
    if SHOW.exists():
        found.append(("show", show_truth(SHOW.with_suffix(".gt.json")), SHOW))
    if not found:
        raise CannotRun("neither the shared clips nor the embedded show are here")
    for name, truth, source in found:
        for speed in SPEEDS if not settings.quick else SPEEDS[1:]:
            yield name, speed, truth[::speed], source


def _clip(name: str, source: Path, truth: Truth, speed: int, codec: str) -> Clip:
    target = CACHE / f"propagate-{name}-x{speed}.{MADE_FOR[codec]}"
    try:
        return Clip(name, encoded(source, target, ffmpeg(), every=speed, codec=codec), truth)
    except subprocess.CalledProcessError as error:
        raise CannotRun(f"ffmpeg could not prepare {name}: {error.stderr[-300:]!r}") from error


# ---- subjects ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What a frame brought, and what it cost to get it out.

    Attributes:
        motion: codec vectors, for H264.
        luma: small picture, for the rest.
        cost_ms: processor time.
    """

    motion: NDArray[np.float32] | None
    luma: NDArray[np.uint8] | None
    cost_ms: float


def _vitrine(clip: Clip, speed: int, codec: str) -> Row:
    row: Row = {"subject": "vitrine", "clip": clip.name, "speed": speed, "codec": codec}
    took_ms, frames = list[float](), list(_decode(clip.video, codec))
    for stride in STRIDES:
        row[f"iou_k{stride}"] = _mean(follow(clip, frames, stride, 0, took_ms))
    row["iou_late3"] = _mean(follow(clip, frames, 3, 3, []))
    row["ms_p50"], row["ms_p95"] = round(percentile(took_ms, 50), 3), round(percentile(took_ms, 95), 3)
    return row


def follow(clip: Clip, frames: list[Seen], stride: int, late: int, took_ms: list[float]) -> list[float]:
    """IoU of every object in every frame without a fresh box; the cost of each such frame into `took_ms`."""
    tracker, ids, got = Tracker(), dict[str, int](), list[float]()
    for number, frame in enumerate(frames[: len(clip.truth)]):
        now_ns = (number + 1) * FRAME_NS
        began = time.thread_time()
        shown = tracker.coast(frame.motion, now_ns, size=SIZE, luma=frame.luma)
        cost_ms = frame.cost_ms + (time.thread_time() - began) * 1e3
        captured = number - late
        if captured >= 0 and captured % stride == 0:
            ids = _detect(tracker, clip.truth[captured], (captured + 1) * FRAME_NS)
            shown = tracker.query(now_ns)
        else:
            took_ms.append(cost_ms)
        if late or captured % stride:
            boxes = {track.id: track.box for track in shown}
            got += _overlaps(clip.truth, number, captured - captured % stride, ids, boxes)
    return got


def _decode(video: Path, codec: str) -> Iterator[Seen]:
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        if codec == "H264":
            stream.codec_context.options = {"flags2": "+export_mvs"}
        reformatter = StreamReformatter()
        for frame in container.decode(stream):
            pixels = AvPixels(frame, reformatter)
            began = time.thread_time()
            motion = pixels.motion_vectors() if codec == "H264" else None
            luma = pixels.scaled(*LUMA, "gray") if codec != "H264" else None
            yield Seen(motion, luma, (time.thread_time() - began) * 1e3)


def _detect(tracker: Tracker, truth: dict[str, Box], pts_ns: int) -> dict[str, int]:
    """Give the true boxes as detections; which track each object became."""
    boxes: NDArray[np.float32] = np.array(list(truth.values()), np.float32).reshape(-1, 4)
    scores, labels = np.full(len(boxes), 0.95, np.float32), np.zeros(len(boxes), np.int32)
    tracks = tracker.step(Detections(boxes, scores, labels, ("object",)), None, pts_ns)
    fresh = [track for track in tracks if track.measured_ns == pts_ns]
    return {
        name: max(fresh, key=lambda track, box=box: overlap(track.box, box)).id  # type: ignore[misc]
        for name, box in truth.items()
        if fresh
    }


def _overlaps(
    truth: Truth, number: int, captured: int, ids: dict[str, int], boxes: Mapping[int, Box]
) -> list[float]:
    """IoU of what is shown on each object that was there when its box was taken; 0 where nothing is."""
    if captured < 0:
        return []
    return [
        overlap(boxes[ids[name]], box) if ids.get(name) in boxes else 0.0
        for name, box in truth[number].items()
        if name in truth[captured]
    ]


def _simple(clip: Clip, speed: int) -> Iterator[Row]:
    """The box as it was, and moved on at the speed between the last two."""
    for subject in ("hold", "constant velocity"):
        row: Row = {"subject": subject, "clip": clip.name, "speed": speed, "codec": "-"}
        for stride, late in (*((stride, 0) for stride in STRIDES), (3, 3)):
            got = []
            for number, frame in enumerate(clip.truth):
                captured = (number - late) - (number - late) % stride
                if number - late < 0 or (captured == number and not late):
                    continue
                for name, box in frame.items():
                    if name in clip.truth[captured]:
                        before = clip.truth[captured - stride].get(name) if captured >= stride else None
                        moving = before if subject != "hold" else None
                        got.append(
                            overlap(_on(clip.truth[captured][name], moving, stride, number - captured), box)
                        )
            row["iou_late3" if late else f"iou_k{stride}"] = _mean(got)
        yield row


def _on(box: Box, before: Box | None, stride: int, ahead: int) -> Box:
    if before is None:
        return box
    dx = (box[0] + box[2] - before[0] - before[2]) / 2 / stride * ahead
    dy = (box[1] + box[3] - before[1] - before[3]) / 2 / stride * ahead
    return box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy


def _lucas_kanade(clip: Clip, speed: int, folder: Path) -> Row:
    row: Row = {"subject": "lucas-kanade", "clip": clip.name, "speed": speed, "codec": "H264"}
    if LUCAS_KANADE.missing:
        return {**row, "note": LUCAS_KANADE.missing}
    clip.save(folder / "clip.json")
    command = [str(part) for part in LUCAS_KANADE.command(folder / "clip.json", *map(str, STRIDES))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        return {**row, "note": f"failed: {done.stderr.strip().splitlines()[-1][:120]}"}
    return {**row, **json.loads(done.stdout.splitlines()[-1])}


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 4) if values else float("nan")


# ---- verdict -----------------------------------------------------------------------------------------------


def _judge(rows: list[Row]) -> list[Target]:
    targets = []
    for row in rows:
        if row["subject"] != "vitrine":
            continue
        where = f"{row['clip']} x{row['speed']} {row['codec']}"
        if row["codec"] == "H264":
            for stride, limit in LIMITS.items():
                name = f"IoU between boxes {stride} frames apart, {where}"
                targets.append(judge(name, value_of(row, f"iou_k{stride}"), f">= {limit:.2f}", ""))
            targets.append(judge(f"cost of a frame, p50, {where}", value_of(row, "ms_p50"), "<= 0.5", "ms"))
        for key in ("iou_k6", "iou_late3"):
            rivals = {
                str(other["subject"]): value_of(other, key)
                for other in rows
                if other["subject"] != "vitrine"
                and (other["clip"], other["speed"]) == (row["clip"], row["speed"])
                and key in other
            }
            if rivals:
                best = max(rivals, key=rivals.__getitem__)
                name = f"{key} ahead of {best}, {where}"
                targets.append(judge(name, value_of(row, key) - rivals[best], ">= 0", ""))
    return targets


def draw(report: Report, figure: Figure) -> None:
    """A panel per clip and speed: IoU against the distance of true boxes."""
    places = sorted({(str(row["clip"]), int(row["speed"] or 0)) for row in report.rows})
    for axes, (clip, speed) in zip(figure.subplots(1, len(places), squeeze=False)[0], places, strict=True):
        for row in report.rows:
            if (row["clip"], row["speed"]) == (clip, speed) and "iou_k3" in row:
                ours = row["subject"] == "vitrine"
                label = f"{row['subject']} {row['codec']}" if ours else str(row["subject"])
                values = [value_of(row, f"iou_k{stride}") for stride in STRIDES]
                axes.plot(STRIDES, values, linewidth=3 if ours else 1, marker=".", label=label)
        axes.set_title(f"{clip} x{speed}", fontsize=9)
        axes.set_xlabel("frames between true boxes")
    figure.axes[0].set_ylabel("IoU in between")
    figure.axes[0].legend(fontsize=6)


BENCH = Benchmark("propagate", run, draw, SUBJECTS)

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
