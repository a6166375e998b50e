from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.index_data import DIM, exact, gallery, recall
from benchmarks.peers.searching import SUBJECTS, measure


def test_the_gallery_is_seeded_and_clustered() -> None:
    one, same, other = gallery(2000, 1), gallery(2000, 1), gallery(2000, 2)
    np.testing.assert_array_equal(one.vectors, same.vectors)
    assert not np.array_equal(one.queries, other.queries)
    np.testing.assert_allclose(np.linalg.norm(one.vectors, axis=1), 1, atol=1e-5)
    near = np.sort(one.queries @ one.vectors.T, axis=1)
    assert near[:, -1].mean() > 0.6 and near[:, -10].mean() > 0.5 and abs(near.mean()) < 0.1


def test_true_neighbours_are_true_among_all_and_among_some() -> None:
    made = gallery(500, 1)
    queries = made.queries[:20]
    cosines = queries @ made.vectors.T
    np.testing.assert_array_equal(exact(made.vectors, queries, 5), np.argsort(-cosines, axis=1)[:, :5])
    rows = np.arange(0, 500, 7)
    found = exact(made.vectors, queries, 3, rows)
    np.testing.assert_array_equal(found, rows[np.argsort(-cosines[:, rows], axis=1)[:, :3]])


def test_recall_is_the_share_of_true_neighbours() -> None:
    true = np.array([[1, 2], [3, 4]])
    assert recall(np.array([[2, 1], [3, 9]]), true) == 0.75


def test_a_subject_is_measured_whole(tmp_path: Path) -> None:
    made = gallery(6000, 1)
    true = exact(made.vectors, made.queries, 10)
    folder = tmp_path / "6000-1"
    folder.mkdir()
    row = measure(SUBJECTS["vitrine"](), made, true, folder, 0.1)
    assert made.vectors.shape == (6000, DIM)
    assert row["recall@10"] >= 0.98 and row["recall@10_ef10"] < 0.95
    assert row["filter_1pct_recall"] == row["filter_0.01pct_recall"] == 1.0
    assert {"build_s", "own_mib", "one_ms_p99", "16_callers_ms_p99", "16_callers_per_s"} <= set(row)
