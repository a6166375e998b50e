"""How old is an overlay when it is handed to the socket, and where did the time go?

A real 720p30 clip without B-frames is published through real WebRTC by a process of its own, a real websocket
viewer is connected, and YOLOX-Nano at 416 detects. The age of an overlay runs from the last packet of its
frame to the moment it is handed to the viewers' sockets, as the server traces it; the viewer's own clock
checks that. The peer is the loop that aiortc's documentation suggests.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.engine import KEY, catalogue, engine
from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.painted.blob import write_embedder
from benchmarks.peers.registry import AIORTC
from benchmarks.procs import Watch, child, free_port, two_cores, wait_until
from benchmarks.publish import COFFEE, SHARED, prepared, publisher
from benchmarks.report import Report, Row, Target, judge, value_of
from benchmarks.stats import interleaved, spread
from benchmarks.trace import Overlay, at_viewer, between, overlays, summary
from benchmarks.viewer import viewer
from inference.embedded import EMBEDDER, WEIGHTS
from stream.sources.synthetic import SHOW

YOLOX = SHARED / "models" / "detect" / "yolox_nano.onnx"
SETTLE_S = 2.5
SUBJECTS = ("vitrine", AIORTC.name)


def run(settings: Settings) -> Outcome:
    """Both subjects in turns; a row per turn and one for all of Vitrine's."""
    seconds = settings.seconds or (8.0 if settings.quick else 30.0)
    rounds = 1 if settings.quick else 2
    clip, said = _clip()
    plan = interleaved([name for name in SUBJECTS if settings.wants(name)], rounds, settings.seed)
    rows: list[Row] = []
    targets: list[Target] = []
    pooled: list[Overlay] = []
    for name in plan:
        settings.say(f"{name}: {seconds:.0f} s")
        with tempfile.TemporaryDirectory() as folder:
            if name == "vitrine":
                row, measured = _vitrine(Path(folder), clip, seconds)
                pooled += measured
            else:
                row = _peer(Path(folder), clip, seconds)
        rows.append({"subject": name, "clip": said, "model": _model(name), **row})
    if pooled:
        whole = summary(pooled, seconds * rounds)
        targets = _judge(whole)
    return rows, targets


def _judge(whole: Row) -> list[Target]:
    return [
        judge("age of an overlay, p99", value_of(whole, "age_ms_p99"), "<= 60", "ms"),
        judge("detection staleness, p95", value_of(whole, "staleness_ms_p95"), "<= 100", "ms"),
        judge(
            "own overhead (neither ONNX nor video decoding), p50", value_of(whole, "own_ms_p50"), "<= 4", "ms"
        ),
    ]


def _clip() -> tuple[Path, str]:
    """The clip, and its name for the row."""
    if COFFEE.exists():
        return prepared(COFFEE), COFFEE.stem
    if not SHOW.exists():
        raise CannotRun("neither the shared clips nor the embedded show are here")
    return prepared(SHOW), "embedded show (shared data absent)"


def _model(subject: str) -> str:
    if YOLOX.exists():
        return "yolox_nano 416"
    return "embedded" if subject == "vitrine" else "none"


def _vitrine(folder: Path, clip: Path, seconds: float) -> tuple[Row, list[Overlay]]:
    inference: dict[str, object] = {"show_unsure": True}
    if not (WEIGHTS / EMBEDDER).exists():
        inference["embedder"] = str(write_embedder(folder / "embedder.onnx"))
    if YOLOX.exists():
        inference |= {"detector": str(YOLOX), "rungs": [416]}
    sections: dict[str, dict[str, object]] = {
        "inference": inference,
        "catalog": {"feed": str(catalogue(folder))},
    }
    ours, others = two_cores()
    with engine(folder, sections, cores=ours) as server:
        with viewer(server.websocket) as watching, publisher(clip, server.whip, KEY, others) as sending:
            wait_until(
                lambda: len(server.lines()) > 5,
                20,
                lambda: f"no overlay; {server.process.tail()} {sending.tail()}",
            )
            time.sleep(SETTLE_S)
            watch, begin = Watch(server.process.pid), time.monotonic_ns()
            time.sleep(seconds)
            sending.check()
            used, end = watch.stop(), time.monotonic_ns()
            figures = server.figures()
            time.sleep(0.3)
    if watching.error:
        raise CannotRun(f"the viewer was disconnected: {watching.error}")
    # Only a server that has ended has written its whole trace.
    measured = between(overlays(server.lines()), begin, end)
    row: Row = summary(measured, (end - begin) / 1e9)
    row.update(spread(at_viewer(measured, watching.first_seen()), "age_at_viewer_ms"))
    row.update(used)
    frames = figures["frames"]
    assert isinstance(frames, dict)
    row.update({f"frames_{name}": count for name, count in frames.items()})
    return row, measured


def _peer(folder: Path, clip: Path, seconds: float) -> Row:
    if not YOLOX.exists():
        return {"note": "left out: shared model absent"}
    ours, others = two_cores()
    port, trace = free_port(), folder / "trace.jsonl"
    command = AIORTC.command("--port", str(port), "--trace", trace, "--model", YOLOX)
    with child(AIORTC.name, command, cores=ours) as server:
        url = server.line("ready", 60)
        socket = f"{url.replace('http', 'ws', 1)}/ws/bench"
        with viewer(socket), publisher(clip, f"{url}/whip/bench", "", others) as sending:
            wait_until(
                lambda: trace.stat().st_size > 300, 20, lambda: f"no answer; {server.tail()} {sending.tail()}"
            )
            time.sleep(SETTLE_S)
            watch, begin = Watch(server.pid), time.monotonic_ns()
            time.sleep(seconds)
            sending.check()
            used, end = watch.stop(), time.monotonic_ns()
        lines = [json.loads(line) for line in trace.read_text().splitlines() if line.endswith("}")]
    # What was answered in the stretch, however long ago it arrived: a growing queue must show.
    ages = [(one["sent_ns"] - one["arrived_ns"]) / 1e6 for one in lines if begin <= one["sent_ns"] < end]
    rate = round(len(ages) / seconds, 1)
    return {"frames_per_s": rate, "detected_per_s": rate, **spread(ages, "age_ms"), **used}


def draw(report: Report, figure: Figure) -> None:
    """Left: percentiles of age per row. Right: where Vitrine's median frame spends its time."""
    ages, stages = figure.subplots(1, 2)
    for index, q in enumerate((50, 95, 99)):
        values = [float(row.get(f"age_ms_p{q}") or 0) for row in report.rows]
        ages.bar([i + 0.25 * index for i in range(len(values))], values, 0.25, label=f"p{q}")
    ages.set_xticks([i + 0.25 for i in range(len(report.rows))], [str(row["subject"]) for row in report.rows])
    ages.axhline(60, color="black", linewidth=0.8, linestyle="--")
    ages.set_ylabel("age of an overlay, ms")
    ages.legend()
    own = next((row for row in report.rows if row["subject"] == "vitrine"), {})
    names = [
        key[:-7] for key in own if key.endswith("_ms_p50") and not key.startswith(("age", "stale", "own"))
    ]
    for index, q in enumerate((50, 95)):
        values = [float(own.get(f"{name}_ms_p{q}") or 0) for name in names]
        stages.barh([i + 0.35 * index for i in range(len(names))], values, 0.35, label=f"p{q}")
    stages.set_yticks([i + 0.17 for i in range(len(names))], names)
    stages.set_xlabel("ms per frame, Vitrine")
    stages.legend()


BENCH = Benchmark("pipeline", run, draw, SUBJECTS)

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
