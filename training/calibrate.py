"""Thresholds for the embedder's cosines, derived from instances it has never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from inference.common import Common
from inference.evidence import SAME
from training import crops
from training.degrade import live

PRECISION, RECALL = 0.97, 0.90
CAREFUL = 0.98  # one side seen: so that drawn goods keep for filmed ones what they promise
ABSENT = 5  # every fifth held-out product is missing from the gallery
COUNTED = 2  # of the views pooled, as `inference.views.ViewBank.pooled` does
STRENGTH = 1.1  # of the degradation of live views
POOL, DRAWS = 4, 16  # views pooled as the engine pools them along a track; pools drawn of each product
SHOPS, SHOP, SEEN = 4, 180, 8  # one side seen: made-up shops, packages of each, sides asked of a package
TREMOR = 0.3  # of the degradation by which views of one side differ from one another


def embed(net: torch.nn.Module, views: np.ndarray) -> np.ndarray:
    """Stored BGR views [n, s, s, 3] -> unit vectors [n, dim], from the central 128 x 128."""
    edge = (views.shape[1] - 128) // 2
    out = []
    with torch.no_grad():
        for i in range(0, len(views), 64):
            part = views[i : i + 64, edge : edge + 128, edge : edge + 128, ::-1]
            out.append(net(torch.from_numpy(part.astype(np.float32)).permute(0, 3, 1, 2)).numpy())
    return np.concatenate(out)


def top_two(
    similarity: np.ndarray, gallery: np.ndarray, apart: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best article, its score, and how clearly it leads: over how far the next one lies from it.

    Columns of `similarity` are `gallery`; `apart` [articles, articles] as of `distances`.
    """
    articles = np.unique(gallery)
    best = np.stack([similarity[:, gallery == a].max(1) for a in articles], 1)
    order = np.argsort(-best, 1)
    rows, first, second = np.arange(len(best)), order[:, 0], order[:, 1]
    lead = best[rows, first] - best[rows, second]
    return articles[first], best[rows, first], lead / apart[first, second]


def distances(shelf: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Chord between the nearest catalogue views of each two articles: margins are scaled by it."""
    articles = np.unique(labels)
    cosines = shelf @ shelf.T
    nearest = [[cosines[np.ix_(labels == a, labels == b)].max() for b in articles] for a in articles]
    chords = np.sqrt(np.maximum(2 - 2 * np.array(nearest), 0))
    return np.where(chords >= SAME, chords, 1.0)


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


def levels(
    score: np.ndarray, margin: np.ndarray, right: np.ndarray, precision: float = PRECISION
) -> tuple[float, float, float]:
    """`exact` and `margin` that answer most while right in `precision` of the answers; the share answered."""
    best = (1.0, float(np.quantile(margin[right], 0.5)), 0.0)
    for delta in np.quantile(margin[right], np.linspace(0.02, 0.9, 45)):
        kept = margin >= delta
        exact = threshold(score[kept], right[kept], precision)
        answered = float(((score >= exact) & kept & right).mean())
        if answered > best[2]:
            best = (exact, float(delta), answered)
    return best


def calibrate(net: torch.nn.Module, work: Path, common: Common) -> dict[str, object]:
    """`exact`, `similar`, `margin`: see the `how` it returns.

    The gallery holds two catalogue views of each product that is real or rendered, and of held-out made-up
    packages, every third a look-alike of its neighbour. Pools of live views of held-out ones are asked; each
    fifth of the gallery is left out in its turn, so answers to those are wrong by construction. Things that
    are no goods are asked as often as goods: a detector boxes vases and cushions. The cartons that the
    benchmarks judge by take no part.
    """
    table = np.load(work / "views.npz")
    views = np.load(work / "views.npy", mmap_mode="r")
    kinds, held, number = table["kinds"], table["held"], table["number"]
    asked = held & np.isin(kinds, ("pack", "cosmetics", "abo"))
    listed = ~held & (number < 2) & np.isin(kinds, ("grocery", "cosmetics", "abo", "sprite"))
    rows = np.flatnonzero(asked | listed)
    number = number[rows]
    looks = [
        live(views[row], np.random.default_rng(row), STRENGTH) if k >= 2 else views[row]
        for row, k in zip(rows, number, strict=True)
    ]
    vectors = embed(net, np.stack(looks))
    labels = np.unique(table["labels"][rows], return_inverse=True)[1]
    turns = [ask(vectors, common, labels, number < 2, turn) for turn in range(ABSENT)]
    score, clear, right, known, single = (np.concatenate(parts) for parts in zip(*turns, strict=True))
    alien = strangers(net, work, common, vectors[number < 2], labels[number < 2])
    often = np.resize(np.arange(len(alien[0])), len(score))
    exact, margin, _ = levels(
        *(np.concatenate((a, b[often])) for a, b in zip((score, clear, right), alien, strict=True))
    )
    goods = listed[rows]
    several = float(np.quantile(likeness(vectors[number >= 2][pools(labels[number >= 2])[0]]), 0.9))
    narrow = one_side(net, common, vectors[goods], labels[goods], alien)
    kept = (score >= exact) & (clear >= margin)
    similar = float(np.quantile(score[right], 1 - RECALL))
    return {
        "exact": round(exact, 4),
        "similar": round(min(similar, exact), 4),
        "margin": round(margin, 4),
        "relative": True,
        "one_side": {
            "exact": round(max(0.0, narrow[0] - exact), 4),
            "margin": round(max(0.0, narrow[1] - margin), 4),
            "several": round(several, 2),
            "one": round(narrow[2], 2),
        },
        "top1": round(float(right[known].mean()), 4),
        "top1_single": round(float(single.mean()), 4),
        "auroc": round(float((score[known][:, None] > score[~known][None]).mean()), 4),
        "answered": round(float((kept & right).sum() / known.sum()), 4),
        "precision": round(float(right[kept].mean()), 4),
        "strangers": round(float(((alien[0] >= exact) & (alien[1] >= margin)).mean()), 4),
        "products": len(np.unique(labels[number >= 2])),
        "gallery": len(np.unique(labels)),
        "pools": len(score) // ABSENT,
        "how": (
            f"pools of {POOL} live views of held-out made-up packages, each fifth of all goods in turn not "
            "in the gallery, and as many cut-outs of everyday photos; "
            f"exact and margin (for products a chord of 1 apart): right in {PRECISION:.0%} of the answers; "
            f"similar: keeps {RECALL:.0%} of those; one_side: what more is right in {CAREFUL:.0%} of the "
            f"answers for one side, in {SHOPS} shops of {SHOP} other packages with close look-alikes"
        ),
    }


def strangers(
    net: torch.nn.Module, work: Path, common: Common, shelf: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Held-out cut-outs of everyday photos, asked for in the whole gallery: score, lead, never right."""
    table, views = np.load(work / "views.npz"), np.load(work / "views.npy", mmap_mode="r")
    rows = np.flatnonzero(table["held"] & (table["kinds"] == "scene"))
    looks = np.stack([live(views[row], np.random.default_rng(row), STRENGTH) for row in rows])
    similarity = common.shortened(embed(net, looks)) @ shelf.T
    _, score, clear = top_two(similarity, labels, distances(shelf, labels))
    return score, clear, np.zeros(len(rows), bool)


def likeness(pooled: np.ndarray) -> np.ndarray:
    """Mean cosine between each two views of each pool [n, POOL, dim]; see `inference.views.ViewBank`."""
    total = (pooled.sum(1) ** 2).sum(1)
    return (total - pooled.shape[1]) / (pooled.shape[1] * (pooled.shape[1] - 1))


def one_side(
    net: torch.nn.Module,
    common: Common,
    goods: np.ndarray,
    labels: np.ndarray,
    alien: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[float, float, float]:
    """`exact` and `margin` for tracks that show one side only, and how alike the views of nearly all are.

    Live video of a thing that stands still shows one side under one light, POOL times. Asked for are
    packages that nothing was trained on, each side of its own under another light, in shops of these and of
    all real and rendered goods. Each third package is a look-alike of its neighbour, some but for one colour,
    and each fifth is missing in turn. Neighbours whose catalogue views are the same count as one product.
    """
    answers, alike = [], []
    for seed in range(SHOPS):
        shelf, looks = [], []
        for number, one in enumerate(crops.shop(SHOP, seed)):
            rng = np.random.default_rng((seed, number))
            shelf += [crops.catalogue_view(one, rng) for _ in range(2)]
            for _ in range(SEEN):
                look = live(crops.live_view(one, [], rng), rng, STRENGTH)
                looks += [look, *(tremble(look, rng) for _ in range(POOL - 1))]
        listing = embed(net, np.stack(shelf))
        vectors = np.concatenate([listing, goods, embed(net, np.stack(looks))])
        packs = np.arange(SHOP)
        pairs = listing.reshape(SHOP, 2, -1)
        packs[1:] -= np.einsum("pid,pjd->pij", pairs[1:], pairs[:-1]).max((1, 2)) > 1 - SAME**2 / 2
        named = np.concatenate([packs.repeat(2), SHOP + labels, packs.repeat(SEEN * POOL)])
        listed = np.arange(len(named)) < len(named) - len(looks)
        members = np.arange(len(looks)).reshape(-1, POOL)
        alike.append(likeness(vectors[~listed][members]))
        answers += [ask(vectors, common, named, listed, turn, members)[:3] for turn in range(ABSENT)]
    score, clear, right = (np.concatenate(parts) for parts in zip(*answers, strict=True))
    often = np.resize(np.arange(len(alien[0])), len(score))
    exact, margin, _ = levels(
        *(np.concatenate((a, b[often])) for a, b in zip((score, clear, right), alien, strict=True)),
        precision=CAREFUL,
    )
    return exact, margin, float(np.quantile(np.concatenate(alike), 0.1))


def tremble(look: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same side a moment later: another box, another frame's compression."""
    shift = rng.integers(-3, 4, 2)
    return np.roll(live(look, rng, TREMOR), shift, (0, 1))


def ask(
    vectors: np.ndarray,
    common: Common,
    labels: np.ndarray,
    shelf: np.ndarray,
    turn: int,
    members: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:
    """Ask for all goods while every fifth product from `turn` on is absent.

    `members` [n, POOL] are rows of what is asked, those of one product; without them pools are drawn.

    Returns score, lead, right and known of each pool, and whether each view of a known product was right.
    """
    inside, asked = labels % ABSENT != turn, ~shelf
    columns = labels[shelf & inside]
    similarity = common.shortened(vectors[asked]) @ vectors[shelf & inside].T
    articles = np.unique(columns)
    best = np.stack([similarity[:, columns == a].max(1) for a in articles], 1)
    if members is None:
        members, _ = pools(labels[asked])
    truth = labels[asked][members[:, 0]]
    apart = distances(vectors[shelf & inside], columns)
    pooled = np.sort(best[members], axis=1)[:, -COUNTED:].mean(1)
    answer, score, clear = top_two(pooled, articles, apart)
    single = articles[best.argmax(1)] == labels[asked]
    return score, clear, answer == truth, truth % ABSENT != turn, single[inside[asked]]
