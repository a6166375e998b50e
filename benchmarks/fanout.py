"""What does it cost to bring positions to many viewers, and does a slow one make the others wait?

Every subject sends the same positions (five hotspots, fifteen times a second) to the same swarm of
connections on loopback, one process each, server and swarm on cores of their own; a message carries its
publishing time. CPU is that of the whole server process, authoring and encoding included. "raw asyncio"
knows no protocol and no slow viewer: it is the floor, not an alternative.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.fanout_parts.serving import message
from benchmarks.fanout_parts.swarm import Counts, Swarm, build, swarm
from benchmarks.harness import Benchmark, Outcome, Settings, main
from benchmarks.peers.registry import NPM_WS, PICOWS, Peer
from benchmarks.procs import Child, child, cpu_s, rss_mib
from benchmarks.report import Report, Row, Target, judge
from benchmarks.stats import interleaved

RATE = 15
SIZES = (500, 2_000, 5_000, 10_000)
REJOINS = 5_000
SLOW = (300, 20)
"""Viewers, and how many of them read half of what they are sent."""
BINARY = "vitrine.bin.1"


@dataclass(frozen=True, slots=True)
class Subject:
    """One server.

    Attributes:
        kind: argument of `fanout_parts.servers`, or empty for a peer.
        peer: in an environment of its own.
        subprotocol: its viewers offer.
        bounds: it does something about slow viewers, or says that it does not: run with them too.
    """

    kind: str = ""
    peer: Peer | None = None
    subprotocol: str = ""
    bounds: bool = False

    def command(self) -> Sequence[str | Path]:
        """How to start it."""
        if self.peer is not None:
            return self.peer.command()
        return [sys.executable, "-m", "benchmarks.fanout_parts.servers", self.kind]


SUBJECTS = {
    "vitrine": Subject("vitrine", bounds=True),
    "vitrine binary": Subject("vitrine", subprotocol=BINARY),
    "websockets broadcast": Subject("websockets", bounds=True),
    "picows": Subject(peer=PICOWS),
    "npm ws": Subject(peer=NPM_WS),
    "raw asyncio": Subject("raw"),
}


def run(settings: Settings) -> Outcome:
    """Rows: cost by number of viewers, then slow readers, then rejoins."""
    build()
    seconds = settings.seconds or (2.0 if settings.quick else 10.0)
    names = [name for name in SUBJECTS if settings.wants(name)]
    if settings.quick and not settings.only:
        names.remove("npm ws")
    rows: list[Row] = []
    for size in SIZES[:1] if settings.quick else SIZES:
        for name in interleaved(names, 1, settings.seed + size):
            settings.say(f"{name}: {size} viewers")
            rows.append({"subject": name, "case": "all read", "viewers": size, **_row(name, size, seconds)})
    for name in names:
        if SUBJECTS[name].bounds and not (settings.quick and name != "vitrine"):
            settings.say(f"{name}: slow readers")
            rows.append(
                {"subject": name, "case": "slow", "viewers": SLOW[0], **_slow(name, seconds, settings.quick)}
            )
    if "vitrine" in names:
        size = SIZES[0] if settings.quick else REJOINS
        settings.say(f"vitrine: {size} rejoins")
        rows.append({"subject": "vitrine", "case": "rejoin", "viewers": size, **_rejoin(size)})
    return rows, judged(rows)


def _row(name: str, size: int, seconds: float) -> Row:
    why_not = missing(name, size)
    if why_not:
        return {"note": why_not}
    subject = SUBJECTS[name]
    ours, theirs = cores()
    with served(name, ours) as (server, port):
        before = rss_mib(server.pid)
        with swarm(port, size, subject.subprotocol, cores=theirs) as viewers:
            if subject.kind == "vitrine":
                viewers.joined_s()
            time.sleep(0.5)
            publish(server, 1.0)  # buffers and caches are made
            cost = measure(server, viewers, seconds, size)
            cost["rss_kib_per_viewer"] = round((rss_mib(server.pid) - before) * 1024 / size, 1)
            return cost


def _slow(name: str, seconds: float, quick: bool) -> Row:
    """Slow readers take half of the bytes they are offered, through the smallest receive buffer there is."""
    size, slow = SLOW
    each = len(message(1_000_000_000)) * RATE / 2
    ours, theirs = cores()
    with served(name, ours) as (server, port), swarm(port, size, "", (slow, each), theirs) as viewers:
        time.sleep(1.0)
        publish(server, 1.0)
        return measure(server, viewers, seconds if quick else max(seconds, 20.0), size - slow)


def _rejoin(size: int) -> Row:
    why_not = missing("vitrine", size)
    if why_not:
        return {"note": why_not}
    ours, theirs = cores()
    with served("vitrine", ours) as (server, port), swarm(port, size, "", cores=theirs) as viewers:
        joined_s = viewers.joined_s()
        began = cpu_s(server.pid)
        return {
            "join_s": round(joined_s, 2),
            "rejoin_s": round(viewers.rejoin_s(), 2),
            "cpu_ms_per_rejoin": round((cpu_s(server.pid) - began) * 1000 / size, 3),
        }


def measure(server: Child, viewers: Swarm, seconds: float, fast: int) -> Row:
    """Publish for `seconds`; what that cost and how it arrived at the `fast` viewers that read."""
    viewers.go()
    began, clock = cpu_s(server.pid), time.monotonic()
    sent = publish(server, seconds)
    time.sleep(0.3)
    counts = viewers.stop()
    wall = time.monotonic() - clock
    return {**arithmetic(counts, sent, fast, cpu_s(server.pid) - began, wall)}


def arithmetic(counts: Counts, sent: int, fast: int, cpu: float, wall: float) -> Row:
    """A row from what the swarm counted, messages sent, server seconds of CPU and of wall time."""
    got = counts["messages"]
    row: Row = {
        "delivered_pct": round(100 * counts["fast"] / (sent * fast), 2) if sent else None,
        "cpu_s_per_million": round(cpu / got * 1e6, 2) if got else None,
        "age_ms_p50": counts["p50_ms"],
        "age_ms_p99": counts["p99_ms"],
        "age_ms_max": counts["max_ms"],
        "bytes_per_message": round(counts["octets"] / got, 1) if got else None,
        "lost_connections": int(counts["lost"]),
        "server_cpu_pct": round(100 * cpu / wall, 1),
        "swarm_cpu_pct": round(100 * counts["cpu_s"] / wall, 1),
    }
    if counts["shown_max_ms"]:
        row |= {
            "slow_messages_per_s": round(counts["slow"] / SLOW[1] / wall, 1),
            "slow_age_ms_p50": counts["slow_p50_ms"],
            "slow_age_ms_max": counts["slow_max_ms"],
            "slow_shown_ms_max": counts["shown_max_ms"],
        }
    return row


def publish(server: Child, seconds: float) -> int:
    """Let the server publish. Returns how many messages."""
    server.send(f"go {seconds} {RATE}")
    return int(server.line("sent", seconds * 4 + 30))


@contextmanager
def served(name: str, on: Sequence[int] | None) -> Iterator[tuple[Child, int]]:
    """Subject `name` while the block lasts, and its port."""
    with child(name, SUBJECTS[name].command(), cores=on) as server:
        yield server, int(server.line("ready", 60))


def cores() -> tuple[Sequence[int] | None, Sequence[int] | None]:
    """One core for the server, the others for the swarm; None, None where there is one only."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (usable[:1], usable[1:]) if len(usable) > 1 else (None, None)


def missing(name: str, size: int) -> str:
    """Why it cannot run here, in words; empty when it can."""
    peer = SUBJECTS[name].peer
    if peer is not None and peer.missing:
        return f"left out: {peer.missing}"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < size + 200:
        return f"left out: {size} viewers need {size + 200} descriptors, the limit is {hard} (ulimit -Hn)"
    return ""


def judged(rows: Sequence[Row]) -> list[Target]:
    """Vitrine's promises, as far as the rows allow."""

    def figure(case: str, viewers: int | None, column: str) -> float | None:
        for row in rows:
            fits = row["subject"] == "vitrine" and row["case"] == case and viewers in (None, row["viewers"])
            if fits and isinstance(row.get(column), (int, float)):
                return float(row[column])  # type: ignore[arg-type]
        return None

    promises = (
        ("CPU per million deliveries, 5000 viewers", ("all read", 5_000, "cpu_s_per_million"), "<= 10", "s"),
        ("age of a delivery, 5000 viewers, p99", ("all read", 5_000, "age_ms_p99"), "<= 60", "ms"),
        ("memory of a viewer, 5000 viewers", ("all read", 5_000, "rss_kib_per_viewer"), "<= 16", "KiB"),
        ("connections lost, 5000 viewers", ("all read", 5_000, "lost_connections"), "<= 0", ""),
        ("age of what a slow viewer gets, max", ("slow", None, "slow_age_ms_max"), "<= 1300", "ms"),
        ("age for the others beside slow ones, p99", ("slow", None, "age_ms_p99"), "<= 60", "ms"),
        ("5000 viewers back with their snapshot", ("rejoin", REJOINS, "rejoin_s"), "<= 3", "s"),
    )
    found = [(promise, figure(*promise[1])) for promise in promises]
    return [judge(name, value, bound, unit) for (name, _, bound, unit), value in found if value is not None]


def draw(report: Report, figure: Figure) -> None:
    """CPU by number of viewers, and age at p99 beside it."""
    cost, age = figure.subplots(1, 2)
    for name in SUBJECTS:
        mine = [row for row in report.rows if row["subject"] == name and row["case"] == "all read"]
        mine = [row for row in mine if row.get("cpu_s_per_million") is not None]
        for axes, column in ((cost, "cpu_s_per_million"), (age, "age_ms_p99")):
            axes.plot([row["viewers"] for row in mine], [row[column] for row in mine], marker="o", label=name)
    cost.set_ylabel("CPU seconds per million deliveries")
    age.set_ylabel("age of a delivery, p99, ms")
    for axes in (cost, age):
        axes.set_xlabel(f"viewers, {RATE} messages a second each")
        axes.set_ylim(bottom=0)
    cost.legend()


BENCH = Benchmark("fanout", run, draw, tuple(SUBJECTS))

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
