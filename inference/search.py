"""A region of a picture that somebody asks about: may it be searched, what is cut out, what was found. Pure.

People are never searched. Who is in the picture comes from the detector's ``person`` class; no face is looked
for or recognised. Where a head is follows from a person's box by body proportions (Drillis and Contini 1966:
the shoulders are .259 of the height wide, head and neck .182 of it high, so head and neck are about .7 of the
shoulders' width). A product that covers most of the region is searched wherever it is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.classes import PERSON
from inference.types import Box, Detections, MatchState

HEAD: Final = 0.7
"""Height of head and neck as a share of the shoulders' width."""
HEAD_WIDTH: Final = 0.8
"""Width of the zone as a share of the person's box, around its middle."""
MOSTLY: Final = 0.5
"""Share of a region from which on it is mostly this."""
FACE: Final = 0.4
"""Share of a region in a head's zone from which on it is a face."""
WHOLE_HEAD: Final = 0.6
"""Share of a head's zone in a region from which on the head is in it."""
SURE_PERSON: Final = 0.25
"""Score from which on a detected person counts: lower than for products, for it is what protects people."""
ONE_PERSON: Final = 0.6
"""Share of one person's box in another's from which on both are the same person."""
SURE_PRODUCT: Final = 0.3
THERE: Final = 0.2
"""Overlap (IoU) from which on something was detected in a region; or it lies in there for the most part."""
SNAP: Final = 0.45
"""Overlap (IoU) from which on a region is taken to mean the object detected there."""
GREY: Final = 127


class Refusal(StrEnum):
    """Why a region is not searched."""

    PERSON = "person"
    FACE = "face"


class Thing(NamedTuple):
    """Something detected in the picture."""

    box: Box
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What is in one picture.

    Attributes:
        products: surest first.
        persons: surest first.
        aspect: width of the picture over its height.
    """

    products: tuple[Thing, ...]
    persons: tuple[Thing, ...]
    aspect: float

    @property
    def people(self) -> tuple[Thing, ...]:
        """Persons, each once: of boxes that lie in one another for the most part the surest."""
        kept: list[Thing] = []
        for one in sorted(self.persons, key=lambda thing: -thing.score):
            if all(max(share(one.box, k.box), share(k.box, one.box)) < ONE_PERSON for k in kept):
                kept.append(one)
        return tuple(kept)

    @property
    def heads(self) -> tuple[Box, ...]:
        """Where heads are."""
        return tuple(head_zone(person.box, self.aspect) for person in self.persons)


def scene_of(detections: Sequence[Detections], aspect: float) -> Scene:
    """What detectors found in one picture as a scene; the first one's products, everybody's persons.

    A person's own outline is no product.
    """
    things = [one for found in detections for one in _things(found)]
    persons = tuple(one for one in things if one.label == PERSON and one.score >= SURE_PERSON)
    products = tuple(
        one
        for one in _things(detections[0])
        if one.label != PERSON
        and one.score >= SURE_PRODUCT
        and all(overlap(one.box, person.box) < MOSTLY for person in persons)
    )
    return Scene(products, persons, aspect)


def _things(found: Detections) -> list[Thing]:
    return [
        Thing(Box(*map(float, box)), found.names[label], float(score))
        for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True)
    ]


def head_zone(person: Box, aspect: float) -> Box:
    """Where the head of a person is, generously.

    Args:
        person: box, 0..1 of the picture.
        aspect: width of the picture over its height.
    """
    width = (person.x1 - person.x0) * aspect  # in units of the picture's height
    height = min(person.y1 - person.y0, HEAD * width)
    middle, half = (person.x0 + person.x1) / 2, (person.x1 - person.x0) * HEAD_WIDTH / 2
    return Box(middle - half, person.y0, middle + half, person.y0 + height)


def refusal(region: Box, scene: Scene) -> Refusal | None:
    """Why `region` may not be searched; None where it may.

    Refused are regions that are mostly a head, regions that hold a head and are mostly that person, and
    regions drawn around a person. A region that is mostly a detected product is never refused.
    """
    if any(share(region, thing.box) >= MOSTLY for thing in scene.products):
        return None
    for thing in scene.persons:
        zone, mostly = head_zone(thing.box, scene.aspect), share(region, thing.box) >= MOSTLY
        if mostly and share(thing.box, region) >= MOSTLY:
            return Refusal.PERSON
        if share(region, zone) >= FACE or (mostly and share(zone, region) >= WHOLE_HEAD):
            return Refusal.FACE
    return None


def crops_of(region: Box, scene: Scene) -> tuple[Box, ...]:
    """What to compare with the catalogue: the region as it was drawn, and the object it was meant for."""
    nearest = max(scene.products, key=lambda thing: overlap(region, thing.box), default=None)
    if nearest is None or overlap(region, nearest.box) < SNAP:
        return (region,)
    return region, nearest.box


def occupied(region: Box, scene: Scene) -> bool:
    """Whether a product was detected in a region, whatever it is."""
    return any(
        overlap(region, thing.box) >= THERE or share(thing.box, region) >= MOSTLY for thing in scene.products
    )


def on_person(thing: Thing, scene: Scene) -> bool:
    """Whether something is worn or held; a detector takes hands for products now and then."""
    return any(share(thing.box, person.box) >= MOSTLY for person in scene.persons)


def inside(person: Box, things: Sequence[Thing]) -> tuple[Thing, ...]:
    """What is worn or held by a person: things that lie mostly in the person's box."""
    return tuple(thing for thing in things if share(thing.box, person) >= MOSTLY)


def without_heads(crop: NDArray[np.uint8], box: Box, scene: Scene) -> NDArray[np.uint8]:
    """`crop`, which shows `box`, with heads painted grey, except where a product is in front of them.

    Args:
        crop: RGB uint8 (size, size, 3).
        box: what it shows, 0..1 of the picture.
        scene: of the picture.
    """
    heads = [zone for zone in scene.heads if share(box, zone) > 0]
    if not heads:
        return crop
    hidden = np.zeros(crop.shape[:2], bool)
    for zone in heads:
        hidden[_within(zone, box, crop.shape[0])] = True
    for thing in scene.products:
        if share(box, thing.box) > 0:
            hidden[_within(thing.box, box, crop.shape[0])] = False
    masked = crop.copy()
    masked[hidden] = GREY
    return masked


def _within(part: Box, box: Box, size: int) -> tuple[slice, slice]:
    """Rows and columns of a crop of `box` that show `part`."""
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    columns = slice(
        max(0, int((part.x0 - box.x0) / wide * size)), max(0, int(np.ceil((part.x1 - box.x0) / wide * size)))
    )
    rows = slice(
        max(0, int((part.y0 - box.y0) / high * size)), max(0, int(np.ceil((part.y1 - box.y0) / high * size)))
    )
    return rows, columns


# ---- what was found ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Thresholds:
    """An embedder's cosines, and what they mean.

    Attributes:
        exact: "this product".
        similar: "something like it".
        margin: lead over the next product that "exact" needs.
    """

    exact: float
    similar: float
    margin: float

    @property
    def loose(self) -> float:
        """Below this two pictures have nothing in common."""
        return 0.6 * self.similar

    @property
    def strict(self) -> Thresholds:
        """For a region in which no product was detected: wall and shelf are like something, too.

        Of boxes on the background of the embedded show half pass the plain thresholds; of those around its
        products practically all pass these.
        """
        return Thresholds(self.exact + 2 * self.margin, self.similar + 2 * self.margin, self.margin)


class Candidate(NamedTuple):
    """A product that may be what a region shows."""

    product_id: str
    score: float
    state: MatchState


def merged(lists: Iterable[Iterable[tuple[str, float]]]) -> list[tuple[str, float]]:
    """Candidates of several crops of the same thing as one list, each product at its best, best first."""
    best: dict[str, float] = {}
    for found in lists:
        for product, score in found:
            best[product] = max(score, best.get(product, -1.0))
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))


def judge(ranked: Sequence[tuple[str, float]], thresholds: Thresholds) -> list[Candidate]:
    """How sure each candidate is; those that have nothing in common with the region are left out.

    Args:
        ranked: (product, cosine), best first.
        thresholds: of the embedder.
    """
    found: list[Candidate] = []
    for rank, (product, score) in enumerate(ranked):
        if score < thresholds.loose:
            break
        ahead = score - (ranked[rank + 1][1] if rank + 1 < len(ranked) else 0.0)
        if rank == 0 and score >= thresholds.exact and ahead >= thresholds.margin:
            state = MatchState.EXACT
        else:
            state = MatchState.SIMILAR if score >= thresholds.similar else MatchState.UNSURE
        found.append(Candidate(product, score, state))
    return found


# ---- boxes -------------------------------------------------------------------------------------------------


def _intersection(a: Box, b: Box) -> float:
    wide = min(a.x1, b.x1) - max(a.x0, b.x0)
    high = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(0.0, wide) * max(0.0, high)


def _area(box: Box) -> float:
    return (box.x1 - box.x0) * (box.y1 - box.y0)


def share(of: Box, within: Box) -> float:
    """Share of the area of `of` that lies `within` the other box."""
    return _intersection(of, within) / max(_area(of), 1e-12)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    both = _intersection(a, b)
    return both / max(_area(a) + _area(b) - both, 1e-12)
