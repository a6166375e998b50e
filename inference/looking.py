"""One look at some objects of a frame: cut, judge, embed, search. On the device's thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.deadline import RunHandle
from inference.embedder import OnnxEmbedder
from inference.geometry import pad_box
from inference.index import IndexHolder
from inference.types import Box
from inference.views import Look, large_enough, sharpness
from stream.types import Frame

CROP_PAD = 0.04
"""Share of a box by which its crop grows on every side."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What to look at.

    Attributes:
        track_id: whose box it is.
        box: 0..1 of the picture.
        sight: share of it that is in sight, 0..1.
        least_sharp: a crop less sharp than this is not embedded.
    """

    track_id: int
    box: Box
    sight: float
    least_sharp: float


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was found.

    Attributes:
        track_id: as asked.
        look: with its vector and crop; without a vector where the crop was too blurred to be embedded.
        candidates: nearest products with their cosines, best first.
        apart: how far apart each two of them lie, see `inference.holder.IndexHolder.apart`.
    """

    track_id: int
    look: Look
    candidates: list[tuple[str, float]]
    apart: Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Search:
    """Where to search.

    Attributes:
        index: of the products; None finds nothing.
        candidates: per crop.
        within: only these products; None: all.
    """

    index: IndexHolder | None
    candidates: int
    within: frozenset[str] | None


def look_at(
    frame: Frame, asks: Sequence[Ask], embedder: OnnxEmbedder, search: Search, handle: RunHandle | None = None
) -> list[Seen]:
    """Look at parts of a frame, one answer each, in order. Blocking.

    Raises:
        ModelError: the embedder does not run.
        JobCancelled: `handle` was cancelled.
    """
    crops = [frame.pixels.crop(pad_box(ask.box, CROP_PAD), embedder.size) for ask in asks]
    sharp = [sharpness(crop) for crop in crops]
    clear = [number for number, ask in enumerate(asks) if sharp[number] >= ask.least_sharp]
    vectors = np.zeros((0, embedder.dim), np.float32)
    found: list[list[tuple[str, float]]] = [[] for _ in clear]
    if clear:
        vectors = embedder.embed(np.stack([crops[number] for number in clear]), handle)
        if search.index is not None and len(search.index):
            found = search.index.search(embedder.queries(vectors), search.candidates, search.within)
    row = {number: at for at, number in enumerate(clear)}
    answers = []
    for number, ask in enumerate(asks):
        at = row.get(number)
        size = large_enough(ask.box, frame.pixels.width, frame.pixels.height, embedder.size)
        look = Look(sharp[number], ask.sight * size, None if at is None else vectors[at], crops[number])
        near = [] if at is None else found[at]
        apart = search.index.apart([product for product, _ in near]) if search.index and near else {}
        answers.append(Seen(ask.track_id, look, near, apart))
    return answers
