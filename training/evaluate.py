"""Measure the shipped weights: `python -m training.evaluate {detector,latency} [--json]`.

Prints one row a data set. Sets whose files are missing are named and left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from training import assets, packs, scenes
from training.score import Tally
from training.teachers import NanoDetPlus, Yolox, nms, session

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "inference" / "weights"
SHOW = ROOT / "stream" / "sources" / "assets"
Detect = Callable[[np.ndarray], tuple[np.ndarray, ...]]
Sample = tuple[np.ndarray, np.ndarray]  # BGR picture, true boxes x0 y0 x1 y1 in pixels


def frames(path: Path, every: int) -> Iterator[tuple[int, np.ndarray]]:
    """Number and BGR picture of every `every`-th frame."""
    import av

    with av.open(str(path)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % every == 0:
                yield i, frame.to_ndarray(format="bgr24")


def show_truth(visible: float = 0.5) -> dict[int, np.ndarray]:
    """Frame number -> boxes [n, 4] in 0..1 of the embedded show's objects with at least this visibility."""
    truth = json.loads((SHOW / "show.gt.json").read_text())
    entries = truth["frames"]
    pairs = entries.items() if isinstance(entries, dict) else enumerate(entries)
    return {
        int(k): np.float32([o["box"] for o in objects(v) if o["visibility"] >= visible]).reshape(-1, 4)
        for k, v in pairs
    }


def objects(frame: object) -> list[dict]:
    """The objects of one frame of the ground truth, whether it is a list or a mapping with `objects`."""
    return frame["objects"] if isinstance(frame, dict) else frame


def show_set(args: argparse.Namespace) -> Iterator[Sample]:
    """Every 15th picture of the embedded show."""
    truth = show_truth()
    for i, image in frames(SHOW / "show.mp4", 15):
        yield image, truth.get(i, np.zeros((0, 4))) * np.tile(image.shape[1::-1], 2)


def scene_set(args: argparse.Namespace) -> Iterator[Sample]:
    """Composites of made-up products from another seed on grounds from another seed."""
    rng = np.random.default_rng(args.seed + 1)
    stock = scenes.Stock([], [], [], [], [], [packs.make_pack(rng) for _ in range(100)], [])
    stock.products = assets.product_cutouts(args.data, 0, args.seed)
    for i in range(300):
        image, rows = scenes.scene(stock, 192, 320, np.random.default_rng((args.seed + 1, i)))
        if (rows[:, 5] == 1).all():
            yield image, rows[rows[:, 4] == 0, :4]


def coffee_set(args: argparse.Namespace, name: str = "mug") -> Iterator[Sample]:
    """The mug (or kettle) of `sam2_coffee`, every 5th picture."""
    truth = json.loads((args.data / "clips/dev/sam2_coffee.gt.json").read_text())["frames"]
    for i, image in frames(args.data / "clips/dev/sam2_coffee.mp4", 5):
        boxes = [o["bbox"] for o in truth.get(str(i), []) if o["id"] == name]
        rows = np.float32(boxes).reshape(-1, 4)
        rows[:, 2:] += rows[:, :2]
        yield image, rows


def bottle_set(args: argparse.Namespace) -> Iterator[Sample]:
    """Bottles of `intel_bottle` as NanoDet-Plus-416 sees them (score >= .4), every 15th picture."""
    teacher = NanoDetPlus(args.data / "models/detect")
    for _, image in frames(args.data / "clips/dev/intel_bottle.mp4", 15):
        boxes, scores, classes = teacher.detect(image, 0.4)
        yield image, boxes[classes == 39]


def held_set(args: argparse.Namespace) -> Iterator[Sample]:
    """In-store photos with a hand-drawn box of the held product; other products stand unlabelled behind."""
    with (args.data / "grocery/dev/wild.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["x0"]]
    for row in rows:
        box = np.float32([[float(row[k]) for k in ("x0", "y0", "x1", "y1")]])
        yield cv2.imread(str(args.data / "grocery" / row["image"])), box


SETS = {
    "show": show_set,
    "scenes": scene_set,
    "coffee mug": coffee_set,
    "coffee kettle": lambda args: coffee_set(args, "kettle"),
    "bottle (pseudo)": bottle_set,
    "held": held_set,
}


def ours(path: Path) -> Detect:
    """The embedded detector at 320x192 for wide pictures and 320x320 for others, products only."""
    wide, square = Yolox(path, (192, 320)), Yolox(path)

    def detect(image: np.ndarray) -> tuple[np.ndarray, ...]:
        net = wide if image.shape[1] > 1.3 * image.shape[0] else square
        boxes, scores, classes = net.detect(image, 0.02)
        return boxes[classes == 0], scores[classes == 0]

    return detect


def teacher_detect(teacher: NanoDetPlus | Yolox) -> Detect:
    """A COCO detector without regard to class, persons left out."""

    def detect(image: np.ndarray) -> tuple[np.ndarray, ...]:
        boxes, scores, classes = teacher.detect(image, 0.02)
        boxes, scores = boxes[classes != 0], scores[classes != 0]
        kept = nms(boxes, scores, 0.6)
        return boxes[kept], scores[kept]

    return detect


def detector(args: argparse.Namespace) -> list[dict]:
    """Average precision and recall of ours beside two COCO detectors."""
    models = {"vitrine_detect": ours(args.model or WEIGHTS / "vitrine_detect.onnx")}
    folder = args.data / "models/detect"
    if folder.exists() and not args.only_ours:
        models["nanodet_plus_m_416"] = teacher_detect(NanoDetPlus(folder))
        models["yolox_nano_416"] = teacher_detect(Yolox(folder / "yolox_nano.onnx"))
    rows = []
    for name, source in SETS.items():
        if args.sets and name.split()[0] not in args.sets:
            continue
        tallies = {model: Tally() for model in models}
        try:
            for image, truth in source(args):
                for model, detect in models.items():
                    tallies[model].add(*detect(image)[:2], truth)
        except (FileNotFoundError, OSError) as error:
            print(f"{name}: left out ({error})", file=sys.stderr)
            continue
        rows += [{"set": name, "model": model, **tally.summary()} for model, tally in tallies.items()]
    return rows


def latency(path: Path, shape: tuple[int, ...], name: str) -> float:
    """Fastest of 200 runs on one thread, in milliseconds."""
    net, x = session(path), np.zeros(shape, np.float32)
    times = []
    for _ in range(200):
        start = time.perf_counter()
        net.run(None, {name: x})
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("what", choices=("detector", "latency"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", type=Path, help="an ONNX file instead of the shipped one")
    parser.add_argument(
        "--sets", nargs="*", help="first words of the sets to run: show scenes coffee bottle held"
    )
    parser.add_argument("--only-ours", action="store_true", help="leave the teachers out")
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if args.what == "latency":
        rows = [
            {
                "model": "detect 320x320",
                "ms": latency(WEIGHTS / "vitrine_detect.onnx", (1, 3, 320, 320), "images"),
            },
            {
                "model": "embed 128x128",
                "ms": latency(WEIGHTS / "vitrine_embed.onnx", (1, 3, 128, 128), "input"),
            },
        ]
    else:
        rows = detector(args)
    if args.json:
        print(
            json.dumps(
                [{k: v if isinstance(v, str | int) else float(v) for k, v in row.items()} for row in rows]
            )
        )
        return
    for row in rows:
        print("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
