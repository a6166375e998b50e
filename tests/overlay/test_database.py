from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from overlay.database import Contents, Database
from overlay.errors import CatalogError

SCHEMA = "CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY);"
CONTENTS = Contents("numbers", "the numbers", "and count again")


def count(database: Database) -> int:
    with database.locked() as db:
        return int(db.execute("SELECT count(*) FROM numbers").fetchone()[0])


def test_a_transaction_that_fails_leaves_nothing_and_one_that_ends_stays(tmp_path: Path) -> None:
    database = Database(tmp_path / "new" / "n.db", SCHEMA, CONTENTS)
    with pytest.raises(KeyError), database.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (1)")
        raise KeyError
    assert count(database) == 0
    with database.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (1)")
    database.close()
    assert count(Database(tmp_path / "new" / "n.db", SCHEMA, CONTENTS)) == 1


def test_threads_wait_for_each_other(tmp_path: Path) -> None:
    database = Database(tmp_path / "n.db", SCHEMA, CONTENTS)

    def insert(start: int) -> None:
        for n in range(start, start + 50):
            with database.transaction() as db:
                db.execute("INSERT INTO numbers VALUES (?)", (n,))

    threads = [threading.Thread(target=insert, args=(start,)) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(database) == 150


def test_what_sqlite_refuses_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    database = Database(tmp_path / "n.db", SCHEMA, CONTENTS)
    with pytest.raises(CatalogError, match="UNIQUE.*move it away and count again") as caught:
        with database.transaction() as db:
            db.execute("INSERT INTO numbers VALUES (1), (1)")
    assert caught.value.code == "numbers-damaged"
    assert count(database) == 0


def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    path.write_bytes(b"no database at all, whatever its name is" * 100)
    with pytest.raises(CatalogError, match="not a database") as caught:
        Database(path, SCHEMA, CONTENTS)
    assert caught.value.code == "numbers-damaged"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogError, match="cannot hold the numbers") as caught:
        Database(tmp_path / "file" / "n.db", SCHEMA, CONTENTS)
    assert caught.value.code == "numbers-unusable"


def test_rows_of_other_tables_are_minded(tmp_path: Path) -> None:
    schema = SCHEMA + "CREATE TABLE IF NOT EXISTS of (n INTEGER REFERENCES numbers (n) ON DELETE CASCADE);"
    with Database(tmp_path / "n.db", schema, CONTENTS).transaction() as db:
        db.execute("INSERT INTO numbers VALUES (1)")
        db.execute("INSERT INTO of VALUES (1)")
        db.execute("DELETE FROM numbers")
        assert db.execute("SELECT count(*) FROM of").fetchone() == (0,)
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("INSERT INTO of VALUES (7)")
