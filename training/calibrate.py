"""Thresholds for the embedder's cosines, derived from instances it has never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from inference.common import Common
from training.degrade import live

PRECISION, RECALL = 0.97, 0.90
ABSENT = 5  # every fifth held-out product is missing from the gallery
STRENGTH = 1.1  # of the degradation of live views
POOL, DRAWS = 4, 16  # views pooled as the engine pools them along a track; pools drawn of each product


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


def pools(labels: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers [n, POOL] of views of one product, and the products."""
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    picked = [rng.choice(r, POOL, replace=False) for r in rows if len(r) >= POOL for _ in range(DRAWS)]
    return np.stack(picked), labels[np.stack(picked)[:, 0]]


def levels(score: np.ndarray, margin: np.ndarray, right: np.ndarray) -> tuple[float, float, float]:
    """`exact` and `margin` that answer most while right in PRECISION of the answers; the share answered."""
    best = (1.0, float(np.quantile(margin[right], 0.5)), 0.0)
    for delta in np.quantile(margin[right], np.linspace(0.02, 0.9, 45)):
        kept = margin >= delta
        exact = threshold(score[kept], right[kept], PRECISION)
        answered = float(((score >= exact) & kept & right).mean())
        if answered > best[2]:
            best = (exact, float(delta), answered)
    return best


def calibrate(net: torch.nn.Module, work: Path, common: Common) -> dict[str, float | str]:
    """`exact`, `similar`, `margin`: see the `how` it returns.

    Four fifths of the held-out products are in the gallery with two catalogue views each; pools of live views
    are asked, so answers to those outside the gallery are wrong by construction. Each fifth is left out in
    its turn. Only real goods are asked: made-up packages are too easily told apart, and stand in the gallery.
    Things that are no goods are asked too, once each: a detector boxes vases and cushions.
    """
    table = np.load(work / "views.npz")
    views = np.load(work / "views.npy", mmap_mode="r")
    rows = np.flatnonzero(table["held"] & ~np.isin(table["kinds"], ("clothing", "scene")))
    number = table["number"][rows]
    looks = [
        live(views[row], np.random.default_rng(row), STRENGTH) if k >= 2 else views[row]
        for row, k in zip(rows, number, strict=True)
    ]
    vectors = embed(net, np.stack(looks))
    labels = np.unique(table["labels"][rows], return_inverse=True)[1]
    real = table["kinds"][rows] == "grocery"
    turns = [ask(vectors, common, labels, number < 2, real, turn) for turn in range(ABSENT)]
    score, margin, right, known, single = (np.concatenate(parts) for parts in zip(*turns, strict=True))
    alien = strangers(net, work, common, vectors[number < 2], labels[number < 2])
    exact, delta, _ = levels(
        *(np.concatenate(both) for both in zip((score, margin, right), alien, strict=True))
    )
    kept = (score >= exact) & (margin >= delta)
    similar = float(np.quantile(score[right], 1 - RECALL))
    return {
        "exact": round(exact, 4),
        "similar": round(min(similar, exact), 4),
        "margin": round(delta, 4),
        "top1": round(float(right[known].mean()), 4),
        "top1_single": round(float(single.mean()), 4),
        "auroc": round(float((score[known][:, None] > score[~known][None]).mean()), 4),
        "answered": round(float((kept & right).sum() / known.sum()), 4),
        "precision": round(float(right[kept].mean()), 4),
        "strangers": round(float(((alien[0] >= exact) & (alien[1] >= delta)).mean()), 4),
        "products": len(np.unique(labels[real])),
        "gallery": len(np.unique(labels)),
        "pools": len(score) // ABSENT,
        "how": (
            f"pools of {POOL} live views of held-out goods, each fifth of them in turn not in the gallery, "
            "and cut-outs of everyday photos; "
            f"exact and margin: right in {PRECISION:.0%} of the answers; similar: keeps {RECALL:.0%} of those"
        ),
    }


def strangers(
    net: torch.nn.Module, work: Path, common: Common, shelf: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Held-out cut-outs of everyday photos, asked for in the whole gallery: score, margin, never right."""
    table, views = np.load(work / "views.npz"), np.load(work / "views.npy", mmap_mode="r")
    rows = np.flatnonzero(table["held"] & (table["kinds"] == "scene"))
    looks = np.stack([live(views[row], np.random.default_rng(row), STRENGTH) for row in rows])
    _, score, margin = top_two(common.shortened(embed(net, looks)) @ shelf.T, labels)
    return score, margin, np.zeros(len(rows), bool)


def ask(
    vectors: np.ndarray, common: Common, labels: np.ndarray, shelf: np.ndarray, real: np.ndarray, turn: int
) -> tuple[np.ndarray, ...]:
    """Ask for the real goods while every fifth product from `turn` on is absent.

    Returns score, margin, right and known of each pool, and whether each view of a known product was right.
    """
    inside, asked = labels % ABSENT != turn, real & ~shelf
    columns = labels[shelf & inside]
    similarity = common.shortened(vectors[asked]) @ vectors[shelf & inside].T
    articles = np.unique(columns)
    best = np.stack([similarity[:, columns == a].max(1) for a in articles], 1)
    members, truth = pools(labels[asked])
    answer, score, margin = top_two(best[members].mean(1), articles)
    single = articles[best.argmax(1)] == labels[asked]
    return score, margin, answer == truth, truth % ABSENT != turn, single[inside[asked]]
