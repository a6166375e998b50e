from __future__ import annotations

import json

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from inference.deadline import JobCancelled, RunHandle
from inference.embedder import Calibration, OnnxEmbedder, batch_that_pays, input_spec, prepare
from inference.errors import ModelError
from inference.evidence import Limits, OneSide
from inference.runtime import OrtModel, RuntimeSettings
from tests.inference.models import colour_embedder, frame_of, yolox_model
from tests.shared import shared_path

CPU = RuntimeSettings("cpu", 1)


def made(metadata: dict[str, str] | None = None) -> OnnxEmbedder:
    return OnnxEmbedder(OrtModel(colour_embedder(metadata=metadata), CPU))


def flat(*colours: tuple[int, int, int], size: int = 16) -> NDArray[np.uint8]:
    return np.stack([np.full((size, size, 3), colour, np.uint8) for colour in colours])


def test_metadata_says_what_the_model_wants() -> None:
    embedder = made()
    assert (embedder.dim, embedder.size, len(embedder.model_hash)) == (4, 16, 64)
    vectors = embedder.embed(flat((200, 100, 0), (0, 0, 255)))
    assert vectors.shape == (2, 4) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    wanted = np.array([200, 100, 0, 300]) / np.linalg.norm([200, 100, 0, 300])
    np.testing.assert_allclose(vectors[0], wanted, atol=1e-4)


def test_more_crops_than_a_batch_keep_their_order() -> None:
    crops = flat(*[(i * 10 + 5, 100, 0) for i in range(20)])
    vectors = made().embed(crops)
    one_by_one = np.concatenate([made().embed(crops[i : i + 1]) for i in (0, 9, 19)])
    np.testing.assert_allclose(vectors[[0, 9, 19]], one_by_one, atol=1e-6)


@pytest.mark.parametrize(("many_ms", "batch"), [(2.0, 8), (6.7, 8), (6.9, 1), (9.0, 1)])
def test_crops_share_a_run_only_where_that_is_clearly_cheaper(many_ms: float, batch: int) -> None:
    assert batch_that_pays(1_000_000, int(many_ms * 1e6), 8) == batch


def test_the_warm_up_decides_and_either_way_gives_the_same_vectors() -> None:
    embedder, crops = made(), flat(*[(i * 10 + 5, 100, 0) for i in range(20)])
    assert embedder.batch in (1, 8)
    found = []
    for embedder.batch in (1, 8):
        found.append(embedder.embed(crops))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_no_crops_give_no_vectors() -> None:
    assert made().embed(np.zeros((0, 16, 16, 3), np.uint8)).shape == (0, 4)


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (16, 16, 3), (1, 3, 16, 16)])
def test_crops_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"expected uint8 \(n, 16, 16, 3\)"):
        made().embed(np.zeros(shape, np.uint8))


def test_channel_order_range_mean_and_deviation_are_applied() -> None:
    spec = {"size": 16, "order": "BGR", "range": "-1..1", "mean": [0.5, 0, 0], "std": [0.5, 1, 1]}
    model = OrtModel(colour_embedder(metadata={"vitrine.input": json.dumps(spec)}), CPU)
    values = prepare(flat((255, 0, 0)), input_spec(model.info))
    np.testing.assert_allclose(values[0, :, 0, 0].tolist(), [(-1 - 0.5) / 0.5, -1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("vitrine.input", "nonsense"),
        ("vitrine.input", "[1]"),
        ("vitrine.input", '{"size": 99}'),
        ("vitrine.input", '{"size": 16, "range": "wide"}'),
        ("vitrine.input", '{"size": 16, "mean": [1]}'),
        ("vitrine.calibration", '{"exact": "high"}'),
        ("vitrine.calibration", "[]7"),
        ("vitrine.calibration", '{"classes": {"bottle": 0.9}}'),
        ("vitrine.calibration", '{"one_side": 0.1}'),
        ("vitrine.calibration", '{"one_side": {"exact": "more"}}'),
    ],
)
def test_unreadable_metadata_is_a_clear_error(key: str, text: str) -> None:
    with pytest.raises(ModelError, match=r"vitrine\.|metadata"):
        made({key: text})


def test_calibration_comes_from_metadata() -> None:
    text = json.dumps({"exact": 0.8, "similar": 0.7, "margin": 0.1, "how": "measured"})
    assert made({"vitrine.calibration": text}).calibration == Calibration(0.8, 0.7, 0.1)
    assert made().calibration == Calibration()


def test_a_class_may_have_thresholds_of_its_own_and_takes_the_others_from_all() -> None:
    text = '{"exact": 0.8, "similar": 0.7, "margin": 0.1, "classes": {"bottle": {"exact": 0.9}}}'
    found = made({"vitrine.calibration": text}).calibration
    assert found.classes == {"bottle": Limits(0.9, 0.7, 0.1)}


def test_what_one_side_needs_on_top_comes_from_metadata_and_is_nothing_without() -> None:
    text = '{"exact": 0.8, "one_side": {"exact": 0.1, "margin": 0.05, "one": 0.9}}'
    found = made({"vitrine.calibration": text}).calibration
    assert found.one_side == OneSide(0.1, 0.05, 0.65, 0.9)
    assert made().calibration.one_side.share(1.0) == 1.0 and made().calibration.one_side[:2] == (0.0, 0.0)


def test_a_detector_is_no_embedder() -> None:
    with pytest.raises(ModelError, match="no embedder: expected one output"):
        OnnxEmbedder(OrtModel(yolox_model([]), CPU))


def test_a_cancelled_job_stops() -> None:
    handle = RunHandle()
    handle.cancel()
    with pytest.raises(JobCancelled):
        made().embed(flat((1, 2, 3)), handle)


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("mobilenetv3s_embed576.onnx", 576),
        ("mobilenetv2ptq_embed1280_f32.onnx", 1280),
        ("mobilenetv2ptq_embed1280_qdq.onnx", 1280),
        ("mobilenetv1qat_embed1024_qdq.onnx", 1024),
    ],
)
def test_known_embedders_prefer_the_same_product(name: str, dim: int) -> None:
    embedder = OnnxEmbedder(OrtModel(shared_path(f"models/embed/{name}"), CPU))
    assert (embedder.dim, embedder.size) == (dim, 224)
    folder = shared_path("abo_samples")
    crops, owners = [], []
    for product in sorted(p for p in folder.iterdir() if p.is_dir()):
        for photo in sorted(product.glob("*.jpg"))[:3]:
            with av.open(str(photo)) as image:
                crops.append(frame_of(next(image.decode(video=0))).pixels.crop((0, 0, 1, 1), 224))
            owners.append(product.name)
    vectors = embedder.embed(np.stack(crops))
    cosines = vectors @ vectors.T
    same = np.array([[a == b for b in owners] for a in owners])
    np.fill_diagonal(same, False)
    other = cosines[~same & ~np.eye(len(owners), dtype=bool)]
    assert len(owners) >= 6
    assert cosines[same].mean() > other.mean() + 0.1
