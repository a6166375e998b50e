"""What hosts taught, on disk: views that are a product, and views that are not.

They lie beside the catalogue, not in it: a feed that is imported again, or a catalogue that is made anew,
takes none of them away. With each view its picture is kept, so that another embedder can make its own vector.

Each thing that was said is a word (`overlay.catalog.words`), written down with its views in one transaction.
Words not told to the other nodes yet wait here, and those of others are written down with the place up to
which the journal was heard: a node that was away, or died in between, misses nothing and hears nothing twice.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overlay.catalog.words import LessonKind, Word, WordView, vector_of
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
CREATE TABLE IF NOT EXISTS words (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, product TEXT NOT NULL,
    kind TEXT NOT NULL, stream TEXT NOT NULL, at_ms INTEGER NOT NULL, model TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, own INTEGER NOT NULL, told INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS heard (
    only INTEGER PRIMARY KEY CHECK (only = 1), log TEXT NOT NULL, place TEXT NOT NULL
);
"""
_CONTENTS = Contents("lessons", "what hosts taught", "(what hosts taught is lost then)")
FILE = "lessons.db"
MOST = 24
"""Views of one kind kept of a product; the oldest give way."""

ALIKE = 0.9
"""Cosine from which on two views are taken to be of one object."""

Floats = NDArray[np.float32]


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
        seen = tuple(WordView(v.picture, np.ascontiguousarray(v.vector, np.float32).tobytes()) for v in views)
        word = Word(_new_id(), product_id, kind, stream, at_ms, model_hash, seen)
        with self._db.transaction() as db:
            _write_down(db, word, own=True)

    def put_vector(self, number: int, model_hash: str, vector: Floats) -> None:
        """What another model makes of a remembered picture."""
        with self._db.transaction() as db:
            _put_vector(db, number, model_hash, vector)

    def forget(self, product_id: str, *, at_ms: int = 0) -> int:
        """Take back what was taught of a product; returns how many views."""
        word = Word(_new_id(), product_id, None, "", at_ms, "")
        with self._db.transaction() as db:
            return _write_down(db, word, own=True)

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

    # ---- other nodes ---------------------------------------------------------------------------------------

    def version(self) -> int:
        """Another number whenever somebody else wrote into the file: another process, or another store."""
        return self._db.version()

    def untold(self, most: int = 20) -> list[Word]:
        """Words that the other nodes have not been told yet, oldest first, with the views that are left."""
        query = "SELECT id, product, kind, stream, at_ms, model, first, last FROM words WHERE NOT told "
        with self._db.transaction() as db:
            rows = db.execute(query + "ORDER BY place LIMIT ?", (most,)).fetchall()
            return [_word(db, *row) for row in rows]

    def told(self, word_id: str) -> None:
        """The other nodes know this word."""
        with self._db.transaction() as db:
            db.execute("UPDATE words SET told = 1 WHERE id = ?", (word_id,))

    def place(self) -> tuple[str, str]:
        """(log, place) up to which the journal was heard; empty before the first time."""
        with self._db.transaction() as db:
            row = db.execute("SELECT log, place FROM heard").fetchone()
        return (str(row[0]), str(row[1])) if row else ("", "")

    def hear(self, words: Sequence[Word], log: str, place: str) -> int:
        """Write down what others said, and the place behind it; returns how many words were new.

        Where `log` is another one than before, the old one was lost: what was said here is to be told again.
        """
        with self._db.transaction() as db:
            before = db.execute("SELECT log FROM heard").fetchone()
            if before is not None and before[0] != log:
                db.execute("UPDATE words SET told = 0 WHERE own")
            db.execute("INSERT OR REPLACE INTO heard VALUES (1, ?, ?)", (log, place))
            known = {row[0] for row in db.execute("SELECT id FROM words")} if words else set()
            new = [word for word in words if word.id not in known]
            for word in new:
                _write_down(db, word, own=False)
        return len(new)

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _new_id() -> str:
    return secrets.token_hex(12)


def _write_down(db: sqlite3.Connection, word: Word, *, own: bool) -> int:
    """Do what a word says, and remember that it was said; returns how many views were taken back."""
    gone, numbers = 0, [0]
    if word.kind is None:
        gone = db.execute("DELETE FROM lessons WHERE product = ?", (word.product_id,)).rowcount
    else:
        numbers = _remember(db, word) or numbers
    said = (word.id, word.product_id, word.kind or "", word.stream, word.at_ms, word.model)
    db.execute(
        "INSERT OR IGNORE INTO words (id, product, kind, stream, at_ms, model, first, last, own, told) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*said, numbers[0], numbers[-1], own, not own),
    )
    return gone


def _remember(db: sqlite3.Connection, word: Word) -> list[int]:
    """Keep the views of a word; returns their numbers."""
    _forget_contrary(db, word)
    numbers = []
    for view in word.views:
        row = (word.product_id, word.kind, word.stream, word.at_ms, view.picture)
        made = db.execute(
            "INSERT INTO lessons (product, kind, stream, at_ms, picture) VALUES (?, ?, ?, ?, ?)", row
        )
        numbers.append(int(made.lastrowid or 0))
        _put_vector(db, numbers[-1], word.model, vector_of(view))
    db.execute(
        "DELETE FROM lessons WHERE product = ?1 AND kind = ?2 AND number NOT IN (SELECT number FROM "
        "lessons WHERE product = ?1 AND kind = ?2 ORDER BY number DESC LIMIT ?3)",
        (word.product_id, word.kind, MOST),
    )
    return numbers


def _word(db: sqlite3.Connection, word_id: str, *cells: Any) -> Word:
    """A row of `words`, with the views that are left of it."""
    product, kind, stream, at_ms, model, first, last = cells
    views = _views(db, model, first, last)
    return Word(word_id, product, LessonKind(kind) if kind else None, stream, at_ms, model, views)


def _views(db: sqlite3.Connection, model: str, first: int, last: int) -> tuple[WordView, ...]:
    rows = db.execute(
        "SELECT picture, vector FROM lessons JOIN lesson_vectors USING (number) "
        "WHERE model = ? AND number BETWEEN ? AND ? ORDER BY number",
        (model, first, last),
    )
    return tuple(WordView(bytes(picture), bytes(vector)) for picture, vector in rows)


def _forget_contrary(db: sqlite3.Connection, word: Word) -> None:
    sign = "!=" if word.kind is LessonKind.VETOED else "="
    query = (
        "SELECT number, vector FROM lessons JOIN lesson_vectors USING (number) "
        f"WHERE product = ? AND model = ? AND kind {sign} ?"
    )
    rows = db.execute(query, (word.product_id, word.model, LessonKind.VETOED.value)).fetchall()
    new = [vector_of(view) for view in word.views]
    for number, blob in rows:
        held = np.frombuffer(blob, np.float32)
        if any(len(vector) == len(held) and float(held @ vector) >= ALIKE for vector in new):
            db.execute("DELETE FROM lessons WHERE number = ?", (number,))


def _put_vector(db: sqlite3.Connection, number: int, model_hash: str, vector: Floats) -> None:
    blob = np.ascontiguousarray(vector, np.float32).tobytes()
    db.execute("INSERT OR REPLACE INTO lesson_vectors VALUES (?, ?, ?)", (number, model_hash, blob))
