from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.embedded import EMBEDDER, embedded_model
from inference.embedder import OnnxEmbedder
from inference.index import IndexHolder
from inference.runtime import OrtModel
from inference.views import Look
from overlay.catalog.pictures import PictureLimits, decode_picture, resized, views
from overlay.catalog.store import CatalogStore
from overlay.catalog.words import LessonKind
from overlay.errors import CatalogError
from overlay.types import Product
from tests.inference.models import colour_embedder
from vitrine.demo import CATALOGUE
from vitrine.recognition import refresh_index
from vitrine.teaching import Teacher, remembered

PHOTOS = CATALOGUE.parent / "photos"


@pytest.fixture(scope="module")
def embedder() -> OnnxEmbedder:
    return OnnxEmbedder(OrtModel(embedded_model(EMBEDDER)))


def picture(name: str) -> NDArray[np.uint8]:
    return decode_picture((PHOTOS / f"{name}.jpg").read_bytes(), PictureLimits())


@pytest.fixture
def store(tmp_path: Path, embedder: OnnxEmbedder) -> CatalogStore:
    """A mug and a tin, each with one catalogue photo."""
    made = CatalogStore(tmp_path)
    for name in ("morrow-mug", "oolin-tea-tin"):
        link = f"https://shop.example/{name}"
        made.put(Product(name, name, "1.00 EUR", link, f"{name}.jpg"), [], fingerprint=name)
        made.put_vectors(
            name, embedder.model_hash, embedder.embed(views(picture(f"{name}-0"), embedder.size))
        )
    return made


def seen(name: str, embedder: OnnxEmbedder) -> Look:
    """What a camera would see of a product: dim, and turned a little."""
    image = Image.fromarray(picture(name)).rotate(12, fillcolor=(120, 110, 100)).point(lambda v: int(v * 0.6))
    crop = resized(np.asarray(image), embedder.size)
    return Look(1.0, 1.0, embedder.embed(crop[None])[0], crop)


def asked(index: IndexHolder, look: Look) -> dict[str, float]:
    assert look.vector is not None
    return dict(index.search(look.vector[None], 5)[0])


async def test_what_is_learned_counts_at_once_after_a_restart_and_until_it_is_forgotten(
    tmp_path: Path, store: CatalogStore, embedder: OnnxEmbedder
) -> None:
    index, look = IndexHolder(), seen("morrow-mug-1", embedder)
    refresh_index(store, tmp_path, embedder, index)
    before = asked(index, look)
    teacher = Teacher(tmp_path, store, embedder, index)
    assert await teacher.learn("oolin-tea-tin", LessonKind.CONFIRMED, [look], "demo") == 1
    assert asked(index, look)["oolin-tea-tin"] == pytest.approx(1.0, abs=1e-5)

    again = IndexHolder()
    refresh_index(store, tmp_path, embedder, again)
    assert asked(again, look)["oolin-tea-tin"] == pytest.approx(1.0, abs=1e-5)
    assert [(one.product_id, dict(one.views)) for one in await teacher.taught()] == [
        ("oolin-tea-tin", {"confirmed": 1})
    ]
    assert await teacher.forget("oolin-tea-tin") == 1
    assert asked(index, look) == before
    teacher.close()
    store.close()


async def test_a_veto_takes_the_product_away_from_that_view_only(
    tmp_path: Path, store: CatalogStore, embedder: OnnxEmbedder
) -> None:
    index, look, other = IndexHolder(), seen("morrow-mug-1", embedder), seen("oolin-tea-tin-1", embedder)
    refresh_index(store, tmp_path, embedder, index)
    before, apart = asked(index, look), asked(index, other)
    teacher = Teacher(tmp_path, store, embedder, index)
    await teacher.learn("morrow-mug", LessonKind.VETOED, [look])
    assert asked(index, look)["morrow-mug"] < min(before["morrow-mug"], embedder.calibration.exact)
    assert asked(index, other)["oolin-tea-tin"] == apart["oolin-tea-tin"]
    teacher.close()
    store.close()


async def test_another_embedder_learns_from_the_pictures(
    tmp_path: Path, store: CatalogStore, embedder: OnnxEmbedder
) -> None:
    teacher = Teacher(tmp_path, store, embedder, IndexHolder())
    await teacher.learn("morrow-mug", LessonKind.ENROLLED, [seen("morrow-mug-1", embedder)])
    teacher.close()
    path = tmp_path / "colour.onnx"
    path.write_bytes(colour_embedder())
    other = OnnxEmbedder(OrtModel(path))
    assert remembered(tmp_path, store, other).products == {"morrow-mug"}
    store.remove("morrow-mug")  # it left the catalogue; what was taught of it sleeps
    assert remembered(tmp_path, store, other).products == frozenset()
    store.close()


async def test_only_products_of_the_catalogue_can_be_taught(
    tmp_path: Path, store: CatalogStore, embedder: OnnxEmbedder
) -> None:
    teacher = Teacher(tmp_path, store, embedder, IndexHolder())
    with pytest.raises(CatalogError, match="not in the catalogue"):
        await teacher.learn("unicorn", LessonKind.CONFIRMED, [])
    teacher.close()
    store.close()
