"""Make the attribute heads: `python -m training.attributes {crops,train,export}`, or `all` of them.

Needs the crops of `python -m training.embedder crops`. The network starts from the embedder's body, whose
stem stays as it is; beside the labels it learns what MobileNetV3-Small says of a whole crop.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training import crops
from training.attributes_data import LABELS, NONE, SKIP, Sample, dyed, garments, views
from training.degrade import live
from training.detector import Ema
from training.embedder import map_session, restored
from training.embnet import STEM, WIDTH, principal
from training.export import save, to_onnx

VERSION, TAUGHT, SIDE = "0.1.0", 160, 128
WEIGHTS = Path(__file__).parents[1] / "inference" / "weights" / "vitrine_attributes.onnx"
SHARE = {"garment": 0.4, "dyed": 0.12, "pack": 0.18, "sprite": 0.08, "grocery": 0.17}
"""Of each batch; the rest is everyday things."""
PRECISION = 0.9
"""Answers are given where, on products and contributors never trained on, this share of them is right."""


class Tagger(nn.Module):
    """float32 [N, 3, 128, 128] RGB 0..255 -> logits of category, pattern, packaging."""

    def __init__(self) -> None:
        super().__init__()
        self.body = restored(None).body
        wide = 2 * WIDTH + 2 * 64
        self.drop = nn.Dropout(0.4)
        self.heads = nn.ModuleDict({name: nn.Linear(wide, len(labels)) for name, labels in LABELS.items()})
        self.taught = nn.Linear(2 * WIDTH, TAUGHT)

    def stem(self, x: Tensor) -> Tensor:
        """See `training.embnet.Embedder.stem`."""
        return self.body[:STEM](x * (1.0 / 64.0) - 2.0)

    def features(self, stem: Tensor) -> Tensor:
        """Averages and maxima of the last map, then averages and deviations of the stem's: [N, 768]."""
        maps = self.body[STEM:](stem)
        mean = stem.mean((2, 3))
        spread = torch.sqrt(((stem - mean[:, :, None, None]) ** 2).mean((2, 3)) + 1e-6)
        return torch.cat((maps.mean((2, 3)), maps.amax((2, 3)), mean, spread), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        features = self.features(self.stem(x))
        return tuple(self.heads[name](features) for name in LABELS)


def collect(args: argparse.Namespace) -> None:
    """Gather the samples, degrade them `--looks` times, and keep what the stem and the teacher say."""
    found = garments(args.data) + dyed(args.data, args.dyed, args.seed)
    made = [one.pack for one in crops.made(args.packs, args.seed)]
    found += views(args.work.parent / "embedder" if args.crops is None else args.crops, made)
    args.work.mkdir(parents=True, exist_ok=True)
    net = Tagger()
    net.body.load_state_dict(restored(args.body).body.state_dict())
    net.eval()
    count = [1 if s.held else args.looks for s in found]
    owner = np.repeat(np.arange(len(found)), count)
    stems = np.lib.format.open_memmap(args.work / "stem.npy", "w+", np.float16, (len(owner), 64, 16, 16))
    rng = np.random.default_rng(args.seed)
    for i in range(0, len(owner), 32):
        looks = np.stack([look(found[k], rng) for k in owner[i : i + 32]])[..., ::-1]
        with torch.no_grad():
            stems[i : i + 32] = net.stem(
                torch.from_numpy(looks.astype(np.float32)).permute(0, 3, 1, 2)
            ).numpy()
        if i % 3200 == 0:
            print(f"crops {i}/{len(owner)}", flush=True)
    np.savez(
        args.work / "table.npz",
        owner=owner,
        labels=np.array([s.labels for s in found], np.int64),
        held=np.array([s.held for s in found]),
        group=np.array([s.group for s in found]),
        teacher=teach([s.image for s in found], args.data / "models/embed/mobilenetv3s_embed576.onnx"),
    )


def look(sample: Sample, rng: np.random.Generator) -> np.ndarray:
    """A crop as the network sees it: as it is where held out, else cut loosely, mirrored, degraded."""
    image = sample.image
    if sample.held:
        return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    side = len(image)
    size = rng.uniform(0.82, 1.0, 2) * side
    x, y = rng.uniform(0, side - size)
    image = np.ascontiguousarray(image[int(y) : int(y + size[1]), int(x) : int(x + size[0])])
    image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
    return live(image, rng, 0.8) if rng.random() < 0.7 else image


def teach(images: list[np.ndarray], path: Path) -> np.ndarray:
    """MobileNetV3-Small's mean over its map, main axes levelled: [n, TAUGHT], unit length."""
    net = map_session(path)
    mean, std = np.float32((0.485, 0.456, 0.406)), np.float32((0.229, 0.224, 0.225))
    rows = np.zeros((len(images), 576), np.float32)
    for i, image in enumerate(images):
        rgb = cv2.resize(image, (224, 224), interpolation=cv2.INTER_LINEAR)[..., ::-1].astype(np.float32)
        rows[i] = net.run(None, {"input": ((rgb / 255 - mean) / std).transpose(2, 0, 1)[None]})[0][0]
    matrix, offset = principal(rows.astype(np.float64), TAUGHT)
    out = rows @ matrix.T + offset
    return (out / np.linalg.norm(out, axis=1, keepdims=True)).astype(np.float32)


class Data:
    """Batches of what `collect` kept, in the shares of `SHARE`."""

    def __init__(self, work: Path, seed: int) -> None:
        table = np.load(work / "table.npz")
        self.stem = np.load(work / "stem.npy", mmap_mode="r")
        self.owner, self.labels, self.teacher = table["owner"], table["labels"], table["teacher"]
        self.rng = np.random.default_rng(seed)
        use = np.flatnonzero(~table["held"][self.owner])
        group = table["group"][self.owner[use]]
        self.rows, self.held = use, np.flatnonzero(table["held"][self.owner])
        self.group = table["group"]
        weight = np.zeros(len(use))
        for name, share in SHARE.items():
            weight[group == name] = share / max((group == name).sum(), 1)
        rest = ~np.isin(group, list(SHARE))
        weight[rest] = (1 - sum(SHARE.values())) / max(rest.sum(), 1)
        cloth = np.flatnonzero(np.isin(self.group, ("garment", "dyed")))
        self.labels[cloth[cloth % 12 > 0], 2] = SKIP  # else "none" would drown every kind of packaging
        category = self.labels[self.owner[use], 0]
        often = np.bincount(category[category >= 0], minlength=len(LABELS["category"])).astype(float)
        weight *= np.where(category >= 0, (often.mean() / np.maximum(often[category], 1)) ** 0.4, 1.0)
        self.p = weight / weight.sum()

    def next(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Stem maps cut and mirrored afresh, labels [n, 3], teacher's vectors."""
        rows = self.rng.choice(self.rows, count, p=self.p)
        pixels = torch.from_numpy(self.stem[rows].astype(np.float32))
        h, w = self.rng.integers(12, 17, 2)
        y, x = self.rng.integers(0, 17 - h), self.rng.integers(0, 17 - w)
        pixels = F.interpolate(
            pixels[:, :, y : y + h, x : x + w], (16, 16), mode="bilinear", align_corners=False
        )
        if self.rng.random() < 0.5:
            pixels = pixels.flip(3)
        of = self.owner[rows]
        return pixels, torch.from_numpy(self.labels[of]), torch.from_numpy(self.teacher[of])


def train(args: argparse.Namespace) -> None:
    """Labels and teacher for `--minutes` of wall time, samples mixed in pairs (mixup, Zhang et al. 2018)."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    data, net = Data(args.work, args.seed), Tagger()
    net.body.load_state_dict(restored(args.body).body.state_dict())
    if args.resume:
        net.load_state_dict(torch.load(args.resume, weights_only=True))
    net.train()
    net.body[:STEM].eval().requires_grad_(False)
    weights = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=args.lr, weight_decay=0.05)
    ema, start, saved, step, mean = Ema(net, 0.997), time.monotonic(), time.monotonic(), 0, {}
    while (now := time.monotonic()) - start < args.minutes * 60:
        done = (now - start) / (args.minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = (
                args.lr * min(1.0, (step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
            )
        stem, labels, teacher = data.next(args.batch)
        share, other = float(data.rng.beta(0.4, 0.4)), torch.from_numpy(data.rng.permutation(len(stem)))
        features = net.features(share * stem + (1 - share) * stem[other])
        teacher = share * teacher + (1 - share) * teacher[other]
        parts = {"taught": 1 - F.cosine_similarity(net.taught(features[:, : 2 * WIDTH]), teacher).mean()}
        for i, name in enumerate(LABELS):
            if (labels[:, i] >= 0).any():
                logits = net.heads[name](net.drop(features))
                loss = partial(F.cross_entropy, logits, ignore_index=SKIP, label_smoothing=0.05)
                parts[name] = share * loss(labels[:, i]) + (1 - share) * loss(labels[other, i])
        total = 3 * parts["taught"] + sum(v for k, v in parts.items() if k != "taught")
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimiser.step()
        ema.update(net)
        step += 1
        mean = {k: 0.98 * mean.get(k, v.item()) + 0.02 * v.item() for k, v in parts.items()}
        if step % 50 == 0:
            text = " ".join(f"{k} {v:.3f}" for k, v in mean.items())
            print(f"{done:5.1%} step {step} {step * args.batch / (now - start):.0f}/s {text}", flush=True)
        if now - saved > 90:
            saved = now
            torch.save(ema.state, args.work / "attributes.pt")
    torch.save(ema.state, args.work / "attributes.pt")


def level(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """Temperature (Guo et al. 2017), the threshold at PRECISION, and the figures there.

    `macro_f1` is over the labels that occur; `coverage` is the share answered.
    """
    known = labels >= 0
    logits, labels = logits[known].astype(np.float64), labels[known]

    def probabilities(t: float) -> np.ndarray:
        e = np.exp((logits - logits.max(1, keepdims=True)) / t)
        return e / e.sum(1, keepdims=True)

    loss = lambda t: -np.log(probabilities(t)[np.arange(len(labels)), labels] + 1e-12).mean()  # noqa: E731
    temperature = float(min(np.geomspace(0.3, 5, 60), key=loss))
    p = probabilities(temperature)
    answer, sure = p.argmax(1), p.max(1)
    right = answer == labels
    order = np.argsort(-sure)
    good = np.flatnonzero(np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= PRECISION)
    kept = int(good[-1]) + 1 if len(good) else 0
    f1 = [
        2 * (right & (labels == c)).sum() / ((answer == c).sum() + (labels == c).sum())
        for c in np.unique(labels)
    ]
    return {
        "temperature": round(temperature, 4),
        "threshold": round(float(sure[order[kept - 1]]) if kept else 1.0, 4),
        "macro_f1": round(float(np.mean(f1)), 4),
        "accuracy": round(float(right.mean()), 4),
        "coverage": round(kept / len(labels), 4),
        "n": len(labels),
    }


def judged(net: Tagger, data: Data) -> dict[str, dict[str, float | int]]:
    """`level` of every head on held-out products and contributors, degraded nothing."""
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in LABELS}
    with torch.no_grad():
        for i in range(0, len(data.held), 64):
            features = net.features(torch.from_numpy(data.stem[data.held[i : i + 64]].astype(np.float32)))
            for name in LABELS:
                outputs[name].append(net.heads[name](features).numpy())
    of = data.owner[data.held]
    labels, group = data.labels[of], data.group[of]
    garment = np.isin(group, ("garment",))
    keep = {"category": garment, "pattern": group == "dyed", "packaging": ~np.isin(group, ("dyed",))}
    return {
        name: level(np.concatenate(outputs[name])[keep[name]], labels[keep[name], i])
        for i, name in enumerate(LABELS)
    }


def export(args: argparse.Namespace) -> None:
    """Write the newest checkpoint as ONNX with its labels, temperatures and thresholds."""
    net = Tagger()
    net.load_state_dict(torch.load(args.work / "attributes.pt", weights_only=True))
    found = judged(net.eval(), Data(args.work, args.seed))
    names = ("input", *LABELS)
    axes = {name: {0: "n"} for name in names}
    model = to_onnx(net, torch.zeros(2, 3, SIDE, SIDE), names, axes)
    heads = {name: {"labels": list(labels), **found[name]} for name, labels in LABELS.items()}
    metadata = {
        "vitrine.family": "attributes",
        "vitrine.input": json.dumps({"size": SIDE, "order": "RGB", "range": "0..255"}),
        "vitrine.none": NONE,
        "vitrine.attributes": json.dumps(heads),
        "vitrine.version": VERSION,
        "vitrine.seed": str(args.seed),
    }
    save(model, metadata, args.out)
    for name, figures in found.items():
        print(name, figures)
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.2f} MB)")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.attributes", description=__doc__)
    parser.add_argument("step", choices=("crops", "train", "export", "all"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="photos (see the card)")
    parser.add_argument("--work", type=Path, default=Path(".cache/attributes"), help="scratch")
    parser.add_argument("--crops", type=Path, help="the embedder's scratch, else beside --work")
    parser.add_argument(
        "--body", type=Path, default=Path(".cache/embedder/embedder.pt"), help="its checkpoint"
    )
    parser.add_argument("--resume", type=Path, help="go on from this checkpoint of the heads")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--packs", type=int, default=300, help="as for the embedder")
    parser.add_argument("--dyed", type=int, default=300, help="garments to dye, five patterns each")
    parser.add_argument("--looks", type=int, default=4, help="degraded looks of each sample")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    torch.set_num_threads(args.threads)
    steps = {"crops": collect, "train": train, "export": export}
    for name in steps if args.step == "all" else [args.step]:
        steps[name](args)


if __name__ == "__main__":
    main()
