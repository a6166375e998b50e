"""The ledger in SQLite: append-only, written in batches by a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections import deque
from dataclasses import astuple, fields
from itertools import islice
from pathlib import Path

from overlay.errors import CatalogError
from overlay.ledger.together import INDEXES, together
from overlay.ledger.types import Entry, Kind, SummaryRow

log = logging.getLogger(__name__)

_COLUMNS = tuple(field.name for field in fields(Entry))
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, stream TEXT NOT NULL, product_id TEXT NOT NULL, viewer TEXT NOT NULL,
    at_ms INTEGER NOT NULL, host TEXT NOT NULL, key TEXT, hotspot INTEGER NOT NULL, state TEXT NOT NULL,
    placement TEXT NOT NULL, epoch INTEGER NOT NULL, rtp INTEGER NOT NULL, value INTEGER NOT NULL,
    currency TEXT NOT NULL, UNIQUE (kind, key)
);
CREATE INDEX IF NOT EXISTS by_product ON entries (host, product_id, kind);
CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_remain BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
{INDEXES}"""
_SUMMARY = f"""
SELECT host, product_id, sum(kind = '{Kind.IMPRESSION}'), sum(kind = '{Kind.TAP}'), sum(kind = '{Kind.CART}'),
    sum(kind = '{Kind.ORDER}'),
    count(DISTINCT CASE WHEN kind IN ('{Kind.IMPRESSION}', '{Kind.TAP}') THEN viewer END),
    count(DISTINCT CASE WHEN kind = '{Kind.TAP}' THEN viewer END)
FROM entries WHERE product_id != '' AND (? = '' OR stream = ?)
GROUP BY host, product_id ORDER BY 4 DESC, 3 DESC, host, product_id
"""
_BATCH = 500


class SqliteLedger:
    """Impressions, taps, carts and orders.

    `record` never waits and never touches the disk; a thread commits what has gathered every `interval_s`.
    What was recorded before `close` is on disk when `close` returns. A process that is killed loses at most
    one interval. While the disk refuses, entries wait in memory and are tried again.

    Args:
        path: database file, made where absent.
        interval_s: between two commits.
        waiting_limit: entries that may wait; beyond it new ones are refused and counted.

    Attributes:
        refused: entries that could not be kept because too many waited.

    Raises:
        CatalogError: the file cannot be used.
    """

    def __init__(self, path: Path, *, interval_s: float = 0.2, waiting_limit: int = 200_000) -> None:
        self.refused = 0
        self._interval_s = interval_s
        self._limit = waiting_limit
        self._waiting: deque[Entry] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._written = 0
        self._accepted = 0
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connect().close()
        except (OSError, sqlite3.Error) as error:
            raise CatalogError(
                f"{path}: cannot hold the ledger ({error}); choose a folder that can be written",
                code="ledger-unusable",
                http_status=500,
            ) from None
        self._thread = threading.Thread(target=self._write_all, name="ledger", daemon=True)
        self._thread.start()

    def record(self, *entries: Entry) -> None:
        """Keep entries. Any thread."""
        with self._wake:
            if self._closing or len(self._waiting) + len(entries) > self._limit:
                self.refused += len(entries)
                return
            self._waiting.extend(entries)
            self._accepted += len(entries)
            self._wake.notify_all()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until all that was recorded is on disk. Blocking. False when that took too long."""
        with self._wake:
            target = self._accepted
            return self._wake.wait_for(lambda: self._written >= target, timeout_s)

    def summary(self, stream: str = "") -> list[SummaryRow]:
        """Per host and product, most tapped first; of one stream or of all. Blocking."""
        connection = self._connect()
        try:
            return [SummaryRow(*row) for row in connection.execute(_SUMMARY, (stream, stream))]
        finally:
            connection.close()

    def together(self, product_id: str) -> dict[str, float]:
        """Products that the same people wanted in the same show, each with how strongly, 0..1. Blocking."""
        connection = self._connect()
        try:
            return together(connection, product_id)
        finally:
            connection.close()

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits and stop. Blocking. Idempotent."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join(timeout_s)
        if self._waiting:
            log.error("ledger entries were not written", extra={"entries": len(self._waiting)})

    # ---- the writer's thread -------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _write_all(self) -> None:
        connection: sqlite3.Connection | None = None
        failures = 0
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    break
                if not self._closing:
                    self._wake.wait_for(
                        lambda: self._closing or len(self._waiting) >= _BATCH, self._interval_s
                    )
                batch = list(islice(self._waiting, _BATCH))
            try:
                connection = connection or self._connect()
                self._write(connection, batch)
                failures = 0
            except sqlite3.Error as error:
                failures += 1
                if failures == 1:
                    log.warning("ledger entries wait", extra={"reason": str(error)})
                if self._closing and failures >= 3:
                    break
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, min(5.0, 0.1 * 2**failures))
                continue
            with self._wake:
                for _ in batch:
                    self._waiting.popleft()
                self._written += len(batch)
                self._wake.notify_all()
        if connection is not None:
            connection.close()

    @staticmethod
    def _write(connection: sqlite3.Connection, batch: list[Entry]) -> None:
        marks = ", ".join("?" * len(_COLUMNS))
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                f"INSERT OR IGNORE INTO entries ({', '.join(_COLUMNS)}) VALUES ({marks})",
                [[None if cell == "" and name == "key" else cell for name, cell in _cells(e)] for e in batch],
            )
            connection.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def _cells(entry: Entry) -> zip[tuple[str, object]]:
    return zip(_COLUMNS, astuple(entry), strict=True)
