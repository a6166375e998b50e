"""Training batches, mixed and augmented on the fly: shards, real held products, mosaics, empty pictures.

Nothing may be learnt from where an object stands or from how much of the picture it fills, so every picture
is scaled and shifted on a larger or smaller canvas before it is seen.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from training import scenes
from training.assets import Photo
from training.degrade import Rng, jpeg, motion_blur, rescale

#: (height, width) -> share of batches
CANVASES = {(192, 320): 0.45, (320, 320): 0.4, (320, 192): 0.05, (256, 256): 0.1}
#: Flags of a label row: learn it; expect nothing; expect little; empty row.
LEARN, IGNORE, WEAK, NONE = 1.0, 0.0, 0.5, -1.0


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the pictures of a batch; the rest is single pictures from the shards."""

    held: float = 0.35
    mosaic: float = 0.12
    empty: float = 0.03


class Batches:
    """Random batches; `small` and the argument of `next` say how large pictures are."""

    def __init__(
        self, folder: Path, held: list[Photo], size: int, seed: int, small: float, mix: Mix | None = None
    ) -> None:
        self.size, self.small, self.held = size, small, held
        self.mix, self.rng = mix or Mix(), np.random.default_rng(seed)
        names = [name for name in scenes.SHAPES if (folder / f"{name}.rows.npy").exists()]
        self.images = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
        self.rows = [np.load(folder / f"{name}.rows.npy") for name in names]
        share = np.array([scenes.SHAPES[name][2] for name in names])
        self.share = share / share.sum()

    def next(self, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [B, 3, H, W] BGR 0..255 in channels_last and rows [B, M, 6].

        Pictures start small and grow with `done` (0..1): cheap steps first.
        """
        rng = self.rng
        shapes = list(CANVASES)
        h, w = shapes[rng.choice(len(shapes), p=list(CANVASES.values()))]
        middle = self.small + 0.6 * (1 - self.small)
        factor = 0.6 if done < self.small else 0.8 if done < middle else 1.0
        if done >= middle and rng.random() < 0.2:
            factor = 0.8
        h, w = round(h * factor / 32) * 32, round(w * factor / 32) * 32
        pictures = np.empty((self.size, h, w, 3), np.uint8)
        rows = np.zeros((self.size, scenes.MAX_ROWS, 6), np.float32)
        rows[..., 5] = NONE
        for i in range(self.size):
            pictures[i], labels = self.picture(h, w)
            labels = labels[np.argsort(-labels[:, 5], kind="stable")][: scenes.MAX_ROWS]
            rows[i, : len(labels)] = labels
        gain = np.exp(rng.normal(0, 0.1, (self.size, 1, 1, 3))).astype(np.float32)
        pixels = torch.from_numpy(np.clip(pictures * gain, 0, 255)).permute(0, 3, 1, 2)
        return pixels.contiguous(memory_format=torch.channels_last), torch.from_numpy(rows)

    def picture(self, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
        """One picture uint8 [h, w, 3] and its rows [n, 6]."""
        kind, rng = self.rng.random(), self.rng
        if kind < self.mix.empty:
            return empty(h, w, rng), np.zeros((0, 6), np.float32)
        if kind < self.mix.empty + self.mix.mosaic:
            return self.mosaic(h, w)
        if kind < self.mix.empty + self.mix.mosaic + self.mix.held and self.held:
            image, labels = self.one_held()
            return place(image, labels, h, w, rng, self.ground(h, w), (0.6, 1.35))
        image, labels = self.one_scene()
        across = np.divide((h, w), image.shape[:2])
        return place(image, labels, h, w, rng, self.ground(h, w), (0.7, 1.4 * across.max() / across.min()))

    def one_scene(self) -> tuple[np.ndarray, np.ndarray]:
        """A picture from the shards."""
        k = self.rng.choice(len(self.share), p=self.share)
        i = self.rng.integers(len(self.rows[k]))
        rows = self.rows[k][i]
        return self.images[k][i], rows[rows[:, 5] != NONE]

    def one_held(self) -> tuple[np.ndarray, np.ndarray]:
        """A real photo of a held product, its colours changed as brands change them."""
        rng = self.rng
        photo = self.held[rng.integers(len(self.held))]
        image, labels = photo.image, photo.labels
        if rng.random() < 0.5:
            image = recolour(image, rng)
        if rng.random() < 0.25:
            image = rescale(image, rng.uniform(0.4, 0.9))
        if rng.random() < 0.15:
            image = motion_blur(image, rng, int(rng.uniform(3, 14)))
        if rng.random() < 0.25:
            image = jpeg(image, int(rng.uniform(22, 85)))
        return image, labels

    def mosaic(self, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
        """Four pictures in one (Bochkovskiy et al. 2020): small and off-centre objects."""
        image, rows = np.empty((h, w, 3), np.uint8), []
        cy, cx = (int(self.rng.uniform(0.3, 0.7) * side) for side in (h, w))
        for y0, x0, y1, x1 in ((0, 0, cy, cx), (0, cx, cy, w), (cy, 0, h, cx), (cy, cx, h, w)):
            part, labels = self.one_held() if self.rng.random() < 0.3 and self.held else self.one_scene()
            part, labels = place(part, labels, y1 - y0, x1 - x0, self.rng, None, (0.9, 1.8))
            image[y0:y1, x0:x1] = part
            labels[:, :4] += (x0, y0, x0, y0)
            rows.append(labels)
        return image, np.concatenate(rows)

    def ground(self, h: int, w: int) -> np.ndarray | None:
        """What lies around a picture that does not fill its canvas; None for one flat colour."""
        if self.rng.random() < 0.7:
            return None
        image, _ = self.one_scene()
        image = cv2.resize(image, (max(2, w // 12), max(2, h // 12)), interpolation=cv2.INTER_AREA)
        return cv2.resize(image, (w, h), interpolation=cv2.INTER_CUBIC)


class Ahead:
    """Makes batches on a thread of its own while the network learns from the last one."""

    def __init__(self, batches: Batches, done: Callable[[], float]) -> None:
        self.ready: queue.Queue[tuple[torch.Tensor, torch.Tensor]] = queue.Queue(3)
        self.batches, self.done = batches, done
        threading.Thread(target=self._make, daemon=True).start()

    def _make(self) -> None:
        while True:
            self.ready.put(self.batches.next(self.done()))

    def next(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The next batch; see `Batches.next`."""
        return self.ready.get()


def place(
    image: np.ndarray, labels: np.ndarray, h: int, w: int, rng: Rng, ground: np.ndarray | None,
    zoom: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Scale and shift `image` onto a canvas [h, w]; rows follow and are cut at the border.

    `ground` is what is seen beside the picture (None: one colour); `zoom` is the least and the most, 1 being
    the largest that fits whole.
    """
    ph, pw = image.shape[:2]
    fit = min(h / ph, w / pw)
    k = fit * np.exp(rng.uniform(*np.log(zoom)))
    if rng.random() < 0.15:
        k = fit
    aspect = np.exp(rng.normal(0, 0.05))
    kx, ky = k * aspect, k / aspect
    spare = np.array((w - pw * kx, h - ph * ky))
    x, y = spare * (rng.uniform(0, 1, 2) if rng.random() < 0.8 else rng.integers(0, 2, 2))
    flip = rng.random() < 0.5
    matrix = np.float32(((-kx, 0, x + pw * kx) if flip else (kx, 0, x), (0, ky, y)))
    if k < 0.7:
        size = (max(2, round(pw * kx)), max(2, round(ph * ky)))
        source = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        moved = matrix * np.float32(((pw / size[0], 1, 1), (1, ph / size[1], 1)))
    else:
        moved, source = matrix, image
    colour = (114.0,) * 3 if rng.random() < 0.5 else rng.uniform(0, 255, 3)
    canvas = np.empty((h, w, 3), np.uint8)
    canvas[:] = colour if ground is None else ground
    cv2.warpAffine(source, moved, (w, h), canvas, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    return canvas, carry(labels, matrix, h, w)


def carry(labels: np.ndarray, matrix: np.ndarray, h: int, w: int) -> np.ndarray:
    """Move rows by an axis-aligned map; what loses half of itself or becomes tiny is ignored."""
    rows = labels.astype(np.float32, copy=True)
    xs = rows[:, [0, 2]] * matrix[0, 0] + matrix[0, 2]
    ys = rows[:, [1, 3]] * matrix[1, 1] + matrix[1, 2]
    xs.sort(1)
    full = (xs[:, 1] - xs[:, 0]) * (ys[:, 1] - ys[:, 0])
    xs, ys = xs.clip(0, w), ys.clip(0, h)
    rows[:, [0, 2]], rows[:, [1, 3]] = xs, ys
    wide, high = xs[:, 1] - xs[:, 0], ys[:, 1] - ys[:, 0]
    learn = rows[:, 5] == LEARN
    lost = (wide * high < 0.5 * full) | (np.minimum(wide, high) < 4)
    rows[learn & lost, 5] = IGNORE
    return rows[(wide > 2) & (high > 2)]


def recolour(image: np.ndarray, rng: Rng) -> np.ndarray:
    """Turn the hues, swap channels or drop the colours: other brands, the same shapes."""
    kind = rng.random()
    if kind < 0.15:
        return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if kind < 0.4:
        return np.ascontiguousarray(image[..., rng.permutation(3)])
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(np.int32) + int(rng.integers(180))) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def empty(h: int, w: int, rng: Rng) -> np.ndarray:
    """A picture that shows nothing: flat, a gradient, or noise."""
    kind = rng.random()
    base = np.full((h, w, 3), rng.choice((0.0, 114.0, 128.0, 255.0, rng.uniform(0, 255))), np.float32)
    if kind > 0.4:
        base[:] = rng.uniform(0, 255, 3)
        base += np.linspace(-1, 1, w)[None, :, None] * rng.uniform(0, 60)
        base += np.linspace(-1, 1, h)[:, None, None] * rng.uniform(0, 60)
    if kind > 0.7:
        base += rng.normal(0, rng.uniform(1, 40), (h, w, 1))
    return np.clip(base, 0, 255).astype(np.uint8)
