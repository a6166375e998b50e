from __future__ import annotations

import asyncio
import os
import sys
import time

import psutil
import pytest

from benchmarks.harness import CannotRun
from benchmarks.procs import LoopLag, Watch, child, cpu_s, free_port

SPIN = "import time; e = time.process_time() + {s}\nwhile time.process_time() < e: pass\n"


def test_lines_of_a_child_are_read_by_their_beginning() -> None:
    with child("talker", [sys.executable, "-c", "print('noise'); print('ready 42'); input()"]) as talker:
        assert talker.line("ready", 20) == "42"
        talker.send("go")
        assert talker.process.wait(20) == 0


def test_a_child_that_ends_early_is_reported_with_its_output() -> None:
    command = [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"]
    with pytest.raises(CannotRun, match="status 3.*no such model"), child("server", command) as server:
        server.line("ready", 20)


def test_a_child_that_ended_in_the_middle_is_noticed() -> None:
    with child("publisher", [sys.executable, "-c", "print('refused')"]) as publisher:
        publisher.process.wait(20)
        with pytest.raises(CannotRun, match="publisher ended in the middle"):
            publisher.check()


def test_a_silent_child_is_given_up() -> None:
    command = [sys.executable, "-c", "input()"]
    with pytest.raises(CannotRun, match="no line 'ready'"), child("server", command) as server:
        server.line("ready", 0.2)


def test_leaving_the_block_ends_the_child_and_its_children() -> None:
    script = (
        "import subprocess, sys\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "print('inner', inner.pid); inner.wait()\n"
    )
    with child("outer", [sys.executable, "-c", script]) as outer:
        inner = int(outer.line("inner", 20))
        assert psutil.pid_exists(inner)
    assert outer.process.poll() is not None
    deadline = time.monotonic() + 5
    while psutil.pid_exists(inner) and psutil.Process(inner).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the grandchild lives on"
        time.sleep(0.01)


def test_cpu_time_counts_children_that_have_ended() -> None:
    script = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {SPIN.format(s=0.4)!r}])\n"
        "print('done'); input()\n"
    )
    with child("outer", [sys.executable, "-c", script]) as outer:
        outer.line("done", 30)
        assert cpu_s(outer.pid) >= 0.4


def test_watch_tells_busy_from_idle() -> None:
    with child("busy", [sys.executable, "-c", "print('go')\nwhile True: pass"]) as busy:
        busy.line("go", 20)
        watch = Watch(busy.pid)
        time.sleep(0.6)
        used = watch.stop()
    assert used["cpu_pct"] > 10
    assert used["rss_mib"] > 1
    assert watch.rss[0][0] < 0.5


def test_cpu_time_of_a_process_that_is_gone_is_zero() -> None:
    with child("short", [sys.executable, "-c", "pass"]) as short:
        short.process.wait(20)
    assert cpu_s(short.pid) == 0.0


async def test_loop_lag_sees_a_blocked_loop() -> None:
    async with LoopLag() as lag:
        await asyncio.sleep(0.05)
        time.sleep(0.15)  # noqa: ASYNC251 - blocking the loop is the point
        await asyncio.sleep(0.05)
    assert max(lag.lags_ms) > 90


def test_free_ports_differ_from_a_taken_one() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert free_port() != taken.getsockname()[1]
    assert os.getpid()
