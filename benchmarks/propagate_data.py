"""Clips with true boxes, at their own and at four times their speed, as WebRTC would carry them.

numpy only besides ffmpeg: also read by the peers' own interpreters, through `save` and `read`.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

Box = tuple[float, float, float, float]
Truth = list[dict[str, Box]]


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip.

    Attributes:
        name: for rows.
        video: H264 or VP8 without B-frames, 720p30.
        truth: per frame, object to box, 0..1.
    """

    name: str
    video: Path
    truth: Truth

    def save(self, path: Path) -> None:
        """For another interpreter."""
        path.write_text(json.dumps({"name": self.name, "video": str(self.video), "truth": self.truth}))


def read(path: Path) -> Clip:
    """What `Clip.save` wrote."""
    raw = json.loads(path.read_text())
    truth = [{key: tuple(box) for key, box in frame.items()} for frame in raw["truth"]]
    return Clip(raw["name"], Path(raw["video"]), truth)


def coffee_truth(path: Path) -> Truth:
    """Boxes of the shared coffee clip."""
    raw = json.loads(path.read_text())
    width, height = raw["size"]
    truth: Truth = []
    for number in range(raw["n_frames"]):
        boxes = {}
        for one in raw["frames"].get(str(number), []):
            x, y, w, h = one["bbox"]
            boxes[one["id"]] = (x / width, y / height, (x + w) / width, (y + h) / height)
        truth.append(boxes)
    return truth


def show_truth(path: Path, least: float = 0.5) -> Truth:
    """Boxes of the rendered show, of what is at least half visible."""
    raw = json.loads(path.read_text())
    return [
        {str(one["object"]): tuple(one["box"]) for one in frame if one["visibility"] >= least}
        for frame in raw["frames"]
    ]


def encoded(source: Path, target: Path, ffmpeg: str, *, every: int, codec: str) -> Path:
    """Every `every`-th frame of `source` as 720p30 without B-frames, made once.

    Raises:
        subprocess.CalledProcessError: ffmpeg cannot.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    filters = f"select='not(mod(n,{every}))',setpts=N/30/TB,scale=1280:720"
    kinds = {
        "H264": "-c:v libx264 -preset veryfast -tune zerolatency -profile:v baseline -bf 0 -g 600",
        "VP8": "-c:v libvpx -deadline realtime -cpu-used 8 -g 600",
    }
    part = target.with_name(f"part-{target.name}")
    command = [ffmpeg, "-y", "-v", "error", "-i", str(source), "-an", "-vf", filters, "-r", "30"]
    command += [*kinds[codec].split(), "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "2500k"]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(part)], check=True, capture_output=True)
    part.rename(target)
    return target


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)
