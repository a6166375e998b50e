"""Is an event ever lost or reordered when parts of a fleet fail, and for how long does nothing arrive?

One Redis, two gateways (whole processes, ``vitrine serve --role gateway``), and ingests that hold the stream
under a real lease and author positions fifteen and events four times a second without video, so that nothing
but the fleet is measured. Viewers come back as the element does: full jitter, the other gateway, resuming
after the last event they saw. A gap is the longest time within a phase in which a viewer got no positions (or
no event); it contains what the viewer waited on purpose before it came back.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from matplotlib.figure import Figure

from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.procs import Child, child, free_port, wait_until
from benchmarks.report import Report, Row, Target, judge

VIEWERS = 2_000
QUICK_VIEWERS = 200
PHASE_S = 12.0
QUICK_PHASE_S = 2.0
DOWN_S = 1.0
SECRETS = {
    "VITRINE_AUTH__PUBLISH_KEY": "publish-key",
    "VITRINE_AUTH__HOST_KEY": "host-key-1",
    "VITRINE_AUTH__OPERATOR_KEY": "operator-key",
    "VITRINE_AUTH__SECRET": "s" * 40,
}
PHASES = (
    "all well",
    "viewers reconnect",
    "gateway killed",
    "Redis restarted, empty",
    "ingest killed, taken over",
    "gateway upgraded",
)


CURVES = (
    ("positions_gap_ms_p50", "positions, median viewer"),
    ("positions_gap_ms_max", "positions, worst viewer"),
    ("events_gap_ms_max", "events, worst viewer"),
)


class Fleet:
    """All processes but the viewers."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._redis_port = free_port()
        self.url = f"redis://127.0.0.1:{self._redis_port}"
        self.ports = [free_port(), free_port()]
        self.redis = self.start_redis()
        self.gateways = [self.start_gateway(n) for n in range(2)]
        self.ingests = [self._ingest(name) for name in ("ingest-1", "ingest-2")]

    def start_redis(self) -> Child:
        """Redis that keeps nothing."""
        server = shutil.which("redis-server")
        if server is None:
            raise CannotRun("redis-server is not installed (./run setup installs it)")
        options = ["--port", str(self._redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        started = self._start("redis", [server, *options, "--dir", str(self._folder)])
        started.line("", 10)
        return started

    def start_gateway(self, number: int) -> Child:
        """A gateway on its port; returns at once."""
        command: list[str | Path] = [sys.executable, "-m", "vitrine", "serve", "--role", "gateway"]
        command += ["--bus", self.url, "--node", f"gateway-{number + 1}-{time.monotonic_ns()}"]
        command += ["--port", str(self.ports[number]), "--data-dir", self._folder / f"gateway-{number}"]
        env = SECRETS | {"VITRINE_FLEET__DRAIN_MS": "2000"}
        return self._stack.enter_context(child(f"gateway {number + 1}", command, env=env))

    def wait_for_gateways(self) -> None:
        """Until both answer."""
        for number, port in enumerate(self.ports):
            wait_until(lambda port=port: _answers(port), 120, self.gateways[number].tail)  # type: ignore[misc]

    def _ingest(self, name: str) -> Child:
        return self._start(name, [sys.executable, "-m", "benchmarks.fleet_parts.ingest", self.url, name])

    def _start(self, name: str, command: list[str | Path]) -> Child:
        return self._stack.enter_context(child(name, command))


def run(settings: Settings) -> Outcome:
    """One row per phase."""
    count = QUICK_VIEWERS if settings.quick else VIEWERS
    seconds = settings.seconds or (QUICK_PHASE_S if settings.quick else PHASE_S)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings.say("starting Redis, two gateways and two ingests")
        fleet = Fleet(stack, folder)
        for ingest in fleet.ingests:
            ingest.line("ready", 120)
        fleet.ingests[0].send("claim")
        fleet.ingests[0].line("claimed", 20)
        fleet.wait_for_gateways()
        ports = ",".join(map(str, fleet.ports))
        command = [
            sys.executable,
            "-m",
            "benchmarks.fleet_parts.viewers",
            str(count),
            str(settings.seed),
            ports,
        ]
        viewers = stack.enter_context(child("viewers", command))
        viewers.line("joined", 120)
        _result(viewers)
        rows = []
        for phase in PHASES:
            settings.say(f"{phase}: {count} viewers, {seconds:.0f} s")
            more = _disturb(phase, fleet, viewers)
            time.sleep(seconds)
            rows.append({"phase": phase, "viewers": count, **_result(viewers), **more})
        author = fleet.ingests[1]
        author.send("stop")
        last = int(author.line("last", 30))
        viewers.send(f"caught {last}")
        behind = int(viewers.line("behind", 90))
        rows.append({"phase": "to the end", "viewers": count, **_result(viewers), "behind": behind})
    return rows, judged(rows)


def _disturb(phase: str, fleet: Fleet, viewers: Child) -> Row:
    """Let happen what `phase` is named for."""
    if phase == "viewers reconnect":
        viewers.send("drop 0.5")
    elif phase == "gateway killed":
        fleet.gateways[0].process.kill()
        time.sleep(DOWN_S)
        fleet.gateways[0] = fleet.start_gateway(0)
    elif phase == "Redis restarted, empty":
        fleet.redis.process.kill()
        time.sleep(DOWN_S)
        fleet.redis = fleet.start_redis()
    elif phase == "ingest killed, taken over":
        fleet.ingests[0].process.kill()
        fleet.ingests[1].send("claim")
        epoch, after_ms = fleet.ingests[1].line("claimed", 30).split()
        return {"epoch": int(epoch), "taken_over_after_ms": int(after_ms)}
    elif phase == "gateway upgraded":
        fleet.wait_for_gateways()
        fleet.gateways[1].process.send_signal(signal.SIGTERM)
        fleet.gateways[1].process.wait(60)
        fleet.gateways[1] = fleet.start_gateway(1)
    return {}


def _result(viewers: Child) -> Row:
    viewers.send("phase")
    found = json.loads(viewers.line("result", 60))
    closes = found.pop("closes")
    return {**found, "closes": ", ".join(f"{code}: {n}" for code, n in sorted(closes.items()))}


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


def judged(rows: list[Row]) -> list[Target]:
    """Nothing lost, nothing reordered, everybody has everything in the end."""

    def total(column: str) -> float:
        return float(sum(int(row[column] or 0) for row in rows if column in row))

    targets = [
        judge("events lost, all phases, all viewers", total("lost"), "<= 0", "events"),
        judge("events reordered", total("reordered"), "<= 0", "events"),
        judge("viewers without the last event in the end", total("behind"), "<= 0", "viewers"),
    ]
    assert next(row for row in rows if row["phase"] == PHASES[0])["events"], "no viewer was sent an event"
    return targets


def draw(report: Report, figure: Figure) -> None:
    """Longest gaps by phase."""
    axes = figure.subplots()
    rows = [row for row in report.rows if row["phase"] in PHASES]
    names = [str(row["phase"]) for row in rows]
    for offset, (column, words) in enumerate(CURVES):
        places = [n + 0.27 * (offset - 1) for n in range(len(rows))]
        axes.barh(places, [float(row[column] or 0) for row in rows], height=0.25, label=words)
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xlabel("longest gap within the phase, ms")
    axes.set_title(f"events lost: {sum(int(row['lost'] or 0) for row in report.rows)}")
    axes.legend()


BENCH = Benchmark("fleet", run, draw, PHASES)

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
