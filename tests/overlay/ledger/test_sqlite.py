from __future__ import annotations

import logging
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from overlay.errors import CatalogError
from overlay.ledger.sqlite import SqliteLedger
from overlay.ledger.types import Entry, Kind, SummaryRow

TAP = Entry(Kind.TAP, "demo", "mug-01", "viewer-1", 1_700_000_000_000, "host-1", hotspot=7, state="exact")


def count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])
    finally:
        connection.close()


def test_nothing_recorded_before_close_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.db"
    ledger = SqliteLedger(path, interval_s=60)
    for number in range(2_500):
        ledger.record(replace(TAP, key=f"tap-{number}"))
    ledger.close()
    ledger.close()
    assert count(path) == 2_500 and ledger.refused == 0


def test_flush_waits_until_everything_is_on_disk(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", interval_s=0.01)
    ledger.record(TAP, TAP)
    assert ledger.flush()
    assert count(tmp_path / "ledger.db") == 2
    ledger.close()


def test_repeated_key_counts_once_and_no_key_every_time(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", interval_s=0.01)
    ledger.record(replace(TAP, key="k"), replace(TAP, key="k"), TAP, TAP)
    ledger.record(replace(TAP, kind=Kind.CART, key="k"))
    ledger.close()
    assert count(tmp_path / "ledger.db") == 4


def test_summary_counts_per_host_and_product(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", interval_s=0.01)
    seen = replace(TAP, kind=Kind.IMPRESSION)
    ledger.record(seen, replace(seen, viewer="viewer-2"), replace(seen, viewer="viewer-3"))
    ledger.record(TAP, TAP, replace(TAP, kind=Kind.CART), replace(TAP, kind=Kind.ORDER, value=120_000))
    ledger.record(replace(seen, product_id="cap-02"), replace(TAP, product_id=""))
    ledger.record(replace(seen, host="host-2", stream="other"))
    assert ledger.flush()
    assert ledger.summary() == [
        SummaryRow("host-1", "mug-01", 3, 2, 1, 1, 3, 1),
        SummaryRow("host-1", "cap-02", 1, 0, 0, 0, 1, 0),
        SummaryRow("host-2", "mug-01", 1, 0, 0, 0, 1, 0),
    ]
    assert [row.host for row in ledger.summary("other")] == ["host-2"]
    ledger.close()


def test_entries_cannot_be_changed_or_removed(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.record(TAP)
    ledger.close()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    for statement in ("UPDATE entries SET viewer = 'x'", "DELETE FROM entries"):
        with pytest.raises(sqlite3.Error, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_ledger_goes_on_where_it_stopped(tmp_path: Path) -> None:
    for _ in range(3):
        ledger = SqliteLedger(tmp_path / "ledger.db")
        ledger.record(TAP)
        ledger.close()
    assert count(tmp_path / "ledger.db") == 3


def test_entries_wait_while_the_disk_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, interval_s=0.01)
    ledger.record(TAP)
    assert ledger.flush()
    refusing = sqlite3.connect(path, isolation_level=None)
    refusing.execute("ALTER TABLE entries RENAME TO hidden")
    with caplog.at_level(logging.WARNING):
        ledger.record(TAP)
        assert not ledger.flush(timeout_s=0.3)
        refusing.execute("ALTER TABLE hidden RENAME TO entries")
        assert ledger.flush(timeout_s=10)
    assert [record.message for record in caplog.records] == ["ledger entries wait"]
    refusing.close()
    ledger.close()
    assert count(path) == 2


def test_what_waits_is_bounded_and_what_is_refused_is_counted(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", interval_s=60, waiting_limit=3)
    ledger.record(TAP, TAP)
    ledger.record(TAP, TAP)
    assert ledger.refused == 2
    ledger.close()
    ledger.record(TAP)
    assert ledger.refused == 3 and count(tmp_path / "ledger.db") == 2


def test_many_threads_may_record(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", interval_s=0.01)

    def write() -> None:
        for _ in range(200):
            ledger.record(TAP)

    threads = [threading.Thread(target=write) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    assert count(tmp_path / "ledger.db") == 1_000


@pytest.mark.parametrize("content", [b"no database " * 500, None])
def test_file_that_cannot_be_used_says_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ledger.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(CatalogError, match="choose a folder that can be written"):
        SqliteLedger(path)
