"""What hosts taught, on disk: views that are a product, and views that are not.

They lie beside the catalogue, not in it: a feed that is imported again, or a catalogue that is made anew,
takes none of them away. With each view its picture is kept, so that another embedder can make its own vector.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overlay.database import Contents, Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS lessons (
    number INTEGER PRIMARY KEY AUTOINCREMENT, product TEXT NOT NULL, kind TEXT NOT NULL, stream TEXT NOT NULL,
    at_ms INTEGER NOT NULL, picture BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS lessons_product ON lessons (product, kind);
CREATE TABLE IF NOT EXISTS lesson_vectors (
    number INTEGER NOT NULL REFERENCES lessons (number) ON DELETE CASCADE, model TEXT NOT NULL,
    vector BLOB NOT NULL, PRIMARY KEY (number, model)
);
"""
_CONTENTS = Contents("lessons", "what hosts taught", "(what hosts taught is lost then)")
FILE = "lessons.db"
MOST = 24
"""Views of one kind kept of a product; the oldest give way."""

ALIKE = 0.9
"""Cosine from which on two views are taken to be of one object."""

Floats = NDArray[np.float32]


class LessonKind(StrEnum):
    """How a view was taught."""

    ENROLLED = "enrolled"
    CONFIRMED = "confirmed"
    VETOED = "vetoed"


class TaughtView(NamedTuple):
    """A view to be remembered: its JPEG, and the unit float32 vector that one model made of it."""

    picture: bytes
    vector: Floats


class LessonVector(NamedTuple):
    """A remembered view, as one model sees it. `right`: it is the product."""

    product_id: str
    vector: Floats
    right: bool


@dataclass(frozen=True, slots=True)
class Lessons:
    """What is remembered of one product: how many views of each kind."""

    product_id: str
    views: Counter[str] = field(default_factory=Counter)


class LessonStore:
    """Blocking; safe to call from several threads. Each call is one transaction.

    Args:
        data_dir: made where absent; holds ``lessons.db``.

    Raises:
        CatalogError: it cannot be used.
    """

    def __init__(self, data_dir: Path) -> None:
        self._db = Database(data_dir / FILE, _SCHEMA, _CONTENTS)

    def add(
        self,
        product_id: str,
        kind: LessonKind,
        views: Sequence[TaughtView],
        model_hash: str,
        *,
        stream: str = "",
        at_ms: int,
    ) -> None:
        """Remember views; the oldest of this product and kind beyond `MOST` give way.

        The newest word counts: views of the same product that look the same (cosine `ALIKE`) and were taught
        the other way round are forgotten.

        Args:
            product_id: of which product; it need not be in the catalogue (yet, or any more).
            kind: how it was taught.
            views: what was seen.
            model_hash: of the embedder that made the vectors.
            stream: where it was taught, "" outside a show.
            at_ms: when, Unix time.
        """
        with self._db.transaction() as db:
            _forget_contrary(db, product_id, kind, [view.vector for view in views], model_hash)
            for view in views:
                row = (product_id, kind.value, stream, at_ms, view.picture)
                made = db.execute(
                    "INSERT INTO lessons (product, kind, stream, at_ms, picture) VALUES (?, ?, ?, ?, ?)", row
                )
                _put_vector(db, int(made.lastrowid or 0), model_hash, view.vector)
            db.execute(
                "DELETE FROM lessons WHERE product = ?1 AND kind = ?2 AND number NOT IN (SELECT number FROM "
                "lessons WHERE product = ?1 AND kind = ?2 ORDER BY number DESC LIMIT ?3)",
                (product_id, kind.value, MOST),
            )

    def put_vector(self, number: int, model_hash: str, vector: Floats) -> None:
        """What another model makes of a remembered picture."""
        with self._db.transaction() as db:
            _put_vector(db, number, model_hash, vector)

    def forget(self, product_id: str, kinds: Sequence[LessonKind] = tuple(LessonKind)) -> int:
        """Take back what was taught of a product; returns how many views."""
        marks = ", ".join("?" * len(kinds))
        with self._db.transaction() as db:
            gone = db.execute(
                f"DELETE FROM lessons WHERE product = ? AND kind IN ({marks})",
                (product_id, *(kind.value for kind in kinds)),
            )
            return gone.rowcount

    def vectors(self, model_hash: str) -> list[LessonVector]:
        """Everything that this model has a vector of, oldest first."""
        query = (
            "SELECT product, vector, kind FROM lessons JOIN lesson_vectors USING (number) WHERE model = ? "
            "ORDER BY number"
        )
        with self._db.transaction() as db:
            rows = db.execute(query, (model_hash,)).fetchall()
        return [
            LessonVector(product, np.frombuffer(blob, np.float32), kind != LessonKind.VETOED)
            for product, blob, kind in rows
        ]

    def without_vectors(self, model_hash: str) -> list[tuple[int, bytes]]:
        """(number, JPEG) of what this model has no vector of."""
        query = (
            "SELECT number, picture FROM lessons WHERE number NOT IN "
            "(SELECT number FROM lesson_vectors WHERE model = ?) ORDER BY number"
        )
        with self._db.transaction() as db:
            return [(int(number), bytes(picture)) for number, picture in db.execute(query, (model_hash,))]

    def summary(self) -> list[Lessons]:
        """What is remembered, by product."""
        found: dict[str, Lessons] = {}
        query = "SELECT product, kind, count(*) FROM lessons GROUP BY product, kind ORDER BY product"
        with self._db.transaction() as db:
            for product, kind, count in db.execute(query):
                found.setdefault(product, Lessons(product)).views[kind] = count
        return list(found.values())

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _forget_contrary(
    db: sqlite3.Connection, product_id: str, kind: LessonKind, vectors: Sequence[Floats], model_hash: str
) -> None:
    sign = "!=" if kind is LessonKind.VETOED else "="
    query = (
        "SELECT number, vector FROM lessons JOIN lesson_vectors USING (number) "
        f"WHERE product = ? AND model = ? AND kind {sign} ?"
    )
    rows = db.execute(query, (product_id, model_hash, LessonKind.VETOED.value)).fetchall()
    for number, blob in rows:
        held = np.frombuffer(blob, np.float32)
        if any(float(held @ vector) >= ALIKE for vector in vectors):
            db.execute("DELETE FROM lessons WHERE number = ?", (number,))


def _put_vector(db: sqlite3.Connection, number: int, model_hash: str, vector: Floats) -> None:
    blob = np.ascontiguousarray(vector, np.float32).tobytes()
    db.execute("INSERT OR REPLACE INTO lesson_vectors VALUES (?, ?, ?)", (number, model_hash, blob))
