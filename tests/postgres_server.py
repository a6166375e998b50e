"""A real PostgreSQL with pgvector for the tests that need one; gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.postgres_server import PASSWORD, PostgresServer, binaries

__all__ = ["PASSWORD", "PostgresServer", "binaries", "postgres_process", "postgres_server"]


@pytest.fixture(scope="session")
def postgres_process() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="vitrine-postgres-") as folder:
        server = PostgresServer(Path(folder))
        yield server
        server.stop()


@pytest.fixture
def postgres_server(postgres_process: PostgresServer) -> PostgresServer:
    """A running server."""
    if not postgres_process.running:
        postgres_process.start()
    return postgres_process
