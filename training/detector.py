"""Make the embedded detector: `python -m training.detector {stock,scenes,train,export}`, or `all` of them.

Needs the `train` extra plus opencv-python-headless. Pictures, batches and start weights follow from `--seed`.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from training import assets, packs, scenes
from training.detloss import loss
from training.detnet import NAMES, STRIDES, Detector, Exported
from training.export import save, to_onnx

VERSION = "0.1.0"
WEIGHTS = Path(__file__).parents[1] / "inference" / "weights" / "vitrine_detect.onnx"


class Ema:
    """Exponential moving average of a network's state."""

    def __init__(self, net: torch.nn.Module, decay: float = 0.9985) -> None:
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone() for k, v in net.state_dict().items()}

    def update(self, net: torch.nn.Module) -> None:
        """Take in the newest weights."""
        self.steps += 1
        d = self.decay * (1 - math.exp(-self.steps / 300))
        with torch.no_grad():
            for key, value in net.state_dict().items():
                if value.dtype.is_floating_point:
                    self.state[key].mul_(d).add_(value, alpha=1 - d)
                else:
                    self.state[key].copy_(value)


class Batches:
    """Random batches from the shards with flips, channel gains and shifts."""

    def __init__(self, folder: Path, size: int, seed: int, small: float) -> None:
        self.size, self.small, self.rng = size, small, np.random.default_rng(seed)
        self.images = {k: np.load(folder / f"{k}.npy", mmap_mode="r") for k in scenes.SHAPES}
        self.rows = {k: np.load(folder / f"{k}.rows.npy") for k in scenes.SHAPES}
        self.share = np.array([len(self.images[k]) for k in scenes.SHAPES], float)
        self.share /= self.share.sum()

    def next(self, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [B, 3, H, W] BGR 0..255 in channels_last and rows [B, M, 6].

        Pictures start small and grow with `done` (0..1): cheap steps first, and a scale augmentation.
        """
        kind = list(scenes.SHAPES)[self.rng.choice(len(self.share), p=self.share)]
        index = np.sort(self.rng.choice(len(self.images[kind]), self.size, replace=False))
        images, rows = shrink(
            self.images[kind][index],
            self.rows[kind][index].copy(),
            0.6 if done < self.small else 0.8 if done < self.small + 0.6 * (1 - self.small) else 1.0,
        )
        if self.rng.random() < 0.5:
            images = images[:, :, ::-1]
            rows[..., [0, 2]] = np.where(
                rows[..., 5:] >= 0, images.shape[2] - rows[..., [2, 0]], rows[..., [0, 2]]
            )
        gain = np.exp(self.rng.normal(0, 0.1, (self.size, 1, 1, 3))).astype(np.float32)
        images = np.clip(images * gain, 0, 255)
        if self.rng.random() < 0.5:  # a flat picture shows nothing
            images[0], rows[0, :, 5] = self.rng.uniform(0, 255) * self.rng.integers(0, 2), -1
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        return pixels.contiguous(memory_format=torch.channels_last), torch.from_numpy(rows)


def shrink(images: np.ndarray, rows: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Scale pictures to the nearest multiples of 32; objects that become tiny are ignored."""
    h, w = images.shape[1:3]
    nh, nw = round(h * factor / 32) * 32, round(w * factor / 32) * 32
    if (nh, nw) == (h, w):
        return images, rows
    small = np.stack([cv2.resize(image, (nw, nh), interpolation=cv2.INTER_AREA) for image in images])
    rows[..., :4] *= np.float32((nw / w, nh / h, nw / w, nh / h))
    tiny = (rows[..., 2:4] - rows[..., :2]).min(-1) < 4
    rows[..., 5] = np.where(tiny & (rows[..., 5] == 1), 0, rows[..., 5])
    return small, rows


def train(args: argparse.Namespace) -> None:
    """AdamW, warm-up and cosine over `--minutes` of wall time; checkpoints and exports as it goes."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    net = Detector().to(memory_format=torch.channels_last)
    checkpoint = args.work / "detector.pt"
    if args.resume and checkpoint.exists():
        net.load_state_dict(torch.load(checkpoint, weights_only=True))
    decay = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=args.lr)
    ema, batches = Ema(net), Batches(args.work / "shards", args.batch, args.seed, args.small)
    start, seen, step, mean = time.monotonic(), 0, 0, {}
    saved = start
    while (now := time.monotonic()) - start < args.minutes * 60:
        done = (now - start) / (args.minutes * 60)
        rate = args.lr * min(1.0, (step + 1) / 200) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        for group in optimiser.param_groups:
            group["lr"] = rate
        images, rows = batches.next(done)
        total, parts = loss(net(images), rows)
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimiser.step()
        ema.update(net)
        step, seen = step + 1, seen + len(rows)
        mean = {k: 0.98 * mean.get(k, v) + 0.02 * v for k, v in parts.items()}
        if step % 50 == 0:
            text = " ".join(f"{k} {v:.3f}" for k, v in mean.items())
            print(
                f"{done:5.1%} step {step} seen {seen} {seen / (now - start):.1f}/s lr {rate:.1e} {text}",
                flush=True,
            )
        if now - saved > 240:
            saved = now
            torch.save(ema.state, checkpoint)
    torch.save(ema.state, checkpoint)
    print(f"seen {seen} pictures in {time.monotonic() - start:.0f} s", flush=True)


def export(args: argparse.Namespace) -> None:
    """Write the newest checkpoint as ONNX: 320x320, any multiple of 32 after rewriting the input."""
    net = Detector()
    net.load_state_dict(torch.load(args.work / "detector.pt", weights_only=True))
    model = to_onnx(Exported(net), torch.zeros(1, 3, 320, 320), ("images", "output"), {})
    metadata = {
        "vitrine.family": "yolox", "vitrine.names": json.dumps({str(i): n for i, n in enumerate(NAMES)}),
        "vitrine.strides": json.dumps(STRIDES), "vitrine.version": VERSION, "vitrine.seed": str(args.seed),
    }  # fmt: skip
    save(model, metadata, args.out)
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.2f} MB)")


def stock(args: argparse.Namespace) -> None:
    """Cut products and people, label photos."""
    photos = assets.photos(args.data)
    rng = np.random.default_rng(args.seed)
    made = scenes.Stock(
        sprites=[], hands=[], products=assets.product_cutouts(args.data, 160, args.seed),
        people=assets.people(photos),
        photos=photos, held=assets.held(args.data, 700, args.seed),
        packs=[packs.make_pack(rng) for _ in range(1500)],
    )  # fmt: skip
    args.work.mkdir(parents=True, exist_ok=True)
    (args.work / "stock.pkl").write_bytes(pickle.dumps(made))
    print({k: len(getattr(made, k)) for k in ("products", "people", "photos", "held", "packs")}, flush=True)


def render(args: argparse.Namespace) -> None:
    """Render the shards, with whatever sprites of the show's products lie in the cache."""
    made = pickle.loads((args.work / "stock.pkl").read_bytes())
    made.sprites, made.hands = assets.sprites(args.cache), assets.rendered_hands(args.cache)
    print(f"{len(made.sprites)} sprites, {len(made.hands)} hands", flush=True)
    scenes.render_shards(made, args.work / "shards", args.scenes, args.seed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.detector", description=__doc__)
    parser.add_argument("step", choices=("stock", "scenes", "train", "export", "all"))
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="photos and teachers (see the model card)"
    )
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="where sprites lie")
    parser.add_argument(
        "--work", type=Path, default=Path(".cache/detector"), help="scratch: shards and checkpoints"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--scenes", type=int, default=20000)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument(
        "--small", type=float, default=0.5, help="share of the time on pictures of 0.6 the size"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="start from the checkpoint in --work")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    steps = {"stock": stock, "scenes": render, "train": train, "export": export}
    for name in steps if args.step == "all" else [args.step]:
        steps[name](args)


if __name__ == "__main__":
    main()
