"""The embedded embedder's network: 128x128 crops to unit vectors, and the losses it learns from."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.detnet import Block, Down, conv

DIM, WIDTH, BANDS = 192, 320, 3
STEM = 7  # leading layers of the body; once good they can stay as they are while the rest learns


class Embedder(nn.Module):
    """float32 [N, 3, 128, 128] RGB 0..255 -> unit vectors [N, 192].

    A box around a product lines up what is printed on it, so the map is averaged in three overlapping bands
    from top to bottom instead of once (parts as in PCB, Sun et al. 2018, arXiv 1711.09349); each band weighs
    the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(3, 16, 3, 2),
            conv(16, 32, 3, 2),
            Block(32),
            conv(32, 64, 3, 2),
            *[Block(64) for _ in range(3)],
            Down(64, 128),
            *[Block(128) for _ in range(3)],
            Down(128, 192),
            *[Block(192) for _ in range(2)],
            conv(192, WIDTH),
        )
        self.neck = nn.Linear(WIDTH * BANDS, DIM)

    def stem(self, x: Tensor) -> Tensor:
        """RGB 0..255 [N, 3, h, w] to the map at an eighth of the size, [N, 64, h / 8, w / 8]."""
        return self.body[:STEM](x * (1.0 / 64.0) - 2.0)

    def bands(self, stem: Tensor) -> Tensor:
        """Unit average of the top, middle and bottom half of the last map: [N, 3 * 320]."""
        maps = self.body[STEM:](stem)
        high = maps.shape[2]
        half = max(1, high // 2)
        middle = (high - half) // 2
        rows = (maps[:, :, :half], maps[:, :, middle : middle + half], maps[:, :, high - half :])
        return torch.cat([unit(part.mean((2, 3))) for part in rows], 1)

    def tail(self, stem: Tensor) -> Tensor:
        """Unit vectors from what `stem` gave."""
        return unit(self.neck(self.bands(stem)))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.tail(self.stem(x))


def centres(vectors: np.ndarray, count: int, seed: int, rounds: int = 15) -> np.ndarray:
    """Spherical k-means (Dhillon and Modha 2001): unit vectors [n, d] to `count` unit centres."""
    rng = np.random.default_rng(seed)
    found = vectors[rng.choice(len(vectors), count, replace=False)]
    for _ in range(rounds):
        nearest = (vectors @ found.T).argmax(1)
        sums = [vectors[nearest == k].sum(0) if (nearest == k).any() else found[k] for k in range(count)]
        found = np.stack(sums)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32)


def unit(x: Tensor) -> Tensor:
    """Rows scaled to length one."""
    return x / torch.sqrt((x * x).sum(1, keepdim=True) + 1e-9)


class Heads(nn.Module):
    """Used in training only: one proxy per instance, and a map to the teacher's space."""

    def __init__(self, instances: int, teacher: int) -> None:
        super().__init__()
        self.proxies = nn.Parameter(0.1 * torch.randn(instances, DIM))
        self.to_teacher = nn.Linear(DIM, teacher)


def principal(rows: np.ndarray, dim: int, power: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Matrix [dim, d] and offset [dim] that centre `rows` [n, d], keep their main axes and level them.

    `power` 0 leaves the axes as strong as they are, 1 makes all alike (whitening; Jegou and Chum 2012); half
    way did best on products seen by neither.
    """
    middle = rows.mean(0)
    strength, axes = np.linalg.eigh(np.cov((rows - middle).T))
    matrix = (axes[:, ::-1][:, :dim] * np.maximum(strength[::-1][:dim], 1e-9) ** (-power / 2)).T
    return matrix, -matrix @ middle


def contrast(z: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2) within a batch."""
    same = labels[:, None] == labels[None]
    eye = torch.eye(len(z), dtype=torch.bool)
    logits = (z @ z.T / temperature).masked_fill(eye, -1e4)
    log_p = logits - logits.logsumexp(1, keepdim=True)
    positive = same & ~eye
    count = positive.sum(1)
    return -((log_p * positive).sum(1) / count.clamp(min=1))[count > 0].mean()


def cosface(z: Tensor, labels: Tensor, proxies: Tensor, scale: float = 20.0, margin: float = 0.15) -> Tensor:
    """Large-margin cosine loss over all instances (Wang et al. 2018, eq. 4)."""
    cosine = z @ F.normalize(proxies).T
    cosine = cosine - margin * F.one_hot(labels, proxies.shape[0])
    return F.cross_entropy(scale * cosine, labels)


def distil(z: Tensor, mapped: Tensor, teacher: Tensor) -> Tensor:
    """Follow the teacher: its vector through a map, and its relations (Park et al. 2019)."""
    near = 1 - F.cosine_similarity(mapped, teacher).mean()
    target = teacher @ teacher.T
    target = (target - target.mean()) / target.std()
    mine = z @ z.T
    return near + 0.5 * F.smooth_l1_loss((mine - mine.mean()) / mine.std(), target)
