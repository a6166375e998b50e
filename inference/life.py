"""What a track is besides its filter: settings of the life cycle, the record of one track, and its looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.geometry import iou_matrix
from inference.kalman import MotionSettings

MAX_GAP_S = 0.5
"""Observed time of one step is at most this, whatever the gap."""

Looks = NDArray[np.float32]

TRUSTED = 0.6
"""One detection is enough where this share of the tracks that began were found again..."""

KEEP = 0.98
"""...of the last fifty or so: share of what was counted that stays with the next."""

YOUNG_HITS = 60
"""A track measured more often than this is no longer taken for a lost one."""

MISSED_MS = 60.0
"""Missed for this long, a track may be looked for in a younger one on its place."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Thresholds and life cycle.

    Attributes:
        high_score: detections of the first stage.
        low_score: detections that may only prolong a track.
        new_score: detections that may start one, `high_score` where one detection is enough.
        confirm_score: a track is confirmed once its scores, as far as they exceed `doubt_score`, add up to
            this: one very sure detection is enough, unsure ones need company.
        doubt_score: detections below say nothing for a track.
        miss_ms: shown while detections have missed it for no longer than this...
        hold_share: ...nor than this share of the time it has been known...
        hide_ms: ...and the last detection of anything is no older than this.
        lost_ms: kept this long for re-activation.
        here_ms: expected for this long where it should be by now...
        near_ms: ...and for this long near where it was last seen.
        buffer: growth of boxes in the first stage.
        wide_buffer: growth of boxes for what is left.
        max_cost: dearest pair of the first stage...
        low_cost: ...of the second, of detections below `high_score`...
        wide_cost: ...and of the third, of what is left.
        low_ms: how long before the last detections a track may have been missed and still take a low one;
            `here_ms` where low ones were found to lie as well as others.
        same_look: cosine at which a new track is a lost one.
        look_margin: by which it must be ahead of the next lost one.
        double_look: cosine at which a young track where another is missed is that other...
        double_iou: ...and by how much their boxes overlap.
        ease_share: so much of the correction of a predicted box is eased in...
        ease_ms: ...over this long.
        pace_ms: where detections come further apart than this, fewer of them confirm a track...
        slow_ms: ...and than this while another is lost: the new one may be it, gone further than expected;
            one is enough where the next comes later than `miss_ms` and most tracks that began were found
            again (`Beginnings`).
        inside: boxes are cut at the picture's edge.
        alone: labels never joined with another label.
        motion: the filter's noise.
    """

    high_score: float = 0.55
    low_score: float = 0.1
    new_score: float = 0.6
    confirm_score: float = 0.5
    doubt_score: float = 0.5
    miss_ms: float = 200.0
    hold_share: float = 0.15
    hide_ms: float = 500.0
    lost_ms: float = 10_000.0
    here_ms: float = 1_000.0
    near_ms: float = 1_500.0
    buffer: float = 0.1
    wide_buffer: float = 0.5
    max_cost: float = 0.75
    low_cost: float = 0.6
    wide_cost: float = 0.75
    low_ms: float = 50.0
    same_look: float = 0.75
    look_margin: float = 0.05
    double_look: float = 0.93
    double_iou: float = 0.5
    ease_share: float = 0.08
    ease_ms: float = 60.0
    pace_ms: float = 70.0
    slow_ms: float = 200.0
    alone: frozenset[str] = frozenset({"person"})
    inside: bool = True
    motion: MotionSettings = field(default_factory=MotionSettings)

    def least(self, step_ms: float, trusted: bool) -> float:
        """Score that starts a track; arguments as of `needs`."""
        return self.high_score if trusted and round(step_ms) >= self.miss_ms else self.new_score

    def needs(self, step_ms: float, doubtful: bool, trusted: bool = False) -> float:
        """Belief that confirms a track when detections come this far apart: waiting costs more then.

        Args:
            step_ms: between detections.
            doubtful: it began while another track was lost.
            trusted: most tracks that began were found again by the next detections.
        """
        if trusted and round(step_ms) >= self.miss_ms:
            return 0.0
        pace_ms = self.slow_ms if doubtful else self.pace_ms
        return self.confirm_score * min(1.0, pace_ms / max(step_ms, 1.0))

    @staticmethod
    def at_working_point(score: float) -> TrackerSettings:
        """Thresholds for a detector whose detections are worth believing from `score` on."""
        return TrackerSettings(
            high_score=0.9 * score,
            low_score=min(0.1, 0.5 * score),
            new_score=score,
            confirm_score=0.8 * score,
            doubt_score=0.8 * score,
            motion=MotionSettings(turn_score=min(0.9, 4 / 3 * score)),
        )


@dataclass(slots=True, eq=False)
class Life:
    """What is known of a track besides its filter."""

    id: int
    label: str
    score: float
    first_ns: int
    measured_ns: int
    hits: int = 1
    confirmed: bool = False
    belief: float = 0.0
    doubtful: bool = False
    votes: dict[str, float] = field(default_factory=dict)
    look: Looks | None = None
    product: str = ""
    history: deque[tuple[int, NDArray[np.float32]]] = field(default_factory=lambda: deque(maxlen=90))

    def measured(
        self, pts_ns: int, name: str, score: float, settings: TrackerSettings, step_ms: float = 0.0
    ) -> None:
        """One more detection at `pts_ns`; the label is the one with the most score behind it.

        Args:
            pts_ns: of the detection.
            name: its label.
            score: its score.
            settings: when a track is confirmed.
            step_ms: since the detections before; 0 where there were none.
        """
        self.measured_ns, self.score = pts_ns, score
        self.hits += 1
        self.belief += max(0.0, score - settings.doubt_score)
        votes = self.votes[name] = self.votes.get(name, 0.0) + score
        if name != self.label and votes > self.votes[self.label]:
            self.label = name
        if not self.confirmed:
            self.confirmed = self.belief >= settings.needs(step_ms, self.doubtful)

    def at(self, pts_ns: int, hold_ms: float) -> NDArray[np.float32] | None:
        """Its box at a past time: between two near measurements, or up to `hold_ms` after one."""
        before = [entry for entry in self.history if entry[0] <= pts_ns]
        after = [entry for entry in self.history if entry[0] > pts_ns]
        if before and after and (after[0][0] - before[-1][0]) / 1e6 <= 3 * hold_ms:
            (t0, box0), (t1, box1) = before[-1], after[0]
            share = np.float32((pts_ns - t0) / (t1 - t0))
            return box0 + share * (box1 - box0)
        if before and (pts_ns - before[-1][0]) / 1e6 <= hold_ms:
            return before[-1][1]
        return None

    def looks_like(self, vector: NDArray[np.float32], share: float) -> None:
        """Mix another view into what it looks like."""
        self.look = vector if self.look is None else unit((1 - share) * self.look + share * vector)

    def continues(self, lost: Life) -> None:
        """It turned out to be `lost`, seen again."""
        self.id, self.first_ns, self.hits = lost.id, lost.first_ns, lost.hits + self.hits
        self.confirmed = True
        self.product = self.product or lost.product
        if lost.look is not None:
            self.looks_like(lost.look, 0.5)


@dataclass(slots=True)
class Beginnings:
    """What became of tracks that began: whether one detection is to be trusted in this stream."""

    again: float = 1.0
    gone: float = 1.0

    def learn(self, lives: Sequence[Life], first_ns: int) -> None:
        """The detections after `first_ns` were given to tracks: count those that began then."""
        for life in lives:
            if life.first_ns == first_ns:
                self.again, self.gone = KEEP * self.again, KEEP * self.gone
                if life.hits > 1:
                    self.again += 1.0
                else:
                    self.gone += 1.0

    @property
    def trusted(self) -> bool:
        """Most were found again."""
        return self.again >= TRUSTED * (self.again + self.gone)


def lost_twin(lives: Sequence[Life], life: Life, settings: TrackerSettings) -> int | None:
    """Row of the lost track that `life`, seen just now and still young, looks like; not gated by position."""
    if life.look is None or life.hits > YOUNG_HITS:
        return None
    looks = sorted(
        (
            (float(other.look @ life.look), row)
            for row, other in enumerate(lives)
            if other.look is not None
            and other.id < life.id
            and other.measured_ns < life.first_ns
            and other.label == life.label
        ),
        reverse=True,
    )
    if not looks or looks[0][0] < settings.same_look:
        return None
    next_look = looks[1][0] if len(looks) > 1 else -1.0
    return looks[0][1] if looks[0][0] - next_look >= settings.look_margin else None


def unite(
    lives: Sequence[Life],
    absent_ms: NDArray[np.float64],
    boxes: NDArray[np.float32],
    settings: TrackerSettings,
) -> set[int]:
    """What was followed twice is one track again, under its first id.

    An object detected twice for a while, whole and in part, begins a second track, which then takes the
    detections of the first: that one is missed, and on its place is a young one that looks like it.

    Args:
        lives: all tracks; the young go on as the old.
        absent_ms: how long they have been missed, (n,).
        boxes: where they should be, (n, 4).
        settings: what is alike.

    Returns:
        The rows of the old, which are over.
    """
    missed = (absent_ms >= MISSED_MS) & (absent_ms <= settings.here_ms)
    known = np.array([life.confirmed and life.look is not None for life in lives], np.bool_)
    old = np.flatnonzero(missed & known).tolist()
    young = [row for row in np.flatnonzero(absent_ms == 0).tolist() if lives[row].hits <= YOUNG_HITS]
    over = set[int]()
    if old and young:
        near = iou_matrix(boxes[young], boxes[old]) >= settings.double_iou
        for at, row in enumerate(young):
            for other in (old[column] for column in np.flatnonzero(near[at])):
                if other not in over and _one(lives[row], lives[other], settings.double_look):
                    lives[row].continues(lives[other])
                    over.add(other)
                    break
    return over


def _one(young: Life, old: Life, alike: float) -> bool:
    """Both look like one object, and `old` was there first."""
    if young.look is None or old.look is None or young.id < old.id or young.label != old.label:
        return False
    return float(young.look @ old.look) >= alike


def same_product(lives: Sequence[Life], life: Life) -> int | None:
    """Row of the track, lost before `life` began and latest seen, that shows the same product."""
    if not life.product or life.hits > YOUNG_HITS:
        return None
    lost = [
        (other.measured_ns, row)
        for row, other in enumerate(lives)
        if other.product == life.product and other.id < life.id and other.measured_ns < life.first_ns
    ]
    return max(lost)[1] if lost else None


def likeness(lives: Sequence[Life], looks: Looks) -> Looks:
    """Cosine of what tracks and detections look like, (tracks, detections); NaN where one is not known."""
    unknown = np.full(looks.shape[1], np.nan, np.float32)
    return np.stack([unknown if life.look is None else life.look for life in lives]) @ looks.T


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """`vector` at length 1."""
    return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-9))
