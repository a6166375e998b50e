"""What a viewer sees of a tracker: flicker, jitter, ids, holes. Pure arithmetic over shown boxes.

A true object belongs to the shown box that overlaps it best (IoU 0.3 at least), the one it had in the frame
before if that still does.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.sequences import Floats, Sequence, iou
from benchmarks.stats import percentile

MATCH_IOU = 0.3
ABSENT_FRAMES = 3
AROUND_FRAMES = 30


@dataclass(frozen=True, slots=True)
class Sight:
    """A true object in one frame, and what was shown on it.

    Attributes:
        frame: index.
        truth: its box.
        shown_id: id shown, None for nothing.
        shown: box shown.
    """

    frame: int
    truth: Floats
    shown_id: int | None = None
    shown: Floats | None = None


@dataclass(slots=True)
class Tally:
    """Counts over sequences.

    Attributes:
        object_s: seconds that objects were in the picture.
        visible: frames times objects.
        covered: of these, with something shown.
        flickers: times that something shown on an object in view vanished.
        errors_px: distance of shown from true centre.
        jitter_px: second difference of the shown centre minus that of the true one.
        first_ms: from an object's first frame to the first frame it is shown on.
        ids: different ids shown per object.
        never: objects never shown.
        kept: returns from an absence with the id from before...
        returns: ...of all that were shown before and after.
        stray: boxes shown on nothing.
        seconds: of video.
    """

    object_s: float = 0.0
    visible: int = 0
    covered: int = 0
    flickers: int = 0
    errors_px: list[float] = field(default_factory=list)
    jitter_px: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    never: int = 0
    kept: int = 0
    returns: int = 0
    stray: int = 0
    seconds: float = 0.0

    def figures(self) -> dict[str, float | int | str]:
        """Everything, as it goes into a report's row."""
        squared = sum(value * value for value in self.jitter_px)
        return {
            "coverage_pct": round(100 * self.covered / max(1, self.visible), 2),
            "flicker_per_object_min": round(60 * self.flickers / max(1e-9, self.object_s), 2),
            "jitter_px": round((squared / max(1, len(self.jitter_px))) ** 0.5, 2),
            "centre_error_px": round(statistics.fmean(self.errors_px or [0.0]), 2),
            "ids_per_object": round(statistics.fmean(self.ids or [0]), 2),
            "first_ms_p50": round(percentile(self.first_ms, 50), 1),
            "first_ms_p90": round(percentile(self.first_ms, 90), 1),
            "returned_pct": round(100 * self.kept / max(1, self.returns), 1),
            "returns": self.returns,
            "stray_per_s": round(self.stray / max(1e-9, self.seconds), 2),
        }


Lives = dict[int, list[Sight]]
"""Every true object's frames, by its id."""


def watch(tally: Tally, sequence: Sequence, rows: Floats) -> None:
    """Add one sequence: `rows` are frame, id, x0, y0, x1, y1 of what was shown, in order of frames."""
    lives, stray = sights_of(sequence, rows)
    for sights in lives.values():
        _count(tally, sights, sequence.fps)
    tally.stray += stray
    tally.seconds += len(sequence) / sequence.fps


def sights_of(sequence: Sequence, rows: Floats) -> tuple[Lives, int]:
    """Every true object's frames, of those in the picture for half a second, and the boxes on nothing."""
    starts = np.searchsorted(rows[:, 0], np.arange(len(sequence) + 1))
    last: dict[int, int] = {}
    lives: Lives = {}
    stray = 0
    for frame, (ids, truth) in enumerate(zip(sequence.ids, sequence.truth, strict=True)):
        shown = rows[starts[frame] : starts[frame + 1]]
        pairs = _pairs(ids, truth, shown, last)
        stray += len(shown) - len(pairs)
        for row, object_id in enumerate(ids.tolist()):
            column = pairs.get(row)
            if column is None:
                sight = Sight(frame, truth[row])
            else:
                last[object_id] = int(shown[column, 1])
                sight = Sight(frame, truth[row], last[object_id], shown[column, 2:])
            lives.setdefault(object_id, []).append(sight)
    return {one: sights for one, sights in lives.items() if len(sights) >= sequence.fps / 2}, stray


def _pairs(ids: NDArray[np.int64], truth: Floats, shown: Floats, last: dict[int, int]) -> dict[int, int]:
    if not len(ids) or not len(shown):
        return {}
    overlap = iou(truth, shown[:, 2:])
    before = np.array([last.get(one, -1) for one in ids.tolist()])
    value = np.where(overlap >= MATCH_IOU, overlap + (before[:, None] == shown[None, :, 1]), 0.0)
    rows, columns = linear_sum_assignment(-value)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if value[r, c] > 0}


def _count(tally: Tally, sights: list[Sight], fps: float) -> None:
    tally.object_s += len(sights) / fps
    tally.visible += len(sights)
    errors = errors_px(sights)
    tally.covered += len(errors)
    first = first_ms(sights, fps)
    if first is None:
        tally.never += 1
        return
    tally.first_ms.append(first)
    tally.ids.append(len({sight.shown_id for sight in sights if sight.shown_id is not None}))
    tally.flickers += len(vanished(sights))
    tally.errors_px += errors.values()
    tally.jitter_px += jitter_px(sights).values()
    told = [kept for kept in returns(sights) if kept is not None]
    tally.returns += len(told)
    tally.kept += sum(told)


def first_ms(sights: list[Sight], fps: float) -> float | None:
    """From an object's first frame to the first it is shown on; None for never."""
    shown = next((sight.frame for sight in sights if sight.shown is not None), None)
    return None if shown is None else (shown - sights[0].frame) * 1000 / fps


def vanished(sights: list[Sight]) -> set[int]:
    """Indices of the frames after which something shown on an object in view was not shown any more."""
    return {
        index
        for index, (before, after) in enumerate(pairwise(sights))
        if after.frame == before.frame + 1 and before.shown is not None and after.shown is None
    }


def errors_px(sights: list[Sight]) -> dict[int, float]:
    """Distance of the shown from the true centre, by index."""
    return {
        index: float(np.linalg.norm(_centre(sight.shown) - _centre(sight.truth)))
        for index, sight in enumerate(sights)
        if sight.shown is not None
    }


def jitter_px(sights: list[Sight]) -> dict[int, float]:
    """Second difference of the shown centre minus that of the true one, by index of the first of three."""
    found = {}
    for index, (a, b, c) in enumerate(zip(sights, sights[1:], sights[2:], strict=False)):
        if a.shown is None or b.shown is None or c.shown is None or c.frame != a.frame + 2:
            continue
        if a.shown_id == b.shown_id == c.shown_id:
            bend = _centre(c.shown) - 2 * _centre(b.shown) + _centre(a.shown)
            true = _centre(c.truth) - 2 * _centre(b.truth) + _centre(a.truth)
            found[index] = float(np.linalg.norm(bend - true))
    return found


def returns(sights: list[Sight]) -> list[bool | None]:
    """Of each absence: is the usual id before it the usual one after it? None where one is not known."""
    found: list[bool | None] = []
    for index in range(1, len(sights)):
        if sights[index].frame - sights[index - 1].frame <= ABSENT_FRAMES:
            continue
        before = [s.shown_id for s in sights[max(0, index - AROUND_FRAMES) : index] if s.shown_id is not None]
        after = [s.shown_id for s in sights[index : index + AROUND_FRAMES] if s.shown_id is not None]
        known = len(before) >= 5 and len(after) >= 5
        found.append(
            Counter(before).most_common(1)[0][0] == Counter(after).most_common(1)[0][0] if known else None
        )
    return found


def _centre(box: Floats) -> Floats:
    middle: Floats = (box[:2] + box[2:]) / 2
    return middle
