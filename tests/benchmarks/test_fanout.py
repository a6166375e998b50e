from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import fanout
from benchmarks.fanout_parts import serving
from benchmarks.fanout_parts.servers import STREAM, hotspots
from benchmarks.fanout_parts.swarm import build, swarm
from benchmarks.harness import Benchmark, plot
from benchmarks.report import Report, Row
from overlay.messages import Positions, decode_server
from overlay.outbox import text_frame
from overlay.state import OverlayAuthor

COUNTS = {
    "messages": 1000.0,
    "octets": 188_000.0,
    "lost": 0.0,
    "cpu_s": 0.5,
    "p50_ms": 1.0,
    "p99_ms": 2.0,
    "max_ms": 3.0,
    "fast": 990.0,
    "slow": 10.0,
    "slow_p50_ms": 0.0,
    "slow_max_ms": 0.0,
    "shown_max_ms": 0.0,
}


def row(case: str, viewers: int, **figures: float) -> Row:
    return {"subject": "vitrine", "case": case, "viewers": viewers, **figures}


def test_peers_are_given_the_very_bytes_that_the_engine_writes() -> None:
    for rtp in (1_000, 2_879_995_000):
        author = OverlayAuthor(STREAM, "log")
        author.live(1, 0, 120)
        made = author.positions(hotspots(rtp))
        assert made is not None
        assert msgspec.json.encode(made) == serving.message(rtp)
        assert isinstance(decode_server(serving.message(rtp)), Positions)
        assert serving.text_frame(serving.message(rtp)) == text_frame(serving.message(rtp))


def test_the_upgrade_is_answered_as_in_the_rfc() -> None:
    head = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in serving.accept(head), "RFC 6455, 1.3"


def test_a_row_is_per_delivery() -> None:
    got = fanout.arithmetic(COUNTS, sent=10, fast=99, cpu=0.01, wall=2.0)
    assert got["cpu_s_per_million"] == 10.0
    assert got["delivered_pct"] == 100.0
    assert got["bytes_per_message"] == 188.0
    assert got["swarm_cpu_pct"] == 25.0
    assert "slow_age_ms_max" not in got


def test_nothing_delivered_is_a_missing_figure_not_a_good_one() -> None:
    got = fanout.arithmetic({**COUNTS, "messages": 0.0}, sent=10, fast=99, cpu=0.01, wall=2.0)
    assert got["cpu_s_per_million"] is None


def test_promises_are_judged_at_five_thousand_viewers() -> None:
    rows = [
        row("all read", 500, cpu_s_per_million=50.0),
        row(
            "all read",
            5000,
            cpu_s_per_million=9.0,
            age_ms_p99=61.0,
            rss_kib_per_viewer=9.0,
            lost_connections=0,
        ),
        row("slow", 300, slow_age_ms_max=900.0, age_ms_p99=5.0),
        row("rejoin", 5000, rejoin_s=2.5),
    ]
    verdicts = {target.name: target.ok for target in fanout.judged(rows)}
    assert len(verdicts) == 7
    assert [name for name, ok in verdicts.items() if not ok] == ["age of a delivery, 5000 viewers, p99"]
    assert fanout.judged(rows[:1]) == []


def test_more_viewers_than_descriptors_are_left_out_by_name() -> None:
    assert "descriptors" in fanout.missing("vitrine", 10**9)
    assert fanout.missing("vitrine", 10) == ""


def test_it_is_drawn(tmp_path: Path) -> None:
    rows = [row("all read", 500, cpu_s_per_million=9.0, age_ms_p99=5.0), row("rejoin", 5, rejoin_s=1.0)]
    bench: Benchmark = fanout.BENCH
    plot(bench, Report("fanout", {}, "abc", rows), tmp_path / "fanout.png")
    assert (tmp_path / "fanout.png").stat().st_size > 1000


@pytest.mark.skipif(sys.platform != "linux", reason="the swarm needs epoll")
def test_the_swarm_counts_what_a_server_sends() -> None:
    build()
    with (
        fanout.served("vitrine", None) as (server, port),
        swarm(port, 20, fanout.BINARY, (5, 100_000.0)) as viewers,
    ):
        viewers.joined_s()
        got = fanout.measure(server, viewers, 1.0, 15)
        assert got["lost_connections"] == 0
        assert isinstance(got["delivered_pct"], float) and got["delivered_pct"] > 60
        assert isinstance(got["bytes_per_message"], float) and got["bytes_per_message"] < 80, "binary"
        assert viewers.rejoin_s() < 20


async def test_obey_publishes_as_often_as_told() -> None:
    command = "import asyncio; from benchmarks.fanout_parts import serving; "
    command += "asyncio.run(serving.obey(7, lambda rtp: None))"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    )
    said, _ = await asyncio.wait_for(process.communicate(b"go 0.2 50\ngo 0.1 10\n"), 20)
    assert said.split(b"\n")[:3] == [b"ready 7", b"sent 10", b"sent 1"]
