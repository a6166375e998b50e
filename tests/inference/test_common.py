from __future__ import annotations

import json

import numpy as np
import pytest

from inference.common import Common
from inference.embedded import EMBEDDER, embedded_model
from inference.embedder import OnnxEmbedder
from inference.errors import ModelError
from inference.runtime import OrtModel, RuntimeSettings
from tests.inference.models import colour_embedder

CPU = RuntimeSettings("cpu", 1)
AXES = np.eye(4, dtype=np.float32)
GOODS = Common(AXES[:2], near=1, level=0.3, strength=2.0)


def test_what_looks_like_common_goods_is_searched_with_a_shorter_vector() -> None:
    between = np.array([[0.6, 0.0, 0.8, 0.0]], np.float32)
    found = GOODS.shortened(np.concatenate([AXES[[0, 2]], between]))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [0.2, 1.0, 1 - 2 * 0.3], atol=1e-6)
    np.testing.assert_allclose(found[2] / 0.4, between[0], atol=1e-6)


def test_the_nearest_anchors_count_and_no_others() -> None:
    anchors = Common(np.concatenate([AXES, -AXES]), near=2, level=0.0, strength=1.0)
    np.testing.assert_allclose(np.linalg.norm(anchors.shortened(AXES), axis=1), 1 - 0.5, atol=1e-6)


def test_no_vectors_are_no_queries() -> None:
    assert GOODS.shortened(np.zeros((0, 4), np.float32)).shape == (0, 4)


def made(common: object) -> OnnxEmbedder:
    spec = json.dumps({"size": 16, "order": "RGB", "range": "0..255"})
    metadata = {"vitrine.input": spec, "vitrine.common": json.dumps(common)}
    return OnnxEmbedder(OrtModel(colour_embedder(metadata=metadata), CPU))


def test_a_model_brings_its_anchors_and_keeps_what_it_embeds_unit() -> None:
    embedder = made(GOODS.metadata())
    vectors = embedder.embed(np.full((1, 16, 16, 3), (200, 0, 0), np.uint8))
    np.testing.assert_allclose(np.linalg.norm(vectors), 1, atol=1e-6)
    np.testing.assert_allclose(embedder.queries(vectors), GOODS.shortened(vectors), atol=1e-3)
    assert np.linalg.norm(embedder.queries(vectors)) < 0.5


def test_without_anchors_queries_are_the_vectors() -> None:
    embedder = OnnxEmbedder(OrtModel(colour_embedder(), CPU))
    np.testing.assert_array_equal(embedder.queries(AXES), AXES)


@pytest.mark.parametrize(
    "common",
    [
        [1],
        {"near": 1},
        {**GOODS.metadata(), "anchors": "no base64"},
        {**GOODS.metadata(), "anchors": "AAAA"},
        {**GOODS.metadata(), "near": 3},
        {**GOODS.metadata(), "near": 0},
        {**GOODS.metadata(), "strength": "much"},
    ],
)
def test_anchors_that_cannot_be_used_are_refused(common: object) -> None:
    with pytest.raises(ModelError, match="vitrine.common"):
        made(common)


def test_the_embedded_embedder_knows_common_goods() -> None:
    embedder = OnnxEmbedder(OrtModel(embedded_model(EMBEDDER), CPU))
    noise = np.random.default_rng(1).integers(0, 256, (3, 128, 128, 3), np.uint8)
    lengths = np.linalg.norm(embedder.queries(embedder.embed(noise)), axis=1)
    assert (lengths >= 0.2 - 1e-5).all() and (lengths <= 1 + 1e-5).all()
    assert (lengths < 0.99).any()
