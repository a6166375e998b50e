"""Renders turntables of the products with Blender and keeps them as RGBA pictures in a cache folder."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.show.labels import texture
from training.show.shapes import Part

SCRIPTS = Path(__file__).parent / "blender"
SHOW_LIGHT: dict[str, Any] = {
    "world": [[0.25, 0.22, 0.2], [0.75, 0.76, 0.8]],
    "world_strength": 0.55,
    "lights": [
        {"at": [-4.0, -4.5, 5.0], "size": [3.5, 3.5], "power": 520, "color": [1.0, 0.96, 0.9]},
        {"at": [5.0, -3.0, 2.5], "size": [2.0, 4.0], "power": 150, "color": [0.9, 0.95, 1.0]},
        {"at": [1.5, 4.5, 4.0], "size": [4.0, 1.5], "power": 180, "color": [1.0, 0.97, 0.92]},
    ],
}
SHOP_LIGHT: dict[str, Any] = {
    "world": [[0.9, 0.9, 0.9], [1.0, 1.0, 1.0]],
    "world_strength": 0.8,
    "lights": [
        {"at": [4.5, -4.0, 4.0], "size": [4.0, 4.0], "power": 330},
        {"at": [-4.5, -3.5, 2.0], "size": [2.0, 5.0], "power": 260},
    ],
}


@dataclass(frozen=True, slots=True)
class View:
    """One picture: name of the file without ending, camera elevation, yaw and lean in degrees.

    front: keep only what is nearer to the camera than this distance (dm) in front of the product's axis.
    """

    name: str
    elevation: float
    yaw: float
    tilt: float = 0.0
    roll: float = 0.0
    front: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A product by name, its parts and the views wanted of it.

    skin: limbs to fuse into one body; proxies: bodies that only shade the others; frame: (x, z, half side) of
    the picture in decimetres where the parts' own extent is not wanted.
    """

    name: str
    parts: list[Part]
    views: list[View]
    skin: list[Part] = field(default_factory=list)
    proxies: list[Part] = field(default_factory=list)
    frame: tuple[float, float, float] | None = None

    def square(self) -> tuple[float, float, float]:
        """(x, z, half side) of the picture."""
        return self.frame if self.frame is not None else (0.0, *extent(self.parts))


def extent(parts: list[Part]) -> tuple[float, float]:
    """(height of the centre, half side of a square that holds the product at every yaw), in decimetres."""
    points = np.concatenate([part.loft.reshape(-1, 3) for part in parts])
    height = float(points[:, 2].max())
    radius = float(np.hypot(points[:, 0], points[:, 1]).max())
    return height / 2, 1.1 * max(radius, 0.94 * height / 2 + 0.34 * radius)


def describe(name: str, parts: list[Part], work: Path, **flags: bool) -> list[dict[str, Any]]:
    """Write the parts' rings and textures under `work` and say where they are."""
    described = []
    for index, part in enumerate(parts):
        rings = work / f"{name}_{index}.f32"
        rings.write_bytes(part.loft.astype("<f4").tobytes())
        entry: dict[str, Any] = {
            "rings": str(rings.resolve()),
            "shape": part.loft.shape[:2],
            "color": part.color,
            "rough": part.rough,
            "metal": part.metal,
            "coat": part.coat,
            "grain": part.grain,
            "caps": part.caps,
            "paper_rough": part.paper_rough,
            **flags,
        }
        if part.printed is not None:
            path = work / f"{name}_{index}.png"
            texture(part.printed, part.aspect()).save(path)
            entry["texture"] = str(path.resolve())
        described.append(entry)
    return described


def blender(script: str, job: Path, threads: int = 2) -> None:
    """Run one of our scripts inside Blender. RuntimeError when Blender is missing or fails."""
    program = shutil.which("blender")
    if program is None:
        raise RuntimeError(
            "blender was not found on PATH; it is needed to render the show (Debian: apt install blender)"
        )
    done = subprocess.run(
        [
            program,
            "-b",
            "--factory-startup",
            "-noaudio",
            "-t",
            str(threads),
            "-P",
            str(SCRIPTS / script),
            "--",
            str(job),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or "Traceback" in done.stderr + done.stdout:
        raise RuntimeError(
            f"blender {script} failed ({done.returncode}): {(done.stdout + done.stderr)[-2000:]}"
        )


def render(
    requests: list[Request],
    out: Path,
    light: dict[str, Any],
    size: int = 384,
    samples: int = 24,
    seed: int = 0,
) -> None:
    """Render every view that is not there yet to out/<name>/<view>.png and write out/<name>/meta.json.

    meta.json: center_z and half in decimetres; a picture of `size` pixels spans 2 * half around the centre.
    """
    work = out.with_name(f"{out.name}-work")
    work.mkdir(parents=True, exist_ok=True)
    entries = []
    for request in requests:
        center_x, center_z, half = request.square()
        folder = out / request.name
        folder.mkdir(exist_ok=True)
        (folder / "meta.json").write_text(
            json.dumps({"center_x": center_x, "center_z": center_z, "half": half, "size": size})
        )
        missing = [v for v in request.views if not (folder / f"{v.name}.png").exists()]
        if missing:
            views = [{k: v for k, v in asdict(view).items() if v is not None} for view in missing]
            parts = describe(request.name, request.parts, work)
            parts += describe(f"{request.name}_skin", request.skin, work, fuse=True, skin=True)
            parts += describe(f"{request.name}_proxy", request.proxies, work, proxy=True)
            entries.append(
                {
                    "out": str(folder.resolve()),
                    "center_x": center_x,
                    "center_z": center_z,
                    "half": half,
                    "views": views,
                    "parts": parts,
                    "voxel": 0.022,
                }
            )
    if entries:
        job = work / "job.json"
        job.write_text(
            json.dumps({**light, "size": size, "samples": samples, "seed": seed, "products": entries})
        )
        blender("sprites.py", job)
