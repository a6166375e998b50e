"""Make the embedded embedder: `python -m training.embedder {crops,train,export}`, or `all` of them.

Instances whose name hashes into the held-out tenth, and half of the cartons, are never trained on; thresholds
are derived from the cartons. With `--minutes 0` a body that is good already (`--resume`) only gets its neck.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor

from inference.common import Common
from training import assets, crops
from training.calibrate import calibrate, embed
from training.degrade import live
from training.embnet import (
    DIM,
    STEM,
    Embedder,
    Heads,
    centres,
    contrast,
    cosface,
    distil,
    principal,
)
from training.export import save, to_onnx
from training.loop import Loop, Plan

VERSION = "0.3.2"
WEIGHTS = Path(__file__).parents[1] / "inference" / "weights" / "vitrine_embed.onnx"
#: Cartons kept for validation; the other half of the grocery shelf is trained on.
HELD_CARTONS = ("28", "31", "34", "40", "42", "46", "49", "53", "57")
SHOW_KINDS = ("sprite",)
ANCHORS, ROOMS = {("grocery", "pack"): 120, ("scene",): 40}, 60
VARIANTS = 3  # degraded looks of each view that `stem` keeps


def held_out(instance: crops.Instance) -> bool:
    """Whether an instance is for validation only; the show's own products are always trained on."""
    if instance.kind == "grocery":
        return instance.name.split("_")[0] in HELD_CARTONS
    if instance.kind in SHOW_KINDS:
        return False
    return hashlib.sha256(instance.name.encode()).digest()[0] < 26


def teach(images: np.ndarray, folder: Path) -> np.ndarray:
    """MobileNetV3-Small's map (ImageNet), averaged in bands: BGR crops [n, s, s, 3] -> float16 [n, 3 * 576].

    In bands it tells unseen cartons apart half again as often as averaged over the whole map.
    """
    net = map_session(folder / "mobilenetv3s_embed576.onnx")
    mean, std = np.float32((0.485, 0.456, 0.406)), np.float32((0.229, 0.224, 0.225))
    out = np.zeros((len(images), 3, 576), np.float16)
    for i, image in enumerate(images):
        rgb = cv2.resize(image, (224, 224), interpolation=cv2.INTER_LINEAR)[..., ::-1].astype(np.float32)
        maps = net.run(None, {"input": ((rgb / 255 - mean) / std).transpose(2, 0, 1)[None]})[-1][0]
        bands = np.stack([maps[:, a:b].mean((1, 2)) for a, b in ((0, 3), (2, 5), (4, 7))])
        out[i] = bands / np.linalg.norm(bands, axis=1, keepdims=True)
        if i % 2000 == 0:
            print(f"teacher {i}/{len(images)}", flush=True)
    return out.reshape(len(images), -1)


def map_session(path: Path) -> ort.InferenceSession:
    """A session of a teacher whose last output is the map before its pooling."""
    model = onnx.load(str(path))
    pool = next(n for n in reversed(model.graph.node) if n.op_type in ("ReduceMean", "GlobalAveragePool"))
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(pool.input[0]))
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def render(args: argparse.Namespace) -> None:
    """Draw every instance: its first two views as in a catalogue, the others live but not yet degraded."""
    found = crops.instances(args.data, args.cache, args.garments, args.packs, args.seed)
    grounds = assets.photos(args.data)
    count = {"sprite": 48, "abo": 24, "cosmetics": 16, "clothing": 3, "scene": 2, "pack": 6}
    plan = [
        (k, v)
        for k, one in enumerate(found)
        for v in range(count.get(one.kind) or 8 + 2 * min(20, len(one.photos)))
    ]
    args.work.mkdir(parents=True, exist_ok=True)
    side = crops.SIDE
    views = np.lib.format.open_memmap(args.work / "views.npy", "w+", np.uint8, (len(plan), side, side, 3))
    for i, (k, v) in enumerate(plan):
        rng = np.random.default_rng((args.seed, k, v))
        catalogue = found[k].kind != "scene" and (v < 2 or (found[k].kind == "sprite" and v % 5 == 0))
        views[i] = (
            crops.catalogue_view(found[k], rng) if catalogue else crops.live_view(found[k], grounds, rng)
        )
        if i % 1000 == 0:
            print(f"views {i}/{len(plan)}", flush=True)
    labels = np.int64([k for k, _ in plan])
    np.savez(
        args.work / "views.npz",
        labels=labels,
        number=np.int64([v for _, v in plan]),
        held=np.array([held_out(found[k]) for k in labels]),
        kinds=np.array([found[k].kind for k in labels]),
        names=np.array([one.name for one in found]),
    )
    np.save(args.work / "teacher.npy", teach(views, args.data / "models" / "embed"))


class Views:
    """Batches of P instances x K views, degraded afresh each time."""

    WEIGHT = {
        "sprite": 12.0, "grocery": 10.0, "abo": 4.0, "cosmetics": 3.0, "clothing": 0.7,
        "scene": 0.7, "pack": 1.5,
    }  # fmt: skip

    def __init__(self, work: Path, seed: int) -> None:
        table = np.load(work / "views.npz")
        self.views = np.load(work / "views.npy", mmap_mode="r")
        stem = work / "stem.npy"
        self.stem = np.load(stem, mmap_mode="r") if stem.exists() else None
        self.rng = np.random.default_rng(seed)
        use = ~table["held"]
        self.names, self.labels = np.unique(table["labels"][use], return_inverse=True)
        self.rows = np.flatnonzero(use)
        self.by_label = [np.flatnonzero(self.labels == k) for k in range(len(self.names))]
        kinds = table["kinds"][self.rows]
        self.teacher = self.targets(np.load(work / "teacher.npy")[self.rows].astype(np.float32), kinds)
        self.p = np.array([self.WEIGHT[k] for k in kinds[[rows[0] for rows in self.by_label]]])
        self.p /= self.p.sum()

    def targets(self, taught: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """What the teacher says of a view, leaning to what it says of all views of the instance."""
        real = np.isin(kinds, ("clothing", "scene", "grocery"))
        matrix, offset = principal(taught[real], DIM)
        vectors = taught @ matrix.T + offset
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        out = np.empty_like(vectors, np.float32)
        for rows in self.by_label:
            out[rows] = 0.6 * vectors[rows] + 0.4 * vectors[rows].mean(0)
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    def picture(self, row: int, side: int) -> np.ndarray:
        """One view cut loosely and degraded, uint8 BGR [side, side, 3]."""
        size = int(self.rng.integers(118, crops.SIDE + 1))
        y, x = self.rng.integers(0, crops.SIDE - size + 1, 2)
        image = np.ascontiguousarray(self.views[row][y : y + size, x : x + size])
        if self.rng.random() < 0.75:
            image = live(image, self.rng, 1.1)
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        if self.rng.random() < 0.2:
            y, x = self.rng.integers(0, int(0.8 * side), 2)
            h, w = self.rng.integers(side // 8, side // 2, 2)
            image[y : y + h, x : x + w] = self.rng.integers(0, 256, 3)
        return image

    def next(self, instances: int, each: int, side: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """float32 [P * K, 3, side, side] RGB (None: the stem's maps), int64 labels, teacher's vectors."""
        chosen = self.rng.choice(len(self.names), instances, replace=False, p=self.p)
        index = np.concatenate(
            [self.rng.choice(rows, each, len(rows) < each) for rows in (self.by_label[k] for k in chosen)]
        )
        if side is None:
            looks = index * VARIANTS + self.rng.integers(0, VARIANTS, len(index))
            pixels = torch.from_numpy(self.stem[looks].astype(np.float32))
        else:
            out = np.stack([self.picture(row, side) for row in self.rows[index]])
            pixels = torch.from_numpy(out[..., ::-1].astype(np.float32)).permute(0, 3, 1, 2)
        teacher = torch.from_numpy(self.teacher[index])
        labels = torch.from_numpy(self.labels[index])
        return pixels.contiguous(memory_format=torch.channels_last), labels, teacher

    def some(self, count: int) -> np.ndarray:
        """Views [count, 144, 144, 3] drawn as in training, not degraded."""
        chosen = self.rng.choice(len(self.names), count, p=self.p)
        return np.stack([self.views[self.rows[self.rng.choice(self.by_label[k])]] for k in chosen])

    def middle(self, net: Embedder) -> Tensor:
        """A start for the proxies: the mean vector of two views of each instance."""
        rows = np.concatenate([self.rows[self.rng.choice(r, 2)] for r in self.by_label])
        return torch.from_numpy(embed(net, self.views[rows])).reshape(-1, 2, DIM).mean(1)


def set_neck(net: Embedder, data: Views) -> None:
    """Start the neck from the main axes of what the body says of the training products."""
    views = data.some(3000)
    edge = (crops.SIDE - 128) // 2
    rows = []
    net.eval()
    with torch.no_grad():
        for i in range(0, len(views), 50):
            part = views[i : i + 50, edge : edge + 128, edge : edge + 128, ::-1].astype(np.float32)
            rows.append(net.bands(net.stem(torch.from_numpy(part).permute(0, 3, 1, 2))).numpy())
    matrix, offset = principal(np.concatenate(rows).astype(np.float64), DIM)
    net.neck.weight.data = torch.from_numpy(matrix.astype(np.float32))
    net.neck.bias.data = torch.from_numpy(offset.astype(np.float32))


def stems(args: argparse.Namespace) -> None:
    """What the stem of `--resume` says of VARIANTS degraded looks of each view, for `train --frozen`."""
    data, net = Views(args.work, args.seed), restored(args.resume)
    net.eval()
    shape = (len(data.rows) * VARIANTS, 64, 16, 16)
    out = np.lib.format.open_memmap(args.work / "stem.npy", "w+", np.float16, shape)
    order = np.repeat(data.rows, VARIANTS)
    with torch.no_grad():
        for i in range(0, len(order), 32):
            look = np.stack([data.picture(row, 128) for row in order[i : i + 32]])[..., ::-1]
            pixels = torch.from_numpy(look.astype(np.float32)).permute(0, 3, 1, 2)
            out[i : i + 32] = net.stem(pixels.contiguous(memory_format=torch.channels_last)).numpy()
            if i % 3200 == 0:
                print(f"stem {i}/{len(order)}", flush=True)


def restored(checkpoint: Path | None) -> Embedder:
    """The network with what fits of a checkpoint."""
    net = Embedder().to(memory_format=torch.channels_last)
    if checkpoint:
        own, state = net.state_dict(), torch.load(checkpoint, weights_only=True)
        fits = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
        net.load_state_dict(fits, strict=False)
    return net


def side_at(done: float, small: float) -> int:
    """Pictures start small: cheap steps first."""
    return 64 if done < small else 96 if done < small + 0.6 * (1 - small) else 128


def train(args: argparse.Namespace) -> None:
    """Distillation fades out, metric learning stays; `--minutes` of wall time."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    data = Views(args.work, args.seed)
    net, checkpoint = restored(args.resume), args.work / "embedder.pt"
    set_neck(net, data)
    torch.save(net.state_dict(), checkpoint)
    heads = Heads(len(data.names), DIM)
    heads.proxies.data.copy_(0.3 * data.middle(net))
    net.train()
    if args.frozen:
        net.body[:STEM].eval().requires_grad_(False)
    print(f"{len(data.rows)} views of {len(data.names)} instances", flush=True)

    def step(done: float) -> tuple[Tensor, dict[str, float], int]:
        side = None if args.frozen else side_at(done, args.small)
        pictures, labels, teacher = data.next(args.batch // 4, 4, side)
        z = net.tail(pictures) if args.frozen else net(pictures)
        parts = {
            "supcon": contrast(z, labels),
            "cosface": cosface(z, labels, heads.proxies),
            "distil": distil(z, heads.to_teacher(z), teacher),
        }
        total = parts["supcon"] + 0.5 * parts["cosface"] + (1.5 - done) * parts["distil"]
        return total, {k: v.item() for k, v in parts.items()}, len(labels)

    Loop(net, Plan(args.minutes, args.lr), checkpoint, heads).run(step)


def common_goods(net: Embedder, work: Path, seed: int) -> Common:
    """What is common to `net`: centres of training views of goods, of everyday things, and of drawn rooms.

    Without the latter two a piece of wall would be nothing common, and a likeness to it worth most.
    """
    table, views = np.load(work / "views.npz"), np.load(work / "views.npy", mmap_mode="r")
    rng = np.random.default_rng(seed)
    found = []
    for kinds, count in ANCHORS.items():
        rows = np.flatnonzero(~table["held"] & np.isin(table["kinds"], kinds))
        rows = np.sort(rng.choice(rows, min(len(rows), 1500), replace=False))
        found.append(centres(embed(net, views[rows]), count, seed))
    rooms = np.stack([crops.room_view(rng) for _ in range(400)])
    found.append(centres(embed(net, rooms), ROOMS, seed))
    return Common(np.concatenate(found), near=10, level=0.3, strength=2.0)


def export(args: argparse.Namespace) -> None:
    """Write the newest checkpoint as ONNX with thresholds derived from the held-out instances."""
    net = Embedder()
    net.load_state_dict(torch.load(args.work / "embedder.pt", weights_only=True))
    common = common_goods(net.eval(), args.work, args.seed)
    model = to_onnx(
        net, torch.zeros(2, 3, 128, 128), ("input", "embedding"), {"input": {0: "n"}, "embedding": {0: "n"}}
    )
    metadata = {
        "vitrine.family": "embedder",
        "vitrine.dim": str(DIM),
        "vitrine.input": json.dumps({"size": 128, "order": "RGB", "range": "0..255"}),
        "vitrine.common": json.dumps(common.metadata()),
        "vitrine.version": VERSION,
        "vitrine.seed": str(args.seed),
        "vitrine.calibration": json.dumps(calibrate(net, args.work, common)),
    }
    save(model, metadata, args.out)
    print(metadata["vitrine.calibration"])
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.2f} MB)")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.embedder", description=__doc__)
    parser.add_argument("step", choices=("crops", "stem", "train", "export", "all"))
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
        "--garments", type=int, default=1200, help="garment photos, each an instance of its own"
    )
    parser.add_argument("--packs", type=int, default=300, help="made-up products")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--small", type=float, default=0.5, help="share of the time on crops of 64 pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", type=Path, help="start from the body of this checkpoint")
    parser.add_argument("--frozen", action="store_true", help="keep the stem: learn from the step `stem`")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    steps = {"crops": render, "stem": stems, "train": train, "export": export}
    for name in ("crops", "train", "export") if args.step == "all" else [args.step]:
        steps[name](args)


if __name__ == "__main__":
    main()
