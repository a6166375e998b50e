"""Objects over time: detections at their capture times in, tracks at any time out. Pure.

Two-stage association (ByteTrack, arXiv 2110.06864) on buffered IoU (C-BIoU, arXiv 2211.14317), a restart of
the filter along the virtual path after an absence (OC-SORT, arXiv 2203.14360), and re-activation of lost
tracks by appearance, not gated by position: a product put down and picked up elsewhere keeps its id.

Times are media times. The life cycle counts *observed* time: a publisher's reconnect, or any other gap
without detections, ages nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from inference.association import assign, pair_costs
from inference.geometry import clip_box, iou_matrix
from inference.life import MAX_GAP_S, Life, TrackerSettings, lost_twin
from inference.motion import KalmanBank, MotionPath, to_centre, to_corners
from inference.types import Detections, Track

__all__ = ["Tracker", "TrackerSettings"]


DOUBLE_IOU = 0.7
"""A new detection overlapping a measured track by more is a double."""


class Tracker:
    """The tracks of one stream. Not thread-safe; about 0.3 ms a step at ten objects."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self._settings = settings = settings or TrackerSettings()
        self._bank = KalmanBank(settings.motion)
        self._path = MotionPath(settings.motion)
        self._lives: list[Life] = []
        self._next_id = 1
        self._started = False

    def step(
        self, detections: Detections | None, motion: NDArray[np.float32] | None, pts_ns: int
    ) -> tuple[Track, ...]:
        """Take the detections of the frame captured at `pts_ns`, which may lie before frames coasted already.

        Args:
            detections: None where there was no detection: the same as `coast`.
            motion: that frame's `Pixels.motion_vectors`, if any.
            pts_ns: in increasing order; detections of an older frame than the last ones are ignored.

        Returns:
            The tracks as they were at `pts_ns`.
        """
        if detections is None:
            return self.coast(motion, pts_ns)
        self._path.add(motion, pts_ns)
        if self._started and pts_ns <= self._path.base_ns:
            return self.query(pts_ns)
        dt_s = (pts_ns - self._path.base_ns) / 1e9 if self._started else 0.0
        self._started = True
        seen_s = min(dt_s, MAX_GAP_S)
        shift = self._path.shift(self._bank, pts_ns)
        if self._path.has_codec_motion and dt_s > 0:
            self._bank.believe_speed(shift / dt_s)
        self._bank.predict(seen_s, shift)
        for life in self._lives:
            life.absent_s += seen_s
        matched = self._associate(detections)
        self._measure(matched, detections, pts_ns)
        missed = np.array([life.measured_ns != pts_ns for life in self._lives], np.bool_)
        self._bank.fade(missed, seen_s)
        self._begin(detections, {column for _, column in matched}, pts_ns)
        self._bury(pts_ns)
        self._path.rebase(pts_ns)
        self._remember(pts_ns)
        return self.query(pts_ns)

    def observe(self, motion: NDArray[np.float32] | None, pts_ns: int) -> None:
        """Take the motion of a frame, in order of frames; a frame seen before is ignored."""
        self._path.add(motion, pts_ns)

    def coast(self, motion: NDArray[np.float32] | None, pts_ns: int) -> tuple[Track, ...]:
        """Take the motion of a frame that is not (or not yet) detected. Returns the tracks at that frame."""
        self.observe(motion, pts_ns)
        return self.query(pts_ns)

    def query(self, pts_ns: int) -> tuple[Track, ...]:
        """The tracks at any time, changing nothing: predicted forwards, or between past detections."""
        if not self._lives:
            return ()
        if pts_ns < self._path.base_ns:
            return tuple(self._past(pts_ns))
        state = self._bank.state.copy()
        state[:, :2] += self._path.shift(self._bank, pts_ns)
        boxes = to_corners(state)
        return tuple(
            self._track(row, boxes[row], life)
            for row, life in enumerate(self._lives)
            if self._shown(life, pts_ns) and _visible(boxes[row])
        )

    def attach_embedding(self, track_id: int, vector: NDArray[np.float32]) -> int:
        """Tell what a track looks like; a new track that looks like a lost one becomes it.

        Args:
            track_id: an unknown one is ignored.
            vector: unit float32 (d,).

        Returns:
            The id the track has from now on: its own, or that of the lost track it continues.
        """
        row = self._row(track_id)
        if row is None:
            return track_id
        life = self._lives[row]
        life.looks_like(vector, 0.2)
        twin = lost_twin(self._lives, life, self._settings)
        if twin is not None:
            life.continues(self._lives[twin])
            self._drop(twin)
        return life.id

    def lost(self) -> tuple[int, ...]:
        """Ids kept for re-activation but not shown."""
        return tuple(life.id for life in self._lives if life.absent_s * 1e3 > self._settings.miss_ms)

    def known(self) -> frozenset[int]:
        """Every id that can still come back."""
        return frozenset(life.id for life in self._lives)

    # ---- one step ------------------------------------------------------------------------------------------

    def _associate(self, detections: Detections) -> list[tuple[int, int]]:
        """(row, detection) pairs of all stages."""
        s = self._settings
        scores = detections.scores
        high = np.flatnonzero(scores >= s.high_score)
        low = np.flatnonzero((scores >= s.low_score) & (scores < s.high_score))
        here = [r for r, life in enumerate(self._lives) if life.absent_s * 1e3 <= s.hide_ms]
        near = [r for r, life in enumerate(self._lives) if life.absent_s * 1e3 <= s.near_ms]
        pairs = self._stage(here, high, detections, s.buffer, s.max_cost)
        for rows, columns, buffer, limit in (
            (here, low, 0.0, 0.6),
            (near, high, s.wide_buffer, s.max_cost),
        ):
            taken = {row for row, _ in pairs}
            rows = [r for r in rows if r not in taken]
            left = columns[~np.isin(columns, [column for _, column in pairs])]
            pairs += self._stage(rows, left, detections, buffer, limit, last_seen=buffer == s.wide_buffer)
        return pairs

    def _stage(
        self,
        rows: list[int],
        columns: NDArray[np.intp],
        detections: Detections,
        buffer: float,
        limit: float,
        *,
        last_seen: bool = False,
    ) -> list[tuple[int, int]]:
        if not rows or not len(columns):
            return []
        labels = [detections.names[detections.labels[c]] for c in columns]
        mine = [self._lives[r].label for r in rows]
        found = detections.boxes[columns]
        alone = self._settings.alone
        costs = pair_costs(self._bank.boxes()[rows], mine, found, labels, buffer=buffer, alone=alone)
        if last_seen:  # where it was last seen counts as much as where it should be by now
            seen = np.stack([self._lives[r].measured_box for r in rows])
            costs = np.minimum(costs, pair_costs(seen, mine, found, labels, buffer=buffer, alone=alone))
        return [(rows[r], int(columns[c])) for r, c in assign(costs, limit)]

    def _measure(self, pairs: list[tuple[int, int]], detections: Detections, pts_ns: int) -> None:
        if not pairs:
            return
        rows = np.array([row for row, _ in pairs])
        columns = np.array([column for _, column in pairs])
        for row, column in pairs:
            self._return(row, detections.boxes[column], pts_ns)
        self._bank.update(rows, detections.boxes[columns], detections.scores[columns])
        for row, column in pairs:
            life, score = self._lives[row], float(detections.scores[column])
            name = detections.names[detections.labels[column]]
            life.measured(pts_ns, detections.boxes[column], name, score)
            life.confirmed = life.confirmed or life.sure(self._settings)

    def _return(self, row: int, box: NDArray[np.float32], pts_ns: int) -> None:
        """After an absence the filter is restarted on the straight path between the two sightings."""
        life = self._lives[row]
        gap_s = (pts_ns - life.measured_ns) / 1e9
        if life.absent_s > 0.25:
            speed = (to_centre(box[None])[0] - to_centre(life.measured_box[None])[0]) / gap_s
            speed[2:] = 0.0
            self._bank.restart(row, box, 0.5 * speed)

    def _begin(self, detections: Detections, taken: set[int], pts_ns: int) -> None:
        s = self._settings
        free = [i for i in np.flatnonzero(detections.scores >= s.new_score).tolist() if i not in taken]
        if not free:
            return
        held = [life.measured_box for life in self._lives if life.measured_ns == pts_ns]
        fresh = []
        for i in free:  # one object detected twice, perhaps under two labels, is one track
            box = detections.boxes[i]
            if not held or iou_matrix(box[None], np.stack(held)).max() < DOUBLE_IOU:
                fresh.append(i)
                held.append(box)
        free = fresh
        self._bank.add(detections.boxes[free])
        for i in free:
            name, score = detections.names[detections.labels[i]], float(detections.scores[i])
            life = Life(self._next_id, name, score, pts_ns, pts_ns, detections.boxes[i])
            life.votes[name] = score
            self._lives.append(life)
            self._next_id += 1

    def _bury(self, pts_ns: int) -> None:
        s = self._settings
        keep = np.array(
            [
                life.measured_ns == pts_ns or (life.absent_s * 1e3 <= (s.lost_ms if life.confirmed else 0.0))
                for life in self._lives
            ],
            np.bool_,
        )
        self._bank.keep(keep)
        self._lives = [life for life, kept in zip(self._lives, keep, strict=True) if kept]

    def _remember(self, pts_ns: int) -> None:
        boxes = self._bank.boxes()
        for row, life in enumerate(self._lives):
            if life.measured_ns == pts_ns:
                life.history.append((pts_ns, boxes[row]))

    # ---- answers -------------------------------------------------------------------------------------------

    def _shown(self, life: Life, pts_ns: int) -> bool:
        ahead_ms = (pts_ns - self._path.base_ns) / 1e6
        return life.absent_s * 1e3 <= self._settings.miss_ms and ahead_ms <= self._settings.hide_ms

    def _past(self, pts_ns: int) -> Iterable[Track]:
        for row, life in enumerate(self._lives):
            box = life.at(pts_ns, self._settings.miss_ms)
            if box is not None:
                yield self._track(row, box, life)

    def _track(self, row: int, box: NDArray[np.floating], life: Life) -> Track:
        vx, vy, vw, vh = self._bank.speed[row].tolist()
        velocity = (vx - vw / 2, vy - vh / 2, vx + vw / 2, vy + vh / 2)
        x0, y0, x1, y1 = box.tolist()
        corners = clip_box((x0, y0, x1, y1))
        return Track(life.id, corners, velocity, life.label, life.score, life.measured_ns, life.confirmed)

    def _row(self, track_id: int) -> int | None:
        return next((row for row, life in enumerate(self._lives) if life.id == track_id), None)

    def _drop(self, row: int) -> None:
        keep = np.ones(len(self._lives), np.bool_)
        keep[row] = False
        self._bank.keep(keep)
        del self._lives[row]
        self._path.changed()


def _visible(box: NDArray[np.float32]) -> bool:
    """At least a sliver lies within the picture."""
    return bool(box[0] < 0.999 and box[1] < 0.999 and box[2] > 0.001 and box[3] > 0.001)
