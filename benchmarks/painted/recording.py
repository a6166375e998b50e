"""A recording of the known motion: the publisher's picture, drawn here, as MP4 and as HLS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from benchmarks.painted.motion import BITS, CELL, FPS, HEIGHT, OBJECT, WIDTH, Motion
from benchmarks.painted.readback import Picture

GOP_S = 2


def pictures(motion: Motion, count: int, seed: int) -> Iterator[Picture]:
    """RGB uint8 (HEIGHT, WIDTH, 3): a grey backdrop, the green object where `motion` has it, the barcode."""
    random = np.random.default_rng(seed)
    backdrop = np.full((HEIGHT, WIDTH, 3), 119, np.uint8)
    for _ in range(120):
        x, y = int(random.integers(0, WIDTH)), int(random.integers(0, HEIGHT))
        wide, high = int(random.integers(20, 140)), int(random.integers(20, 110))
        backdrop[y : y + high, x : x + wide] = random.integers(80, 170)
    width, height = round(OBJECT[0] * WIDTH), round(OBJECT[1] * HEIGHT)
    product = np.zeros((height, width, 3), np.uint8)
    tiles = random.integers(175, 235, (height // 9 + 1, width // 9 + 1))
    product[..., 1] = tiles.repeat(9, 0).repeat(9, 1)[:height, :width]
    for number in range(count):
        shot = backdrop.copy()
        across, down = motion.at(number)
        left, top = round(across * WIDTH - width / 2), round(down * HEIGHT - height / 2)
        shot[top : top + height, left : left + width] = product
        _barcode(shot, number)
        yield shot


def _barcode(shot: Picture, number: int) -> None:
    cell = round(CELL * WIDTH)
    for row, value in enumerate((number, ~number)):
        for bit in range(BITS):
            level = 255 if value >> (BITS - 1 - bit) & 1 else 0
            shot[row * cell : (row + 1) * cell, bit * cell : (bit + 1) * cell] = level


def write_mp4(path: Path, motion: Motion, seconds: float, seed: int) -> Path:
    """H264 with B-frames and sound, as most recordings are."""
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-")
    sound = ("-f", "lavfi", "-t", str(seconds), "-i", "sine=330:sample_rate=48000")
    video = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-bf", "3", "-g", str(GOP_S * FPS))
    command = _ffmpeg(
        *raw, *sound, *video, "-pix_fmt", "yuv420p", "-c:a", "aac", "-map", "0:v", "-map", "1:a"
    )
    with subprocess.Popen([*command, str(path)], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for shot in pictures(motion, round(seconds * FPS), seed):
            process.stdin.write(shot.tobytes())
        process.stdin.close()
    if process.returncode:
        raise RuntimeError(f"ffmpeg ended with status {process.returncode}")
    return path


def write_hls(folder: Path, video: Path, kind: str) -> Path:
    """The same encoded frames as an HLS list of two-second segments; `kind` is ``fmp4`` or ``mpegts``."""
    folder.mkdir(parents=True)
    playlist = folder / "index.m3u8"
    options = ("-f", "hls", "-hls_time", str(GOP_S), "-hls_playlist_type", "vod", "-hls_segment_type", kind)
    subprocess.run([*_ffmpeg("-i", str(video), "-c", "copy", *options), str(playlist)], check=True)
    return playlist


def _ffmpeg(*arguments: str) -> list[str]:
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
