"""Labelled crops for the attribute heads: garments as photographed and re-dyed, packages, everything else.

Labels are `NONE` where an attribute does not apply (a milk carton has no apparel category) and `SKIP` where
it is not known.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training import crops, packs
from training.assets import grabcut, read
from training.degrade import Rng

SKIP, NONE = -1, "none"
LABELS = {
    "category": (
        "blazer", "dress", "hat", "hoodie", "longsleeve", "outwear", "pants", "polo", "shirt", "shoes",
        "shorts", "skirt", "t-shirt", "undershirt", NONE,
    ),
    "pattern": ("plain", "striped", "checked", "dotted", "printed"),
    "packaging": ("bag", "bottle", "box", "can", "carton", "jar", "tube", NONE),
}  # fmt: skip
SHAPE = {
    "bottle": "bottle", "flask": "bottle", "can": "can", "jar": "jar", "cup": "jar", "tube": "tube",
    "pouch": "bag", "compact": "box", "ball": NONE,
}  # fmt: skip
SHOW = {
    "lumen-serum-c": "bottle", "lumen-serum-h": "bottle", "nord-flask": "bottle", "pikk-yuzu": "can",
    "fennmark-honey": "jar", "tide-hand-cream": "tube", "kova-house-blend": "bag", "oolin-tea-tin": "box",
    "morrow-mug": NONE, "strid-court": NONE, "alda-bag": NONE,
}  # fmt: skip
EXTRAS = ("bottle", "bottle", "tube", "box", "jar", NONE, "can", "box", "bottle", NONE, NONE)
"""Packaging of the further renders, which repeat eleven kinds of thing (`training.show.extras`)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One crop, BGR uint8, and its contributor.

    Labels index `LABELS` (category, pattern, packaging) or are `SKIP`.
    """

    image: np.ndarray
    labels: tuple[int, int, int]
    held: bool
    group: str
    sender: int = -1


def number(head: str, name: str) -> int:
    """Index of a label; `SKIP` for a name that is not one."""
    return LABELS[head].index(name) if name in LABELS[head] else SKIP


def garments(data: Path) -> list[Sample]:
    """Every labelled garment of both packs."""
    found = []
    for pack in ("train", "dev"):
        with (data / "clothing" / pack / "labels.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                category = number("category", row["label"].lower())
                if category == SKIP:
                    continue
                image, sender = read(data / "clothing" / row["image"], 288), row["sender_id"]
                labels = (category, SKIP, number("packaging", NONE))
                held = crops.validation_contributor(sender)
                found.append(Sample(image, labels, held, "garment", int(sender)))
    return found


def views(work: Path, made: list[packs.Pack | None], each: int = 4) -> list[Sample]:
    """Packages, fruit and everyday things among the embedder's crops (`training.embedder crops`)."""
    table, pictures = np.load(work / "views.npz"), np.load(work / "views.npy", mmap_mode="r")
    found = []
    for k, name in enumerate(table["names"]):
        rows = np.flatnonzero(table["labels"] == k)
        kind = str(table["kinds"][rows[0]])
        if kind == "clothing":
            continue
        packaging = _packaging(kind, str(name), made)
        category = NONE
        if kind == "scene":
            category = packaging = ""
        elif name in ("strid-court",) or (str(name).startswith("extra-") and int(name[-2:]) % 11 == 10):
            category = "shoes"
        held = bool(table["held"][rows[0]])
        rows = rows[:: max(1, len(rows) // (each * (4 if kind in ("grocery", "sprite") else 1)))]
        labels = (number("category", category), SKIP, number("packaging", packaging))
        found += [Sample(np.asarray(pictures[i]), labels, held, kind) for i in rows]
    return found


def _packaging(kind: str, name: str, made: list[packs.Pack | None]) -> str:
    if kind == "grocery":
        return "carton" if int(name[:2]) in crops.PACKAGES else NONE
    if kind == "sprite":
        return SHOW[name] if name in SHOW else EXTRAS[int(name.removeprefix("extra-")) % 11]
    if kind == "pack":
        pack = made[int(name.removeprefix("pack"))]
        assert pack is not None
        if pack.shape == "carton":  # tall ones look like cartons of milk, flat ones like boxes
            return "box" if pack.aspect < 1.3 else "carton" if pack.aspect > 1.8 else ""
        return SHAPE.get(pack.shape, "")
    return ""


def dyed(data: Path, count: int, seed: int, side: int = 160) -> list[Sample]:
    """Real garments cut out, their cloth replaced by a drawn pattern in their own shading."""
    with (data / "clothing/train/labels.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["label"] not in ("Shoes", "Hat", "Not sure")]
    order, found = np.random.default_rng(seed).permutation(len(rows)), []
    for i in order:
        if len(found) >= 5 * count:
            break
        image = read(data / "clothing" / rows[i]["image"], 224)
        h, w = image.shape[:2]
        cut = grabcut(image, np.float32((0.04 * w, 0.04 * h, 0.96 * w, 0.96 * h)))
        if cut is None:
            continue
        held = crops.validation_contributor(rows[i]["sender_id"])
        for kind in range(5):
            rng = np.random.default_rng((seed, int(i), kind))
            cloth = dye(cut, LABELS["pattern"][kind], rng)
            labels = (number("category", rows[i]["label"].lower()), kind, number("packaging", NONE))
            found.append(
                Sample(cv2.resize(cloth, (side, side), interpolation=cv2.INTER_AREA), labels, held, "dyed")
            )
    return found


def dye(cut: np.ndarray, pattern: str, rng: Rng) -> np.ndarray:
    """A cut-out garment (BGRA) in new cloth on a plain ground, BGR uint8 of the same size."""
    h, w = cut.shape[:2]
    alpha = cut[..., 3:].astype(np.float32) / 255
    grey = cv2.GaussianBlur(cv2.cvtColor(cut[..., :3], cv2.COLOR_BGR2GRAY), (0, 0), max(h, w) / 60)
    level = np.median(grey[cut[..., 3] > 128]) + 1
    shade = np.clip(grey.astype(np.float32) / level, 0.45, 1.5)[..., None]
    cloth = texture(pattern, h, w, rng)
    wave = cv2.GaussianBlur(
        rng.normal(0, 1, (2, h, w)).astype(np.float32).transpose(1, 2, 0), (0, 0), max(h, w) / 10
    )
    wave *= rng.uniform(0, 0.03) * max(h, w) / (np.abs(wave).max() + 1e-6)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    cloth = cv2.remap(
        cloth, x + wave[..., 0], y + wave[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    ground = np.full((h, w, 3), rng.uniform(60, 255), np.float32) + rng.normal(0, 12, 3)
    out = ground * (1 - alpha) + cloth.astype(np.float32) * shade * alpha
    return np.clip(out, 0, 255).astype(np.uint8)


def texture(pattern: str, h: int, w: int, rng: Rng) -> np.ndarray:
    """Cloth of one pattern, BGR uint8 [h, w, 3]; stripes run any way, mostly straight."""
    base = rng.uniform(10, 245, 3) if rng.random() < 0.7 else np.full(3, rng.uniform(10, 245))
    ink = rng.uniform(5, 250, 3)
    while np.abs(ink - base).max() < 70:
        ink = rng.uniform(5, 250, 3)
    angle = float(rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.08))
    if rng.random() < 0.15:
        angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    period = max(h, w) / rng.uniform(6, 28)
    duty = rng.uniform(0.2, 0.6)
    band = lambda t: np.clip(((t / period) % 1 < duty).astype(np.float32), 0, 1)  # noqa: E731
    if pattern == "striped":
        mask = band(u)
    elif pattern == "checked":
        mask = 0.5 * (band(u) + band(v))
    elif pattern == "dotted":
        odd = (np.floor(v / period) % 2) * period / 2 * (rng.random() < 0.5)
        mask = (
            ((((u + odd) / period) % 1 - 0.5) ** 2 + ((v / period) % 1 - 0.5) ** 2) < (duty * 0.5 + 0.05) ** 2
        ).astype(np.float32)
    else:
        mask = np.zeros((h, w), np.float32)
    image = base * (1 - mask[..., None]) + ink * mask[..., None]
    image = np.clip(image, 0, 255).astype(np.uint8)
    if pattern == "printed":
        image = _printed(image, rng)
    noise = rng.normal(0, rng.uniform(0, 6), (h, w, 1))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _printed(image: np.ndarray, rng: Rng) -> np.ndarray:
    """A motif on the chest, or scattered all over."""
    h, w = image.shape[:2]
    if rng.random() < 0.5:
        size = rng.uniform(0.25, 0.55)
        ph, pw = max(8, int(h * size)), max(8, int(w * size))
        y, x = int((h - ph) * rng.uniform(0.2, 0.6)), (w - pw) // 2
        print_ = packs._texture(rng)
        image[y : y + ph, x : x + pw] = cv2.resize(print_[:, 96:288], (pw, ph), interpolation=cv2.INTER_AREA)
        return image
    for _ in range(int(rng.integers(15, 90))):
        colour = tuple(float(c) for c in rng.uniform(0, 255, 3))
        at = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        axes = tuple(int(a) for a in rng.uniform(0.01, 0.07, 2) * max(h, w) + 1)
        cv2.ellipse(
            image,
            at,
            axes,
            float(rng.uniform(0, 180)),
            0,
            float(rng.choice((200, 360))),
            colour,
            int(rng.choice((-1, 2))),
        )
    return image
