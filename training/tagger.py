"""The attribute network, and what its teachers say of a crop.

The teachers are MobileNetV3-Small's and MobileNetV2's maps (ImageNet). The first one's is learnt place by
place; on both together stand linear heads, which say how much a crop looks like each label.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.embedder import map_session, restored
from training.embnet import STEM, WIDTH, principal

SIDE, PLACES, TAUGHT, FOLDS = 128, 4, 192, 5


class Tagger(nn.Module):
    """float32 [N, 3, 128, 128] RGB 0..255 -> logits of each head, in the order of `sizes`."""

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__()
        self.body = restored(None).body
        self.drop = nn.Dropout(0.4)
        self.heads = nn.ModuleDict({name: nn.Linear(2 * WIDTH + 2 * 64, n) for name, n in sizes.items()})
        self.taught = nn.Conv2d(WIDTH, TAUGHT, 1)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last map [N, 320, 4, 4], and the features.

        Those are its averages and maxima and the stem's averages and deviations.
        """
        stem = self.body[:STEM](x * (1.0 / 64.0) - 2.0)
        last = self.body[STEM:](stem)
        mean = stem.mean((2, 3))
        spread = torch.sqrt(((stem - mean[:, :, None, None]) ** 2).mean((2, 3)) + 1e-6)
        return last, torch.cat((last.mean((2, 3)), last.amax((2, 3)), mean, spread), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        features = self.maps(x)[1]
        return tuple(head(features) for head in self.heads.values())


class Teachers:
    """Both teachers; `see` takes one BGR crop of any size."""

    def __init__(self, folder: Path) -> None:
        self.small = map_session(folder / "mobilenetv3s_embed576.onnx")
        self.large = map_session(folder / "mobilenetv2ptq_embed1280_f32.onnx")
        self.mean = np.float32((0.485, 0.456, 0.406)) * 255
        self.std = np.float32((0.229, 0.224, 0.225)) * 255

    def see(self, image: np.ndarray, both: bool) -> tuple[np.ndarray, np.ndarray]:
        """The first one's map, averages at PLACES x PLACES, float16 [576, 4, 4], and features for the heads.

        The latter are zeros unless `both`.
        """
        rgb = cv2.resize(image, (224, 224), interpolation=cv2.INTER_LINEAR)[..., ::-1].astype(np.float32)
        maps = last_map(self.small, (rgb - self.mean) / self.std)
        edges = [(i * 7 // PLACES, -(-(i + 1) * 7 // PLACES)) for i in range(PLACES)]
        places = np.stack(
            [np.stack([maps[:, a:b, c:d].mean((1, 2)) for c, d in edges], 1) for a, b in edges], 1
        )
        features = np.zeros(576 * 2 + 1280, np.float32)
        if both:
            features[:1152] = np.concatenate((maps.mean((1, 2)), maps.max((1, 2))))
            features[1152:] = last_map(self.large, rgb / 127.5 - 1).mean((1, 2))
        return places.astype(np.float16), features


def last_map(net: ort.InferenceSession, picture: np.ndarray) -> np.ndarray:
    """The map [channels, 7, 7] of a picture [224, 224, 3] as the teacher wants it."""
    return net.run(None, {net.get_inputs()[0].name: picture.transpose(2, 0, 1)[None]})[-1][0]


def levelled(places: np.ndarray, seed: int) -> np.ndarray:
    """Main axes of the teacher's places, half levelled: float16 [n, TAUGHT, 4, 4] of [n, 576, 4, 4]."""
    rows = places.transpose(0, 2, 3, 1).reshape(-1, places.shape[1])
    some = np.random.default_rng(seed).choice(len(rows), min(len(rows), 60_000), replace=False)
    matrix, offset = principal(rows[some].astype(np.float64), TAUGHT)
    matrix, offset = matrix.astype(np.float32), offset.astype(np.float32)
    out = np.empty((len(places), TAUGHT, PLACES, PLACES), np.float16)
    for i in range(0, len(places), 512):
        part = places[i : i + 512].astype(np.float32)
        out[i : i + 512] = (
            np.tensordot(part, matrix, (1, 1)).transpose(0, 3, 1, 2) + offset[None, :, None, None]
        )
    return out


def softened(
    features: np.ndarray, labels: np.ndarray, owner: np.ndarray, classes: int, seed: int
) -> np.ndarray:
    """Probabilities [n, classes] by linear heads that were fitted on other contributors.

    Args:
        features: of the teachers, [n, d].
        labels: int64 [n].
        owner: int64 [n], the contributor; each fifth of them is judged by the head of the others, so that a
            probability is not the label learnt by heart.
        classes: how many labels.
        seed: for the heads.
    """
    x = torch.from_numpy((features - features.mean(0)) / (features.std(0) + 1e-6))
    y, out = torch.from_numpy(labels), np.zeros((len(labels), classes), np.float32)
    for fold in range(FOLDS):
        torch.manual_seed(seed + fold)
        inside = torch.from_numpy(np.flatnonzero(owner % FOLDS != fold))
        head = fitted(x, y, inside, classes)
        outside = np.flatnonzero(owner % FOLDS == fold)
        with torch.no_grad():
            out[outside] = head(x[outside]).softmax(1).numpy()
        right = out[outside].argmax(1) == labels[outside]
        print(f"fold {fold}: teachers right in {right.mean():.3f} of {len(outside)}", flush=True)
    return out


def fitted(x: Tensor, y: Tensor, rows: Tensor, classes: int, rounds: int = 12) -> nn.Module:
    """A linear head on `x` [n, d] for labels `y`, learnt from `rows`; rare labels count more."""
    head = nn.Sequential(nn.Dropout(0.6), nn.Linear(x.shape[1], classes))
    nn.init.zeros_(head[1].weight)
    optimiser = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=0.2)
    weight = 1 / torch.bincount(y[rows], minlength=classes).clamp(min=1).float().sqrt()
    for k in range(rounds):
        optimiser.param_groups[0]["lr"] = 1e-3 * (1 - k / rounds)
        for part in rows[torch.randperm(len(rows))].split(256):
            loss = F.cross_entropy(
                head(x[part]), y[part], weight=weight / weight.mean(), label_smoothing=0.05
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return head.eval()
