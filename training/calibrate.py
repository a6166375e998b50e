"""Thresholds for the embedder's cosines, derived from instances it has never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

PRECISION, RECALL = 0.97, 0.90


def embed(net: torch.nn.Module, views: np.ndarray) -> np.ndarray:
    """Stored BGR views [n, s, s, 3] -> unit vectors [n, dim], from the central 128 x 128."""
    edge = (views.shape[1] - 128) // 2
    out = []
    with torch.no_grad():
        for i in range(0, len(views), 64):
            part = views[i : i + 64, edge : edge + 128, edge : edge + 128, ::-1]
            out.append(net(torch.from_numpy(part.astype(np.float32)).permute(0, 3, 1, 2)).numpy())
    return np.concatenate(out)


def top_two(similarity: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best article, its score, its margin to the next; columns of `similarity` are `gallery`."""
    articles = np.unique(gallery)
    best = np.stack([similarity[:, gallery == a].max(1) for a in articles], 1)
    order = np.argsort(-best, 1)
    rows = np.arange(len(best))
    return articles[order[:, 0]], best[rows, order[:, 0]], best[rows, order[:, 0]] - best[rows, order[:, 1]]


def threshold(score: np.ndarray, right: np.ndarray, precision: float) -> float:
    """Lowest score from which on the accepted answers are right with at least `precision`."""
    order = np.argsort(-score)
    good = np.cumsum(right[order]) / np.arange(1, len(score) + 1)
    fit = np.flatnonzero(good >= precision)
    fit = fit[fit >= min(20, len(score) - 1)]
    return float(score[order[fit[-1]]]) if len(fit) else 1.0


def calibrate(net: torch.nn.Module, work: Path) -> dict[str, float | str]:
    """`exact`, `similar`, `margin`: see the `how` it returns.

    Half of the held-out instances are in the gallery with two catalogue views each; live views of all of them
    are asked, so answers to those outside the gallery are wrong by construction.
    """
    table = np.load(work / "views.npz")
    views = np.load(work / "views.npy", mmap_mode="r")
    rows = np.flatnonzero(table["held"] & (table["kinds"] != "clothing"))
    vectors = embed(net, views[rows])
    labels, number = table["labels"][rows], table["number"][rows]
    inside = labels % 2 == 0
    shelf, asked = (number < 2) & inside, number >= 2
    similarity = vectors[asked] @ vectors[shelf].T
    answer, score, margin = top_two(similarity, labels[shelf])
    known = inside[asked]
    right = answer == labels[asked]
    kept = margin >= (delta := float(np.quantile(margin[right], 0.1)))
    exact = threshold(score[kept], right[kept], PRECISION)
    similar = float(np.quantile(score[right], 1 - RECALL))
    auroc = float((score[known][:, None] > score[~known][None]).mean())
    coverage = float(((score >= exact) & kept & right).sum() / max(known.sum(), 1))
    return {
        "exact": round(exact, 4),
        "similar": round(min(similar, exact), 4),
        "margin": round(delta, 4),
        "top1": round(float(right[known].mean()), 4),
        "auroc": round(auroc, 4),
        "coverage": round(coverage, 4),
        "queries": len(score),
        "how": (
            f"held-out products, half of them not in the gallery; exact: precision >= {PRECISION} with the"
            f" margin; similar: keeps {RECALL:.0%} of right answers; margin: 10th percentile of those"
        ),
    }
