"""Objects over time: detections at their capture times in, tracks at any time out. Pure.

Two-stage association (ByteTrack, arXiv 2110.06864) on buffered IoU (C-BIoU, arXiv 2211.14317), a restart of
the filter along the virtual path after an absence (OC-SORT, arXiv 2203.14360), and re-activation of lost
tracks by appearance, not gated by position: a product put down and picked up elsewhere keeps its id.

Times are media times. The life cycle counts *observed* time: a publisher's reconnect, or any other gap
without detections, ages nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.association import Codes, Labels, no_doubles
from inference.easing import Easing
from inference.flow import Luma
from inference.kalman import Floats, KalmanBank, to_corners
from inference.life import (
    MAX_GAP_S,
    Beginnings,
    Life,
    Looks,
    TrackerSettings,
    likeness,
    lost_twin,
    same_product,
    unite,
)
from inference.motion import MotionPath
from inference.pairing import Pairs, Sides, pair
from inference.region import looked_at, region_of
from inference.shown import tracks_of, visible
from inference.types import Box, Detections, Track

__all__ = ["Tracker", "TrackerSettings"]

LOOK_SHARE = 0.15
"""Weight of the newest view in what a track looks like."""

CAMERA_MOVES = 0.01
"""Share of the picture by which it moved as a whole since the last look: something came in at its edge."""

LOST_MS = 500
"""What is missed for less may be found elsewhere in the picture."""

RETURN_MS = 250
"""A track seen again after more than this is set anew rather than corrected."""


class Tracker:
    """The tracks of one stream. Not thread-safe; about 0.3 ms a step at ten objects."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self._settings = settings = settings or TrackerSettings()
        self._bank = KalmanBank(settings.motion)
        self._path = MotionPath(settings.motion)
        self._labels = Labels(settings.alone)
        self._lives: list[Life] = []
        # Beside the bank and the lives, row by row: unseen for how long, where last seen, label.
        self._absent_ms: NDArray[np.float64] = np.zeros(0)
        self._seen: NDArray[np.float32] = np.zeros((0, 4), np.float32)
        self._codes: Codes = np.zeros(0, np.intp)
        self._fresh: list[int] = []
        self._step_ms = 0.0
        self._next_id = 1
        self._started = False
        self._beginnings = Beginnings()
        self._easing = Easing(settings.ease_share, settings.ease_ms)

    def step(
        self,
        detections: Detections | None,
        motion: NDArray[np.float32] | None,
        pts_ns: int,
        *,
        looks: Looks | None = None,
        region: Box | None = None,
    ) -> tuple[Track, ...]:
        """Take the detections of the frame captured at `pts_ns`, which may lie before frames coasted already.

        Args:
            detections: None where there was no detection: the same as `coast`.
            motion: that frame's `Pixels.motion_vectors`, if any.
            pts_ns: in increasing order; detections of an older frame than the last ones are ignored.
            looks: what each detection looks like, unit float32 (n, d), where that is known already.
            region: the part of the picture that was looked at; what is not wholly in it was not missed.

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
        self._step_ms = seen_s * 1e3
        before_ms, newest_ns = self._absent_ms.copy(), max(pts_ns, self._path.newest_ns)
        shown = self._at(newest_ns) if newest_ns > pts_ns or self._path.coasted(pts_ns) else None
        ids = [life.id for life in self._lives]
        if self._lives:
            self._advance(dt_s, seen_s, pts_ns)
            if region is not None:
                hidden = ~looked_at(self._bank.boxes(), region)
                self._absent_ms = np.where(hidden, before_ms, self._absent_ms)
        matched = self._associate(detections, looks)
        self._measure(matched, detections, pts_ns)
        if region is None:
            self._beginnings.learn(self._lives, self._path.base_ns)
        missed = self._absent_ms > 0
        if missed.any():
            self._bank.fade(missed, seen_s)
        self._begin(detections, {column for _, column in matched}, pts_ns)
        if looks is not None:
            self._look_at(detections, looks, matched)
        self._bury()
        self._path.rebase(pts_ns)
        self._remember(pts_ns)
        if shown is not None:
            self._ease({ids[row]: shown[row] for row in np.flatnonzero(before_ms == 0)}, newest_ns)
        return self.query(pts_ns)

    def observe(
        self,
        motion: NDArray[np.float32] | None,
        pts_ns: int,
        *,
        size: tuple[int, int] | None = None,
        luma: Luma | None = None,
    ) -> None:
        """Take the motion of a frame, in order of frames; a frame seen before is ignored.

        Args:
            motion: the frame's `Pixels.motion_vectors`, if any.
            pts_ns: of the frame.
            size: of the picture in pixels; without it the vectors' blocks are guessed.
            luma: a small picture, uint8 (height, width) always of one size (160 x 90 does), where there are
                no vectors: boxes then follow its optical flow.
        """
        self._path.add(motion, pts_ns, size=size, luma=luma)

    def coast(
        self,
        motion: NDArray[np.float32] | None,
        pts_ns: int,
        *,
        size: tuple[int, int] | None = None,
        luma: Luma | None = None,
    ) -> tuple[Track, ...]:
        """Take the motion of a frame that is not (or not yet) detected. Returns the tracks at that frame."""
        self.observe(motion, pts_ns, size=size, luma=luma)
        return self.query(pts_ns)

    def query(self, pts_ns: int) -> tuple[Track, ...]:
        """The tracks at any time, changing nothing: predicted forwards, or between past detections."""
        if not self._lives:
            return ()
        if pts_ns < self._path.base_ns:
            return self._past(pts_ns)
        ahead_ms = (pts_ns - self._path.base_ns) / 1e6
        if ahead_ms > self._settings.hide_ms:
            return ()
        state = self._at(pts_ns)
        if state is None:
            return ()
        boxes = to_corners(self._easing.applied(state, [life.id for life in self._lives], pts_ns))
        known_ms = np.array([(life.measured_ns - life.first_ns) / 1e6 for life in self._lives])
        shown = self._absent_ms <= np.minimum(self._settings.miss_ms, self._settings.hold_share * known_ms)
        shown &= visible(boxes)
        rows = np.flatnonzero(shown)
        return self._tracks(rows, boxes[rows]) if len(rows) else ()

    @property
    def vectors_lie(self) -> bool:
        """The codec's motion is not what the picture shows: give every frame a luma picture."""
        return self._path.vectors_lie

    def region(self, pts_ns: int) -> Box | None:
        """The part of the picture at `pts_ns` that holds everything there is to see, changing nothing.

        Returns:
            None where all of it has to be looked at: nothing is known, something was lost just now and may
            come back anywhere, the camera moves so that new things come in, or another scene began.
        """
        shown = [track.box for track in self.query(pts_ns)]
        lost = (self._absent_ms > self._settings.miss_ms) & (self._absent_ms <= LOST_MS)
        if not shown or lost.any():
            return None
        seen = self._path.follow(self._bank, pts_ns)
        if seen.cut or float(np.abs(seen.camera).max()) > CAMERA_MOVES:
            return None
        return region_of(shown)

    def attach_embedding(self, track_id: int, vector: NDArray[np.float32]) -> int:
        """Tell what a track looks like; a new track that looks like a lost one becomes it.

        Args:
            track_id: an unknown one is ignored.
            vector: unit float32 (d,).

        Returns:
            The id the track has from now on: its own, or that of the lost track it continues.
        """
        if (row := self._row(track_id)) is None:
            return track_id
        life = self._lives[row]
        life.looks_like(vector, 0.2)
        twin = lost_twin(self._lives, life, self._settings) if self._absent_ms[row] == 0 else None
        if twin is not None:
            life.continues(self._lives[twin])
            self._drop(twin)
        return life.id

    def attach_product(self, track_id: int, product_id: str) -> int:
        """Tell which product a track surely shows; a young track takes over the id of its lost like.

        Args:
            track_id: an unknown one is ignored.
            product_id: catalogue id, recognised beyond doubt; the strongest cue there is.

        Returns:
            The id the track has from now on: its own, or that of the lost track it continues.
        """
        if (row := self._row(track_id)) is None:
            return track_id
        life = self._lives[row]
        life.product = product_id
        twin = same_product(self._lives, life) if self._absent_ms[row] == 0 else None
        if twin is not None:
            life.continues(self._lives[twin])
            self._drop(twin)
        return life.id

    def lost(self) -> tuple[int, ...]:
        """Ids kept for re-activation but not shown."""
        return tuple(self._lives[row].id for row in np.flatnonzero(self._absent_ms > self._settings.miss_ms))

    def known(self) -> frozenset[int]:
        """Every id that can still come back."""
        return frozenset(life.id for life in self._lives)

    # ---- one step ------------------------------------------------------------------------------------------

    def _advance(self, dt_s: float, seen_s: float, pts_ns: int) -> None:
        """Move everything on to `pts_ns`."""
        seen, settings = self._path.follow(self._bank, pts_ns, thrifty=True), self._settings
        if self._path.has_motion and dt_s > 0:
            self._bank.believe_speed(seen.shift / dt_s, seen.sure)
        away = self._absent_ms > settings.miss_ms
        if self._path.has_motion and away.any():
            # what moves where something was is not that something; the camera moves it
            seen.shift[away] = seen.camera
            self._seen[away] += np.tile(seen.camera, 2).astype(np.float32)
        self._bank.predict(seen_s, seen.shift, seen.sure)
        self._absent_ms += self._step_ms
        if seen.cut:  # in another scene position says nothing
            self._absent_ms = np.maximum(self._absent_ms, settings.near_ms + 1.0)

    def _associate(self, detections: Detections, looks: Looks | None) -> Pairs:
        """(row, detection) pairs of all stages."""
        if not self._lives or not len(detections):
            return []
        sides = Sides(
            self._absent_ms,
            self._bank.boxes(),
            self._seen,
            self._codes,
            detections.boxes,
            detections.scores,
            self._labels.codes(detections.names, detections.labels),
            likeness(self._lives, looks) if looks is not None else None,
            self._bank.told,
        )
        return pair(sides, self._settings, self._step_ms)

    def _measure(self, pairs: list[tuple[int, int]], detections: Detections, pts_ns: int) -> None:
        if not pairs:
            return
        rows = np.array([row for row, _ in pairs])
        columns = np.array([column for _, column in pairs])
        boxes, scores = detections.boxes[columns], detections.scores[columns]
        labels = detections.labels[columns].tolist()
        for at, (row, absent_ms) in enumerate(
            zip(rows.tolist(), self._absent_ms[rows].tolist(), strict=True)
        ):
            if absent_ms > RETURN_MS:
                gap_s = (pts_ns - self._lives[row].measured_ns) / 1e9
                self._bank.returned(row, boxes[at], self._seen[row], gap_s)
        self._bank.update(rows, boxes, scores)
        self._absent_ms[rows] = 0.0
        self._seen[rows] = boxes
        for row, label, score in zip(rows.tolist(), labels, scores.tolist(), strict=True):
            life = self._lives[row]
            before = life.label
            life.measured(pts_ns, detections.names[label], score, self._settings, self._step_ms)
            if life.label != before:
                self._codes[row] = self._labels.code(life.label)

    def _begin(self, detections: Detections, taken: set[int], pts_ns: int) -> None:
        s = self._settings
        self._fresh = []
        trusted = self._beginnings.trusted
        sure = np.flatnonzero(detections.scores >= s.least(self._step_ms, trusted)).tolist()
        free = [i for i in sure if i not in taken]
        fresh = no_doubles(free, detections.boxes, self._seen[self._absent_ms == 0])
        if not fresh:
            return
        self._fresh = fresh
        first, boxes = self._step_ms == 0.0, detections.boxes[fresh]
        self._bank.add(boxes)
        doubtful = any(self._lives[row].confirmed for row in np.flatnonzero(self._absent_ms))
        for i in fresh:
            name, score = detections.names[detections.labels[i]], float(detections.scores[i])
            life = Life(self._next_id, name, score, pts_ns, pts_ns, 1, False, score - s.doubt_score, doubtful)
            life.confirmed = first or life.belief >= s.needs(self._step_ms, doubtful, trusted)
            life.votes[name] = score
            self._lives.append(life)
            self._next_id += 1
        self._absent_ms = np.concatenate((self._absent_ms, np.zeros(len(fresh))))
        self._seen = np.concatenate((self._seen, boxes))
        codes = self._labels.codes(detections.names, detections.labels[fresh])
        self._codes = np.concatenate((self._codes, codes))

    def _look_at(self, detections: Detections, looks: Looks, matched: Pairs) -> None:
        """Remember the looks of what was surely found: a half hidden object looks like what hides it."""
        begun = zip(range(len(self._lives) - len(self._fresh), len(self._lives)), self._fresh, strict=True)
        for row, column in (*matched, *begun):
            if detections.scores[column] >= self._settings.high_score:
                self._lives[row].looks_like(looks[column], LOOK_SHARE)

    def _bury(self) -> None:
        """Forget what was never confirmed as soon as it is missed, the rest when it is lost for long."""
        lost_ms = self._settings.lost_ms
        over = unite(self._lives, self._absent_ms, self._bank.boxes(), self._settings)
        keep = [
            row not in over and (ms == 0.0 or (life.confirmed and ms <= lost_ms))
            for row, (ms, life) in enumerate(zip(self._absent_ms.tolist(), self._lives, strict=True))
        ]
        if not all(keep):
            self._keep(np.array(keep, np.bool_))

    def _keep(self, rows: NDArray[np.bool_]) -> None:
        self._bank.keep(rows)
        self._lives = [life for life, kept in zip(self._lives, rows.tolist(), strict=True) if kept]
        self._absent_ms, self._seen, self._codes = self._absent_ms[rows], self._seen[rows], self._codes[rows]

    def _remember(self, pts_ns: int) -> None:
        for life, box in zip(self._lives, self._bank.shown(), strict=True):
            if life.measured_ns == pts_ns:
                life.history.append((pts_ns, box))

    # ---- answers -------------------------------------------------------------------------------------------

    def _at(self, pts_ns: int) -> Floats | None:
        """Centres and sizes at or after the last detections; None in another scene."""
        state = self._bank.place.state.copy()
        if pts_ns > self._path.base_ns:
            seen = self._path.follow(self._bank, pts_ns, self._bank.proven())
            if seen.cut:
                return None
            state[:, :2] += seen.shift
            state[:, 2:] *= seen.grown[:, None]
        return state

    def _ease(self, shown: dict[int, Floats], newest_ns: int) -> None:
        """Detections came late: where boxes were shown on the newest frame, and where they belong, differ."""
        now = self._at(newest_ns)
        if now is not None:
            belong = {life.id: row for life, row in zip(self._lives, now, strict=True)}
            self._easing.corrected(shown, belong, newest_ns)

    def _past(self, pts_ns: int) -> tuple[Track, ...]:
        rows, boxes = [], []
        for row, life in enumerate(self._lives):
            box = life.at(pts_ns, self._settings.miss_ms)
            if box is not None:
                rows.append(row)
                boxes.append(box)
        return self._tracks(np.array(rows), np.stack(boxes)) if rows else ()

    def _tracks(self, rows: NDArray[np.intp], boxes: NDArray[np.float32]) -> tuple[Track, ...]:
        lives = [self._lives[row] for row in rows.tolist()]
        return tracks_of(lives, boxes, self._bank.speed[rows], inside=self._settings.inside)

    def _row(self, track_id: int) -> int | None:
        return next((row for row, life in enumerate(self._lives) if life.id == track_id), None)

    def _drop(self, row: int) -> None:
        keep = np.ones(len(self._lives), np.bool_)
        keep[row] = False
        self._keep(keep)
        self._path.changed()
