"""Vitrine's tracker over the sequences, as `benchmarks.peers.tracking` does it with the others.

``python -m benchmarks.track_ours JOB OUT``. Two subjects: boxes only, and with looks. Every frame is asked
for with `Tracker.query`; what is confirmed is shown. Boxes are not cut at the picture's edge: nor is the
truth.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.sequences import REGIMES, Floats, Looks, Sequence, crowd, folders, load
from inference.tracker import Tracker, TrackerSettings
from inference.types import Detections

SUBJECTS = {"vitrine": False, "vitrine + looks": True}
NAMES = ("object",)


def detections(sequence: Sequence) -> list[tuple[Detections, Looks]]:
    """What the tracker is given, frame by frame."""
    size = np.array(sequence.size * 2, np.float64)
    given = []
    for found, looks in zip(sequence.found, sequence.looks, strict=True):
        boxes = (found[:, :4] / size).astype(np.float32)
        sound = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & (found[:, 4] >= 0.1)
        scores = np.clip(found[sound, 4], 0, 1).astype(np.float32)
        given.append((Detections(boxes[sound], scores, np.zeros(len(scores), np.int32), NAMES), looks[sound]))
    return given


def follow(sequence: Sequence, stride: int, late: int, looks: bool) -> Floats:
    """Rows of frame, id, x0, y0, x1, y1 in pixels, of every frame."""
    tracker, given = Tracker(TrackerSettings(inside=False)), detections(sequence)
    size = np.array(sequence.size * 2, np.float64)
    rows: list[tuple[float, ...]] = []
    for frame in range(len(sequence)):
        captured = frame - late
        tracker.observe(None, _pts_ns(frame, sequence))
        if captured >= 0 and captured % stride == 0:
            found, like = given[captured]
            tracker.step(found, None, _pts_ns(captured, sequence), looks=like if looks else None)
        tracks = tracker.query(_pts_ns(frame, sequence))
        rows += [(frame, t.id, *(np.array(t.box) * size)) for t in tracks if t.confirmed]
    return np.array(rows, np.float64).reshape(-1, 6)


def update_ms(objects: int, seed: int) -> float:
    """Median milliseconds of an update with this many objects."""
    sequence = crowd(objects, 120, seed)
    tracker, took_ms = Tracker(), []
    for frame, (found, _) in enumerate(detections(sequence)):
        began = time.perf_counter()
        tracker.step(found, None, _pts_ns(frame, sequence))
        took_ms.append((time.perf_counter() - began) * 1e3)
    return float(np.median(took_ms[10:]))


def _pts_ns(frame: int, sequence: Sequence) -> int:
    return int(frame * 1e9 / sequence.fps)


def main() -> None:
    job, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    wanted = {name: looks for name, looks in SUBJECTS.items() if name in job["subjects"]}
    for set_name in job["sets"]:
        sequences = [load(f, job["seed"], job["frames"]) for f in folders(Path(job["root"]), set_name)]
        for subject, looks in wanted.items():
            answer = {
                f"{regime}|hold|{sequence.name}": follow(sequence, *REGIMES[regime], looks)
                for regime in job["regimes"]
                for sequence in sequences
            }
            np.savez(out / f"{set_name}|{subject}.npz", allow_pickle=False, **answer)
            print(set_name, subject, flush=True)
    speed = {subject: {n: update_ms(n, job["seed"]) for n in job["objects"]} for subject in wanted}
    (out / "vitrine.speed.json").write_text(json.dumps(speed))


if __name__ == "__main__":
    main()
