"""A real Redis for the tests that need one: own processes on unix sockets or free ports, gone afterwards."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class RedisServer:
    """One redis-server process that can be stopped and started again, keeping nothing on disk."""

    def __init__(self, folder: Path, cluster: bool = False) -> None:
        self.port = _free_port()
        self._folder = folder
        self._cluster = cluster
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis{'+cluster' if self._cluster else ''}://127.0.0.1:{self.port}"

    def start(self) -> None:
        executable = shutil.which("redis-server")
        assert executable is not None, "redis-server is checked for by the redis marker"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        options += ["--save", "", "--appendonly", "no", "--logfile", str(self._folder / "redis.log")]
        if self._cluster:
            options += ["--cluster-enabled", "yes", "--cluster-port", str(_free_port())]
        self._process = subprocess.Popen([executable, *options])
        self._wait_for("PING", b"+PONG")
        if self._cluster:
            self._ask("CLUSTER ADDSLOTSRANGE 0 16383")
            self._wait_for("CLUSTER INFO", b"cluster_state:ok")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cut_connections(self) -> None:
        """Close every client's connection, as a network would."""
        self._ask("CLIENT KILL TYPE normal SKIPME yes")
        self._ask("CLIENT KILL TYPE pubsub")

    def flush(self) -> None:
        self._ask("FLUSHALL")

    def lives(self, pattern: str) -> dict[str, int]:
        """Milliseconds that each matching key has to live; -1: for ever."""
        names = self._ask(f"KEYS {pattern}").decode().split("\r\n")[2::2]
        return {name: int(self._ask(f"PTTL {name}").decode().strip(":\r\n")) for name in names if name}

    def _ask(self, command: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(65536)

    def _wait_for(self, command: str, expected: bytes) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                if expected in self._ask(command):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"redis-server did not answer {expected!r} to {command}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """An empty Redis."""
    redis_process.flush()
    return redis_process


@pytest.fixture(scope="session")
def redis_cluster_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis-cluster"), cluster=True)
    yield server
    server.stop()
