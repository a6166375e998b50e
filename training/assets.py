"""Where training inputs come from and how they become cut-outs and labelled photos. None is committed.

`--data` points at the collection described in the model cards (photos and teachers); `--cache` at a scratch
folder that may hold `sprites/<product>/*.png` and `sprites-extra/` (RGBA renders of the show's products).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from training.teachers import PRODUCTS, Jury, NanoDetPlus, Student

CLIPS = (
    "sam2_blocks",
    "mediapipe_hand",
    "mediapipe_gesture_face",
)  # intel_bottle, sam2_coffee: evaluation only

REJECTED = Path(__file__).with_name("held_rejected.txt")
"""In-store photos whose agreed box was seen to be wrong (half a carton, the shelf)."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """BGRA uint8, cropped to what is opaque; `instance` names the product, `kind` where it came from."""

    image: np.ndarray
    instance: str
    kind: str


@dataclass(slots=True)
class Photo:
    """A real picture with pseudo-labels: rows x0 y0 x1 y1 (pixels), class, flag (see `training.batches`)."""

    image: np.ndarray
    labels: np.ndarray
    kind: str = field(default="photo")


def read(path: Path, side: int = 640) -> np.ndarray:
    """BGR uint8, its longer side at most `side`."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"not a readable picture: {path}")
    k = side / max(image.shape[:2])
    return cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA) if k < 1 else image


def trim(bgra: np.ndarray) -> np.ndarray | None:
    """Crop to the opaque part; None where nothing worth keeping is left."""
    ys, xs = np.where(bgra[..., 3] > 64)
    if len(ys) < 200 or len(ys) > 0.97 * bgra.shape[0] * bgra.shape[1]:
        return None
    return np.ascontiguousarray(bgra[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])


def off_white(image: np.ndarray, level: int = 238) -> np.ndarray | None:
    """Cut a product from a near-white ground by flooding from the border."""
    pale = (image.min(2) >= level).astype(np.uint8)
    padded = cv2.copyMakeBorder(pale, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(padded, None, (0, 0), 2)
    alpha = ((padded[1:-1, 1:-1] != 2) * 255).astype(np.uint8)
    if (alpha[[0, -1]].mean() + alpha[:, [0, -1]].mean()) > 200:
        return None
    alpha = cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3))), (3, 3), 0)
    return trim(np.dstack((image, alpha)))


def grabcut(image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """Cut what fills `box` from its surroundings (Rother et al. 2004)."""
    k = 200 / max(image.shape[:2])
    small = cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
    x0, y0, x1, y1 = (box * k).astype(int)
    mask = np.zeros(small.shape[:2], np.uint8)
    model = np.zeros((2, 1, 65))
    cv2.setRNGSeed(1)
    try:
        cv2.grabCut(
            small,
            mask,
            (x0, y0, max(4, x1 - x0), max(4, y1 - y0)),
            model[0],
            model[1].copy(),
            3,
            cv2.GC_INIT_WITH_RECT,
        )
    except cv2.error:
        return None
    alpha = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    count, parts, stats, _ = cv2.connectedComponentsWithStats(alpha)
    if count < 2:
        return None
    main = 1 + int(stats[1:, 4].argmax())
    if not 0.35 < stats[main, 4] / max((x1 - x0) * (y1 - y0), 1) < 0.98:
        return None
    alpha = cv2.resize((parts == main) * np.uint8(255), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return trim(np.dstack((image, alpha)))


def sprites(cache: Path) -> list[Cutout]:
    """RGBA renders of the show's products, if another step has made them, grouped by product."""
    found = []
    places = ("sprites/*/*.png", "sprites-extra/**/*.png", "show/views/*/*.png", "show/photos/*/*.png")
    paths = (p for place in places for p in cache.glob(place) if not p.parent.name.startswith("."))
    for path in sorted(paths, key=lambda p: (p.parent.name, str(p))):
        image = _rgba(path, 300)
        cut = None if image is None else trim(image)
        if cut is not None:
            found.append(Cutout(cut, path.parent.name, "sprite"))
    return found


def rendered_hands(cache: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rendered arms (behind, front), BGRA of equal size; front is empty for an open hand."""
    found = []
    for path in sorted(cache.glob("show/hands/*/full.png")):
        full, front = _rgba(path, 450), _rgba(path.with_name("front.png"), 450)
        if full is not None:
            found.append((full, np.zeros_like(full) if front is None else front))
    return found


def _rgba(path: Path, side: int) -> np.ndarray | None:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.exists() else None
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        return None
    k = side / max(image.shape[:2])
    return cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA) if k < 1 else image


def product_cutouts(data: Path, clothes: int, seed: int) -> list[Cutout]:
    """Catalogue photos on white, and at most `clothes` garments and shoes cut by GrabCut."""
    cuts = []
    for path in sorted(data.glob("grocery/dev/catalogue/*.jpg")) + sorted(data.glob("abo_samples/*/*.jpg")):
        cut = off_white(read(path, 400))
        if cut is not None:
            cuts.append(Cutout(cut, path.stem if "grocery" in str(path) else path.parent.name, "catalogue"))
    with (data / "clothing/train/labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    order = np.random.default_rng(seed).permutation(len(rows))
    kept = 0
    for i in order:
        if kept >= clothes:
            break
        image = read(data / "clothing" / rows[i]["image"], 288)
        h, w = image.shape[:2]
        cut = grabcut(image, np.float32((0.04 * w, 0.04 * h, 0.96 * w, 0.96 * h)))
        if cut is not None:
            cuts.append(Cutout(cut, Path(rows[i]["image"]).stem, "clothing"))
            kept += 1
    return cuts


def label(image: np.ndarray, teacher: NanoDetPlus, sure: float = 0.4) -> np.ndarray:
    """Teacher's boxes as label rows: certain ones to learn, doubtful ones to ignore."""
    boxes, scores, classes = teacher.detect(image, 0.12)
    rows = []
    for box, score, cls in zip(boxes, scores, classes, strict=True):
        person = cls == 0
        if person or int(cls) in PRODUCTS:
            rows.append((*box, 1.0 if person else 0.0, 1.0 if score >= sure else 0.0))
    return np.float32(rows).reshape(-1, 6)


def people(photos: list[Photo]) -> list[Cutout]:
    """Persons cut from labelled photos."""
    cuts = []
    for i, photo in enumerate(photos):
        for row in photo.labels[(photo.labels[:, 4] == 1) & (photo.labels[:, 5] == 1)]:
            if row[3] - row[1] > 90 and row[2] - row[0] > 40:
                cut = grabcut(photo.image, row[:4])
                if cut is not None:
                    cuts.append(Cutout(cut, f"person{i}", "person"))
    return cuts


def photos(data: Path) -> list[Photo]:
    """COCO pictures and frames of three clips, labelled by the teacher."""
    import av

    teacher = NanoDetPlus(data / "models/detect")
    found = [read(path, 480) for path in sorted(data.glob("coco100/*.jpg"))]
    kinds = ["coco"] * len(found)
    for name in CLIPS:
        with av.open(str(data / f"clips/dev/{name}.mp4")) as container:
            for i, frame in enumerate(container.decode(video=0)):
                if i % 12 == 0:
                    image = frame.to_ndarray(format="bgr24")
                    found.append(cv2.resize(image, (512, 288), interpolation=cv2.INTER_AREA))
                    kinds.append("clip")
    return [Photo(image, label(image, teacher), kind) for image, kind in zip(found, kinds, strict=True)]


def held(data: Path, limit: int, seed: int, weights: Path | None = None) -> list[Photo]:
    """In-store photos of packages *without* a hand-drawn box (those with one are for evaluation only).

    The box that the teachers agree on is learnt; around it stand other products, which are to score less.
    Where they do not agree, the detector's own first weights may say, if they are given and sure.
    """
    student = None if weights is None else Student(weights)
    jury = Jury(data / "models/detect")
    with (data / "grocery/dev/catalogue.csv").open(newline="") as file:
        packages = {row["sku_id"] for row in csv.DictReader(file) if row["kind"] == "package"}
    with (data / "grocery/dev/wild.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    # A photo is listed once per upstream split and carries its box in one of the rows only.
    boxed = {row["image"] for row in listed if row["x0"]}
    paths = sorted({row["image"] for row in listed if row["sku_id"] in packages} - boxed)
    wrong = set(REJECTED.read_text(encoding="utf-8").split())
    np.random.default_rng(seed).shuffle(paths)
    found: list[Photo] = []
    for path in paths:
        if len(found) >= limit:
            break
        image = read(data / "grocery" / path, 384)
        box = None if path.removeprefix("dev/wild/") in wrong else jury.verdict(image)
        if box is None and student is not None:
            box = student.verdict(image)
        if box is not None:
            found.append(shown(image, box))
    return found


def shown(image: np.ndarray, box: np.ndarray) -> Photo:
    """A photo about the product in `box` (pixels): learn it, expect little beside it."""
    h, w = image.shape[:2]
    return Photo(image, np.float32([(0, 0, w, h, 0, 0.5), (*box, 0, 1)]), "held")
