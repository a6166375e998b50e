"""Crops for the embedder: products as in a catalogue and as in a live picture, rendered once to disk."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training import backdrops, hands, packs
from training.assets import REJECTED, Photo, off_white, read, sprites, trim
from training.degrade import Rng
from training.scenes import transform
from training.teachers import Jury, NanoDetPlus

SIDE = 144  # stored; training crops 128 or more of it
PACKAGES = range(28, 58)  # articles of the grocery photos that are cartons and pots; the rest is produce
UNKNOWN = ("nord-flask",)  # the show's product that is in no catalogue stays unknown to the embedder
WORK = 176  # canvas on which a crop is composed


@dataclass(slots=True)
class Instance:
    """One product. `cuts`: BGRA views; `pack`: drawn on demand; `photos`: real crops with surroundings."""

    name: str
    kind: str
    cuts: list[np.ndarray]
    photos: list[np.ndarray]
    pack: packs.Pack | None = None


def validation_contributor(sender: str) -> bool:
    """Garments of these contributors are for validation only, here and for the attribute heads."""
    return int(sender) % 4 == 2


def variant(pack: packs.Pack, rng: Rng) -> packs.Pack:
    """A look-alike: the same body, the print recoloured or reprinted."""
    other = packs.make_pack(rng)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(pack.texture, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(25, 150))) % 180
        texture = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    else:
        texture = pack.texture.copy()
        texture[:, 96:288] = other.texture[:, 96:288]
    return packs.Pack(pack.shape, pack.aspect, pack.profile, texture, pack.gloss)


def flavour(pack: packs.Pack, rng: Rng) -> packs.Pack:
    """A closer look-alike: the same print with one colour changed, as flavours have."""
    height, width = pack.texture.shape[:2]
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 20, 1.0)
    pixels = pack.texture.reshape(-1, 3).astype(np.float32)
    _, which, centres = cv2.kmeans(pixels, 5, None, stop, 1, cv2.KMEANS_PP_CENTERS)
    shares = np.bincount(which.ravel(), minlength=5) / len(pixels)
    fit = [int(k) for k in np.argsort(shares) if 0.02 <= shares[k] <= 0.4] or [int(shares.argmin())]
    changed = fit[rng.integers(len(fit))]
    where = which.ravel() == changed
    pixels[where] += np.float32(packs.any_colour(rng)) - centres[changed]
    texture = np.clip(pixels, 0, 255).astype(np.uint8).reshape(height, width, 3)
    return packs.Pack(pack.shape, pack.aspect, pack.profile, texture, pack.gloss)


def _groceries(data: Path) -> list[Instance]:
    """One instance an article: its catalogue cut-out, and what its in-store photos are about.

    A photo is listed once per upstream split and carries its hand-drawn box in one of the rows only; photos
    with a box are for evaluation and never enter.
    """
    jury, teacher = Jury(data / "models/detect"), NanoDetPlus(data / "models/detect")
    found: dict[str, Instance] = {}
    for path in sorted(data.glob("grocery/dev/catalogue/*.jpg")):
        cut = off_white(read(path, 400))
        if cut is not None:
            found[path.stem.split("_")[0]] = Instance(path.stem, "grocery", [cut], [])
    with (data / "grocery/dev/wild.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    boxed = {row["image"] for row in rows if row["x0"]}
    article = {row["image"]: f"{int(row['sku_id']):02d}" for row in rows}
    wrong = set(REJECTED.read_text(encoding="utf-8").split())
    for path in sorted(article.keys() - boxed):
        one = found.get(article[path])
        if one is None or path.removeprefix("dev/wild/") in wrong:
            continue
        image = read(data / "grocery" / path, 384)
        box = jury.verdict(image) if int(article[path]) in PACKAGES else _prominent(teacher, image)
        if box is not None:
            one.photos.append(widen(image, box, 0.12))
    return list(found.values())


def _prominent(teacher: NanoDetPlus, image: np.ndarray) -> np.ndarray | None:
    """The large certain box of a photo of fruit or vegetables, which may show a heap of them."""
    boxes, scores, classes = teacher.detect(image, 0.3)
    size = (boxes[:, 2:] - boxes[:, :2]) / image.shape[1::-1]
    fit = (classes != 0) & (size.prod(1) > 0.1)
    return boxes[np.where(fit, scores * np.sqrt(size.prod(1)), -1).argmax()] if fit.any() else None


def widen(image: np.ndarray, box: np.ndarray, margin: float) -> np.ndarray:
    """The box with `margin` of its size around it, inside the picture."""
    h, w = image.shape[:2]
    m = (box[2:] - box[:2]) * margin
    x0, y0 = np.maximum(box[:2] - m, 0).astype(int)
    x1, y1 = np.minimum(np.ceil(box[2:] + m), (w, h)).astype(int)
    return np.ascontiguousarray(image[y0:y1, x0:x1])


def _garments(data: Path, limit: int, seed: int) -> list[Instance]:
    with (data / "clothing/train/labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not validation_contributor(row["sender_id"])]
    order = np.random.default_rng(seed).permutation(len(rows))[:limit]
    paths = [data / "clothing" / rows[i]["image"] for i in order]
    return [Instance(p.stem, "clothing", [], [read(p, 224)]) for p in paths]


def _scenes(data: Path, each: int, seed: int) -> list[Instance]:
    """Random cut-outs of everyday photos, each an instance: what the teachers say of them is learnt."""
    found = []
    for path in sorted(data.glob("coco100/*.jpg")):
        image, rng = read(path, 480), np.random.default_rng((seed, int(path.stem)))
        h, w = image.shape[:2]
        for k in range(each):
            size = rng.uniform(0.25, 0.6) * min(h, w) * np.exp(rng.normal(0, 0.25, 2))
            x, y = rng.uniform(0, np.maximum((w, h) - size, 1))
            crop = image[int(y) : int(y + size[1]) + 1, int(x) : int(x + size[0]) + 1]
            if crop.std() > 12:
                found.append(Instance(f"{path.stem}-{k}", "scene", [], [np.ascontiguousarray(crop)]))
    return found


def instances(data: Path, cache: Path, garments: int, packages: int, seed: int) -> list[Instance]:
    """All products to tell apart, in a fixed order."""
    found = _groceries(data)
    for folder in sorted((data / "abo_samples").glob("B*")):
        cuts = [c for p in sorted(folder.glob("*.jpg")) if (c := off_white(read(p, 400))) is not None]
        found.append(Instance(folder.name, "abo", cuts, []))
    for path in sorted((data / "ivs_cosmetics").glob("*.jpg")):
        found.append(Instance(path.stem, "cosmetics", [], [read(path, 256)]))
    renders: dict[str, list[np.ndarray]] = {}
    for sprite in sprites(cache):
        if sprite.instance not in UNKNOWN:
            renders.setdefault(sprite.instance, []).append(sprite.image)
    found += [Instance(name, "sprite", cuts, []) for name, cuts in renders.items()]
    found += _garments(data, garments, seed)
    found += _scenes(data, 8, seed)
    found += made(packages, seed)
    return [f for f in found if f.cuts or f.photos or f.pack]


def made(count: int, seed: int) -> list[Instance]:
    """Made-up packages, every third a look-alike of the one before."""
    rng = np.random.default_rng(seed)
    pack, found = packs.make_pack(rng), []
    for i in range(count):
        pack = variant(pack, rng) if i % 3 == 1 else packs.make_pack(rng)
        found.append(Instance(f"pack{i}", "pack", [], [], pack))
    return found


def shop(count: int, seed: int) -> list[Instance]:
    """Other made-up packages, for calibration only: about each tenth product is one of a pair of flavours."""
    rng = np.random.default_rng(seed)
    pack, found = packs.make_pack(rng), []
    for i in range(count):
        if i % 3 != 1:
            pack = packs.make_pack(rng)
        else:
            pack = flavour(pack, rng) if rng.random() < 1 / 6 else variant(pack, rng)
        found.append(Instance(f"shop{seed}-{i}", "pack", [], [], pack))
    return found


def _cut(instance: Instance, rng: Rng) -> np.ndarray:
    if instance.pack is not None:
        return packs.render(instance.pack, 150, rng.uniform(-0.9, 0.9), rng.uniform(-1.2, 1.2))
    return instance.cuts[rng.integers(len(instance.cuts))]


def squash(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Stretch `box` of the picture to SIDE x SIDE, repeating the border where it reaches beyond."""
    x0, y0, x1, y1 = box
    kx, ky = SIDE / (x1 - x0), SIDE / (y1 - y0)
    matrix = np.float32([(kx, 0, -x0 * kx), (0, ky, -y0 * ky)])
    flags = cv2.INTER_AREA if min(kx, ky) < 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def catalogue_view(instance: Instance, rng: Rng) -> np.ndarray:
    """Clean, upright, on a pale ground; uint8 BGR [SIDE, SIDE, 3], the product nearly filling it."""
    if not instance.cuts and instance.pack is None:
        image = instance.photos[0]
        return squash(image, np.float32((0, 0, image.shape[1], image.shape[0])))
    cut = transform(_cut(instance, rng), WORK * 0.8, 0.0, rng) if rng.random() < 0.5 else _cut(instance, rng)
    h, w = cut.shape[:2]
    pad = int(0.12 * max(h, w))
    image = np.full((h + 2 * pad, w + 2 * pad, 3), rng.uniform(225, 255), np.float32)
    alpha = cut[..., 3:].astype(np.float32) / 255
    part = image[pad : pad + h, pad : pad + w]
    part[:] = part * (1 - alpha) + cut[..., :3] * alpha
    margin = rng.uniform(0, 0.06)
    box = np.float32((pad - margin * w, pad - margin * h, pad + w + margin * w, pad + h + margin * h))
    return squash(np.clip(image, 0, 255).astype(np.uint8), box)


def room_view(rng: Rng) -> np.ndarray:
    """A piece of a drawn room, some with an arm in it, and no product; uint8 BGR [SIDE, SIDE, 3]."""
    image, _ = backdrops.room(*rng.integers(90, 220, 2).tolist(), rng)
    h, w = image.shape[:2]
    if rng.random() < 0.3:
        grip = np.float32(rng.uniform(0.2, 0.8, 2) * (w, h))
        for layer in hands.arm((h, w), grip, float(min(h, w) * rng.uniform(0.3, 0.9)), rng):
            alpha = layer[..., 3:].astype(np.float32) / 255
            image = image * (1 - alpha) + layer[..., :3] * alpha
    size = rng.uniform(0.3, 1.0, 2) * (w, h)
    at = rng.uniform(0, 1, 2) * ((w, h) - size)
    return squash(np.clip(image, 0, 255).astype(np.uint8), np.float32((*at, *(at + size))))


def live_view(instance: Instance, grounds: list[Photo], rng: Rng) -> np.ndarray:
    """As cut from a stream: ground, hand, tilt, jittered box; uint8 BGR [SIDE, SIDE, 3], not degraded."""
    if instance.photos and (not instance.cuts or rng.random() < 0.6):
        image = instance.photos[rng.integers(len(instance.photos))]
        h, w = image.shape[:2]
        angle = float(np.degrees(rng.normal(0, 0.12)))
        matrix = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1.0)
        image = cv2.warpAffine(image, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
        box = np.float32((0.09 * w, 0.09 * h, 0.91 * w, 0.91 * h))
    else:
        cut = transform(_cut(instance, rng), WORK * rng.uniform(0.4, 0.95), rng.normal(0, 0.3), rng)
        cut = trim(cut) if trim(cut) is not None else cut
        h, w = cut.shape[:2]
        ch, cw = h + 40, w + 40
        if grounds and rng.random() < 0.5:
            ground, _ = backdrops.crop_photo(grounds[rng.integers(len(grounds))], ch, cw, rng, 0.2)
        else:
            ground, _ = backdrops.room(ch, cw, rng)
        layers = [(cut, 20, 20)]
        if rng.random() < 0.5:
            grip = np.float32((20 + rng.uniform(0, w), 20 + rng.uniform(0.3, 1.0) * h))
            back, front = hands.arm((ch, cw), grip, max(10.0, min(h, w) * rng.uniform(0.4, 0.9)), rng)
            layers = [(back, 0, 0), (cut, 20, 20), (front, 0, 0)]
        image = ground.astype(np.float32)
        for layer, x, y in layers:
            part = image[y : y + layer.shape[0], x : x + layer.shape[1]]
            alpha = layer[..., 3:].astype(np.float32) / 255
            part[:] = part * (1 - alpha) + layer[..., :3] * alpha
        image = np.clip(image, 0, 255).astype(np.uint8)
        box = np.float32((20, 20, 20 + w, 20 + h))
    size = np.tile(box[2:] - box[:2], 2)
    box = (
        box + rng.normal(0, 0.05, 4).astype(np.float32) * size + np.float32((-0.03, -0.03, 0.03, 0.03)) * size
    )
    return squash(image, box)
