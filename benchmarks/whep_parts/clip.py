"""What the streams show: 720p30 at about 2.5 Mb/s, the number of the frame in a barcode along the top."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, FPS = 1280, 720, 30
CELLS = 32
TICKS = 90_000 // FPS
GOP = 45
"""As in the embedded show: a keyframe each 1.5 s, which is what a joining viewer may have to wait."""


def write_clip(path: Path, frames: int = 300, kbps: int = 2500) -> Path:
    """Encode H264 Baseline without B-frames, with motion and noise enough to need the bitrate."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (HEIGHT + 64, WIDTH + 64, 1), np.uint8).repeat(3, axis=2)
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "tune": "zerolatency", "x264-params": "nal-hrd=cbr:scenecut=0"}
        video = container.add_stream("libx264", rate=FPS, options=options)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.gop_size, video.bit_rate = GOP, kbps * 1000
        context = video.codec_context
        context.profile, context.thread_count = "Baseline", 0
        context.options |= {"maxrate": f"{kbps}k", "bufsize": f"{kbps // 2}k"}
        for number in range(frames):
            x, y = number * 3 % 64, number * 2 % 64
            picture = (noise[y : y + HEIGHT, x : x + WIDTH] // 4 + 90).astype(np.uint8)
            cell = WIDTH // CELLS
            for bit in range(CELLS):
                value = 235 if number >> (CELLS - 1 - bit) & 1 else 16
                picture[0:cell, bit * cell : (bit + 1) * cell] = value
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path
