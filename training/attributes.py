"""Make the attribute heads: `python -m training.attributes {crops,train,export}`, or `all` of them.

Needs the crops of `python -m training.embedder crops`. The network starts from the embedder's body. Beside
the labels it learns what its teachers see, place by place, and how sure they are of a category
(`training.tagger`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training import crops
from training.attributes_data import LABELS, NONE, SKIP, Sample, dyed, garments, views
from training.degrade import live
from training.embedder import restored
from training.export import save, to_onnx
from training.loop import Loop, Plan
from training.tagger import SIDE, Tagger, Teachers, levelled, softened

VERSION = "0.2.0"
WEIGHTS = Path(__file__).parents[1] / "inference" / "weights" / "vitrine_attributes.onnx"
SIZES = {name: len(labels) for name, labels in LABELS.items()}
SHARE = {"garment": 0.55, "dyed": 0.12, "pack": 0.1, "sprite": 0.05, "grocery": 0.1}
"""Of each batch; the rest is everyday things."""
PRECISION = 0.9
"""Answers are given where, on products and contributors never trained on, this share of them is right."""


def collect(args: argparse.Namespace) -> None:
    """Gather the samples, look at each `--looks` times, and keep what the teachers say of every look."""
    found = garments(args.data) + dyed(args.data, args.dyed, args.seed)
    made = [one.pack for one in crops.made(args.packs, args.seed)]
    found += views(args.work.parent / "embedder" if args.crops is None else args.crops, made)
    looks = {"garment": args.looks, "dyed": 2}
    count = [1 if s.held else looks.get(s.group, 1) for s in found]
    owner = np.repeat(np.arange(len(found)), count)
    args.work.mkdir(parents=True, exist_ok=True)
    pictures = np.lib.format.open_memmap(args.work / "looks.npy", "w+", np.uint8, (len(owner), SIDE, SIDE, 3))
    places, features, teachers = [], [], Teachers(args.data / "models/embed")
    rng = np.random.default_rng(args.seed)
    for i, k in enumerate(owner):
        image = look(found[k], rng)
        seen = teachers.see(image, found[k].group == "garment")
        places.append(seen[0])
        features.append(seen[1])
        pictures[i] = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        if i % 2000 == 0:
            print(f"looks {i}/{len(owner)}", flush=True)
    labels = np.array([s.labels for s in found], np.int64)
    group, held = np.array([s.group for s in found]), np.array([s.held for s in found])
    soft = np.zeros((len(owner), SIZES["category"] - 1), np.float32)
    rows = np.flatnonzero((group[owner] == "garment") & ~held[owner])
    senders = np.array([s.sender for s in found], np.int64)[owner[rows]]
    category = labels[owner[rows], 0]
    soft[rows] = softened(np.stack([features[r] for r in rows]), category, senders, soft.shape[1], args.seed)
    np.save(args.work / "places.npy", levelled(np.stack(places), args.seed))
    np.savez(args.work / "table.npz", owner=owner, labels=labels, held=held, group=group, soft=soft)


def look(sample: Sample, rng: np.random.Generator) -> np.ndarray:
    """A crop before it is degraded: as it is where held out, else cut loosely and perhaps mirrored."""
    image = sample.image
    if sample.held:
        return image
    h, w = image.shape[:2]
    size = (
        rng.uniform(0.7, 1.0, 2) * (w, h) if sample.group == "garment" else rng.uniform(0.82, 1.0, 2) * (w, h)
    )
    x, y = rng.uniform(0, np.array((w, h)) - size)
    image = np.ascontiguousarray(image[int(y) : int(y + size[1]), int(x) : int(x + size[0])])
    return np.ascontiguousarray(image[:, ::-1]) if rng.random() < 0.5 else image


class Data:
    """Batches of what `collect` kept, in the shares of `SHARE`."""

    def __init__(self, work: Path, seed: int) -> None:
        table = np.load(work / "table.npz")
        self.pictures = np.load(work / "looks.npy", mmap_mode="r")
        self.places = np.load(work / "places.npy", mmap_mode="r")
        self.owner, self.labels, self.group = table["owner"], table["labels"], table["group"]
        self.soft = table["soft"]
        self.rng = np.random.default_rng(seed)
        use = np.flatnonzero(~table["held"][self.owner])
        self.rows, self.held = use, np.flatnonzero(table["held"][self.owner])
        group = self.group[self.owner[use]]
        weight = np.zeros(len(use))
        for name, share in SHARE.items():
            weight[group == name] = share / max((group == name).sum(), 1)
        rest = ~np.isin(group, list(SHARE))
        weight[rest] = (1 - sum(SHARE.values())) / max(rest.sum(), 1)
        cloth = np.flatnonzero(np.isin(self.group, ("garment", "dyed")))
        self.labels[cloth[cloth % 12 > 0], 2] = SKIP  # else "none" would drown every kind of packaging
        category = self.labels[self.owner[use], 0]
        often = np.bincount(category[category >= 0], minlength=SIZES["category"]).astype(float)
        weight *= np.where(category >= 0, (often.mean() / np.maximum(often[category], 1)) ** 0.4, 1.0)
        self.p = weight / weight.sum()

    def next(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Degraded pictures, labels [n, 3], soft categories [n, 14] (zeros: none), what the teacher sees."""
        rows = self.rng.choice(self.rows, count, p=self.p)
        out = np.empty((count, SIDE, SIDE, 3), np.uint8)
        for i, row in enumerate(rows):
            image = np.asarray(self.pictures[row])
            out[i] = live(image, self.rng, 0.8) if self.rng.random() < 0.7 else image
        places = torch.from_numpy(self.places[rows].astype(np.float32))
        pictures = tensor(out)
        if self.rng.random() < 0.5:
            pictures, places = pictures.flip(3), places.flip(3)
        labels, soft = self.labels[self.owner[rows]], self.soft[rows]
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        return pictures, torch.from_numpy(labels), torch.from_numpy(soft), places


def tensor(pictures: np.ndarray) -> Tensor:
    """BGR uint8 [n, s, s, 3] to RGB float32 [n, 3, s, s], 0..255."""
    return torch.from_numpy(pictures[..., ::-1].astype(np.float32)).permute(0, 3, 1, 2)


def train(args: argparse.Namespace) -> None:
    """Labels and teachers for `--minutes` of wall time, samples mixed in pairs (mixup, Zhang et al. 2018)."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    data, net, checkpoint = Data(args.work, args.seed), Tagger(SIZES), args.work / "attributes.pt"
    net.body.load_state_dict(restored(args.body).body.state_dict())
    if args.resume:
        net.load_state_dict(torch.load(args.resume, weights_only=True))
    net.to(memory_format=torch.channels_last).train()

    def step(done: float) -> tuple[Tensor, dict[str, float], int]:
        pictures, labels, soft, places = data.next(args.batch)
        share, other = float(data.rng.beta(0.3, 0.3)), torch.from_numpy(data.rng.permutation(args.batch))
        maps, features = net.maps(share * pictures + (1 - share) * pictures[other])
        places = share * places + (1 - share) * places[other]
        parts = {"taught": 1 - F.cosine_similarity(net.taught(maps), places).mean()}
        for i, name in enumerate(LABELS):
            logits = net.heads[name](net.drop(features))
            one, two = (
                judge(logits, labels[k, i], soft[k] if i == 0 else None) for k in (slice(None), other)
            )
            parts[name] = share * one + (1 - share) * two
        total = 4 * parts["taught"] + parts["category"] + 0.5 * (parts["pattern"] + parts["packaging"])
        return total, {k: v.item() for k, v in parts.items()}, args.batch

    Loop(net, Plan(args.minutes, args.lr, decay=0.05, average=0.998), checkpoint).run(step)


def judge(logits: Tensor, labels: Tensor, soft: Tensor | None) -> Tensor:
    """Cross-entropy with the labels; where there is a soft one, half of it with that."""
    known = labels >= 0
    if not known.any():
        return logits.sum() * 0.0
    hard = F.cross_entropy(logits[known], labels[known], label_smoothing=0.05, reduction="none")
    if soft is None:
        return hard.mean()
    soft = soft[known]
    softly = -(F.pad(soft, (0, logits.shape[1] - soft.shape[1])) * logits[known].log_softmax(1)).sum(1)
    return torch.where(soft.sum(1) > 0.5, 0.5 * (hard + softly), hard).mean()


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
            for name, logits in zip(LABELS, net(tensor(data.pictures[data.held[i : i + 64]])), strict=True):
                outputs[name].append(logits.numpy())
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
    net = Tagger(SIZES)
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
    parser.add_argument("--looks", type=int, default=10, help="cuts of each garment")
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
