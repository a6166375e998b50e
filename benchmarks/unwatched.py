"""What does a stream cost that nobody watches?

The embedded show through real WebRTC (WHIP), with the embedded models and the demonstration's catalogue, in
three settings of one server: nobody watches and it dozes; nobody watches and dozing is off; one viewer.
Processor time of the server by frames that arrived, decoded or not.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.engine import KEY, Engine, engine
from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.procs import Watch, two_cores, wait_until
from benchmarks.publish import publisher
from benchmarks.report import Report, Row, Target, judge, value_of
from benchmarks.stats import interleaved, share
from benchmarks.viewer import viewer
from stream.sources.synthetic import SHOW
from vitrine.demo import CATALOGUE

DOZING, AWAKE, WATCHED = SUBJECTS = ("dozing", "awake", "watched")
DOZE_MS = 1000
SETTLE_S = 5.0
"""From the first picture until it dozes and everything is as it stays."""


def run(settings: Settings) -> Outcome:
    """A row per setting."""
    if not SHOW.exists():
        raise CannotRun("the embedded show is not here")
    seconds = settings.seconds or (5.0 if settings.quick else 30.0)
    rows: list[Row] = []
    for name in interleaved([name for name in SUBJECTS if settings.wants(name)], 1, settings.seed):
        settings.say(f"{name}: {seconds:.0f} s")
        with tempfile.TemporaryDirectory() as folder:
            rows.append({"subject": name, "seconds": seconds, **_measured(name, Path(folder), seconds)})
    return rows, judged(rows)


def judged(rows: Sequence[Row]) -> list[Target]:
    """Dozing against the two others, as far as they were measured."""
    cost = {str(row["subject"]): value_of(row, "cpu_ms_per_frame") for row in rows}
    return [
        judge(f"processor time a frame, dozing against {name}", cost[DOZING] / cost[name], f"<= {most}", "x")
        for name, most in ((AWAKE, 0.5), (WATCHED, 0.25))
        if {DOZING, name} <= cost.keys()
    ]


def _measured(name: str, folder: Path, seconds: float) -> Row:
    sections: dict[str, dict[str, object]] = {
        "catalog": {"feed": str(CATALOGUE)},
        "inference": {"doze_ms": 0 if name == AWAKE else DOZE_MS},
    }
    ours, others = two_cores()
    # A trace needs every frame: with one nothing dozes.
    with engine(folder, sections, cores=ours, traced=False) as server, ExitStack() as stack:
        if name == WATCHED:
            stack.enter_context(viewer(server.websocket))
        sending = stack.enter_context(publisher(SHOW, server.whip, KEY, others))
        wait_until(lambda: _arrived(server) > (0, 0), 20, lambda: f"no picture; {sending.tail()}")
        time.sleep(SETTLE_S)
        before, watch = _arrived(server), Watch(server.process.pid)
        time.sleep(seconds)
        used, after = watch.stop(), _arrived(server)
        sending.check()
    decoded, left = (b - a for a, b in zip(before, after, strict=True))
    frames = decoded + left
    return {
        "frames": frames,
        "decoded_pct": round(share(decoded, frames), 1),
        "cpu_ms_per_frame": round(10 * seconds * used["cpu_pct"] / max(1, frames), 2),
        **used,
    }


def _arrived(server: Engine) -> tuple[int, int]:
    """Frames decoded, and frames left undecoded because nobody watched; (0, 0) before there are any."""
    try:
        figures = server.figures()
    except CannotRun:
        return 0, 0
    frames, drops = figures["frames"], figures["drops"]
    assert isinstance(frames, dict) and isinstance(drops, dict)
    return int(frames["in"]), int(drops.get("unwatched", 0))


def draw(report: Report, figure: Figure) -> None:
    """Processor time a frame, by setting."""
    axes = figure.subplots()
    axes.bar(
        [str(row["subject"]) for row in report.rows],
        [value_of(row, "cpu_ms_per_frame") for row in report.rows],
    )
    axes.set_ylabel("processor time of the server, ms a frame")


BENCH = Benchmark("unwatched", run, draw, SUBJECTS, judged)

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
