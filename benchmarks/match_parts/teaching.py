"""What a host's word is worth: the same tracks before and after one confirm, or one veto."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.match_parts.asking import AFTER, Answer, Embedded, ask, index_of, track_of
from benchmarks.match_parts.goods import Article
from benchmarks.model_parts.pictures import Floats
from benchmarks.report import Row
from inference.index import IndexHolder
from inference.taught import Example, Taught
from inference.types import MatchState
from inference.views import Look

VIEWS = 4
"""Of a track that the host's word is remembered by, as the engine does."""
LOOKS = 3
"""Views of each track that is asked about."""


def measure(seen: Embedded, tracks: int, seed: int, wanted: Callable[[Article], bool] = bool) -> Row:
    """Confirm: the host says once of each product "this is right". Veto: once of each article outside the
    catalogue that is taken for a product for sure, "not this".

    Views that are taught are never asked about. ``lost``: tracks rightly named before the vetoes, not after.
    """
    rng = np.random.default_rng(seed)
    numbers = [
        n for n, article in enumerate(seen.articles) if wanted(article) and len(article.views) > VIEWS + LOOKS
    ]
    taught = {n: [int(v) for v in rng.permutation(len(seen.looks[n]))[:VIEWS]] for n in numbers}
    rest = {n: [v for v in range(len(seen.looks[n])) if v not in taught[n]] for n in numbers}
    asked = {
        n: [[rest[n][at] for at in track_of(len(rest[n]), LOOKS, rng, in_order=False)] for _ in range(tracks)]
        for n in numbers
    }
    listed = [n for n in range(len(seen.articles)) if len(seen.shelf[n])]
    index = index_of(seen, listed)
    before = _answers(seen, index, asked, frozenset(listed))
    words = [
        Example(str(n), _vector(seen.looks[n][v]), True) for n in numbers if n in listed for v in taught[n]
    ]
    index.taught = Taught(words, seen.slack, seen.near)
    after = _answers(seen, index, asked, frozenset(listed))
    return {
        "top1_untaught": _top1(before),
        "top1_confirmed": _top1(after),
        "exact_untaught": _named(before),
        "exact_confirmed": _named(after),
    } | _vetoed(seen, numbers, listed, taught, asked)


def _vetoed(
    seen: Embedded,
    numbers: list[int],
    listed: list[int],
    taught: dict[int, list[int]],
    asked: dict[int, list[list[int]]],
) -> Row:
    """Every second article leaves the catalogue; what is taken for another then is vetoed once."""
    inside = [n for n in listed if n not in numbers or numbers.index(n) % 2]
    index = index_of(seen, inside)
    before = _answers(seen, index, asked, frozenset(inside))
    words = []
    for n in numbers:
        answer = ask(seen, n, taught[n], index, n in inside)[AFTER[-1]]
        if n not in inside and answer.claimed >= 0:
            words += [Example(str(answer.claimed), _vector(seen.looks[n][v]), False) for v in taught[n]]
    index.taught = Taught(words, seen.slack, seen.near)
    after = _answers(seen, index, asked, frozenset(inside))
    kept = [new.claimed == old.article for old, new in zip(before, after, strict=True) if _right(old)]
    return {
        "vetoes": len(words) // VIEWS,
        "outside_claimed": _outside(before),
        "outside_claimed_vetoed": _outside(after),
        "lost": round(1.0 - float(np.mean(kept)), 3) if kept else None,
    }


def _answers(
    seen: Embedded, index: IndexHolder, asked: dict[int, list[list[int]]], inside: frozenset[int]
) -> list[Answer]:
    return [
        ask(seen, n, track, index, n in inside)[AFTER[-1]] for n, tracks in asked.items() for track in tracks
    ]


def _vector(look: Look) -> Floats:
    assert look.vector is not None
    return look.vector


def _right(answer: Answer) -> bool:
    return answer.inside and answer.claimed == answer.article


def _top1(answers: list[Answer]) -> float | None:
    known = [answer.right for answer in answers if answer.inside]
    return round(float(np.mean(known)), 3) if known else None


def _named(answers: list[Answer]) -> float | None:
    known = [_right(answer) and answer.state is MatchState.EXACT for answer in answers if answer.inside]
    return round(float(np.mean(known)), 3) if known else None


def _outside(answers: list[Answer]) -> float | None:
    strangers = [answer.claimed >= 0 for answer in answers if not answer.inside]
    return round(float(np.mean(strangers)), 3) if strangers else None
