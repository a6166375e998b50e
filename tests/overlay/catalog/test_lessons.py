from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from overlay.catalog.lessons import MOST, LessonKind, LessonStore, TaughtView
from overlay.errors import CatalogError


def side(number: int) -> NDArray[np.float32]:
    vector = np.zeros(64, np.float32)
    vector[number] = 1.0
    return vector


def taught(*numbers: int) -> list[TaughtView]:
    return [TaughtView(f"jpeg {number}".encode(), side(number)) for number in numbers]


@pytest.fixture
def store(tmp_path: Path) -> LessonStore:
    return LessonStore(tmp_path)


def test_what_was_taught_is_there_after_a_restart(tmp_path: Path, store: LessonStore) -> None:
    store.add("mug", LessonKind.ENROLLED, taught(1, 2), "model", stream="demo", at_ms=1)
    store.add("mug", LessonKind.VETOED, taught(3), "model", at_ms=2)
    store.close()
    again = LessonStore(tmp_path)
    found = again.vectors("model")
    assert [(one.product_id, one.right, int(one.vector.argmax())) for one in found] == [
        ("mug", True, 1),
        ("mug", True, 2),
        ("mug", False, 3),
    ]
    assert [(one.product_id, dict(one.views)) for one in again.summary()] == [
        ("mug", {"enrolled": 2, "vetoed": 1})
    ]
    again.close()


def test_another_model_gets_the_pictures_to_make_its_own_vectors(store: LessonStore) -> None:
    store.add("mug", LessonKind.CONFIRMED, taught(1, 2), "old", at_ms=1)
    assert store.vectors("new") == []
    for number, jpeg in store.without_vectors("new"):
        store.put_vector(number, "new", side(int(jpeg.split()[1]) + 10))
    assert [int(one.vector.argmax()) for one in store.vectors("new")] == [11, 12]
    assert store.without_vectors("new") == [] and len(store.vectors("old")) == 2


def test_the_newest_word_about_a_view_counts(store: LessonStore) -> None:
    store.add("mug", LessonKind.CONFIRMED, taught(1, 2), "model", at_ms=1)
    store.add("jar", LessonKind.CONFIRMED, taught(1), "model", at_ms=1)
    store.add("mug", LessonKind.VETOED, taught(1), "model", at_ms=2)
    assert sorted(
        (one.product_id, int(one.vector.argmax()), one.right) for one in store.vectors("model")
    ) == [
        ("jar", 1, True),
        ("mug", 1, False),
        ("mug", 2, True),
    ]
    store.add("mug", LessonKind.ENROLLED, taught(1), "model", at_ms=3)
    assert all(one.right for one in store.vectors("model"))


def test_the_oldest_views_of_a_kind_give_way(store: LessonStore) -> None:
    store.add("mug", LessonKind.VETOED, taught(0), "model", at_ms=1)
    store.add("mug", LessonKind.CONFIRMED, taught(*range(1, MOST + 3)), "model", at_ms=1)
    (kept,) = store.summary()
    assert dict(kept.views) == {"confirmed": MOST, "vetoed": 1}
    assert [int(one.vector.argmax()) for one in store.vectors("model")] == [0, *range(3, MOST + 3)]


def test_what_was_taught_can_be_taken_back_all_or_by_kind(store: LessonStore) -> None:
    store.add("mug", LessonKind.ENROLLED, taught(1, 2), "model", at_ms=1)
    store.add("mug", LessonKind.VETOED, taught(3), "model", at_ms=1)
    assert store.forget("mug", [LessonKind.VETOED]) == 1
    assert store.forget("mug") == 2 and store.forget("mug") == 0
    assert store.vectors("model") == [] and store.summary() == []


def test_a_folder_that_cannot_hold_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "lessons.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(CatalogError, match="lessons.db"):
        LessonStore(tmp_path)
