from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from inference.embedded import EMBEDDER, embedded_model
from inference.embedder import OnnxEmbedder
from inference.errors import ProductIndexError
from inference.index import IndexHolder
from inference.runtime import OrtModel
from overlay.catalog.store import CatalogStore
from overlay.types import Product
from stream.clock import MonotonicClock
from tests.postgres_server import PASSWORD, PostgresServer
from tests.shared import shared_path
from vitrine.config import load_config
from vitrine.engine import Engine
from vitrine.recognition import budget_settings, load_ladder, refresh_index
from vitrine.settings import InferenceConfig
from vitrine.status import engine_figures


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


@pytest.mark.postgres
def test_nodes_share_an_index_and_one_that_is_away_is_told_of(
    tmp_path: Path, embedder: OnnxEmbedder, postgres_server: PostgresServer
) -> None:
    server = postgres_server.database("shared")
    store = CatalogStore(tmp_path)
    for seed, name in enumerate(("mug", "jar", "cup")):
        put(store, embedder, name, seed)
    with closing(IndexHolder()) as one, closing(IndexHolder()) as two:
        for holder in (one, two):
            assert refresh_index(store, tmp_path, embedder, holder, server=server) == 3
        assert not (tmp_path / "index").exists()
        store.remove("jar")
        among = store.ids(sellers=["nobody"])
        view = two.views("jar")[:1]
        refresh_index(store, tmp_path, embedder, one, server=server)
        assert {product for product, _ in two.search(view, 9)[0]} == {"mug", "cup"} and len(one) == 2
        assert two.search(view, 9, among) == [[]]
        postgres_server.stop()
        with closing(IndexHolder()) as late, pytest.raises(ProductIndexError, match="no answer") as away:
            refresh_index(store, tmp_path, embedder, late, server=server)
        assert away.value.retryable and PASSWORD not in str(away.value)
        postgres_server.start()
    store.close()


@pytest.mark.postgres
async def test_a_show_starts_without_its_index_and_recognises_once_that_is_there(
    tmp_path: Path, embedder: OnnxEmbedder, postgres_server: PostgresServer
) -> None:
    server = postgres_server.database("late")
    store = CatalogStore(tmp_path)
    put(store, embedder, "mug", 1)
    with closing(IndexHolder()) as other:
        refresh_index(store, tmp_path, embedder, other, server=server)
    store.close()
    postgres_server.stop()
    settings = {"server.port": 0, "server.data_dir": str(tmp_path), "catalog.index": server}
    engine = Engine(load_config(None, {}, settings), MonotonicClock())
    await engine.start()
    try:
        (told,) = [one for one in engine_figures(engine).problems if "product index" in one]
        assert "products are not recognised" in told and PASSWORD not in told
        postgres_server.start()
        async with asyncio.timeout(20):
            while any("product index" in one for one in engine_figures(engine).problems):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        assert len(engine.recognition.index) == 1
    finally:
        await engine.stop(0.0)
