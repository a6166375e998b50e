"""The stages in which detections are given to tracks. Pure.

Three by place, as ByteTrack (arXiv 2110.06864) and C-BIoU (arXiv 2211.14317) do it: sure detections where the
tracks should be, unless an unsure one there has the track's place and looks and the sure one has not; unsure
ones to tracks seen just before; then what is left, with boxes grown wide, also
against where a track was last seen, unsure ones only where they lie as well as others. A last one by looks
alone, wherever in the picture, for tracks lost: sure detections first, then unsure ones, for which their
looks vouch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.association import FORBIDDEN, Codes, assign, pair_costs
from inference.life import TrackerSettings

LOOK_WEIGHT = 1.0
"""A pair less alike than the same object should be is dearer by this share of the difference in cosine."""

FAR_DEARER = 0.5
"""A sure detection dearer by this than an unsure one, to a track of known looks, is of something else."""

Pairs = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Sides:
    """Tracks on one side, detections on the other.

    Attributes:
        absent_ms: of each track, (n,): seen how long before the last detections.
        now: where the tracks should be, (n, 4).
        seen: where they were last seen, (n, 4).
        track_codes: their labels, (n,).
        boxes: of the detections, (m, 4).
        scores: of the detections, (m,).
        codes: their labels, (m,).
        likeness: cosine of what track and detection look like, (n, m), NaN where unknown; None without looks.
        told: how far low scores were found to tell of boxes that lie further off, 0..1.
    """

    absent_ms: NDArray[np.float64]
    now: NDArray[np.float32]
    seen: NDArray[np.float32]
    track_codes: Codes
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    codes: Codes
    likeness: NDArray[np.float32] | None = None
    told: float = 1.0


def pair(sides: Sides, settings: TrackerSettings, step_ms: float) -> Pairs:
    """(track, detection) of all stages; `step_ms` is the time since the last detections."""
    s, pairs = settings, Pairs()
    scores, absent = sides.scores.tolist(), sides.absent_ms.tolist()
    high = [i for i, score in enumerate(scores) if score >= s.high_score]
    low = [i for i, score in enumerate(scores) if s.low_score <= score < s.high_score]
    here = [row for row, ms in enumerate(absent) if ms <= s.here_ms]
    # Where unsure detections lie as well as others they find what was missed for longer, or stopped short.
    even = max(0.0, 1.0 - 2.0 * sides.told)
    low_ms = s.low_ms + even * (s.here_ms - s.low_ms)
    just = [row for row in here if absent[row] <= low_ms + step_ms]
    near = [row for row, ms in enumerate(absent) if ms <= s.near_ms]
    if here and high:
        pairs = _sure(sides, here, high, ([row for row in just if even], low), s)
    for rows, columns, buffer, limit, wide in (
        (just, low, 0.0, s.low_cost, False),
        (near, high, s.wide_buffer, s.wide_cost, True),
        (just if even else [], low, s.buffer, s.low_cost * even, True),
    ):
        rows, columns = _left(rows, columns, pairs)
        if rows and columns:
            costs = _costs(sides, rows, columns, buffer, wide, s)
            pairs += [(rows[r], columns[c]) for r, c in assign(costs, limit)]
    if sides.likeness is not None:
        for found in (high, low):
            rows, columns = _left(list(range(len(absent))), found, pairs)
            if rows and columns:
                pairs += _alike(sides, rows, columns, s)
    return pairs


def _sure(
    sides: Sides, rows: list[int], columns: list[int], unsure: tuple[list[int], list[int]], s: TrackerSettings
) -> Pairs:
    """Pairs of sure detections and tracks where they should be.

    Args:
        sides: tracks and detections.
        rows: tracks.
        columns: sure detections.
        unsure: tracks that may have been found by an unsure detection instead, and those detections.
        s: thresholds.
    """
    costs = _costs(sides, rows, columns, s.buffer, False, s)
    found = assign(costs, s.max_cost)
    just, low = unsure
    if just and low and sides.likeness is not None:
        best = dict(zip(just, _costs(sides, just, low, 0.0, False, s).min(axis=1).tolist(), strict=True))
        found = [(r, c) for r, c in found if costs[r, c] - best.get(rows[r], FORBIDDEN) < FAR_DEARER]
    return [(rows[r], columns[c]) for r, c in found]


def _left(rows: list[int], columns: list[int], pairs: Pairs) -> tuple[list[int], list[int]]:
    """Those not yet in a pair."""
    if not pairs:
        return rows, columns
    taken, used = {row for row, _ in pairs}, {column for _, column in pairs}
    return [row for row in rows if row not in taken], [column for column in columns if column not in used]


def _costs(
    sides: Sides, rows: list[int], columns: list[int], buffer: float, wide: bool, settings: TrackerSettings
) -> NDArray[np.float32]:
    found, mine, theirs = sides.boxes[columns], sides.track_codes[rows], sides.codes[columns]
    costs = pair_costs(sides.now[rows], mine, found, theirs, buffer=buffer, tall=not wide)
    if wide:  # where it was last seen counts as much as where it should be by now
        costs = np.minimum(costs, pair_costs(sides.seen[rows], mine, found, theirs, buffer=buffer))
    if sides.likeness is not None:
        alike = sides.likeness[np.ix_(rows, columns)]
        costs = costs + np.where(np.isnan(alike), 0.0, LOOK_WEIGHT * (settings.same_look - alike))
    return costs.astype(np.float32, copy=False)


def _alike(sides: Sides, rows: list[int], columns: list[int], settings: TrackerSettings) -> Pairs:
    """Pairs that look the same and resemble nothing else as much; not gated by position."""
    assert sides.likeness is not None
    alike = np.nan_to_num(sides.likeness[np.ix_(rows, columns)], nan=-1.0)
    alike[sides.track_codes[rows][:, None] != sides.codes[columns]] = -1.0
    found = []
    for r, c in assign(1.0 - alike, 1.0 - settings.same_look):
        mine, rest = alike[r, c], alike.copy()
        rest[r, c] = -1.0
        if mine - max(rest[r].max(), rest[:, c].max()) >= settings.look_margin:
            found.append((rows[r], columns[c]))
    return found
