"""Which product is this? Cut-outs of in-store photos against one catalogue picture each.

Every embedder gets the same crops. Ours was trained on ten of these cartons (on other photos of them) and on
none of the other nine: the figures `unseen` are the ones to go by. Catalogue pictures are cut along the
product, as the engine cuts them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness import CannotRun, Outcome, Settings
from benchmarks.model_parts.pictures import Floats, Picture, shared
from benchmarks.model_parts.tally import standard_error
from benchmarks.report import Row, Target, judge
from inference.embedded import EMBEDDER, embedded_model
from inference.embedder import OnnxEmbedder
from inference.errors import ModelError
from inference.runtime import OrtModel, RuntimeSettings

OURS = "vitrine_embed"
PEERS = (
    "mobilenetv3s_embed576",
    "mobilenetv2ptq_embed1280_f32",
    "mobilenetv2ptq_embed1280_qdq",
    "mobilenetv1qat_embed1024_qdq",
)
NEVER_TRAINED_ON = frozenset(("28", "31", "34", "40", "42", "46", "49", "53", "57"))
"""Articles (`sku_id`) that the embedded embedder has never seen; see its card."""
MARGIN = 0.04
DRAWS = 40
REDRAWS = 200
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cartons:
    """Queries and gallery.

    Attributes:
        queries: cut-outs of photos, RGB.
        labels: int64 (n,), the article of each query, 0 and up.
        gallery: one catalogue cut-out of each article, RGB.
        unseen: bool (articles,), never trained on.
    """

    queries: list[Picture]
    labels: Labels
    gallery: list[Picture]
    unseen: NDArray[np.bool_]


def measure(settings: Settings) -> Outcome:
    """A row per embedder: top-1 and what it knows about articles outside the gallery."""
    cartons = load()
    models: dict[str, Path] = {OURS: embedded_model(EMBEDDER)}
    models |= {name: shared(f"models/embed/{name}.onnx") for name in PEERS}
    rows: list[Row] = []
    for name, path in models.items():
        settings.say(f"retrieval: {name}")
        try:
            embedder = OnnxEmbedder(OrtModel(path, RuntimeSettings("cpu", 1)))
        except ModelError as error:
            raise CannotRun(str(error)) from error
        asked, shelf = vectors(embedder, cartons.queries), vectors(embedder, cartons.gallery)
        figures = scores(embedder.queries(asked), shelf, cartons.labels, cartons.unseen, settings.seed)
        rows.append({"subject": f"retrieval: {name}", "numbers": embedder.dim, **figures})
    return rows, targets(rows)


def targets(rows: list[Row]) -> list[Target]:
    """Ours (the first row) against the best of the others."""

    def ahead(key: str) -> float:
        values = [value for row in rows if isinstance(value := row[key], float)]
        return values[0] - max(values[1:])

    known, new, out = (rows[0][key] for key in ("auroc", "auroc_unseen", "auroc_left_out"))
    assert isinstance(known, float) and isinstance(new, float) and isinstance(out, float)
    return [
        judge("retrieval: top-1 of 19 cartons ahead of the best peer", ahead("top1"), ">= 0.05", ""),
        judge("retrieval: the same, cartons never trained on", ahead("top1_unseen"), ">= 0.05", ""),
        judge("retrieval: the same, two real crops a product", ahead("top1_two_crops"), ">= 0.05", ""),
        judge("retrieval: AUROC, gallery trained on, outside not", known, ">= 0.8", ""),
        judge("retrieval: AUROC, gallery and outside never trained on", new, ">= 0.8", ""),
        judge("retrieval: AUROC, all cartons the gallery but one at a time", out, ">= 0.8", ""),
    ]


def load() -> Cartons:
    """The hand-boxed photos of cartons and their catalogue pictures.

    Raises:
        CannotRun: they are not there.
    """
    with shared("grocery/dev/wild.csv").open(newline="", encoding="utf-8") as file:
        asked = [row for row in csv.DictReader(file) if row["x0"]]
    with shared("grocery/dev/catalogue.csv").open(newline="", encoding="utf-8") as file:
        listed = {row["sku_id"]: row["iconic_image"] for row in csv.DictReader(file)}
    articles = sorted({row["sku_id"] for row in asked}, key=int)
    queries = [
        cut(picture(row["image"]), tuple(float(row[key]) for key in ("x0", "y0", "x1", "y1")))
        for row in asked
    ]
    gallery = []
    for article in articles:
        image = picture(listed[article])
        ys, xs = np.nonzero(image.min(axis=2) < 238)
        gallery.append(cut(image, (xs.min(), ys.min(), xs.max(), ys.max())))
    labels = np.array([articles.index(row["sku_id"]) for row in asked], np.int64)
    return Cartons(queries, labels, gallery, np.array([article in NEVER_TRAINED_ON for article in articles]))


def picture(relative: str) -> Picture:
    """RGB uint8 of a grocery picture."""
    return np.asarray(Image.open(shared(f"grocery/{relative}")).convert("RGB"), np.uint8)


def cut(image: Picture, box: tuple[float, ...]) -> Picture:
    """`box` (pixels) with the engine's margin."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box
    mx, my = (x1 - x0) * MARGIN, (y1 - y0) * MARGIN
    left, top = max(0, int(x0 - mx)), max(0, int(y0 - my))
    return image[top : min(height, int(np.ceil(y1 + my))), left : min(width, int(np.ceil(x1 + mx)))]


def vectors(embedder: OnnxEmbedder, pictures: list[Picture]) -> Floats:
    """Unit vectors (n, d) of pictures of any size."""
    side = (embedder.size, embedder.size)
    crops = [
        np.asarray(Image.fromarray(p).resize(side, Image.Resampling.BILINEAR), np.uint8) for p in pictures
    ]
    return embedder.embed(np.stack(crops))


def unit(found: Floats) -> Floats:
    """As an index holds them: only queries may be shorter."""
    return cast(Floats, found / np.linalg.norm(found, axis=1, keepdims=True))


def scores(asked: Floats, shelf: Floats, labels: Labels, unseen: NDArray[np.bool_], seed: int) -> Row:
    """Top-1 of all and of the unseen, the latter also among themselves; open-set figures; standard errors.

    `auroc`: best cosine of queries in a gallery of the articles trained on, against those of the unseen, all
    outside, which is one way of many to halve the cartons; `auroc_halves`: the mean over others, and how far
    they lie apart. `auroc_unseen`: five of the unseen in the gallery and the others outside.
    `auroc_left_out`: every carton in the gallery, against each asked for while it alone is missing;
    `auroc_left_out_unseen`: of these, queries of the unseen; `auroc_left_out_se`: standard error, articles
    drawn anew.
    """
    cosines = asked @ shelf.T
    right = cosines.argmax(axis=1) == labels
    new = unseen[labels]
    halves = open_set(cosines, labels, seed)
    among = cosines[new][:, unseen].argmax(axis=1) == np.cumsum(unseen)[labels[new]] - 1
    two, count = with_two_crops(asked, shelf, labels, seed)
    return {
        "n": len(labels),
        "top1": round(float(right.mean()), 3),
        "top1_se": round(standard_error(float(right.mean()), len(right)), 3),
        "n_unseen": int(new.sum()),
        "top1_unseen": round(float(right[new].mean()), 3),
        "top1_unseen_se": round(standard_error(float(right[new].mean()), int(new.sum())), 3),
        "top1_among_unseen": round(float(among.mean()), 3),
        "top1_two_crops": round(two, 3),
        "top1_two_crops_n": count,
        "auroc": round(auroc(cosines[:, ~unseen].max(axis=1), ~new), 3),
        "auroc_halves": round(float(np.mean(halves)), 3),
        "auroc_halves_sd": round(float(np.std(halves)), 3),
        "auroc_unseen": round(
            float(np.mean(open_set(cosines[new][:, unseen], np.cumsum(unseen)[labels[new]] - 1, seed))), 3
        ),
        "auroc_left_out": round(left_out(cosines, labels), 3),
        "auroc_left_out_se": round(by_article(left_out, cosines, labels, seed), 3),
        "auroc_left_out_unseen": round(left_out(cosines[new], labels[new]), 3),
    }


def auroc(score: Floats, inside: NDArray[np.bool_]) -> float:
    """How often a query inside the gallery scores above one outside."""
    return float((score[inside][:, None] > score[~inside][None]).mean())


def left_out(cosines: Floats, labels: Labels) -> float:
    """`auroc` of queries while their article is in the gallery against the same while it is not."""
    without = cosines.copy()
    without[np.arange(len(labels)), labels] = -np.inf
    return float((cosines.max(axis=1)[:, None] > without.max(axis=1)[None]).mean())


def by_article(
    figure: Callable[[Floats, Labels], float], cosines: Floats, labels: Labels, seed: int
) -> float:
    """Standard error of a figure of queries: bootstrap over articles, whose photos resemble each other."""
    rng, articles = np.random.default_rng(seed), np.unique(labels)
    found = []
    for _ in range(REDRAWS):
        drawn = rng.choice(articles, len(articles))
        rows = np.concatenate([np.flatnonzero(labels == article) for article in drawn])
        found.append(figure(cosines[rows], labels[rows]))
    return float(np.std(found))


def open_set(cosines: Floats, labels: Labels, seed: int) -> list[float]:
    """`auroc` of DRAWS galleries of half of the articles, the others outside."""
    rng, count = np.random.default_rng(seed), cosines.shape[1]
    found = []
    for _ in range(DRAWS):
        shelf = rng.permutation(count)[: (count + 1) // 2]
        found.append(auroc(cosines[:, shelf].max(axis=1), np.isin(labels, shelf)))
    return found


def with_two_crops(asked: Floats, shelf: Floats, labels: Labels, seed: int) -> tuple[float, int]:
    """Mean top-1 over DRAWS when two queries of each article are in the gallery too; queries left in each."""
    rng = np.random.default_rng(seed)
    articles = np.arange(len(shelf))
    shares, left = [], 0
    for _ in range(DRAWS):
        picked = np.concatenate([rng.choice(np.flatnonzero(labels == k), 2, replace=False) for k in articles])
        rest = np.setdiff1d(np.arange(len(asked)), picked)
        gallery, owner = (
            np.concatenate((shelf, unit(asked[picked]))),
            np.concatenate((articles, labels[picked])),
        )
        shares.append((owner[(asked[rest] @ gallery.T).argmax(axis=1)] == labels[rest]).mean())
        left = len(rest)
    return float(np.mean(shares)), left
