from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.match import targets
from benchmarks.match_parts.asking import AFTER, Answer, Embedded, ask, ask_all, index_of, track_of
from benchmarks.match_parts.goods import Article
from benchmarks.match_parts.judging import best_coverage, confusions, figures
from benchmarks.match_parts.teaching import measure
from benchmarks.report import Row
from inference.matcher import MatcherSettings
from inference.types import MatchState
from inference.views import Look

NO_PICTURE = np.zeros((1, 1, 3), np.uint8)


def vector(rng: np.random.Generator, towards: NDArray[np.float32], noise: float) -> NDArray[np.float32]:
    found = towards + noise * rng.normal(size=len(towards)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found), np.float32)


def seen(noise: float, articles: int = 10, views: int = 20) -> Embedded:
    """Articles with a direction each, seen with noise."""
    rng = np.random.default_rng(3)
    directions = [vector(rng, np.zeros(32, np.float32), 1.0) for _ in range(articles)]
    listed = [
        Article(str(n), str(n // 2), (NO_PICTURE,), (NO_PICTURE,) * views, bool(n % 2))
        for n in range(articles)
    ]
    looks = [[Look(vector=vector(rng, one, noise)) for _ in range(views)] for one in directions]
    settings = MatcherSettings(exact=0.6, similar=0.45, margin=0.1)
    queries = [np.stack([one.vector for one in seen if one.vector is not None]) for seen in looks]
    return Embedded(listed, [one[None] for one in directions], looks, queries, settings, 0.1, 0.75)


def answer(right: bool, score: float = 0.9, margin: float = 0.3, *, inside: bool = True) -> dict[int, Answer]:
    state = MatchState.EXACT if score > 0.5 else MatchState.UNSURE
    best = 1 if right else 2
    one = Answer(1, inside, best, score, margin, margin, state, best if state is MatchState.EXACT else -1)
    return dict.fromkeys(AFTER, one)


def test_more_views_find_the_article_more_often() -> None:
    row = figures(ask_all(seen(0.35), 6, 1), [str(n // 2) for n in range(10)])
    one, ten = row["top1_1"], row["top1_10"]
    assert isinstance(one, float) and isinstance(ten, float) and one < ten > 0.9
    assert isinstance(row["auroc"], float) and row["auroc"] > 0.8


def test_what_left_the_catalogue_is_asked_about_too() -> None:
    answers = ask_all(seen(0.2), 2, 1)
    outside = [one[AFTER[-1]] for one in answers if not one[AFTER[-1]].inside]
    assert len(outside) == 5 * 2 * 2 and not any(one.right for one in outside)


def test_the_lead_counts_against_how_far_apart_the_two_lie() -> None:
    rows = ask_all(seen(0.2), 2, 1)
    for row in rows:
        last = row[AFTER[-1]]
        assert 0.5 * last.margin <= last.clear <= 10 * last.margin
    closer = replace(answer(True)[10], score=0.8, clear=0.6)
    wrong = replace(answer(False)[10], score=0.9, margin=0.4, clear=0.2)
    assert best_coverage([closer, wrong]) == 0.5 and best_coverage([closer, wrong], plain=True) == 0.0


def test_a_short_track_ends_with_its_last_answer() -> None:
    goods = seen(0.2)
    answers = ask(goods, 3, [0, 1], index_of(goods, range(10)), True)
    assert answers[3] == answers[10] and answers[10].right


def test_a_track_of_a_video_is_a_stretch_of_it() -> None:
    rng = np.random.default_rng(0)
    track = track_of(30, 10, rng, in_order=True)
    assert track == list(range(track[0], track[0] + 10))
    assert sorted(track_of(4, 10, rng, in_order=False)) == [0, 1, 2, 3]


def test_coverage_at_a_precision_leaves_out_what_is_not_sure() -> None:
    sure = [answer(True)[10]] * 97
    wrong = [answer(False, 0.55)[10]] * 30
    unsure = [answer(True, 0.5)[10]] * 3
    assert best_coverage(sure) == 1.0
    assert best_coverage([*sure, *wrong, *unsure]) == pytest.approx(97 / 130, abs=1e-3)


def test_figures_of_known_answers() -> None:
    answers = [answer(True)] * 6 + [answer(False)] * 2 + [answer(False, 0.3, inside=False)] * 2
    row = figures(answers, ["a", "b", "b"])
    assert row["top1_10"] == 0.75 and row["exact_precision"] == 0.75 and row["exact_coverage"] == 0.75
    assert (row["outside_named"], row["auroc"], row["family_share"]) == (0.0, 1.0, 1.0)
    assert confusions(answers, ["x", "mug", "jar"]) == ["mug taken for jar: 2 of 8 tracks"]


def test_a_confirm_helps_and_vetoes_take_nothing_from_the_others() -> None:
    row = measure(seen(0.2), 3, 1)
    values = {key: value for key, value in row.items() if isinstance(value, float)}
    assert values["top1_confirmed"] >= values["top1_untaught"]
    assert values["outside_claimed_vetoed"] <= values["outside_claimed"]
    assert values.get("lost", 0.0) <= 0.05


def test_targets_compare_with_the_best_of_the_others() -> None:
    keys = (
        "exact_precision",
        "coverage_97",
        "coverage_97_plain",
        "top1_10",
        "auroc",
        "top1_confirmed",
        "top1_untaught",
        "lost",
    )
    rows: list[Row] = [
        {"subject": f"new cartons: {name}", **dict.fromkeys(keys, value)}
        for name, value in (("vitrine_embed", 0.9), ("a", 0.95), ("b", 0.5))
    ]
    judged = {target.name.partition(": ")[2]: target for target in targets(rows)}
    assert judged["top-1 after 10 views, ahead of the best peer"].value == pytest.approx(-0.05)
    assert not judged["of 'exact', right, as shipped"].ok
    assert targets([{"subject": "show: vitrine_embed"}]) == []
