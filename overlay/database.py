"""One SQLite file for several threads: how the catalogue's stores open it, lock it and report its faults."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from overlay.errors import CatalogError


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database holds, for its errors.

    Attributes:
        code: begins the codes of its errors: ``{code}-unusable``, ``{code}-damaged``.
        words: "cannot hold WORDS".
        remedy: "if it is damaged, move it away REMEDY": what to do then, or what that costs.
    """

    code: str
    words: str
    remedy: str


class Database:
    """A connection shared by threads, one at a time. Blocking.

    Args:
        path: the file, made with its folder where absent.
        schema: SQL, run at each start.
        contents: for errors.

    Raises:
        CatalogError: the file cannot be made, or is damaged.
    """

    def __init__(self, path: Path, schema: str, contents: Contents) -> None:
        self._path, self._contents = path, contents
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise CatalogError(
                f"{path}: cannot hold {contents.words} ({error}); choose a folder that can be written",
                code=f"{contents.code}-unusable",
                http_status=500,
            ) from None
        try:
            with self.locked() as db:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=NORMAL")
                db.execute("PRAGMA busy_timeout=5000")
                db.execute("PRAGMA foreign_keys=ON")
                db.executescript(schema)
        except CatalogError:
            self._db.close()
            raise

    @contextlib.contextmanager
    def locked(self) -> Iterator[sqlite3.Connection]:
        """The connection for this thread alone.

        Raises:
            CatalogError: SQLite fails within the block.
        """
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise CatalogError(
                    f"{self._path}: {error}; if it is damaged, move it away {self._contents.remedy}",
                    code=f"{self._contents.code}-damaged",
                    http_status=500,
                ) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The same; what the block writes is kept when it ends well, and nothing of it otherwise.

        Raises:
            CatalogError: SQLite fails within the block.
        """
        with self.locked() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def version(self) -> int:
        """Another number whenever somebody else has written into the file (``PRAGMA data_version``).

        Raises:
            CatalogError: SQLite fails.
        """
        with self.locked() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """No more use."""
        with self._lock:
            self._db.close()
