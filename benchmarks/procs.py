"""Child processes of a benchmark: started, watched, always ended. CPU time, memory and event-loop lag."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.harness import CannotRun
from benchmarks.machine import ROOT


class Child:
    """A child process whose standard output is read line by line.

    Attributes:
        name: for messages.
        process: the running process.
        lines: everything it printed so far.
    """

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self.process = process
        self.lines: list[str] = []
        self._unread: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True, name=f"read-{name}")
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def line(self, beginning: str, timeout_s: float) -> str:
        """The next line that starts with `beginning`, without it.

        Raises:
            CannotRun: it ended or stayed silent; with the last lines it printed.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found = self._unread.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise CannotRun(
                    f"{self.name}: no line {beginning!r} within {timeout_s:.0f} s; {self.tail()}"
                ) from None
            if found is None:
                status = self.process.wait(10)
                raise CannotRun(f"{self.name} ended with status {status}; {self.tail()}")
            if found.startswith(beginning):
                return found[len(beginning) :].strip()

    def send(self, text: str) -> None:
        """Write one line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def check(self) -> None:
        """See that it still runs.

        Raises:
            CannotRun: it has ended.
        """
        if self.process.poll() is not None:
            raise CannotRun(f"{self.name} ended in the middle; {self.tail()}")

    def tail(self) -> str:
        """Its last lines, for messages."""
        return "last output: " + " | ".join(self.lines[-8:]) if self.lines else "it printed nothing"

    def stop(self, timeout_s: float = 8.0) -> None:
        """Ask it to end, then kill it and whatever it started."""
        family = [self.process.pid, *(child.pid for child in _descendants(self.process.pid))]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout_s)
        for pid in family[1:]:
            try:
                psutil.Process(pid).kill()
            except psutil.Error:
                continue
        self._reader.join(timeout_s)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.rstrip("\n")
            self.lines.append(text)
            self._unread.put(text)
        self._unread.put(None)


@contextmanager
def child(
    name: str,
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cores: Sequence[int] | None = None,
) -> Iterator[Child]:
    """Run `command` in the checkout's root while the block lasts; stderr goes with stdout."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, cores)
    running = Child(name, process)
    try:
        yield running
    finally:
        running.stop()


def busy(name: str) -> AbstractContextManager[Child]:
    """A process that uses a core as long as the block lasts."""
    return child(name, [sys.executable, "-c", "while True: pass"])


def two_cores() -> tuple[Sequence[int] | None, Sequence[int] | None]:
    """Two cores for the subject and the others for its publisher; None, None where there are only two."""
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) <= 2:
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return usable[:2], usable[2:]


def wait_until(reached: Callable[[], bool], timeout_s: float, otherwise: Callable[[], str]) -> None:
    """Wait for a condition, ten looks a second.

    Raises:
        CannotRun: it did not come about; `otherwise` says why.
    """
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline:
            raise CannotRun(otherwise())
        time.sleep(0.1)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    """Processor seconds used so far by `pid`, its living descendants, and those of its children it reaped."""
    total = 0.0
    for process in [pid, *(one.pid for one in _descendants(pid))]:
        try:
            times = psutil.Process(process).cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def rss_mib(pid: int) -> float:
    """Resident memory of `pid` and its descendants in MiB."""
    total = 0
    for process in [pid, *(one.pid for one in _descendants(pid))]:
        try:
            total += psutil.Process(process).memory_info().rss
        except psutil.Error:
            continue
    return total / 2**20


class Watch:
    """CPU, memory and what everybody else on the machine used, over a stretch of time.

    Attributes:
        rss: (seconds since the start, MiB) samples, two a second.
    """

    def __init__(self, pid: int) -> None:
        self.rss: list[tuple[float, float]] = []
        self._pid = pid
        self._began = time.monotonic()
        self._cpu = cpu_s(pid)
        self._busy = _busy_s()
        self._mine = cpu_s(os.getpid())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True, name="watch")
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """``cpu_pct`` of one core used by the process, ``rss_mib`` at the end, ``others_cores``: busy cores
        that belong to neither this benchmark nor anything it started.
        """
        self._ended.set()
        self._thread.join()
        wall = time.monotonic() - self._began
        used = cpu_s(self._pid) - self._cpu
        mine = cpu_s(os.getpid()) - self._mine
        others = max(0.0, _busy_s() - self._busy - mine)
        return {
            "cpu_pct": round(100 * used / wall, 1),
            "rss_mib": round(self.rss[-1][1], 1) if self.rss else 0.0,
            "others_cores": round(others / wall, 2),
        }

    def _sample(self) -> None:
        while True:
            self.rss.append((time.monotonic() - self._began, rss_mib(self._pid)))
            if self._ended.wait(0.5):
                return


class LoopLag:
    """How late an event loop runs its timers, while the block lasts.

    Attributes:
        lags_ms: one per 20 ms tick.
    """

    def __init__(self) -> None:
        self.lags_ms: list[float] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LoopLag:
        self._task = asyncio.get_running_loop().create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.02
            await asyncio.sleep(0.02)
            self.lags_ms.append(max(0.0, (loop.time() - due) * 1000))


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _busy_s() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return float(sum(times[:8]) - idle)
