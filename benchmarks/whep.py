"""What does it cost to pass a stream on to many viewers, and what do they see on a bad network?

720p30 at 2.5 Mb/s by WHEP, server and viewers in processes of their own. The peer is the plain way with the
same library: aiortc's MediaPlayer and MediaRelay, which encode for every viewer. The crowd's viewers make
real connections and read RTP headers only; their processor time is not counted. Chromium reads a barcode off
its own canvas: the number of the frame, so that picture and timestamp can be compared, or the time it was
drawn at. Both ways packets are lost by iptables in a network namespace, where this process may have one, else
by a UDP relay of ours, which also makes the jitter. A quick run asks the peer for its cost only.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.harness import Benchmark, Outcome, Settings, main
from benchmarks.procs import Child, Watch, child, cpu_s, two_cores
from benchmarks.report import Report, Row, Target, judge, value_of
from benchmarks.whep_parts.clip import FPS, write_clip
from benchmarks.whep_parts.netns import own_network
from benchmarks.whep_parts.path import LossyPath
from benchmarks.whep_parts.screen import Reel, Screen, exact_pct, quantile, recovery_ms, reel, screen

SUBJECTS = {"vitrine": "vitrine", "next keyframe": "next-keyframe", "aiortc MediaRelay": "aiortc"}
CROWDS = {"vitrine": (25, 50, 100, 200), "aiortc MediaRelay": (1, 2)}
PATHS = {
    "2 % loss": (0.02, 0.0),
    "5 % loss": (0.05, 0.0),
    "50 ms jitter": (0.0, 0.05),
    "2 % loss, 50 ms jitter": (0.02, 0.05),
}
FRAMES = 300
OUTAGE_S = 0.5
HOLD_MS = 100
SETTLE_S = 1.5


@dataclass(frozen=True, slots=True)
class Server:
    """A running subject.

    Attributes:
        name: in `SUBJECTS`.
        process: it.
        port: of its HTTP.
        origin_ns: monotonic clock of frame 0.
    """

    name: str
    process: Child
    port: int
    origin_ns: int

    @property
    def url(self) -> str:
        """Where offers go."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def origin_ms(self) -> float:
        """Wall clock of frame 0."""
        return time.time() * 1000 - (time.monotonic_ns() - self.origin_ns) / 1e6


@contextmanager
def serving(name: str, clip: Path) -> Iterator[Server]:
    """Subject `name`, as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.whep_parts.server", SUBJECTS[name], str(clip)]
    with child(name, command, cores=two_cores()[0]) as process:
        port, origin_ns = process.line("ready ", 20).split()
        yield Server(name, process, int(port), int(origin_ns))


def run(settings: Settings) -> Outcome:
    """Rows: crowds, joins, glass to glass, bad networks."""
    rows: list[Row] = []
    why_not = own_network()
    loser = f"the UDP relay ({why_not})" if why_not else "iptables -m statistic in a network namespace"
    settings.say(f"packets are lost by {loser}")
    with tempfile.TemporaryDirectory() as folder:
        settings.say("the clip")
        clip = write_clip(Path(folder) / "clip.mp4", FRAMES)
        for name in SUBJECTS:
            if not settings.wants(name) or (settings.quick and name == "next keyframe"):
                continue
            rows += _crowds(name, clip, settings)
            if name == "vitrine" or not settings.quick:
                with serving(name, clip) as server:
                    time.sleep(0.5)
                    rows += asyncio.run(_screens(server, settings, by_kernel=not why_not))
    for row in rows:
        if row["case"] in PATHS and PATHS[str(row["case"])][0]:
            row["lost_by"] = loser
    return rows, judged(rows)


def _crowds(name: str, clip: Path, settings: Settings) -> list[Row]:
    """A server for each: viewers of the crowd before, gone without a word, are sent to for half a minute."""
    seconds = settings.seconds or (3.0 if settings.quick else 10.0)
    sizes = CROWDS.get(name, ())
    rows = []
    for size in sizes[:1] if settings.quick else sizes:
        settings.say(f"{name}: a crowd of {size}")
        with serving(name, clip) as server:
            time.sleep(0.5)
            rows.append({"subject": name, "case": "crowd", "viewers": size, **_crowd(server, size, seconds)})
    return rows


def _crowd(server: Server, size: int, seconds: float) -> Row:
    alone = _idle(server, min(seconds / 3, 3.0))
    command = [sys.executable, "-m", "benchmarks.whep_parts.swarm"]
    arguments = [str(server.port), str(size), str(server.origin_ns)]
    with child("viewers", [*command, *arguments], cores=two_cores()[1]) as viewers:
        viewers.line("ready ", 60)
        time.sleep(SETTLE_S)
        watch = Watch(server.process.pid)
        viewers.send(f"count {seconds}")
        counts = json.loads(viewers.line("counts ", seconds + 20))
        used = watch.stop()
    cpu_pct = used["cpu_pct"]
    each = (cpu_pct - alone) / size
    known_age = server.name != "aiortc MediaRelay"  # its timestamps begin anywhere
    return {
        "cpu_pct": cpu_pct,
        "cpu_pct_per_viewer": round(each, 3),
        "viewers_per_core": round((100 - alone) / each) if each > 0 else None,
        "us_per_packet": round(each * seconds * 1e4 * size / max(counts["packets"], 1), 2),
        "delivered_pct": round(100 * counts["frames"] / (size * FPS * seconds), 2),
        "mbit_s": round(counts["octets"] * 8 / seconds / size / 1e6, 2),
        "missing_packets": counts["missing"],
        "age_p50_ms": round(counts["p50_ms"], 1) if known_age else None,
        "age_p95_ms": round(counts["p95_ms"], 1) if known_age else None,
        "viewers_cpu_pct": round(100 * counts["cpu_s"] / seconds, 1),
        "others_cores": used["others_cores"],
    }


def _idle(server: Server, seconds: float) -> float:
    began = cpu_s(server.process.pid)
    time.sleep(seconds)
    return 100 * (cpu_s(server.process.pid) - began) / seconds


async def _screens(server: Server, settings: Settings, *, by_kernel: bool) -> list[Row]:
    rows: list[Row] = []
    async with screen(server.url) as pages:
        rows.append({"subject": server.name, "case": "join", **await _joins(server, pages, settings)})
        if server.name == "next keyframe":
            return rows
        rows.append({"subject": server.name, "case": "glass to glass", **await _glass(pages, settings)})
        wanted = list(PATHS)[1:2] if settings.quick else list(PATHS)
        for case in wanted:
            settings.say(f"{server.name}: {case}")
            path = LossyPath(settings.seed, by_kernel=by_kernel)
            seen = await _bad(server, pages, path, case, settings)
            rows.append({"subject": server.name, "case": case, **seen})
    return rows


async def _joins(server: Server, pages: Screen, settings: Settings) -> Row:
    settings.say(f"{server.name}: joining")
    firsts, settled = [], []
    for number in range(2 if settings.quick else 10):
        await asyncio.sleep(0.25 + 0.17 * (number % 7))  # at every place between two keyframes
        page = await pages.watch(hold_ms=HOLD_MS)
        await asyncio.sleep(2.5)
        seen = await reel(page)
        firsts.append(seen.first_ms)
        ages = seen.ages_ms(server.origin_ms)
        late = [at - seen.shown[0][0] for (at, _, _), age in zip(seen.shown, ages, strict=True) if age > 400]
        settled.append(max(late, default=0.0))
        await page.close()
    row: Row = {"first_p50_ms": quantile(firsts, 50), "first_max_ms": round(max(firsts), 1)}
    if server.name != "aiortc MediaRelay":
        row["live_after_max_ms"] = round(max(settled), 1)
    return row


async def _glass(pages: Screen, settings: Settings) -> Row:
    settings.say("glass to glass")
    publisher = await pages.publish()
    await asyncio.sleep(2.0)
    page = await pages.watch("live")
    await asyncio.sleep(2.5 if settings.quick else 10.0)
    seen = await reel(page)
    ages = [(at - number) % (1 << 32) for at, _, number in seen.shown[15:]]
    ages = [age for age in ages if age < 10_000]
    await page.close()
    await publisher.close()
    return {"frames": len(ages), "glass_p50_ms": quantile(ages, 50), "glass_p95_ms": quantile(ages, 95)}


async def _bad(server: Server, pages: Screen, path: LossyPath, case: str, settings: Settings) -> Row:
    page = await pages.watch(hold_ms=HOLD_MS, path=path)
    await asyncio.sleep(2.0)
    begin, begin_ms = len((await reel(page)).shown), time.time() * 1000
    path.loss, path.jitter_s = PATHS[case]
    await asyncio.sleep(settings.seconds or (3.0 if settings.quick else 20.0))
    end_ms = time.time() * 1000
    seen = await reel(page)
    row: Row = {**seen.within(begin_ms, end_ms), **_asked(seen)}
    if server.name == "vitrine":
        row["age_p95_ms"] = quantile(seen.ages_ms(server.origin_ms)[begin:], 95)
        row["exact_pct"] = exact_pct(seen.errors(FRAMES)[begin:])
        path.loss, path.jitter_s = 0.0, 0.0
        times = [
            await recovery_ms(page, path, OUTAGE_S, server.origin_ms)
            for _ in range(1 if settings.quick else 3)
        ]
        row["outage_s"] = OUTAGE_S
        row["recovery_max_ms"] = round(max(times), 1)
    await page.close()
    path.close()
    return row


def _asked(seen: Reel) -> Row:
    return {"nacks": seen.counts.get("nackCount"), "plis": seen.counts.get("pliCount")}


def judged(rows: list[Row]) -> list[Target]:
    """What is promised, for what was run."""

    def figure(case: str, name: str, viewers: int | None = None) -> float:
        for row in rows:
            if row["subject"] == "vitrine" and row["case"] == case and viewers in (None, row.get("viewers")):
                return value_of(row, name)
        return math.nan

    cases = {str(row["case"]) for row in rows if row["subject"] == "vitrine"}
    sizes = [int(row["viewers"] or 0) for row in rows if row["subject"] == "vitrine" and "viewers" in row]
    targets = []
    if sizes:
        largest = max(sizes)
        per_core = figure("crowd", "viewers_per_core", largest)
        delivered = figure("crowd", "delivered_pct", largest)
        targets.append(judge("viewers a core carries, 720p30", per_core, ">= 200", "viewers"))
        targets.append(judge(f"frames delivered, {largest} viewers", delivered, ">= 99.5", "%"))
    if "join" in cases:
        targets.append(judge("first picture, median", figure("join", "first_p50_ms"), "<= 500", "ms"))
    if "glass to glass" in cases:
        targets.append(judge("glass to glass p95", figure("glass to glass", "glass_p95_ms"), "<= 150", "ms"))
    for case in PATHS:
        if case in cases:
            targets.append(
                judge(f"picture fits its timestamp, {case}", figure(case, "exact_pct"), ">= 99", "%")
            )
            targets.append(judge(f"longest freeze, {case}", figure(case, "longest_ms"), "<= 500", "ms"))
    return targets


def draw(report: Report, figure: Figure) -> None:
    """Cost by crowd; first picture; longest stand-still on bad networks."""
    cost, join, freeze = figure.subplots(1, 3)
    for name in SUBJECTS:
        crowd = [r for r in report.rows if r["subject"] == name and r["case"] == "crowd"]
        if crowd:
            cost.plot(
                [float(r["viewers"] or 0) for r in crowd],
                [float(r["cpu_pct"] or 0) for r in crowd],
                marker="o",
                label=name,
            )
    cost.set(xlabel="viewers", ylabel="processor, % of a core", title="a crowd at 720p30", xscale="log")
    cost.legend()
    joins = {str(r["subject"]): float(r["first_p50_ms"] or 0) for r in report.rows if r["case"] == "join"}
    join.bar(list(joins), list(joins.values()))
    join.set(ylabel="ms", title="first picture, median")
    join.tick_params(axis="x", rotation=20)
    for offset, name in ((-0.2, "vitrine"), (0.2, "aiortc MediaRelay")):
        bad = {
            str(r["case"]): float(r["longest_ms"] or 0)
            for r in report.rows
            if r["subject"] == name and r["case"] in PATHS
        }
        freeze.bar([list(PATHS).index(case) + offset for case in bad], list(bad.values()), 0.4, label=name)
    freeze.set(ylabel="ms", title="longest stand-still")
    freeze.set_xticks(range(len(PATHS)), [case.replace(", ", "\n") for case in PATHS], fontsize=8)
    freeze.legend()


BENCH = Benchmark("whep", run, draw, tuple(SUBJECTS))

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
