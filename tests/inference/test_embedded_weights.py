"""The weights that ship: what they promise about their I/O, and floors under what they can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import av
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.ladder import rewrite
from inference.types import Rung
from overlay.catalog.pictures import PictureLimits, decode_picture, views

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "inference" / "weights"
ASSETS = ROOT / "stream" / "sources" / "assets"
CATALOG = ROOT / "overlay" / "catalog" / "demo"
DETECT, EMBED = WEIGHTS / "vitrine_detect.onnx", WEIGHTS / "vitrine_embed.onnx"
F32 = NDArray[np.float32]

SHOW_RECALL = 0.85
"""Floor of the recall at IoU .5 (score >= .3, visibility >= .5); the measured value is in the model card."""
SHOW_TOP1 = 0.85
"""Floor of the share of true boxes whose nearest catalogue photo is the right product."""


def session(model: bytes | Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def metadata(path: Path) -> dict[str, str]:
    return {item.key: item.value for item in onnx.load(str(path)).metadata_props}


def run(net: ort.InferenceSession, name: str, value: F32) -> F32:
    return cast(F32, net.run(None, {name: value})[0])


def frames(every: int) -> list[tuple[int, NDArray[np.uint8]]]:
    """Number and BGR picture of every `every`-th frame of the shipped show."""
    with av.open(str(ASSETS / "show.mp4")) as container:
        return [
            (i, np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            for i, frame in enumerate(container.decode(video=0))
            if i % every == 0
        ]


def letterbox(image: NDArray[np.uint8], width: int, height: int) -> tuple[F32, float]:
    """Bilinear, pad 114, top left; the scale used."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    canvas = np.full((height, width, 3), 114, np.float32)
    canvas[: size[1], : size[0]] = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]), scale


def detect(net: ort.InferenceSession, image: NDArray[np.uint8], floor: float = 0.3) -> tuple[F32, F32]:
    """Products: boxes x0 y0 x1 y1 in 0..1 of the picture, and scores, after greedy suppression."""
    height, width = (int(str(side)) for side in net.get_inputs()[0].shape[2:])
    pixels, scale = letterbox(image, width, height)
    rows = run(net, "images", pixels)[0]
    grid = np.array(
        [(x, y, s) for s in (8, 16, 32) for y in range(height // s) for x in range(width // s)], np.float32
    )
    scores = rows[:, 4] * rows[:, 5]
    order = [i for i in np.argsort(-scores) if scores[i] >= floor]
    centre, half = (rows[:, :2] + grid[:, :2]) * grid[:, 2:], np.exp(rows[:, 2:4]) * grid[:, 2:] / 2
    size = np.array(image.shape[1::-1] * 2, np.float32)
    boxes = (np.concatenate((centre - half, centre + half), 1) / scale / size).astype(np.float32)
    kept: list[int] = []
    for i in order:
        if not kept or iou(boxes[[i]], boxes[kept]).max() <= 0.6:
            kept.append(int(i))
    return boxes[kept], scores[kept]


def iou(a: F32, b: F32) -> F32:
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    return cast(F32, inner / np.maximum(area_a[:, None] + area_b[None] - inner, 1e-9))


def truth() -> tuple[list[str], list[list[tuple[str, F32, float]]]]:
    """Ids of the products sold; for each frame (product id, box in 0..1, visibility)."""
    found = json.loads((ASSETS / "show.gt.json").read_text())
    every = [
        [(o["id"], np.array(o["box"], np.float32), float(o["visibility"])) for o in f]
        for f in found["frames"]
    ]
    return found["products"], every


def square(image: NDArray[np.uint8]) -> F32:
    """RGB picture -> 128x128 crop as the embedder takes it, [1, 3, 128, 128]."""
    small = Image.fromarray(image).resize((128, 128), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32).transpose(2, 0, 1)[None]


def noise(*shape: int) -> F32:
    return np.random.default_rng(7).uniform(0, 255, shape).astype(np.float32)


@pytest.mark.parametrize(("path", "limit"), [(DETECT, 3_000_000), (EMBED, 4_000_000)])
def test_weights_are_small_and_have_a_card(path: Path, limit: int) -> None:
    assert path.stat().st_size <= limit
    card = path.with_suffix(".md").read_text().lower()
    for word in ("licence", "data", "limits", "known failures", "seed", "training."):
        assert word in card, word


def test_detector_declares_the_yolox_family() -> None:
    found = metadata(DETECT)
    assert found["vitrine.family"] == "yolox"
    assert json.loads(found["vitrine.names"]) == {"0": "product", "1": "person"}
    assert json.loads(found["vitrine.strides"]) == [8, 16, 32]
    assert found["vitrine.version"] and int(found["vitrine.seed"]) >= 0


def test_detector_inputs_and_outputs_are_the_familys() -> None:
    net = session(DETECT)
    assert [(i.name, i.shape, i.type) for i in net.get_inputs()] == [
        ("images", [1, 3, 320, 320], "tensor(float)")
    ]
    rows = run(net, "images", noise(1, 3, 320, 320))
    assert [o.name for o in net.get_outputs()] == ["output"]
    assert rows.shape == (1, 2100, 7)
    assert rows.dtype == np.float32
    assert (rows[..., 4:] >= 0).all() and (rows[..., 4:] <= 1).all()


@pytest.mark.parametrize("rung", [Rung(224, 224), Rung(320, 192), Rung(192, 320), Rung(416, 416)])
def test_detector_runs_at_other_sizes(rung: Rung) -> None:
    net = session(rewrite(DETECT.read_bytes(), rung))
    rows = run(net, "images", noise(1, 3, rung.height, rung.width))
    assert rows.shape == (1, sum(rung.width // s * (rung.height // s) for s in (8, 16, 32)), 7)


def test_detector_sees_the_same_thing_at_another_size() -> None:
    image = frames(30)[1][1]
    boxes = [
        detect(session(rewrite(DETECT.read_bytes(), r)), image)[0] for r in (Rung(320, 192), Rung(448, 256))
    ]
    assert boxes[0].size and boxes[1].size
    assert iou(boxes[0], boxes[1]).max(1).mean() >= 0.6


def test_detector_and_embedder_are_deterministic() -> None:
    for path, name, value in (
        (DETECT, "images", noise(1, 3, 320, 320)),
        (EMBED, "input", noise(2, 3, 128, 128)),
    ):
        first, second = run(session(path), name, value), run(session(path), name, value)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("level", [0, 114, 255])
def test_blank_picture_yields_no_box(level: int) -> None:
    rows = run(session(DETECT), "images", np.full((1, 3, 320, 320), level, np.float32))
    assert (rows[..., 4:5] * rows[..., 5:]).max() < 0.3


def test_embedder_declares_itself() -> None:
    found = metadata(EMBED)
    assert found["vitrine.family"] == "embedder" and found["vitrine.dim"] == "192"
    assert json.loads(found["vitrine.input"]) == {"size": 128, "order": "RGB", "range": "0..255"}
    levels = json.loads(found["vitrine.calibration"])
    assert 0 < levels["similar"] <= levels["exact"] < 1 and levels["margin"] >= 0 and levels["how"]


@pytest.mark.parametrize("count", [1, 5])
def test_embedder_gives_unit_vectors_for_any_number_of_crops(count: int) -> None:
    net = session(EMBED)
    assert [(i.name, i.shape[1:]) for i in net.get_inputs()] == [("input", [3, 128, 128])]
    vectors = run(net, "input", noise(count, 3, 128, 128))
    assert [o.name for o in net.get_outputs()] == ["embedding"]
    assert vectors.shape == (count, 192)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)


def test_embedder_does_not_depend_on_the_batch() -> None:
    net, crops = session(EMBED), noise(4, 3, 128, 128)
    single = np.concatenate([run(net, "input", crops[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(run(net, "input", crops), single, atol=1e-4)


def test_detector_finds_the_shows_products() -> None:
    net = session(rewrite(DETECT.read_bytes(), Rung(320, 192)))
    _, seen = truth()
    best: list[float] = []
    for i, image in frames(30):
        boxes, _ = detect(net, image)
        for _, box, visibility in seen[i]:
            if visibility >= 0.5:
                best.append(float(iou(box[None], boxes).max(initial=0)))
    assert len(best) >= 40
    recall = float(np.mean(np.array(best) >= 0.5))
    assert recall >= SHOW_RECALL, recall


def catalogue(net: ort.InferenceSession, ids: list[str]) -> tuple[F32, NDArray[np.int64]]:
    """Unit vectors of the demo catalogue's photos and which product each shows."""
    vectors, labels = [], []
    for k, product in enumerate(ids):
        for path in sorted((CATALOG / "photos").glob(f"{product}-*.jpg")):
            for view in views(decode_picture(path.read_bytes(), PictureLimits()), 128):
                vectors.append(run(net, "input", square(view)))
                labels.append(k)
    return np.concatenate(vectors), np.array(labels)


def test_embedder_tells_the_shows_products_apart() -> None:
    net = session(EMBED)
    ids, seen = truth()
    shelf, labels = catalogue(net, ids)
    right: list[bool] = []
    for i, image in frames(30):
        height, width = image.shape[:2]
        for product, box, visibility in seen[i]:
            if visibility >= 0.7 and product in ids:
                x0, y0, x1, y1 = (np.clip(box, 0, 1) * (width, height, width, height)).astype(int)
                crop = square(image[y0 : y1 + 1, x0 : x1 + 1, ::-1])
                right.append(ids[labels[int((run(net, "input", crop) @ shelf.T).argmax())]] == product)
    assert len(right) >= 40
    assert np.mean(right) >= SHOW_TOP1, np.mean(right)
