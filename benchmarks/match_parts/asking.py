"""Tracks made of an article's views, put to the engine's own matcher: what it would claim, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from benchmarks.match_parts.goods import Article
from benchmarks.model_parts.pictures import Floats, Picture
from inference.embedder import OnnxEmbedder
from inference.index import IndexHolder, LoadedIndex
from inference.matcher import Matcher, MatcherSettings
from inference.types import Box, MatchState
from inference.views import Look, View, ViewBank, large_enough, sharpness
from overlay.catalog.pictures import views as catalogue_views

AFTER = (1, 3, 10)
"""Views after which answers are counted."""
CANDIDATES = 5
TURNS = 5
"""Every fifth article is missing from the catalogue in one of so many turns: it is what is not for sale."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Articles as one embedder sees them.

    Attributes:
        articles: which.
        shelf: of each article, its catalogue vectors (n, d).
        looks: of each article, its views.
        queries: of each article, its views as an index is searched with, float32 (n, d).
        settings: the matcher's, with the embedder's calibration.
        slack: the embedder's margin...
        near: ...and how alike a view must be to a vetoed one, as the engine takes them.
    """

    articles: Sequence[Article]
    shelf: list[Floats]
    looks: list[list[Look]]
    queries: list[Floats]
    settings: MatcherSettings
    slack: float
    near: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of one track after some views.

    Attributes:
        article: number of the one shown.
        inside: it is in the catalogue.
        best: number of the one that leads.
        score: pooled cosine of that.
        margin: its lead over the next...
        clear: ...as a share of how far apart the two lie, which is what the engine goes by.
        state: as the engine says it.
        claimed: number of the one claimed; -1 for none.
    """

    article: int
    inside: bool
    best: int
    score: float
    margin: float
    clear: float
    state: MatchState
    claimed: int

    @property
    def right(self) -> bool:
        """The leading one is the one shown."""
        return self.best == self.article


def embed(articles: Sequence[Article], embedder: OnnxEmbedder) -> Embedded:
    """Catalogue pictures as the importer embeds them, views as the engine does."""
    own = embedder.calibration
    settings = MatcherSettings().calibrated(own)
    shelf = [
        np.concatenate([embedder.embed(catalogue_views(one, embedder.size)) for one in article.shelf])
        if article.shelf
        else np.zeros((0, embedder.dim), np.float32)
        for article in articles
    ]
    looks = [[_look(view, embedder) for view in article.views] for article in articles]
    queries = [
        embedder.queries(np.stack([one.vector for one in seen if one.vector is not None])) for seen in looks
    ]
    return Embedded(articles, shelf, looks, queries, settings, own.margin, own.alike(0.4))


def _look(view: Picture, embedder: OnnxEmbedder) -> Look:
    size = embedder.size
    crop = np.asarray(Image.fromarray(view).resize((size, size), Image.Resampling.BILINEAR), np.uint8)
    whole = large_enough(Box(0, 0, 1, 1), view.shape[1], view.shape[0], size)
    return Look(sharpness(crop), whole, embedder.embed(crop[None])[0])


def index_of(seen: Embedded, inside: Sequence[int]) -> IndexHolder:
    """A catalogue of the articles with these numbers; products are called by their numbers."""
    rows = [number for number in inside for _ in seen.shelf[number]]
    return IndexHolder(
        LoadedIndex([str(number) for number in rows], np.concatenate([seen.shelf[n] for n in inside]))
    )


def track_of(count: int, length: int, rng: np.random.Generator, *, in_order: bool) -> list[int]:
    """Which views one track has: a stretch of a video, or a draw of photos."""
    length = min(length, count)
    if in_order:
        start = int(rng.integers(count - length + 1))
        return list(range(start, start + length))
    return [int(number) for number in rng.permutation(count)[:length]]


def ask(
    seen: Embedded, article: int, track: Sequence[int], index: IndexHolder, inside: bool
) -> dict[int, Answer]:
    """Show a track to the matcher view by view; answers after `AFTER` views, the last where it is shorter."""
    matcher, bank = Matcher(seen.settings), ViewBank(seen.settings.memory, seen.settings.alike)
    answers: dict[int, Answer] = {}
    apart: dict[tuple[str, str], float] = {}
    for count, number in enumerate(track, 1):
        look = seen.looks[article][number]
        found = index.search(seen.queries[article][number][None], CANDIDATES)[0]
        near = index.apart([product for product, _ in found])
        matcher.vote(1, found, 0, look, near)
        apart.update(near)
        bank.add(View(dict(found), look))
        if count in AFTER or count == len(track):
            answers[count] = _answer(article, inside, matcher, bank.pooled(), apart)
    last = answers[len(track)]
    return {after: answers.get(after, last) for after in AFTER}


def _answer(
    article: int,
    inside: bool,
    matcher: Matcher,
    pooled: dict[str, float],
    apart: dict[tuple[str, str], float],
) -> Answer:
    ranked = sorted(pooled.items(), key=lambda pair: -pair[1])
    score = ranked[0][1]
    margin = score - (ranked[1][1] if len(ranked) > 1 else 0.0)
    pair = tuple(product for product, _ in ranked[:2])
    distance = next((apart[one] for one in (pair, pair[::-1]) if one in apart), 1.0)
    match = matcher.match(1)
    claimed = int(match.product_id) if match.product_id else -1
    return Answer(
        article, inside, int(ranked[0][0]), score, margin, margin / max(distance, 0.1), match.state, claimed
    )


def ask_all(
    seen: Embedded,
    tracks: int,
    seed: int,
    *,
    in_order: bool = False,
    wanted: Callable[[Article], bool] = bool,
) -> list[dict[int, Answer]]:
    """Tracks of every wanted article, in a catalogue that lacks every fifth article in its turn.

    Args:
        seen: articles and one embedder's vectors.
        tracks: of each article in each turn.
        seed: of the draws, the same for every embedder.
        in_order: views are consecutive ones of a video.
        wanted: which articles are shown; all of them are in the catalogue.
    """
    rng = np.random.default_rng(seed)
    listed = [number for number, article in enumerate(seen.articles) if len(seen.shelf[number])]
    places = {number: place for place, number in enumerate(listed)}
    answers = []
    for turn in range(TURNS):
        inside = [number for number in listed if places[number] % TURNS != turn]
        index = index_of(seen, inside)
        for number, article in enumerate(seen.articles):
            for _ in range(tracks):
                track = track_of(len(article.views), AFTER[-1], rng, in_order=in_order)
                if track and wanted(article):
                    answers.append(ask(seen, number, track, index, number in inside))
    return answers
