"""The embedded embedder's network: 128x128 crops to unit vectors, and the losses it learns from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.detnet import Block, Down, conv

DIM = 128


class Embedder(nn.Module):
    """float32 [N, 3, 128, 128] RGB 0..255 -> unit vectors [N, 128]."""

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
            conv(192, 320),
        )
        self.neck = nn.Linear(320 * 2, DIM)
        self.centre = nn.BatchNorm1d(DIM, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """Average and maximum over the map, one linear layer, unit length.

        Centring first spreads the cosines, which else lie in one narrow cone (Luo et al. 2019, BNNeck).
        """
        maps = self.body(x * (1.0 / 64.0) - 2.0)
        pooled = torch.cat((maps.mean((2, 3)), maps.amax((2, 3))), 1)
        out = self.centre(self.neck(pooled))
        return out / torch.sqrt((out * out).sum(1, keepdim=True) + 1e-9)


class Heads(nn.Module):
    """Used in training only: one proxy per instance, and a map to the teachers' space."""

    def __init__(self, instances: int, teacher: int) -> None:
        super().__init__()
        self.proxies = nn.Parameter(0.1 * torch.randn(instances, DIM))
        self.to_teacher = nn.Sequential(nn.Linear(DIM, 256), nn.ReLU(), nn.Linear(256, teacher))


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
    """Follow the teachers: their vector through a map, and their relations (Park et al. 2019)."""
    near = 1 - F.cosine_similarity(mapped, teacher).mean()
    target = teacher @ teacher.T
    target = (target - target.mean()) / target.std()
    mine = z @ z.T
    return near + 0.5 * F.smooth_l1_loss((mine - mine.mean()) / mine.std(), target)
