"""Generated clips: a moving picture with the frame number in a barcode."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

CELLS = 32


def picture(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """RGB picture with a moving square and a barcode of `number` (32 cells, most significant first)."""
    out = np.full((height, width, 3), 90, np.uint8)
    cell = width // CELLS
    for bit in range(CELLS):
        value = 235 if number >> (CELLS - 1 - bit) & 1 else 16
        out[0:cell, bit * cell : (bit + 1) * cell] = value
    side = height // 4
    x = number * 6 % (width - side)
    y = height // 2
    out[y : y + side, x : x + side] = (200, 60, 40)
    return out


def read_barcode(gray: NDArray[np.uint8]) -> int:
    """The number drawn by `picture` in a (height, width) luma picture of any size."""
    height, width = gray.shape[:2]
    cell = width / CELLS
    row = gray[int(cell / 2)]
    value = 0
    for bit in range(CELLS):
        value = value << 1 | int(row[int((bit + 0.5) * cell)] > 126)
    return value


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    frames: int = 60,
    size: tuple[int, int] = (320, 240),
    fps: int = 30,
    gop: int = 15,
    b_frames: int = 0,
    audio: bool = False,
) -> Path:
    """Encode a clip with PyAV into whatever container the suffix names."""
    with av.open(str(path), "w") as container:
        options = (
            {"tune": "zerolatency", "preset": "ultrafast"}
            if codec == "libx264"
            else {"deadline": "realtime", "cpu-used": "8"}
        )
        if b_frames:
            options = {"preset": "ultrafast", "bf": str(b_frames)}
        video = container.add_stream(codec, rate=fps, options=options)
        assert isinstance(video, av.VideoStream)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.gop_size = gop
        video.bit_rate = 800_000
        video.codec_context.thread_count = 1
        if not b_frames and codec == "libx264":
            video.codec_context.profile = "Baseline"
        sound = container.add_stream("libopus", rate=48_000, layout="stereo") if audio else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            assert isinstance(sound, av.AudioStream)
            for block in range(frames * 50 // fps):
                t = (np.arange(960) + block * 960) / 48_000
                wave = (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
                samples = av.AudioFrame.from_ndarray(
                    np.repeat(wave, 2).reshape(1, -1), format="s16", layout="stereo"
                )
                samples.sample_rate, samples.pts, samples.time_base = 48_000, block * 960, Fraction(1, 48_000)
                container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
    return path
