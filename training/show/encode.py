"""From composed pictures to the shipped H.264 file."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from training.show.camera import FPS, HEIGHT, WIDTH

PEAK_KBIT = 2500
KEY_INTERVAL = 45
SHEET_EVERY, SHEET_COLUMNS, SHEET_WIDTH = 30, 6, 320


def _run(arguments: list[str]) -> None:
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"ffmpeg failed ({done.returncode}): {done.stderr[-800:]}")


@contextmanager
def intermediate(path: Path) -> Iterator[IO[bytes]]:
    """A pipe for raw rgb24 pictures that end up nearly lossless in `path`."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-y",
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{WIDTH}x{HEIGHT}",
        "-r",
        str(FPS),
        "-i",
        "-",
        "-vf",
        "scale=out_color_matrix=bt709:out_range=tv",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-crf",
        "6",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "30",
        str(path),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    try:
        yield process.stdin
    finally:
        process.stdin.close()
        if process.wait() != 0:
            raise RuntimeError(f"ffmpeg could not write {path.name}")


def encode(parts: list[Path], out: Path, crf: int = 25) -> None:
    """Join the parts into one constrained-baseline file: no B frames, a key frame every 1.5 s, a peak rate.

    Every WebRTC browser decodes constrained baseline with packetization-mode 1 (RFC 7742 section 6.2).
    """
    listing = out.with_suffix(".txt")
    listing.write_text("".join(f"file '{part.resolve()}'\n" for part in parts))
    try:
        _run(
            [
                "-f",
                "concat",
                "-safe",
                "0",
                "-i",
                str(listing),
                "-an",
                "-c:v",
                "libx264",
                "-profile:v",
                "baseline",
                "-level:v",
                "3.1",
                "-preset",
                "slow",
                "-crf",
                str(crf),
                "-maxrate",
                f"{PEAK_KBIT}k",
                "-bufsize",
                f"{PEAK_KBIT // 2}k",
                "-bf",
                "0",
                "-g",
                str(KEY_INTERVAL),
                "-keyint_min",
                str(KEY_INTERVAL),
                "-sc_threshold",
                "0",
                "-x264-params",
                "repeat-headers=1:slices=1",
                "-pix_fmt",
                "yuv420p",
                "-color_primaries",
                "bt709",
                "-color_trc",
                "bt709",
                "-colorspace",
                "bt709",
                "-color_range",
                "tv",
                "-r",
                str(FPS),
                "-fflags",
                "+bitexact",
                "-flags:v",
                "+bitexact",
                "-movflags",
                "+faststart",
                str(out),
            ]
        )
    finally:
        listing.unlink()


def sheet(video: Path, frames: int, out: Path) -> None:
    """A picture of every second of `video` (`frames` long) on one sheet: to be judged by eye."""
    rows = -(-frames // (SHEET_EVERY * SHEET_COLUMNS))
    middle = SHEET_EVERY // 2
    shown = (
        f"select='eq(mod(n\\,{SHEET_EVERY})\\,{middle})',scale={SHEET_WIDTH}:-2,tile={SHEET_COLUMNS}x{rows}"
    )
    _run(["-i", str(video), "-vf", shown, "-frames:v", "1", "-q:v", "3", str(out)])
