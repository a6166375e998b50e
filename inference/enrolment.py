"""Learning a product from being shown it for some seconds: which views to take. Pure.

The product is whatever is most prominent when the enrolment begins to look (`inference.prominence`), followed
along its track. A view is taken when it is sharp, in sight, large enough, and unlike those taken before.
`inference.apart` says what the views are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from inference.prominence import rank
from inference.types import Track
from inference.views import PEOPLE, Look


class Advice(StrEnum):
    """What became of the newest look, for the page's words."""

    WAITING = "waiting"
    NOTHING = "nothing"
    BLURRED = "blurred"
    HIDDEN = "hidden"
    SMALL = "small"
    ALIKE = "alike"
    TAKEN = "taken"
    DONE = "done"


ADVICE: dict[Advice, str] = {
    Advice.WAITING: "Hold the product up to the camera.",
    Advice.NOTHING: "Nothing to be seen: hold the product into the middle of the picture.",
    Advice.BLURRED: "Too blurred: hold it still for a moment.",
    Advice.HIDDEN: "It is half hidden: show all of it.",
    Advice.SMALL: "Too small: bring it nearer to the camera.",
    Advice.ALIKE: "This side is known: turn it.",
    Advice.TAKEN: "Good: turn it on slowly.",
    Advice.DONE: "Done.",
}
"""What to tell who shows the product."""


@dataclass(frozen=True, slots=True)
class EnrolmentSettings:
    """How long and how well to look.

    Attributes:
        seconds: media time looked at; it ends before when all views are there.
        views: wanted.
        alike: cosine from which on two views show the same side.
        min_sharp: share of the sharpest look so far that a view needs.
        min_whole: of the product that has to be in sight and large enough.
        gap_ms: between two looks.
    """

    seconds: float = 10.0
    views: int = 12
    alike: float = 0.95
    min_sharp: float = 0.6
    min_whole: float = 0.5
    gap_ms: float = 150.0


class Enrolment:
    """One product being shown. Not thread-safe; times are media times.

    Attributes:
        product_id: being enrolled.
        settings: how long and how well to look.
        advice: what became of the newest look.
        looks: views tried.
    """

    def __init__(self, product_id: str, settings: EnrolmentSettings | None = None) -> None:
        self.product_id = product_id
        self.settings = settings or EnrolmentSettings()
        self.advice = Advice.WAITING
        self.looks = 0
        self._taken: list[Look] = []
        self._sharpest = 0.0
        self._began_ns: int | None = None
        self._now_ns = 0
        self._asked_ns: int | None = None
        self._track: int | None = None
        self._ended = False

    @property
    def taken(self) -> tuple[Look, ...]:
        """The views so far, in order of time; each has a vector and a crop."""
        return tuple(self._taken)

    @property
    def elapsed_s(self) -> float:
        """Media time since the first frame."""
        return 0.0 if self._began_ns is None else (self._now_ns - self._began_ns) / 1e9

    @property
    def progress(self) -> float:
        """0..1: how far it is, by time or by views, whichever is farther."""
        if self.done:
            return 1.0
        share = len(self._taken) / self.settings.views
        return min(0.99, max(share, self.elapsed_s / self.settings.seconds))

    @property
    def done(self) -> bool:
        """Time is up, or all views are there."""
        return (
            self._ended or len(self._taken) >= self.settings.views or self.elapsed_s >= self.settings.seconds
        )

    def end(self) -> None:
        """Nothing more will come: a recording is over."""
        self._ended = True

    def wanted(self, tracks: Sequence[Track], pts_ns: int) -> int | None:
        """The track to look at in the frame at `pts_ns`; None when none, or not yet.

        It stays with the object it began with; when that is gone, the most prominent one takes its place.
        """
        if self.done:
            return None
        self._began_ns = pts_ns if self._began_ns is None else self._began_ns
        self._now_ns = max(self._now_ns, pts_ns)
        if self._asked_ns is not None and pts_ns - self._asked_ns < self.settings.gap_ms * 1e6:
            return None
        things = [track for track in tracks if track.label not in PEOPLE and track.measured_ns == pts_ns]
        if self._track not in {track.id for track in things}:
            self._track = _most_prominent(things)
        if self._track is None:
            self.advice = Advice.NOTHING if not self._taken else self.advice
            return None
        self._asked_ns = pts_ns
        return self._track

    def least_sharp(self) -> float:
        """A crop less sharp than this is not worth embedding."""
        return self.settings.min_sharp * self._sharpest

    def followed(self, old: int, new: int) -> None:
        """A track turned out to continue another."""
        self._track = new if self._track == old else self._track

    def add(self, look: Look) -> Advice:
        """One look at the product; a look without a vector was too blurred to be embedded."""
        if self.done:
            return Advice.DONE
        self.looks += 1
        self.advice = self._judge(look)
        # slowly forgotten: the first glimpse may have been of something sharper than the product
        self._sharpest = max(0.98 * self._sharpest, look.sharpness)
        if self.advice is Advice.TAKEN:
            self._taken.append(look)
        return self.advice

    def _judge(self, look: Look) -> Advice:
        if look.vector is None or look.sharpness < self.least_sharp():
            return Advice.BLURRED
        if look.whole < self.settings.min_whole:
            return Advice.SMALL if look.whole < 0.5 * self.settings.min_whole else Advice.HIDDEN
        if any(look.alike(other, self.settings.alike) for other in self._taken):
            return Advice.ALIKE
        return Advice.TAKEN


def _most_prominent(tracks: Sequence[Track]) -> int | None:
    if not tracks:
        return None
    boxes = np.array([track.box for track in tracks], np.float32)
    scores = np.array([track.score for track in tracks], np.float32)
    return tracks[int(rank(boxes, scores)[0])].id
