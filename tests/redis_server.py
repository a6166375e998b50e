"""A real Redis for the tests that need one: own processes on unix sockets or free ports, gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class RedisServer:
    """One redis-server process that can be stopped and started again, keeping nothing on disk."""

    def __init__(self, folder: Path, cluster: bool = False, replica_of: int = 0, alone: bool = True) -> None:
        self.port = _free_port()
        self._folder = folder
        self._cluster = cluster
        self._replica_of = replica_of
        self._alone = alone
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @classmethod
    def at(cls, port: int) -> RedisServer:
        """One that runs already."""
        server = cls.__new__(cls)
        server.port = port
        return server

    @property
    def url(self) -> str:
        return f"redis{'+cluster' if self._cluster else ''}://127.0.0.1:{self.port}"

    def start(self) -> None:
        executable = shutil.which("redis-server")
        assert executable is not None, "redis-server is checked for by the redis marker"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        options += ["--save", "", "--appendonly", "no", "--logfile", str(self._folder / "redis.log")]
        options += ["--repl-diskless-sync-delay", "0"]
        if self._cluster:
            options += ["--cluster-enabled", "yes", "--cluster-port", str(_free_port())]
            options += ["--cluster-node-timeout", "15000" if self._alone else "2000"]
        if self._replica_of:
            options += ["--replicaof", "127.0.0.1", str(self._replica_of)]
        self._process = subprocess.Popen([executable, *options])
        self.wait_for("PING", b"+PONG")
        if self._cluster and self._alone:
            self.ask("CLUSTER ADDSLOTSRANGE 0 16383")
            self.wait_for("CLUSTER INFO", b"cluster_state:ok")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cut_connections(self) -> None:
        """Close every client's connection, as a network would."""
        self.ask("CLIENT KILL TYPE normal SKIPME yes")
        self.ask("CLIENT KILL TYPE pubsub")

    def flush(self) -> None:
        self.ask("FLUSHALL")

    # ---- cluster

    def slot(self, stream: str) -> int:
        """Where a stream's keys are."""
        return int(self.ask(f"CLUSTER KEYSLOT vitrine:{{{stream}}}:state").decode().strip(":\r\n"))

    def _me(self) -> list[str]:
        lines = self.ask("CLUSTER NODES").decode().split("\n")
        return next(line.split() for line in lines if "myself" in line)

    @property
    def cluster_id(self) -> str:
        return self._me()[0]

    def owns(self, slot: int) -> bool:
        """It is the primary of `slot`."""
        ranges = [part.partition("-") for part in self._me()[8:] if part[0].isdigit()]
        return any(int(low) <= slot <= int(high or low) for low, _, high in ranges)

    def replicates(self, primary: RedisServer) -> bool:
        return self._me()[3] == primary.cluster_id

    # ---- all

    def lives(self, pattern: str) -> dict[str, int]:
        """Milliseconds that each matching key has to live; -1: for ever."""
        names = self.ask(f"KEYS {pattern}").decode().split("\r\n")[2::2]
        return {name: int(self.ask(f"PTTL {name}").decode().strip(":\r\n")) for name in names if name}

    def ask(self, command: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(65536)

    def wait_for(self, command: str, expected: bytes, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if expected in self.ask(command):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"redis-server did not answer {expected!r} to {command}")


class Wire:
    """A TCP relay to a local port, which can stall, fall deaf, and lead elsewhere."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.blocked = False
        self._deaf: set[asyncio.StreamWriter] = set()
        self._subscribed: set[asyncio.StreamWriter] = set()
        self._down: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._down:
            writer.transport.abort()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def deafen(self) -> None:
        """Nothing reaches those who subscribed over a connection that is open now."""
        self._deaf |= self._subscribed

    async def _relay(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self._down.add(back)
        try:
            server, forth = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            back.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(client, forth, back))
                tasks.create_task(self._pump(server, back, back))
        except* (OSError, EOFError):
            pass
        finally:
            forth.transport.abort()
            back.transport.abort()
            self._down.discard(back)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(65536):
            if b"SSUBSCRIBE" in data:
                self._subscribed.add(back)
            while self.blocked:  # noqa: ASYNC110 - as a router that drops packets
                await asyncio.sleep(0.01)
            if not (sink is back and back in self._deaf):
                sink.write(data)
                await sink.drain()
        raise EOFError


class Sentinels:
    """Three sentinels that watch a primary, and their address."""

    def __init__(self, folder: Path, primary: int) -> None:
        self._ports = [_free_port() for _ in range(3)]
        self._folder = folder
        self._primary = primary
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in self._ports) + "/shows"

    def __enter__(self) -> Sentinels:
        for port in self._ports:
            file = self._folder / f"sentinel-{port}.conf"
            file.write_text(
                f"port {port}\nbind 127.0.0.1\nlogfile {self._folder}/sentinel-{port}.log\n"
                f"sentinel monitor shows 127.0.0.1 {self._primary} 2\n"
                "sentinel down-after-milliseconds shows 1000\nsentinel failover-timeout shows 5000\n"
            )
            self._processes.append(subprocess.Popen(["redis-server", str(file), "--sentinel"]))
        for port in self._ports:
            one = RedisServer.at(port)
            one.wait_for("PING", b"+PONG")
            one.wait_for("SENTINEL MASTER shows", b"num-other-sentinels\r\n$1\r\n2")
            one.wait_for("SENTINEL MASTER shows", b"num-slaves\r\n$1\r\n1")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def cluster_of(folder: Path, primaries: int, replicas: int) -> Iterator[list[RedisServer]]:
    """A cluster; primaries first, each with `replicas`."""
    nodes = []
    try:
        for number in range(primaries * (1 + replicas)):
            place = folder / f"node-{number}"
            place.mkdir()
            nodes.append(RedisServer(place, cluster=True, alone=False))
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", str(replicas)]
        done = subprocess.run([*create, "--cluster-yes"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout[-800:]
        for node in nodes:
            node.wait_for("CLUSTER INFO", b"cluster_state:ok")
            node.wait_for("CLUSTER INFO", f"cluster_known_nodes:{len(nodes)}".encode())
        yield nodes
    finally:
        for node in nodes:
            node.stop()


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
