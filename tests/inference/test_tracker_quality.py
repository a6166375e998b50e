"""The tracker on recorded scenes: floors under what was measured.

IDF1 (Ristani et al., arXiv 1609.01775) over whole sets; every frame is scored, boxes predicted between
detections.
"""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from inference.geometry import iou_matrix
from inference.tracker import Tracker
from inference.types import Detections
from tests.shared import shared_path

Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class Sequence:
    """One scene: per frame the true ids and boxes, and the detections."""

    fps: float
    truth: list[tuple[list[int], Boxes]]
    detections: list[Detections]


def load(folder: Path) -> Sequence:
    parser = configparser.ConfigParser()
    parser.read(folder / "seqinfo.ini")
    facts = parser["Sequence"]
    size = np.array([float(facts["imWidth"]), float(facts["imHeight"])] * 2)
    truth_rows = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")
    counts = (truth_rows[:, 6] > 0) & (truth_rows[:, 7] == 1)  # MOT17 lists what is not to be found, too
    truth_rows = truth_rows[counts]
    found_rows = np.loadtxt(folder / "det" / "det.txt", delimiter=",")
    truth, detections = [], []
    for number in range(1, int(facts["seqLength"]) + 1):
        rows = truth_rows[truth_rows[:, 0] == number]
        truth.append((rows[:, 1].astype(int).tolist(), corners(rows, size)))
        rows = found_rows[found_rows[:, 0] == number]
        rows = rows[np.argsort(-rows[:, 6], kind="stable")]
        boxes = np.clip(corners(rows, size), 0, 1)
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & (rows[:, 6] >= 0.1)
        scores = np.clip(rows[solid, 6], 0, 1).astype(np.float32)
        labels = np.zeros(len(scores), np.int32)
        detections.append(Detections(boxes[solid], scores, labels, ("product",)))
    return Sequence(float(facts["frameRate"]), truth, detections)


def corners(rows: NDArray[np.float64], size: NDArray[np.float64]) -> Boxes:
    return (np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1) / size).astype(np.float32)


def identities(folder: Path, stride: int, late: int) -> tuple[float, int, int]:
    """Twice the frames that carry the right identity, all true and shown boxes, and shown ids."""
    scene, tracker = load(folder), Tracker()
    true_ids: dict[int, int] = {}
    shown_ids: dict[int, int] = {}
    hits: dict[tuple[int, int], int] = {}
    boxes_in_all = 0
    for number, (ids, truth) in enumerate(scene.truth):
        captured = number - late
        if captured >= 0 and captured % stride == 0:
            tracker.step(scene.detections[captured], None, int(captured * 1e9 / scene.fps))
        shown = [t for t in tracker.query(int(number * 1e9 / scene.fps)) if t.confirmed]
        boxes_in_all += len(ids) + len(shown)
        if not ids or not shown:
            continue
        overlap = iou_matrix(truth, np.array([track.box for track in shown], np.float32))
        for row, column in zip(*np.nonzero(overlap >= 0.5), strict=True):
            mine = true_ids.setdefault(ids[row], len(true_ids))
            theirs = shown_ids.setdefault(shown[column].id, len(shown_ids))
            hits[mine, theirs] = hits.get((mine, theirs), 0) + 1
    table = np.zeros((len(true_ids), len(shown_ids)))
    for (mine, theirs), count in hits.items():
        table[mine, theirs] = count
    rows, columns = linear_sum_assignment(-table)
    return 2 * float(table[rows, columns].sum()), boxes_in_all, len(shown_ids)


FLOORS = {  # set, detector stride, frames late: IDF1 in per cent; measured 88.0 87.7 71.4 80.9 63.2
    ("Shop-calm", 1, 0): 86.5,
    ("Shop-calm", 3, 3): 86.0,
    ("Shop-stress", 3, 0): 69.5,
    ("DanceTrack-val-sim", 1, 0): 78.5,
    ("MOT17-val-half", 1, 0): 61.5,
}


@pytest.mark.parametrize(("name", "stride", "late"), FLOORS)
def test_identities_are_kept(name: str, stride: int, late: int) -> None:
    folders = sorted(folder for folder in shared_path(f"tracks/{name}").iterdir() if folder.is_dir())
    parts = [identities(folder, stride, late) for folder in folders]
    idf1 = 100 * sum(part[0] for part in parts) / sum(part[1] for part in parts)
    assert idf1 >= FLOORS[name, stride, late]
