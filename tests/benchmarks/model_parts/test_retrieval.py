"""The retrieval question: its arithmetic on made-up vectors, and its pictures."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.model_parts import retrieval
from benchmarks.report import Row
from tests.shared import shared_path

UNSEEN = np.array([False, True, True])


def test_vectors_that_agree_score_full_marks() -> None:
    shelf = np.eye(3, dtype=np.float32)
    labels = np.repeat(np.arange(3), 4)
    row = retrieval.scores(shelf[labels], shelf, labels, UNSEEN, 1)
    assert (row["n"], row["n_unseen"], row["top1_two_crops_n"]) == (12, 8, 6)
    assert row["top1"] == row["top1_unseen"] == row["top1_among_unseen"] == row["top1_two_crops"] == 1.0
    assert row["auroc"] == row["auroc_unseen"] == 1.0 and row["top1_se"] == 0.0


def test_an_unseen_article_lost_to_a_seen_one_is_found_among_the_unseen() -> None:
    shelf = np.eye(3, dtype=np.float32)
    asked = shelf[[0, 0, 0, 1, 1, 1, 2, 2, 2]]
    asked[3] = (0.8, 0.6, 0.0)
    row = retrieval.scores(asked, shelf, np.repeat(np.arange(3), 3), UNSEEN, 1)
    assert row["top1"] == pytest.approx(8 / 9, abs=1e-3)
    assert row["top1_unseen"] == pytest.approx(5 / 6, abs=1e-3)
    assert row["top1_among_unseen"] == 1.0


def test_auroc_counts_pairs() -> None:
    score = np.array([0.9, 0.4, 0.5, 0.1], np.float32)
    assert retrieval.auroc(score, np.array([True, True, False, False])) == 0.75


def test_an_article_left_out_is_held_against_the_best_of_the_others() -> None:
    cosines = np.array([(0.9, 0.3, 0.1), (0.2, 0.6, 0.7), (0.4, 0.1, 0.8)], np.float32)
    # With their own article 0.9, 0.7, 0.8; without it 0.3, 0.7, 0.4: eight of nine pairs are in order.
    assert retrieval.left_out(cosines, np.arange(3)) == pytest.approx(8 / 9)


def test_the_error_is_of_articles_not_of_their_photos() -> None:
    labels = np.repeat(np.arange(4), 50)
    cosines = np.where(labels % 2, 0.9, 0.1)[:, None].astype(np.float32)
    first = retrieval.by_article(lambda found, _: float(found.mean()), cosines, labels, 1)
    assert first == pytest.approx(0.2, abs=0.04)  # of four draws from .1 and .9; of 200 it would be .03
    alike = np.ones_like(cosines)
    assert retrieval.by_article(lambda found, _: float(found.mean()), alike, labels, 1) == 0.0


def test_gallery_vectors_are_made_unit_and_queries_are_not() -> None:
    shelf = np.eye(3, dtype=np.float32)
    labels = np.repeat(np.arange(3), 4)
    row = retrieval.scores(0.5 * shelf[labels], shelf, labels, UNSEEN, 1)
    assert row["top1_two_crops"] == 1.0
    np.testing.assert_allclose(retrieval.unit(0.5 * shelf), shelf)


def test_ours_is_held_against_the_best_of_the_others() -> None:
    keys = ("top1", "top1_unseen", "top1_two_crops", "auroc", "auroc_unseen", "auroc_left_out")
    rows: list[Row] = [dict.fromkeys(keys, value) for value in (0.82, 0.7, 0.76)]
    judged = retrieval.targets(rows)
    assert [round(t.value, 2) for t in judged] == [0.06, 0.06, 0.06, 0.82, 0.82, 0.82]
    assert all(t.ok for t in judged)


def test_a_cut_keeps_the_engines_margin_and_stays_inside() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    assert retrieval.cut(image, (25.0, 25.0, 75.0, 50.0)).shape == (27, 54, 3)
    assert retrieval.cut(image, (0.0, 0.0, 100.0, 100.0)).shape == (100, 100, 3)


def test_nineteen_cartons_with_a_catalogue_picture_each() -> None:
    shared_path("grocery/dev/wild.csv")
    cartons = retrieval.load()
    assert len(cartons.queries) == len(cartons.labels) == 111
    assert len(cartons.gallery) == 19 and int(cartons.unseen.sum()) == 9
    assert all(crop.shape[0] > 40 and crop.shape[1] > 20 for crop in (*cartons.queries, *cartons.gallery))
