"""Which views of an object to believe: sharp, large, whole and unlike each other. Pure.

One look is weak evidence, and ten looks at the same blurred side are hardly more. A view's quality is what
its crop shows (sharpness, against the sharpest crop of the same object) times what its box shows (pixels, and
how much of it other boxes or the picture's edge hide). A `ViewBank` keeps the best views that differ and
averages their similarities, each weighed by its quality, over those that resemble a product most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.types import Box

Floats = NDArray[np.float32]
Crop = NDArray[np.uint8]

EDGE = 0.004
"""Of the picture's side: a box that ends nearer to the border is cut off by it."""
CUT = 0.7
"""Quality that is left for each side on the border."""
PEOPLE = frozenset({"person", "face", "hand", "head"})
"""Labels whose boxes lie around a product without hiding it."""
LEAST_VIEWS = 2
"""Views that a similarity is averaged over, where there are so many."""
FAINT = 0.15
"""The least that a view weighs, as a share of the best: a blurred look is still a look."""


class Boxed(Protocol):
    """What occlusion is judged by (`inference.types.Track`)."""

    @property
    def box(self) -> Box:
        """0..1 of the picture."""

    @property
    def label(self) -> str:
        """Detector class name."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was seen when an object was looked at.

    Attributes:
        sharpness: see `sharpness`; comparable between looks at one object only.
        whole: how much of the object is in sight and large enough, 0..1.
        vector: unit float32 (d,); None where it is not known.
        crop: RGB uint8 (s, s, 3) that was embedded; None where it was not kept.
    """

    sharpness: float = 1.0
    whole: float = 1.0
    vector: Floats | None = None
    crop: Crop | None = None

    def alike(self, other: Look, least: float) -> bool:
        """Both show the same side: their vectors' cosine is `least` or more."""
        if self.vector is None or other.vector is None:
            return False
        return float(self.vector @ other.vector) >= least


UNJUDGED = Look()
"""Nothing is known of how good a look it was."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A look, and the products that it resembles.

    Attributes:
        scores: cosine of the nearest products.
        look: what was seen.
    """

    scores: Mapping[str, float]
    look: Look = UNJUDGED

    @property
    def floor(self) -> float:
        """What a product that is not among `scores` has at most: as near as the farthest candidate."""
        return min(self.scores.values(), default=0.0)


def sharpness(crop: Crop) -> float:
    """How much fine structure an RGB crop uint8 (s, s, 3) shows: >= 0, higher is sharper.

    Root mean square of the Laplacian of luma over its standard deviation (the "variance of the Laplacian" of
    Pech-Pacheco et al., ICPR 2000, made independent of contrast): light changes it little, blur much.
    """
    luma = crop @ np.array((0.299, 0.587, 0.114), np.float32)
    inner = luma[1:-1, 1:-1]
    second = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    spread = float(inner.std())
    return float(np.sqrt(np.mean(second**2))) / spread if spread > 1.0 else 0.0


def covered(box: Box, others: Sequence[Box]) -> float:
    """Largest share of `box` that one of `others` hides, 0..1.

    Of two boxes that overlap the one that reaches farther down is taken to be in front: things stand on
    something. A box inside another is a part of it and hides nothing.
    """
    area = (box.x1 - box.x0) * (box.y1 - box.y0)
    hidden = 0.0
    for other in others:
        wide = min(box.x1, other.x1) - max(box.x0, other.x0)
        high = min(box.y1, other.y1) - max(box.y0, other.y0)
        if wide <= 0 or high <= 0 or other.y1 <= box.y1:
            continue
        smaller = min(area, (other.x1 - other.x0) * (other.y1 - other.y0))
        if wide * high < 0.9 * smaller:
            hidden = max(hidden, wide * high / area)
    return hidden


def in_sight(track: Boxed, tracks: Sequence[Boxed]) -> float:
    """Share of a track's box that can be seen, 0..1: what others hide and the picture's edge cuts off."""
    box = track.box
    others = [other.box for other in tracks if other is not track and other.label not in PEOPLE]
    edges = (box.x0 < EDGE) + (box.y0 < EDGE) + (box.x1 > 1 - EDGE) + (box.y1 > 1 - EDGE)
    return (1.0 - covered(box, others)) * CUT**edges


def large_enough(box: Box, width: int, height: int, size: int) -> float:
    """0..1: whether a box of a `width` x `height` picture has the pixels an embedder of `size` wants."""
    side = float(np.sqrt((box.x1 - box.x0) * width * (box.y1 - box.y0) * height))
    return min(1.0, side / size)


class ViewBank:
    """The views of one object that count. Not thread-safe.

    Args:
        most: views kept.
        alike: cosine from which on two views show the same side.
        with_crop: of the kept views, how many keep their crop (50 kB each at 128 pixels).

    Attributes:
        looks: views added, those that were dropped again included.
    """

    def __init__(self, most: int = 10, alike: float = 0.97, with_crop: int = 4) -> None:
        self.looks = 0
        self._most, self._alike, self._with_crop = most, alike, with_crop
        self._kept: list[View] = []

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def sides(self) -> int:
        """How many of the kept views differ from one another; those without a vector count as different."""
        seen: list[Look] = []
        for view in self._kept:
            if not any(view.look.alike(other, self._alike) for other in seen):
                seen.append(view.look)
        return len(seen)

    @property
    def likeness(self) -> float:
        """Mean cosine between each two of the kept views: 1 for a single one, 0 where none has a vector."""
        known = [view.look.vector for view in self._kept if view.look.vector is not None]
        if len(known) < 2:
            return float(len(known))
        total = float(np.square(np.sum(known, axis=0)).sum())  # of all cosines, each with itself included
        return (total - len(known)) / (len(known) * (len(known) - 1))

    @property
    def sharpest(self) -> float:
        """Sharpness of the sharpest view, 0 before the first."""
        return max((view.look.sharpness for view in self._kept), default=0.0)

    def add(self, view: View) -> None:
        """One more look. When there are too many, the one that says least is dropped."""
        self.looks += 1
        self._kept.append(view)
        if len(self._kept) > self._most:
            del self._kept[self._least()]
        self._drop_crops()

    def join(self, other: ViewBank) -> None:
        """The views of a track that turned out to be this one."""
        looks = self.looks + other.looks
        for view in other._kept:
            self.add(view)
        self.looks = looks

    def pooled(self) -> dict[str, float]:
        """Similarity of every product seen near: the mean over the half of the views that resemble it most.

        Each view is weighed by its quality. An object of the catalogue looks like its picture from some
        sides, and like nothing from others (a hand, a box that slipped); what is not in it looks like no
        picture from any side. Up to four views, two count.
        """
        weights = self._weights()
        count = max(LEAST_VIEWS, math.ceil(len(weights) / 2))
        found: dict[str, float] = {}
        for product in {product for view in self._kept for product in view.scores}:
            heard = [
                (view.scores.get(product, view.floor), weight)
                for weight, view in zip(weights, self._kept, strict=True)
            ]
            best = sorted(heard, reverse=True)[:count]
            found[product] = sum(score * weight for score, weight in best) / sum(weight for _, weight in best)
        return found

    def best(self, count: int) -> list[Look]:
        """At most `count` looks with vectors, of different sides, the best first."""
        order = sorted(zip(self._weights(), self._kept, strict=True), key=lambda pair: -pair[0])
        chosen: list[Look] = []
        for _, view in order:
            look = view.look
            fresh = look.vector is not None and not any(look.alike(one, self._alike) for one in chosen)
            if fresh and len(chosen) < count:
                chosen.append(look)
        return chosen

    def _weights(self) -> list[float]:
        sharpest = max(self.sharpest, 1e-9)
        return [max(FAINT, view.look.whole * view.look.sharpness / sharpest) for view in self._kept]

    def _least(self) -> int:
        """Index of the view to drop: of two of one side the poorer one, else the poorest of the older half.

        Equal ones go by age, so that what is seen now replaces what was seen long ago.
        """
        weights = self._weights()
        twins = [
            min((weights[i], i), (weights[j], j))
            for j, view in enumerate(self._kept)
            for i, other in enumerate(self._kept[:j])
            if view.look.alike(other.look, self._alike)
        ]
        if twins:
            return min(twins)[1]
        older = range((len(self._kept) + 1) // 2)
        return min(older, key=lambda i: (weights[i], i))

    def _drop_crops(self) -> None:
        """Keep the crops of the best few: they are what a host's word is remembered by."""
        with_crop = [i for i, view in enumerate(self._kept) if view.look.crop is not None]
        if len(with_crop) > self._with_crop:
            weights = self._weights()
            poorest = min(with_crop, key=lambda i: weights[i])
            old = self._kept[poorest]
            self._kept[poorest] = replace(old, look=replace(old.look, crop=None))
