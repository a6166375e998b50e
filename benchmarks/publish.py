"""A real clip, published through real WebRTC by a process of its own whose CPU is nobody's business."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg

from benchmarks.harness import CannotRun
from benchmarks.machine import ROOT
from benchmarks.procs import Child, child

CACHE = ROOT / ".cache" / "benchmarks"
SHARED = ROOT.parent / "shared" / "data"
COFFEE = SHARED / "clips" / "dev" / "sam2_coffee.mp4"

WITHOUT_B_FRAMES = (
    "-an -vf scale=1280:720,fps=30 -c:v libx264 -preset veryfast -tune zerolatency -profile:v baseline "
    "-level 3.1 -bf 0 -g 30 -b:v 2500k -maxrate 2500k -bufsize 2500k -pix_fmt yuv420p"
).split()
"""WebRTC has no B-frames (RFC 6184 section 5.4: the modes browsers use forbid reordering); clips have."""


def ffmpeg() -> str:
    """Path of an ffmpeg that can publish WHIP."""
    path: str = imageio_ffmpeg.get_ffmpeg_exe()
    return path


def prepared(source: Path) -> Path:
    """`source` as 720p30 H264 baseline, made once and kept in the cache.

    Raises:
        CannotRun: ffmpeg cannot read it.
    """
    stat = source.stat()
    key = hashlib.sha256(f"{stat.st_size}{stat.st_mtime_ns}{WITHOUT_B_FRAMES}".encode()).hexdigest()
    target = CACHE / f"{source.stem}-{key[:12]}.mp4"
    if target.exists():
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part.mp4")
    command = [ffmpeg(), "-y", "-v", "error", "-i", source]
    done = subprocess.run(
        [str(argument) for argument in (*command, *WITHOUT_B_FRAMES, part)], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise CannotRun(f"ffmpeg could not prepare {source.name}: {done.stderr.strip()[-400:]}")
    part.rename(target)
    return target


def moving_square(seconds: int = 20) -> Path:
    """A green square that swings on grey, as 720p30 H264 baseline; made once and kept in the cache."""
    target = CACHE / f"square-{seconds}.mp4"
    if target.exists():
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    graph = (
        f"color=c=0x777777:s=1280x720:r=30:d={seconds}[grey];color=c=0x00C800:s=108x108:r=30:d={seconds}[square];"
        "[grey][square]overlay=x='586+380*sin(2*PI*t/5)':y='306+180*sin(2*PI*t/4)',format=yuv420p"
    )
    part = target.with_suffix(".part.mp4")
    command = [ffmpeg(), "-y", "-v", "error", "-f", "lavfi", "-i", graph, *WITHOUT_B_FRAMES, str(part)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotRun(f"ffmpeg could not draw the test clip: {done.stderr.strip()[-400:]}")
    part.rename(target)
    return target


@contextmanager
def publisher(clip: Path, url: str, key: str = "", cores: Sequence[int] | None = None) -> Iterator[Child]:
    """Publish `clip` to the WHIP endpoint `url` over and over in real time, packets copied."""
    command: list[str | Path] = [ffmpeg(), "-v", "error", "-re", "-stream_loop", "-1", "-i", clip]
    command += ["-c", "copy", "-f", "whip"]
    if key:
        command += ["-authorization", key]
    with child("publisher", [*command, url], cores=cores) as running:
        yield running
