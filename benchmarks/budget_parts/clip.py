"""The clip that all subjects get, and what a better detector sees on each of its frames."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import av
from av.video.reformatter import VideoReformatter

from benchmarks.budget_parts.scoring import Found
from benchmarks.harness import CannotRun
from benchmarks.publish import CACHE, COFFEE, SHARED, WITHOUT_B_FRAMES, ffmpeg
from inference.detection import DetectorSettings, load_detector
from inference.runtime import RuntimeSettings
from inference.types import Rung
from stream.clock import MonotonicClock
from stream.pixels import AvPixels
from stream.types import Frame, MediaTime, stream_id

SECONDS = 48
"""Longer than any run: frames are numbered from the first packet on, so nothing may begin again."""
TEACHER = SHARED / "models" / "detect" / "nanodet_plus_m_416.onnx"
SURE = 0.4
"""The teacher's boxes from this score on are the pseudo-truth."""


def long_clip() -> Path:
    """The real clip over and over as one 720p30 H264 stream; made once and kept in the cache.

    Raises:
        CannotRun: the shared clip is not there, or ffmpeg fails.
    """
    if not COFFEE.exists():
        raise CannotRun(f"{COFFEE.name} is not among the shared clips; there is nothing to detect")
    target = CACHE / f"{COFFEE.stem}-{SECONDS}s.mp4"
    head = ["-stream_loop", "-1", "-i", str(COFFEE), "-t", str(SECONDS)]
    return _made(target, [*head, *WITHOUT_B_FRAMES])


def slow_clip(clip: Path) -> Path:
    """The same packets 1/25 s apart, while the stream itself still says 30 a second."""
    stretch = ["-i", str(clip), "-c", "copy", "-bsf:v", "setts=ts=TS*6/5:duration=DURATION*6/5"]
    return _made(clip.with_name(f"{clip.stem}-at25.mp4"), stretch)


def _made(target: Path, arguments: list[str]) -> Path:
    if target.exists():
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part.mp4")
    done = subprocess.run(
        [ffmpeg(), "-y", "-v", "error", *arguments, str(part)], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise CannotRun(f"ffmpeg could not make {target.name}: {done.stderr.strip()[-400:]}")
    part.rename(target)
    return target


def truth(clip: Path) -> list[list[Found]]:
    """NanoDet-Plus-416's boxes on every frame, worked out at leisure once and kept in the cache.

    Raises:
        CannotRun: its model is not there.
    """
    if not TEACHER.exists():
        raise CannotRun(f"{TEACHER.name} is not among the shared models")
    stat = clip.stat()
    seal = hashlib.sha256(f"{stat.st_size}{stat.st_mtime_ns}{SURE}".encode()).hexdigest()[:12]
    kept = CACHE / f"truth-{seal}.json"
    if kept.exists():
        return [[found_box(box) for box in boxes] for boxes in json.loads(kept.read_text())]
    settings = DetectorSettings(SURE, RuntimeSettings("cpu", 1))
    teacher = load_detector(TEACHER, rungs=[Rung(416, 416)], settings=settings)
    clock, rescale, rows = MonotonicClock(), VideoReformatter(), []
    with av.open(str(clip)) as container:
        for number, picture in enumerate(container.decode(video=0)):
            time = MediaTime(1, number * 3000)
            frame = Frame(stream_id("truth"), time, number * 33_333_333, 0, 0, AvPixels(picture, rescale))
            seen = teacher.detect(frame, teacher.rungs[0], None, clock).detections
            rows.append(
                [
                    (*map(float, box), float(score), seen.names[label])
                    for box, score, label in zip(seen.boxes, seen.scores, seen.labels, strict=True)
                ]
            )
    kept.write_text(json.dumps(rows))
    return [[found_box(box) for box in boxes] for boxes in rows]


def found_box(box: object) -> Found:
    """Any row of six values as a box."""
    assert isinstance(box, list | tuple) and len(box) == 6
    x0, y0, x1, y1, score, name = box
    return float(x0), float(y0), float(x1), float(y1), float(score), str(name)
