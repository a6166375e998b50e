from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from overlay.catalog.lessons import MOST, LessonStore, TaughtView
from overlay.catalog.words import LessonKind, decode_word, encode_word, vector_of
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


def test_what_was_taught_can_be_taken_back(store: LessonStore) -> None:
    store.add("mug", LessonKind.ENROLLED, taught(1, 2), "model", at_ms=1)
    store.add("mug", LessonKind.VETOED, taught(3), "model", at_ms=1)
    assert store.forget("jar") == 0
    assert store.forget("mug") == 3 and store.forget("mug") == 0
    assert store.vectors("model") == [] and store.summary() == []


def test_a_folder_that_cannot_hold_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "lessons.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(CatalogError, match="lessons.db"):
        LessonStore(tmp_path)


def hear_all(source: LessonStore, target: LessonStore, log: str = "log") -> int:
    """What `source` has to tell reaches `target`, as bytes."""
    words = source.untold()
    new = target.hear([decode_word(encode_word(word)) for word in words], log, f"{len(words)}")
    for word in words:
        source.told(word.id)
    return new


def known(store: LessonStore) -> list[tuple[str, int, bool]]:
    return [(one.product_id, int(one.vector.argmax()), one.right) for one in store.vectors("model")]


def test_words_reach_another_node_once_with_their_views(tmp_path: Path, store: LessonStore) -> None:
    other = LessonStore(tmp_path / "other")
    store.add("mug", LessonKind.CONFIRMED, taught(1, 2), "model", stream="demo", at_ms=1)
    store.add("mug", LessonKind.VETOED, taught(2), "model", at_ms=2)
    (first, second) = store.untold()
    assert [len(word.views) for word in (first, second)] == [1, 1]  # the veto took one view of the confirm
    assert hear_all(store, other) == 2 and store.untold() == []
    assert known(other) == known(store) == [("mug", 1, True), ("mug", 2, False)]
    assert other.without_vectors("another")[0][1] == b"jpeg 1"
    assert other.untold() == [] and other.place() == ("log", "2")
    assert other.hear([first, second], "log", "2") == 0  # told again, because the outcome was not known
    assert known(other) == known(store)
    other.close()


def test_what_is_taken_back_is_taken_back_everywhere(tmp_path: Path, store: LessonStore) -> None:
    other = LessonStore(tmp_path / "other")
    store.add("mug", LessonKind.ENROLLED, taught(1), "model", at_ms=1)
    hear_all(store, other)
    assert other.forget("mug") == 1
    assert hear_all(other, store) == 1 and known(store) == []
    other.close()


def test_what_was_said_here_is_told_again_where_the_journal_was_lost(
    tmp_path: Path, store: LessonStore
) -> None:
    other = LessonStore(tmp_path / "other")
    store.add("mug", LessonKind.ENROLLED, taught(1), "model", at_ms=1)
    other.add("jar", LessonKind.ENROLLED, taught(2), "model", at_ms=1)
    hear_all(store, other)
    hear_all(other, store)
    assert store.untold() == [] and other.untold() == []
    store.hear([], "new log", "1")
    assert [word.product_id for word in store.untold()] == ["mug"]  # the other node tells of the jar itself
    other.close()


def test_a_store_knows_when_somebody_else_wrote(tmp_path: Path, store: LessonStore) -> None:
    before = store.version()
    store.add("mug", LessonKind.ENROLLED, taught(1), "model", at_ms=1)
    assert store.version() == before
    other = LessonStore(tmp_path)
    assert store.version() == before
    other.forget("mug")
    assert store.version() != before
    other.close()


def said(*, kind: str = "enrolled", vector: bytes = b"\0\0\x80?") -> bytes:
    return msgspec.msgpack.encode(["1", "mug", kind, "demo", 1, "model", [[b"jpeg", vector]]])


def test_a_word_that_is_none_is_refused() -> None:
    assert vector_of(decode_word(said()).views[0]).tolist() == [1.0]
    for wrong in (
        b"no word",
        said()[:-3],
        said(kind="shouted"),
        said(vector=b"12345"),
        said(vector=b"\0\0\xc0\x7f"),
    ):
        with pytest.raises(CatalogError, match="what another node taught"):
            decode_word(wrong)
