from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.embedded import EMBEDDER, embedded_model
from inference.embedder import OnnxEmbedder
from inference.index import IndexHolder
from inference.runtime import OrtModel
from overlay.catalog.store import CatalogStore
from overlay.types import Product
from tests.shared import shared_path
from vitrine.recognition import budget_settings, load_ladder, refresh_index
from vitrine.settings import InferenceConfig


@pytest.fixture(scope="module")
def embedder() -> OnnxEmbedder:
    return OnnxEmbedder(OrtModel(embedded_model(EMBEDDER)))


def put(store: CatalogStore, embedder: OnnxEmbedder, name: str, seed: int, views: int = 2) -> None:
    product = Product(name, name.title(), "1.00 EUR", f"https://shop.example/{name}", f"{name}.jpg")
    store.put(product, [], fingerprint=f"{name}{seed}")
    vectors = np.random.default_rng(seed).normal(size=(views, embedder.dim)).astype(np.float32)
    store.put_vectors(name, embedder.model_hash, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_index_is_built_once_and_again_only_when_a_vector_changed(
    tmp_path: Path, embedder: OnnxEmbedder
) -> None:
    store, holder = CatalogStore(tmp_path), IndexHolder()
    manifest = tmp_path / "index" / "manifest.json"
    put(store, embedder, "mug", 1)
    put(store, embedder, "jar", 2)
    assert refresh_index(store, tmp_path, embedder, holder) == 2
    first = manifest.stat().st_mtime_ns
    assert refresh_index(store, tmp_path, embedder, holder) == 2
    assert manifest.stat().st_mtime_ns == first
    put(store, embedder, "jar", 3)
    assert refresh_index(store, tmp_path, embedder, holder) == 2
    assert manifest.stat().st_mtime_ns != first
    _, wanted = next(item for item in store.vectors(embedder.model_hash) if item[0] == "jar")
    assert holder.search(wanted[None], 1)[0][0][0] == "jar"
    store.close()


def test_a_product_that_left_is_not_found_from_before_the_index_is_written(
    tmp_path: Path, embedder: OnnxEmbedder
) -> None:
    store, holder = CatalogStore(tmp_path), IndexHolder()
    for seed, name in enumerate(("mug", "jar", "cup")):
        put(store, embedder, name, seed)
    refresh_index(store, tmp_path, embedder, holder)
    assert holder.current is not None
    view = holder.current.views("jar")[:1]
    store.remove("jar")
    (tmp_path / "index").rename(tmp_path / "elsewhere")
    (tmp_path / "index").write_text("in the way")
    with pytest.raises(OSError, match="index"):
        refresh_index(store, tmp_path, embedder, holder)
    assert {product for product, _ in holder.search(view, 3)[0]} == {"mug", "cup"} and len(holder) == 2
    store.close()


def test_an_empty_catalogue_recognises_nothing(tmp_path: Path, embedder: OnnxEmbedder) -> None:
    store, holder = CatalogStore(tmp_path), IndexHolder()
    assert refresh_index(store, tmp_path, embedder, holder) == 0
    assert len(holder) == 0
    store.close()


def test_a_damaged_index_is_built_anew(tmp_path: Path, embedder: OnnxEmbedder) -> None:
    store, holder = CatalogStore(tmp_path), IndexHolder()
    put(store, embedder, "mug", 1)
    refresh_index(store, tmp_path, embedder, holder)
    (tmp_path / "index" / "manifest.json").write_text("{")
    assert refresh_index(store, tmp_path, embedder, holder) == 1
    store.close()


def test_a_configured_fast_model_stands_below_the_good_one() -> None:
    good, fast = (shared_path(f"models/detect/{name}.onnx") for name in ("yolox_nano", "nanodet_plus_m_416"))
    config = InferenceConfig(detector=good, rungs=(416, f"{fast}@224"), regions="always", provider="cpu")
    detector = load_ladder(config)
    settings = budget_settings(config, detector)
    assert [(rung.width, rung.model) for rung in settings.rungs] == [(416, 0), (224, 1)]
    assert settings.regions == "always"
