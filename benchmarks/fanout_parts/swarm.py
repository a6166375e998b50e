"""Drives `swarm.c`: thousands of viewers in one process, compiled where it is run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from benchmarks.harness import CannotRun
from benchmarks.machine import ROOT
from benchmarks.procs import Child, child

SOURCE = Path(__file__).with_name("swarm.c")
BINARY = ROOT / ".cache" / "fanout" / "swarm"
Counts = dict[str, float]


def build() -> Path:
    """Compile the swarm where it is missing or older than its source.

    Raises:
        CannotRun: no C compiler, or it does not compile here (it needs Linux).
    """
    if BINARY.exists() and BINARY.stat().st_mtime >= SOURCE.stat().st_mtime:
        return BINARY
    compiler = next((name for name in ("cc", "gcc", "g++", "clang") if shutil.which(name)), None)
    if compiler is None:
        raise CannotRun("no C compiler for the load generator (./run setup installs one)")
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-x", "c", "-o", str(BINARY), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotRun(f"the load generator does not compile: {done.stderr.strip()[:400]}")
    return BINARY


class Swarm:
    """Running viewers.

    Attributes:
        open_s: from the first connection to the last upgrade.
    """

    def __init__(self, process: Child, open_s: float) -> None:
        self.open_s = open_s
        self._process = process

    def go(self) -> None:
        """Count from now."""
        self._process.send("go")
        self._process.line("went", 20)

    def stop(self) -> Counts:
        """What came since `go`; the keys are those of `report` in `swarm.c`."""
        self._process.send("stop")
        return cast(Counts, json.loads(self._process.line("result", 20)))

    def joined_s(self) -> float:
        """Wait until every viewer has its first message; seconds since the first connection."""
        return float(self._process.line("joined", 60))

    def rejoin_s(self) -> float:
        """Cut all connections at once; seconds until every viewer is back and has its first message."""
        self._process.send("drop")
        return self.joined_s()


@contextmanager
def swarm(
    port: int,
    viewers: int,
    subprotocol: str = "",
    slow: tuple[int, float] = (0, 0.0),
    cores: Sequence[int] | None = None,
) -> Iterator[Swarm]:
    """`viewers` connections while the block lasts.

    Args:
        port: of 127.0.0.1.
        viewers: how many.
        subprotocol: to offer; empty offers none.
        slow: how many of them read slowly, and how many bytes a second those read.
        cores: to run on.
    """
    command: list[str | Path] = [
        build(),
        str(port),
        str(viewers),
        subprotocol or "-",
        str(slow[0]),
        str(slow[1]),
    ]
    with child("swarm", command, cores=cores) as process:
        yield Swarm(process, float(process.line("open", 120)))
