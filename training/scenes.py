"""Cut-and-paste scenes (Dwibedi et al. 2017, arXiv 1708.01642) rendered once into memory-mapped shards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training import backdrops, hands, packs
from training.assets import Cutout, Photo
from training.degrade import Rng, live, motion_blur

MAX_ROWS = 24
#: shard name -> (height, width, share of all pictures)
SHAPES = {
    "wide": (192, 320, 0.5),
    "square": (256, 256, 0.15),
    "tall": (320, 192, 0.07),
    "near": (320, 320, 0.28),
}


@dataclass(slots=True)
class Stock:
    """Everything a scene is made of."""

    sprites: list[Cutout]
    products: list[Cutout]
    people: list[Cutout]
    photos: list[Photo]
    held: list[Photo]
    packs: list[packs.Pack]
    hands: list[tuple[np.ndarray, np.ndarray]]


def pick(stock: Stock, rng: Rng) -> np.ndarray:
    """BGRA of a random product: shares are even between products, not between pictures of a kind."""
    kind = rng.random()
    if stock.sprites and kind < 0.35:
        names = sorted({sprite.instance for sprite in stock.sprites})
        name = names[rng.integers(len(names))]
        views = [sprite for sprite in stock.sprites if sprite.instance == name]
        return views[rng.integers(len(views))].image
    if kind < 0.62:
        clothing = rng.random() < 0.25
        pool = [c for c in stock.products if (c.kind == "clothing") == clothing] or stock.products
        return pool[rng.integers(len(pool))].image
    pack = stock.packs[rng.integers(len(stock.packs))]
    return packs.render(pack, 160, rng.uniform(-np.pi, np.pi), rng.uniform(-1.2, 1.2))


def transform(cut: np.ndarray, height: float, tilt: float, rng: Rng) -> np.ndarray:
    """Scale to `height`, turn by `tilt` radians, lean a little in perspective, feather."""
    h, w = cut.shape[:2]
    k = height / h
    if k < 0.5:
        cut = cv2.resize(
            cut, None, fx=max(k, 2 / min(h, w)), fy=max(k, 2 / min(h, w)), interpolation=cv2.INTER_AREA
        )
        h, w = cut.shape[:2]
        k = height / h
    corners = np.float32([(0, 0), (w, 0), (w, h), (0, h)])
    middle = np.float32((w / 2, h / 2))
    turn = np.float32([(np.cos(tilt), -np.sin(tilt)), (np.sin(tilt), np.cos(tilt))])
    shaken = corners + rng.normal(0, 0.03, (4, 2)).astype(np.float32) * (w, h)
    target = ((shaken - middle) * k * np.float32((np.exp(rng.normal(0, 0.08)), 1))) @ turn.T
    target = (target - target.min(0) + 2).astype(np.float32)
    size = np.ceil(target.max(0) + 3).astype(int)
    matrix = cv2.getPerspectiveTransform(corners, target)
    cut = cut.copy()
    cut[cut[..., 3] == 0, :3] = 0
    return cv2.warpPerspective(cut, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR)


class Canvas:
    """A picture under construction; knows which pixels belong to which pasted object."""

    def __init__(self, image: np.ndarray, rows: np.ndarray) -> None:
        self.image = image.astype(np.float32)
        self.ids = np.zeros(image.shape[:2], np.int16)
        self.rows = [tuple(row) for row in rows]
        self.objects: list[tuple[int, float, int]] = []  # id, area when alone, class

    def paste(self, cut: np.ndarray, x: float, y: float, cls: int | None) -> None:
        """Blend BGRA with its left top corner at (x, y); `cls` None: something that only covers."""
        h, w = self.ids.shape
        x, y = int(x), int(y)
        x0, y0, x1, y1 = max(0, x), max(0, y), min(w, x + cut.shape[1]), min(h, y + cut.shape[0])
        if x1 <= x0 or y1 <= y0:
            return
        part = cut[y0 - y : y1 - y, x0 - x : x1 - x].astype(np.float32)
        alpha = part[..., 3:] / 255
        region = self.image[y0:y1, x0:x1]
        region[:] = region * (1 - alpha) + part[..., :3] * alpha
        solid = alpha[..., 0] > 0.5
        ident = 0 if cls is None else len(self.objects) + 1
        self.ids[y0:y1, x0:x1][solid] = ident
        if cls is not None:
            self.objects.append((ident, float((cut[..., 3] > 127).sum()), cls))

    def shadow(self, cut: np.ndarray, x: float, y: float, rng: Rng) -> None:
        """Darken softly below and beside what will be pasted."""
        h, w = self.ids.shape
        layer = np.zeros((h, w), np.float32)
        wide, low = cut.shape[1], y + cut.shape[0]
        centre = (int(x + wide / 2 + rng.normal(0, 0.15) * wide), int(low))
        cv2.ellipse(layer, centre, (max(1, int(wide * 0.6)), max(1, int(wide * 0.15))), 0, 0, 360, 1.0, -1)
        layer = cv2.GaussianBlur(layer, (0, 0), max(1.0, wide * 0.08))
        self.image *= (1 - rng.uniform(0.1, 0.6) * layer)[..., None]

    def labels(self) -> np.ndarray:
        """Rows x0 y0 x1 y1 class learn: the visible part of each object; nearly hidden ones are ignored."""
        rows = list(self.rows)
        covered = []
        for row in rows:
            x0, y0, x1, y1 = (int(v) for v in row[:4])
            hidden = (self.ids[y0:y1, x0:x1] > 0).mean() if x1 > x0 and y1 > y0 else 1.0
            covered.append((*row[:5], 0.0) if hidden > 0.5 and row[5] == 1 else row)
        for ident, area, cls in self.objects:
            ys, xs = np.where(self.ids == ident)
            if len(ys) < max(12, 0.08 * area):
                continue
            learn = len(ys) >= 0.3 * area and xs.max() - xs.min() >= 5 and ys.max() - ys.min() >= 5
            covered.append((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1, cls, float(learn)))
        return np.float32(covered).reshape(-1, 6)


def _products(canvas: Canvas, stock: Stock, rng: Rng, edge: float | None) -> None:
    """Scatter products, stand them on a table in a row, or crowd them."""
    h, w = canvas.ids.shape
    count = int(rng.choice((0, 1, 2, 3, 4, 5, 7, 9), p=(0.05, 0.2, 0.2, 0.17, 0.14, 0.1, 0.09, 0.05)))
    standing = edge is not None and rng.random() < 0.6
    base = np.exp(rng.uniform(np.log(0.1), np.log(0.6)))
    for _ in range(count):
        size = (
            base * np.exp(rng.normal(0, 0.25))
            if standing
            else np.exp(rng.uniform(np.log(0.07), np.log(0.85)))
        )
        upright = standing or rng.random() < 0.4
        tilt = (
            rng.normal(0, 0.05)
            if upright
            else rng.normal(0, 0.6)
            if rng.random() < 0.8
            else rng.uniform(-3.1, 3.1)
        )
        cut = pick(stock, rng)
        height = min(size * h, 0.7 * w * cut.shape[0] / cut.shape[1])
        cut = transform(cut, height, tilt, rng)
        x = rng.uniform(*sorted((-0.15 * cut.shape[1], w - 0.85 * cut.shape[1])))
        y = rng.uniform(*sorted((-0.15 * cut.shape[0], h - 0.85 * cut.shape[0])))
        if standing and edge is not None:
            y = rng.uniform(edge + 0.02 * h, max(edge + 0.04 * h, 0.97 * h)) - cut.shape[0]
        if rng.random() < 0.7:
            canvas.shadow(cut, x, y, rng)
        cut[..., :3] = np.clip(cut[..., :3] * np.exp(rng.normal(0, 0.12)), 0, 255)
        if rng.random() < 0.1:
            cut = motion_blur(cut, rng, int(rng.uniform(3, 12)))
        canvas.paste(cut, x, y, 0)


def _arm(
    stock: Stock, shape: tuple[int, int], grip: np.ndarray, size: float, rng: Rng
) -> tuple[np.ndarray, np.ndarray]:
    """A drawn arm, or a rendered one turned, mirrored and scaled to a hand of about `size` at `grip`."""
    if not stock.hands or rng.random() < 0.5:
        return hands.arm(shape, grip, size, rng)
    behind, front = stock.hands[rng.integers(len(stock.hands))]
    ys, xs = np.where(behind[..., 3] > 128)
    tip = np.float32((xs[ys.argmin()], ys.min() + 0.06 * behind.shape[0]))
    k, turn = size / (0.16 * behind.shape[0]), rng.normal(0, 0.5)
    mirror = np.diag((1.0 if rng.random() < 0.5 else -1.0, 1.0))
    matrix = k * np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))]) @ mirror
    matrix = np.float32(np.hstack((matrix, (grip - matrix @ tip)[:, None])))
    tone = np.exp(rng.normal(0, 0.12, 3) + rng.normal(-0.1, 0.25))
    layers = []
    for layer in (behind, front):
        moved = cv2.warpAffine(layer, matrix, shape[::-1], flags=cv2.INTER_LINEAR)
        moved[..., :3] = np.clip(moved[..., :3] * tone, 0, 255)
        layers.append(moved)
    return layers[0], layers[1]


def _hold(canvas: Canvas, stock: Stock, rng: Rng) -> None:
    """A hand with a product, or an empty one that only covers."""
    h, w = canvas.ids.shape
    grip = np.float32((rng.uniform(0.1, 0.9) * w, rng.uniform(0.15, 0.85) * h))
    size = np.exp(rng.uniform(np.log(0.18), np.log(0.75))) * h
    cut = transform(pick(stock, rng), size, rng.normal(0, 0.5), rng)
    hand = float(np.clip(min(cut.shape[:2]) * rng.uniform(0.7, 1.2), 10, 0.4 * h))
    back, front = _arm(stock, (h, w), grip, hand, rng)
    canvas.paste(back, 0, 0, None)
    if rng.random() < 0.75:
        spot = grip - np.float32(cut.shape[1::-1]) * rng.uniform(0.3, 0.7, 2)
        canvas.paste(cut, spot[0], spot[1], 0)
    canvas.paste(front, 0, 0, None)


def _decorate(image: np.ndarray, edge: float, stock: Stock, rng: Rng) -> np.ndarray:
    """Things far behind, out of focus: they are no products to show."""
    canvas = Canvas(image, np.zeros((0, 6), np.float32))
    h, w = canvas.ids.shape
    for _ in range(int(rng.integers(2, 9))):
        pack = stock.packs[rng.integers(len(stock.packs))]
        cut = packs.render(pack, 120, rng.uniform(-np.pi, np.pi), rng.uniform(-1, 1))
        cut = transform(cut, rng.uniform(0.08, 0.3) * h, rng.normal(0, 0.04), rng)
        canvas.paste(cut, rng.uniform(0, w), edge * rng.uniform(0.4, 1.0) - cut.shape[0], None)
    blurred = cv2.GaussianBlur(canvas.image, (0, 0), rng.uniform(1.5, 5.0))
    return np.clip(blurred, 0, 255).astype(np.uint8)


def scene(stock: Stock, h: int, w: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """One labelled picture: BGR uint8 [h, w, 3], rows [n, 6] (pixels, class, learn)."""
    live_h = round(w * 9 / 16) if w > 1.6 * h and rng.random() < 0.8 else h
    edge, rows, kind = None, np.zeros((0, 6), np.float32), rng.random()
    if kind < 0.12 and stock.held:
        photo = stock.held[rng.integers(len(stock.held))]
        put = backdrops.crop_photo if rng.random() < 0.4 else backdrops.place_photo
        image, rows = put(photo, live_h, w, rng)
    elif kind < 0.5 and stock.photos:
        photo = stock.photos[rng.integers(len(stock.photos))]
        image, rows = backdrops.crop_photo(photo, live_h, w, rng)
        if rng.random() < 0.25:
            image, rows = cv2.GaussianBlur(image, (0, 0), rng.uniform(3, 9)), rows[:0]
    elif kind < 0.58 and stock.held:
        image, _ = backdrops.crop_photo(stock.held[rng.integers(len(stock.held))], live_h, w, rng)
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(4, 10))
    else:
        image, edge = backdrops.room(live_h, w, rng)
        if rng.random() < 0.4:
            image = _decorate(image, edge, stock, rng)
    canvas = Canvas(image, rows)
    if kind >= 0.12 and not (kind < 0.5 and rng.random() < 0.25):
        if stock.people and rng.random() < 0.15:
            person = stock.people[rng.integers(len(stock.people))].image
            cut = transform(person, rng.uniform(0.4, 1.1) * live_h, rng.normal(0, 0.05), rng)
            canvas.paste(cut, rng.uniform(-0.2, 0.8) * w, rng.uniform(0, 0.5) * live_h, 1)
        _products(canvas, stock, rng, edge)
        if rng.random() < 0.4:
            _hold(canvas, stock, rng)
    image = live(np.clip(canvas.image, 0, 255).astype(np.uint8), rng, 0.9)
    labels = canvas.labels()
    if live_h < h:
        image = np.concatenate((image, np.full((h - live_h, w, 3), 114, np.uint8)))
    learn_first = labels[np.argsort(-labels[:, 5], kind="stable")][:MAX_ROWS]
    return image, learn_first


def near(stock: Stock, h: int, w: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """A product held close to the camera before a shelf, a photo or a room; else as `scene`.

    The shelf's products are neither learnt nor forbidden (flag 0.5); what was held in the photo is hidden.
    """
    kind = rng.random()
    rows = np.float32([(0, 0, w, h, 0, 0.5)])
    spot = rng.uniform((0.3 * w, 0.35 * h), (0.7 * w, 0.65 * h))
    if kind < 0.6 and stock.held:
        photo = stock.held[rng.integers(len(stock.held))]
        image, moved = backdrops.crop_photo(photo, h, w, rng, 0.6)
        shown = moved[moved[:, 5] == 1]
        if len(shown):
            spot = (shown[0, :2] + shown[0, 2:4]) / 2
            rows = np.concatenate((rows, np.float32([(*shown[0, :4], 0, 0)])))
    elif kind < 0.75 and stock.photos:
        image, rows = backdrops.crop_photo(stock.photos[rng.integers(len(stock.photos))], h, w, rng)
    else:
        image, edge = backdrops.room(h, w, rng)
        image = _decorate(image, edge, stock, rng) if rng.random() < 0.5 else image
        rows = rows[:0]
    canvas = Canvas(image, rows)
    size = np.exp(rng.uniform(np.log(0.4), np.log(1.0))) * h
    turn = rng.normal(0, 0.2) if rng.random() < 0.8 else rng.uniform(-3.1, 3.1)
    cut = pick(stock, rng)
    cut = transform(cut, min(size, 0.85 * w * cut.shape[0] / cut.shape[1]), turn, rng)
    cut[..., :3] = np.clip(cut[..., :3] * np.exp(rng.normal(0, 0.15)), 0, 255)
    corner = spot - np.float32(cut.shape[1::-1]) * rng.normal(0.5, 0.06, 2)
    grip = corner + np.float32(cut.shape[1::-1]) * rng.uniform((0.0, 0.25), (1.0, 0.9))
    hand = float(np.clip(min(cut.shape[:2]) * rng.uniform(0.5, 0.9), 10, 0.35 * h))
    back, front = _arm(stock, (h, w), np.float32(grip), hand, rng)
    canvas.paste(back, 0, 0, None)
    canvas.paste(cut, corner[0], corner[1], 0)
    if rng.random() < 0.8:
        canvas.paste(front, 0, 0, None)
    image = live(np.clip(canvas.image, 0, 255).astype(np.uint8), rng, 0.9)
    labels = canvas.labels()
    return image, labels[np.argsort(-labels[:, 5], kind="stable")][:MAX_ROWS]


def render_shards(stock: Stock, folder: Path, count: int, seed: int, only: tuple[str, ...] = ()) -> None:
    """Write `<shape>.npy` and `<shape>.rows.npy`; a picture depends only on the seed, shape and number."""
    folder.mkdir(parents=True, exist_ok=True)
    for s, (name, (h, w, share)) in enumerate(SHAPES.items()):
        if only and name not in only:
            continue
        n = int(count * share)
        images = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (n, h, w, 3))
        rows = np.zeros((n, MAX_ROWS, 6), np.float32)
        for i in range(n):
            rng = np.random.default_rng((seed, s, i))
            images[i], labels = (near if name == "near" else scene)(stock, h, w, rng)
            rows[i, :, 5] = -1
            rows[i, : len(labels)] = labels
            if i % 500 == 0:
                print(f"scenes {name} {i}/{n}", flush=True)
        images.flush()
        np.save(folder / f"{name}.rows.npy", rows)
