"""SimOTA assignment and the YOLOX losses (Ge et al. 2021), batched over padded label rows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.detnet import NAMES, STRIDES

WEAK_WEIGHT = 0.2
"""Of background in rows flagged 0.5: a shelf of products that nobody shows should score less, not nothing."""


def decode(maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Raw maps -> boxes [B, N, 4] (px), objectness [B, N] and classes [B, N, C] logits, centres, strides."""
    boxes, logits, centres, strides = [], [], [], []
    for level, stride in zip(maps, STRIDES, strict=True):
        h, w = level.shape[2:]
        rows = level.float().flatten(2).transpose(1, 2)
        ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        grid = torch.stack((xs, ys), -1).reshape(-1, 2).float()
        centre = (rows[..., :2] + grid) * stride
        half = torch.exp(rows[..., 2:4].clamp(max=8)) * stride / 2
        boxes.append(torch.cat((centre - half, centre + half), -1))
        logits.append(rows[..., 4:])
        centres.append((grid + 0.5) * stride)
        strides.append(torch.full((h * w,), float(stride)))
    flat = torch.cat(logits, 1)
    return torch.cat(boxes, 1), flat[..., 0], flat[..., 1:], torch.cat(centres), torch.cat(strides)


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019) of broadcast boxes."""
    inner = (
        (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    )
    area_a, area_b = (a[..., 2:] - a[..., :2]).prod(-1), (b[..., 2:] - b[..., :2]).prod(-1)
    union = area_a + area_b - inner
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    iou = inner / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


@torch.no_grad()
def assign(
    boxes: Tensor, obj: Tensor, cls: Tensor, centres: Tensor, strides: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """SimOTA with padded rows [B, M, 6].

    Returns:
        matched: int64 [B, N], the row each anchor learns, -1 for background;
        quality: float [B, N], IoU of anchor and row;
        weight: float [B, N], of an anchor as background: less than 1 inside rows flagged 0 (ignore) and 0.5
        (weak), unless the anchor also lies in a product to be learnt: parts of a product are no product.
    """
    learn = rows[..., 5] == 1
    gt = rows[..., :4]
    delta = torch.minimum(
        centres[None, None] - gt[..., None, :2], gt[..., None, 2:] - centres[None, None]
    ).amin(-1)
    inside = delta > 0
    middle = (gt[..., :2] + gt[..., 2:]) / 2
    near = (centres[None, None] - middle[:, :, None]).abs().amax(-1) < 1.5 * strides
    part = (inside & (learn & (rows[..., 4] == 0))[..., None]).any(1)
    ignored = (inside & (rows[..., 5:] == 0)).any(1) & ~part
    weak = (inside & (rows[..., 5:] == 0.5)).any(1) & ~part
    weight = torch.where(ignored, 0.0, torch.where(weak, WEAK_WEIGHT, 1.0))
    allowed = (inside | near) & learn[..., None]
    iou, _ = overlap(boxes[:, None], gt[:, :, None])
    score = (cls.sigmoid() * obj.sigmoid()[..., None]).sqrt().clamp(1e-6, 1 - 1e-6)
    wanted = rows[..., 4].long().clamp(0, len(NAMES) - 1)
    chosen = score.gather(2, wanted[:, None, :].expand(-1, score.shape[1], -1)).transpose(1, 2)
    cost = -chosen.log() - 3 * (iou + 1e-6).log() + 1e5 * (~(inside & near)) + 1e8 * (~allowed)
    top = torch.where(allowed, iou, 0).topk(10, -1).values.sum(-1).int().clamp(min=1)
    order = cost.topk(10, -1, largest=False)
    use = (torch.arange(10) < top[..., None]) & (order.values < 1e7)
    match = torch.zeros_like(cost, dtype=torch.bool).scatter(2, order.indices, use)
    best = torch.where(match, cost, 1e9).min(1)
    matched = torch.where(match.any(1), best.indices, -1)
    quality = iou.gather(1, matched.clamp(min=0)[:, None])[:, 0]
    return matched, quality, weight


def loss(maps: list[Tensor], rows: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Loss of a batch and its parts, per positive anchor; rows [B, M, 6] px, flag 1, 0.5, 0 or -1."""
    boxes, obj, cls, centres, strides = decode(maps)
    matched, quality, weight = assign(boxes.detach(), obj.detach(), cls.detach(), centres, strides, rows)
    positive = matched >= 0
    count = positive.sum().clamp(min=1).float()
    # A soft objectness target makes the score rank boxes by how well they fit.
    target = torch.where(positive, quality.clamp(min=0.3), 0.0)
    p = obj.sigmoid()
    focal = torch.where(positive, 1.0, (0.25 + 0.75 * p.detach().pow(1.5)) * weight)
    l_obj = (F.binary_cross_entropy_with_logits(obj, target, reduction="none") * focal).sum() / count
    picked = rows.gather(1, matched.clamp(min=0)[..., None].expand(-1, -1, 6))[positive]
    _, giou = overlap(boxes[positive], picked[:, :4])
    l_box = (1 - giou).sum() / count
    labels = F.one_hot(picked[:, 4].long().clamp(0, len(NAMES) - 1), len(NAMES)).float()
    l_cls = F.binary_cross_entropy_with_logits(cls[positive], labels, reduction="none").sum() / count
    total = 5 * l_box + l_obj + l_cls
    return total, {
        "box": l_box.item(),
        "obj": l_obj.item(),
        "cls": l_cls.item(),
        "pos": count.item() / len(rows),
    }
