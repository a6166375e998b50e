"""Renders the empty shop and cleans the render noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from training.show.camera import DISTANCE, ELEVATION, HALF_WIDTH, PLATE_HEIGHT, PLATE_WIDTH, TARGET, project
from training.show.picture import clean
from training.show.sprites import SHOW_LIGHT, blender

FSTOP = 0.12
WALL_BLUR = 2.5


def render_plate(cache: Path, seed: int, samples: int = 48, scale: float = 1.0) -> Path:
    """Render cache/plate.png unless it is there."""
    out = cache / "plate.png"
    if out.exists():
        return out
    cache.mkdir(parents=True, exist_ok=True)
    job: dict[str, Any] = {
        **SHOW_LIGHT,
        "size": 64,
        "samples": samples,
        "seed": seed,
        "width": int(PLATE_WIDTH * scale),
        "height": int(PLATE_HEIGHT * scale),
        "elevation": ELEVATION,
        "distance": DISTANCE,
        "target": list(TARGET),
        "half_width": HALF_WIDTH,
        "fstop": FSTOP,
        "out": str(out.resolve()),
    }
    path = cache / "plate.json"
    path.write_text(json.dumps(job))
    blender("scene.py", path)
    return out


def plate(path: Path) -> Image.Image:
    """The plate, without noise, at PLATE_WIDTH x PLATE_HEIGHT. Cleaned once and kept beside the render."""
    kept = path.with_name("plate-clean.png")
    if not kept.exists():
        raw = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
        solid = np.concatenate([raw, np.ones_like(raw[..., :1])], axis=-1)
        smooth = clean(solid, radius=4, strength=0.085)[..., :3]
        edge = project(0.0, 3.2, 0.0).y * len(smooth) / PLATE_HEIGHT
        soft = gaussian_filter(smooth, (WALL_BLUR, WALL_BLUR, 0))
        near = np.clip((np.arange(len(smooth)) - edge + 2) / 6, 0, 1)[:, None, None]
        smooth = soft * (1 - near) + smooth * near
        Image.fromarray(np.round(smooth * 255).astype(np.uint8)).save(kept)
    return Image.open(kept).convert("RGB").resize((PLATE_WIDTH, PLATE_HEIGHT), Image.Resampling.LANCZOS)
