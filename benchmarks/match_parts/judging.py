"""Answers to figures. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.match_parts.asking import AFTER, Answer
from benchmarks.model_parts.tally import standard_error
from benchmarks.report import Row
from inference.types import MatchState

PRECISION = 0.97


def figures(answers: Sequence[dict[int, Answer]], families: Sequence[str]) -> Row:
    """One row of figures.

    ``top1_n``: the leading product is right after n views, of tracks of products in the catalogue. Of the
    last: ``exact_precision`` and ``exact_coverage`` as the engine says it with the thresholds that ship (of
    all "exact", right; of tracks in the catalogue, rightly "exact"), ``coverage_97``: the best coverage that
    any threshold on score and lead has at a precision of .97, the lead taken as the engine takes it (against
    how far apart the two products lie); ``coverage_97_plain``: with the plain lead; ``auroc``: score of
    tracks in the catalogue against those outside, ``family_share``: of the wrong leaders, those of the same
    family.
    """
    row: Row = {"tracks": len(answers)}
    for after in AFTER:
        known = [one[after] for one in answers if one[after].inside]
        row[f"top1_{after}"] = round(float(np.mean([one.right for one in known])), 3) if known else None
        if after == AFTER[-1] and known:
            row["top1_se"] = round(
                standard_error(float(np.mean([one.right for one in known])), len(known)), 3
            )
    last = [one[AFTER[-1]] for one in answers]
    return (
        row
        | _exact(last)
        | {"coverage_97": best_coverage(last), "coverage_97_plain": best_coverage(last, plain=True)}
        | {"auroc": _auroc(last)}
        | _mixed_up(last, families)
    )


def _exact(last: Sequence[Answer]) -> Row:
    said = [one for one in last if one.state is MatchState.EXACT]
    right = sum(one.inside and one.claimed == one.article for one in said)
    known = sum(one.inside for one in last)
    return {
        "exact_precision": round(right / len(said), 3) if said else None,
        "exact_coverage": round(right / known, 3) if known else None,
        "outside_named": _share([one.state is MatchState.EXACT for one in last if not one.inside]),
    }


def best_coverage(
    last: Sequence[Answer], precision: float = PRECISION, *, plain: bool = False
) -> float | None:
    """The largest share of tracks in the catalogue that is answered rightly, at `precision` of the answers.

    Over all pairs of a threshold on the score and one on the lead, found on these very answers; with `plain`
    the lead alone, without what the catalogue says of how far apart the two products lie.
    """
    known = sum(one.inside for one in last)
    if not known:
        return None
    score = np.array([one.score for one in last])
    margin = np.array([one.margin if plain else one.clear for one in last])
    right = np.array([one.inside and one.right for one in last])
    best = 0
    for least in np.unique(np.quantile(margin, np.linspace(0, 0.95, 40))):
        rows = np.flatnonzero(margin >= least)
        order = rows[np.argsort(-score[rows], kind="stable")]
        hits = np.cumsum(right[order])
        enough = hits >= precision * np.arange(1, len(order) + 1)
        best = max(best, int(hits[enough].max(initial=0)))
    return round(best / known, 3)


def _auroc(last: Sequence[Answer]) -> float | None:
    inside = np.array([one.score for one in last if one.inside])
    outside = np.array([one.score for one in last if not one.inside])
    if not len(inside) or not len(outside):
        return None
    return round(float((inside[:, None] > outside[None]).mean()), 3)


def _mixed_up(last: Sequence[Answer], families: Sequence[str]) -> Row:
    wrong = [one for one in last if one.inside and not one.right]
    return {"family_share": _share([families[one.best] == families[one.article] for one in wrong])}


def confusions(answers: Sequence[dict[int, Answer]], names: Sequence[str], most: int = 5) -> list[str]:
    """The pairs most often mixed up after the last view, in words."""
    last = [one[AFTER[-1]] for one in answers]
    wrong = Counter((one.article, one.best) for one in last if one.inside and not one.right)
    shown = Counter(one.article for one in last if one.inside)
    return [
        f"{names[a]} taken for {names[b]}: {count} of {shown[a]} tracks"
        for (a, b), count in wrong.most_common(most)
    ]


def _share(hits: Sequence[bool]) -> float | None:
    return round(float(np.mean(hits)), 3) if hits else None
