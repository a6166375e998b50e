"""Make the embedded detector: `python -m training.detector STEP`, or `all`: stock, scenes, train, export.

`relabel` between two `train` steps lets the first weights label photos on which the teachers disagree.

Needs the `train` extra plus opencv-python-headless. Pictures, batches and start weights follow from `--seed`.
"""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import torch

from training import assets, packs, scenes
from training.batches import Ahead, Batches
from training.detloss import loss
from training.detnet import NAMES, STRIDES, Detector, Exported
from training.export import save, to_onnx
from training.loop import Loop, Plan

VERSION = "0.2.0"
WEIGHTS = Path(__file__).parents[1] / "inference" / "weights" / "vitrine_detect.onnx"


def train(args: argparse.Namespace) -> None:
    """AdamW, warm-up and cosine over what `--minutes` allow; checkpoints as it goes."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    net = Detector().to(memory_format=torch.channels_last)
    checkpoint = args.work / "detector.pt"
    if args.resume and checkpoint.exists():
        net.load_state_dict(torch.load(checkpoint, weights_only=True))
    held = pickle.loads((args.work / "held.pkl").read_bytes())
    loop = Loop(net, Plan(args.minutes, args.lr, floor=0.02, average=0.9985, clip=10.0), checkpoint)
    shuffled = Batches(args.work / "shards", held, args.batch, args.seed, args.small)
    batches = Ahead(shuffled, lambda: loop.pace.done)

    def step(done: float) -> tuple[torch.Tensor, dict[str, float], int]:
        images, rows = batches.next()
        total, parts = loss(net(images), rows)
        return total, parts, len(rows)

    loop.run(step)


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
    (args.work / "held.pkl").write_bytes(pickle.dumps(made.held))
    print({k: len(getattr(made, k)) for k in ("products", "people", "photos", "held", "packs")}, flush=True)


def relabel(args: argparse.Namespace) -> None:
    """Let the newest checkpoint say what is held in the photos on which the teachers disagree."""
    out, args.out = args.out, args.work / "student.onnx"
    export(args)
    held = assets.held(args.data, 700, args.seed, args.out)
    args.out = out
    (args.work / "held.pkl").write_bytes(pickle.dumps(held))
    print(f"{len(held)} photos of held packages", flush=True)


def render(args: argparse.Namespace) -> None:
    """Render the shards, with whatever sprites of the show's products lie in the cache."""
    made = pickle.loads((args.work / "stock.pkl").read_bytes())
    made.sprites, made.hands = assets.sprites(args.cache), assets.rendered_hands(args.cache)
    print(f"{len(made.sprites)} sprites, {len(made.hands)} hands", flush=True)
    scenes.render_shards(made, args.work / "shards", args.scenes, args.seed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.detector", description=__doc__)
    parser.add_argument("step", choices=("stock", "scenes", "train", "relabel", "export", "all"))
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
        "--small", type=float, default=0.5, help="share on pictures of 0.6 the size; -1.5: full size only"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="start from the checkpoint in --work")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    steps = {"stock": stock, "scenes": render, "train": train, "relabel": relabel, "export": export}
    every = ("stock", "scenes", "train", "export")
    for name in every if args.step == "all" else [args.step]:
        steps[name](args)


if __name__ == "__main__":
    main()
