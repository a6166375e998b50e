"""Make the embedded embedder: `python -m training.embedder {crops,train,export}`, or `all` of them.

Instances whose name hashes into the held-out tenth, and half of the cartons, are never trained on; thresholds
are derived from them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from training import assets, crops
from training.calibrate import calibrate, embed
from training.detector import Ema
from training.embnet import DIM, Embedder, Heads, contrast, cosface, distil
from training.export import save, to_onnx
from training.teachers import session

VERSION = "0.1.0"
WEIGHTS = Path(__file__).parents[1] / "inference" / "weights" / "vitrine_embed.onnx"
#: Cartons kept for validation; the other half of the grocery shelf is trained on.
HELD_CARTONS = ("28", "31", "34", "40", "42", "46", "49", "53", "57")
SHOW_KINDS = ("sprite",)


def held_out(instance: crops.Instance) -> bool:
    """Whether an instance is for validation only; the show's own products are always trained on."""
    if instance.kind == "grocery":
        return instance.name.split("_")[0] in HELD_CARTONS
    if instance.kind in SHOW_KINDS:
        return False
    return hashlib.sha256(instance.name.encode()).digest()[0] < 26


def teach(images: np.ndarray, folder: Path) -> np.ndarray:
    """Two ImageNet embedders, concatenated: BGR crops [n, s, s, 3] -> float16 [n, 576 + 1280]."""
    small = session(folder / "mobilenetv3s_embed576.onnx")
    large = session(folder / "mobilenetv2ptq_embed1280_f32.onnx")
    mean, std = np.float32((0.485, 0.456, 0.406)), np.float32((0.229, 0.224, 0.225))
    out = np.zeros((len(images), 576 + 1280), np.float16)
    for i, image in enumerate(images):
        rgb = cv2.resize(image, (224, 224), interpolation=cv2.INTER_LINEAR)[..., ::-1].astype(np.float32)
        a = small.run(None, {"input": ((rgb / 255 - mean) / std).transpose(2, 0, 1)[None]})[0][0]
        b = large.run(None, {"input": (rgb / 127.5 - 1).transpose(2, 0, 1)[None]})[0][0]
        out[i] = np.concatenate((a, b)) / math.sqrt(2)
        if i % 500 == 0:
            print(f"teachers {i}/{len(images)}", flush=True)
    return out


def render(args: argparse.Namespace) -> None:
    """Draw every instance: its first two views as in a catalogue, the others live."""
    found = crops.instances(args.data, args.cache, args.garments, args.packs, args.seed)
    grounds = assets.photos(args.data)
    count = {"sprite": 160, "grocery": 60, "abo": 40, "cosmetics": 24, "clothing": 8, "pack": 12}
    plan = [(k, v) for k, one in enumerate(found) for v in range(count[one.kind])]
    args.work.mkdir(parents=True, exist_ok=True)
    side = crops.SIDE
    views = np.lib.format.open_memmap(args.work / "views.npy", "w+", np.uint8, (len(plan), side, side, 3))
    for i, (k, v) in enumerate(plan):
        rng = np.random.default_rng((args.seed, k, v))
        catalogue = v < 2 or (found[k].kind == "sprite" and v % 5 == 0)
        views[i] = (
            crops.catalogue_view(found[k], rng) if catalogue else crops.live_view(found[k], grounds, rng)
        )
        if i % 1000 == 0:
            print(f"views {i}/{len(plan)}", flush=True)
    labels = np.int64([k for k, _ in plan])
    number = np.int64([v for _, v in plan])
    np.savez(
        args.work / "views.npz",
        labels=labels,
        number=number,
        held=np.array([held_out(found[k]) for k in labels]),
        kinds=np.array([found[k].kind for k in labels]),
        names=np.array([one.name for one in found]),
    )
    first = np.flatnonzero((number == 0) | (number == 2))
    taught = teach(views[first], args.data / "models" / "embed")
    np.savez(args.work / "teacher.npz", index=first, vectors=taught)


class Views:
    """Batches of P instances x K views with light augmentation."""

    def __init__(self, work: Path, seed: int) -> None:
        table = np.load(work / "views.npz")
        self.views = np.load(work / "views.npy", mmap_mode="r")
        self.rng = np.random.default_rng(seed)
        use = ~table["held"]
        self.names, self.labels = np.unique(table["labels"][use], return_inverse=True)
        self.rows = np.flatnonzero(use)
        taught = np.load(work / "teacher.npz")
        known = {int(i): v for i, v in zip(taught["index"], taught["vectors"], strict=True)}
        number = table["number"]
        nearest = np.where(number < 2, 0, 2) - number + np.arange(len(number))
        self.teacher = np.stack([known[int(i)] for i in nearest[self.rows]])
        self.by_label = [np.flatnonzero(self.labels == k) for k in range(len(self.names))]
        kind = table["kinds"][self.rows][[rows[0] for rows in self.by_label]]
        weight = {"sprite": 20.0, "grocery": 5.0, "abo": 2.0, "cosmetics": 1.0, "clothing": 0.6, "pack": 1.0}
        self.p = np.array([weight[k] for k in kind])
        self.p /= self.p.sum()

    def next(self, instances: int, each: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """float32 [P * K, 3, side, side] RGB 0..255, int64 labels, teacher vectors."""
        chosen = self.rng.choice(len(self.names), instances, replace=False, p=self.p)
        index = np.concatenate([self.rng.choice(self.by_label[k], each, replace=False) for k in chosen])
        out = np.empty((len(index), side, side, 3), np.uint8)
        for i, row in enumerate(self.rows[index]):
            size = int(self.rng.integers(118, crops.SIDE + 1))
            y, x = self.rng.integers(0, crops.SIDE - size + 1, 2)
            crop = self.views[row][y : y + size, x : x + size]
            out[i] = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
            if self.rng.random() < 0.15:
                y, x = self.rng.integers(0, int(0.8 * side), 2)
                h, w = self.rng.integers(side // 8, side // 2, 2)
                out[i, y : y + h, x : x + w] = self.rng.integers(0, 256, 3)
        gain = np.exp(
            self.rng.normal(0, 0.1, (len(index), 1, 1, 1)) + self.rng.normal(0, 0.05, (len(index), 1, 1, 3))
        )
        pixels = torch.from_numpy(np.clip(out[..., ::-1] * gain, 0, 255).astype(np.float32)).permute(
            0, 3, 1, 2
        )
        labels = torch.from_numpy(self.labels[index])
        teacher = torch.from_numpy(self.teacher[index].astype(np.float32))
        return pixels.contiguous(memory_format=torch.channels_last), labels, teacher

    def middle(self, net: Embedder) -> Tensor:
        """A start for the proxies: the mean vector of four views of each instance."""
        net.eval()
        rows = np.concatenate([self.rows[self.rng.choice(r, 4)] for r in self.by_label])
        with torch.no_grad():
            vectors = embed(net, self.views[rows])
        net.train()
        return torch.from_numpy(vectors).reshape(-1, 4, DIM).mean(1)


def side_at(done: float, small: float) -> int:
    """Pictures start small: cheap steps first."""
    return 64 if done < small else 96 if done < small + 0.6 * (1 - small) else 128


def train(args: argparse.Namespace) -> None:
    """Distillation fades out, metric learning stays; `--minutes` of wall time."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    data = Views(args.work, args.seed)
    net = Embedder().to(memory_format=torch.channels_last)
    checkpoint = args.work / "embedder.pt"
    if args.resume and checkpoint.exists():
        net.load_state_dict(torch.load(checkpoint, weights_only=True), strict=False)
    heads = Heads(len(data.names), data.teacher.shape[1])
    heads.proxies.data.copy_(0.3 * data.middle(net))
    every = [*net.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(every, lr=args.lr, weight_decay=0.02)
    ema, start, saved, step, mean = Ema(net, 0.998), time.monotonic(), time.monotonic(), 0, {}
    print(f"{len(data.rows)} views of {len(data.names)} instances", flush=True)
    while (now := time.monotonic()) - start < args.minutes * 60:
        done = (now - start) / (args.minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = (
                args.lr * min(1.0, (step + 1) / 200) * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
            )
        images, labels, teacher = data.next(args.batch // 4, 4, side_at(done, args.small))
        z = net(images)
        parts = {
            "supcon": contrast(z, labels),
            "cosface": cosface(z, labels, heads.proxies),
            "distil": distil(z, heads.to_teacher(z), teacher),
        }
        total = parts["supcon"] + 0.5 * parts["cosface"] + (1.5 - done) * parts["distil"]
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(every, 5.0)
        optimiser.step()
        ema.update(net)
        step += 1
        mean = {k: 0.98 * mean.get(k, v.item()) + 0.02 * v.item() for k, v in parts.items()}
        if step % 50 == 0:
            text = " ".join(f"{k} {v:.3f}" for k, v in mean.items())
            print(f"{done:5.1%} step {step} {step * args.batch / (now - start):.0f}/s {text}", flush=True)
        if now - saved > 180:
            saved = now
            torch.save(ema.state, checkpoint)
    torch.save(ema.state, checkpoint)


def export(args: argparse.Namespace) -> None:
    """Write the newest checkpoint as ONNX with thresholds derived from the held-out instances."""
    net = Embedder()
    net.load_state_dict(torch.load(args.work / "embedder.pt", weights_only=True))
    model = to_onnx(
        net, torch.zeros(2, 3, 128, 128), ("input", "embedding"), {"input": {0: "n"}, "embedding": {0: "n"}}
    )
    metadata = {
        "vitrine.family": "embedder",
        "vitrine.dim": str(DIM),
        "vitrine.input": json.dumps({"size": 128, "order": "RGB", "range": "0..255"}),
        "vitrine.version": VERSION,
        "vitrine.seed": str(args.seed),
        "vitrine.calibration": json.dumps(calibrate(net.eval(), args.work)),
    }
    save(model, metadata, args.out)
    print(metadata["vitrine.calibration"])
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.2f} MB)")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.embedder", description=__doc__)
    parser.add_argument("step", choices=("crops", "train", "export", "all"))
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="photos and teachers (see the card)"
    )
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="where sprites lie")
    parser.add_argument(
        "--work", type=Path, default=Path(".cache/embedder"), help="scratch: views and checkpoints"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument(
        "--garments", type=int, default=600, help="garment photos, each an instance of its own"
    )
    parser.add_argument("--packs", type=int, default=1500, help="made-up products")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--small", type=float, default=0.5, help="share of the time on crops of 64 pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="start from the checkpoint in --work")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    steps = {"crops": render, "train": train, "export": export}
    for name in steps if args.step == "all" else [args.step]:
        steps[name](args)


if __name__ == "__main__":
    main()
