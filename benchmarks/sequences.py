"""Sequences in the MOTChallenge text format: true boxes, detections, and synthetic looks. numpy only.

Also read by the peers' own interpreters, so nothing here needs more than numpy.
"""

from __future__ import annotations

import configparser
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Looks = NDArray[np.float32]

SETS = ("Shop-calm", "Shop-stress", "DanceTrack-val-sim", "MOT17-val-half")
REGIMES = {"k1": (1, 0), "k3": (3, 0), "k6": (6, 0), "late3": (3, 3)}
"""Name -> every how many frames a detection, and how many frames after its capture it can be used."""

LOOK_SIZE = 64
NOT_A_PERSON = (2, 7, 8, 12)
"""MOT17's classes that are neither to be found nor an error when found: reflections, people on vehicles..."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One sequence. Boxes are x0 y0 x1 y1 in pixels; all lists have an entry per frame.

    Attributes:
        name: folder name.
        fps: frames per second.
        size: width and height in pixels.
        ids: true ids, int (n,).
        truth: true boxes (n, 4).
        ignored: boxes (n, 4) that are neither to be found nor wrong to find.
        found: detections (m, 5): box and score, best first.
        looks: what each detection looks like, unit float32 (m, LOOK_SIZE).
    """

    name: str
    fps: float
    size: tuple[int, int]
    ids: list[NDArray[np.int64]]
    truth: list[Floats]
    ignored: list[Floats]
    found: list[Floats]
    looks: list[Looks]

    def __len__(self) -> int:
        return len(self.ids)


def folders(root: Path, name: str) -> list[Path]:
    """The sequences of set `name`, in order."""
    return sorted(path for path in (root / name).iterdir() if (path / "seqinfo.ini").exists())


def load(folder: Path, seed: int = 1, frames: int | None = None) -> Sequence:
    """Read one sequence, or its first `frames`."""
    parser = configparser.ConfigParser()
    parser.read(folder / "seqinfo.ini")
    facts = parser["Sequence"]
    truth_rows = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",", ndmin=2)
    found_rows = np.loadtxt(folder / "det" / "det.txt", delimiter=",", ndmin=2)
    ids, truth, ignored, everyone, found = [], [], [], [], []
    length = max(int(facts["seqLength"]), int(truth_rows[:, 0].max()))
    for number in range(1, min(length, frames or length) + 1):
        rows = truth_rows[truth_rows[:, 0] == number]
        counts = (rows[:, 6] > 0) & (rows[:, 7] == 1)
        boxes = _corners(rows)
        ids.append(rows[counts, 1].astype(np.int64))
        truth.append(boxes[counts])
        ignored.append(boxes[np.isin(rows[:, 7], NOT_A_PERSON)])
        everyone.append((rows[:, 1].astype(np.int64), boxes))
        rows = found_rows[found_rows[:, 0] == number]
        rows = rows[np.argsort(-rows[:, 6], kind="stable")]
        found.append(np.column_stack((_corners(rows), rows[:, 6])))
    size = (int(facts["imWidth"]), int(facts["imHeight"]))
    looks = synthetic_looks(everyone, found, seed + _number(folder.name))
    return Sequence(folder.name, float(facts["frameRate"]), size, ids, truth, ignored, found, looks)


def crowd(objects: int, frames: int, seed: int) -> Sequence:
    """Boxes that drift about, each found in 95 of 100 frames: for timing an update."""
    rng = np.random.default_rng(seed)
    place, speed = rng.uniform((0, 0), (1800, 950), (objects, 2)), rng.normal(0, 2, (objects, 2))
    size, found = rng.uniform(40, 120, (objects, 2)), []
    for _ in range(frames):
        place = place + speed
        outside = (place < 0) | (place > (1800, 950))
        speed = np.where(outside, -speed, speed) + rng.normal(0, 0.1, (objects, 2))
        corner = place + rng.normal(0, 1.5, (objects, 2))
        rows = np.column_stack((corner, corner + size, rng.uniform(0.6, 0.97, objects)))
        found.append(rows[rng.random(objects) < 0.95])
    empty = [np.zeros((0, 4))] * frames
    ids = [np.zeros(0, np.int64)] * frames
    looks = [np.zeros((len(rows), LOOK_SIZE), np.float32) for rows in found]
    return Sequence("crowd", 30.0, (1920, 1080), ids, empty, empty, found, looks)


def digest(*parts: object) -> str:
    """A name for what follows from `parts`: strings, numbers, and the contents of files given as paths."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.read_bytes() if isinstance(part, Path) else repr(part).encode())
        total.update(b"\0")
    return total.hexdigest()[:24]


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every pair, (len(a), len(b))."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    inter = np.maximum(high - low, 0).prod(axis=2)
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    overlap: Floats = inter / np.maximum(area_a[:, None] + area_b[None] - inter, 1e-9)
    return overlap


def synthetic_looks(
    everyone: list[tuple[NDArray[np.int64], Floats]], found: list[Floats], seed: int
) -> list[Looks]:
    """Seeded stand-ins for embeddings: these sequences have no pixels.

    Objects resemble each other a little (cosine about 0.35) and themselves more (0.85 from one detection to
    the next, 0.75 in the long run); a covered object looks partly like what covers it, a false detection like
    nothing.
    """
    rng = np.random.default_rng(seed)
    common = _unit(rng.normal(size=LOOK_SIZE))
    known: dict[int, Floats] = {}
    drift: dict[int, Floats] = {}

    def look_of(object_id: int) -> Floats:
        if object_id not in known:
            known[object_id] = _unit(0.6 * common + 0.8 * _unit(rng.normal(size=LOOK_SIZE)))
        return known[object_id]

    looks = []
    for (ids, boxes), detections in zip(everyone, found, strict=True):
        overlap = iou(detections[:, :4], boxes)
        rows = np.empty((len(detections), LOOK_SIZE))
        for row in range(len(detections)):
            best = int(overlap[row].argmax()) if len(ids) else -1
            if best < 0 or overlap[row, best] < 0.4:
                rows[row] = _unit(rng.normal(size=LOOK_SIZE))
                continue
            object_id = int(ids[best])
            fresh = _unit(rng.normal(size=LOOK_SIZE))
            drift[object_id] = 0.95 * drift.get(object_id, fresh) + 0.31 * fresh
            rest = np.where(np.arange(len(ids)) == best, 0.0, overlap[row])
            cover = int(rest.argmax())
            mixed = look_of(object_id)
            if rest[cover] > 0.2:
                mixed = mixed + rest[cover] * look_of(int(ids[cover]))
            rows[row] = _unit(mixed + 0.45 * drift[object_id] + 0.35 * _unit(rng.normal(size=LOOK_SIZE)))
        looks.append(rows.astype(np.float32))
    return looks


def _corners(rows: Floats) -> Floats:
    return np.column_stack((rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]))


def _unit(vector: Floats) -> Floats:
    unit: Floats = vector / np.linalg.norm(vector)
    return unit


def _number(name: str) -> int:
    """A number for a name, the same in every run."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
