"""Where does the server compute while one stream is watched? As a flame graph.

The pipeline benchmark's setting (a real 720p30 clip through real WebRTC, YOLOX-Nano at 416, one viewer), with
the server under `benchmarks.sampler`, a sampling profiler of our own. Width is processor time; waiting has
none.
"""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks import pipeline
from benchmarks.engine import KEY, catalogue, engine
from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.painted.blob import write_embedder
from benchmarks.procs import two_cores, wait_until
from benchmarks.publish import publisher
from benchmarks.report import Report, Row
from benchmarks.sampler import NATIVE
from benchmarks.trace import between, overlays
from benchmarks.viewer import viewer
from inference.embedded import EMBEDDER, WEIGHTS

FPS = 30
TOP = 14
"""Innermost entries listed."""
NARROWEST = 0.002
"""Share of the whole below which a box is not drawn."""
COLOURS = {
    "stream/": "#7fb3d5",
    "inference/": "#f5b041",
    "overlay/": "#82c596",
    "vitrine/": "#bb8fce",
    NATIVE: "#e57368",
}
OTHER = "#cfd4d8"


def run(settings: Settings) -> Outcome:
    """One row: processor time per frame in all, by thread, and in the entries that cost most."""
    seconds = settings.seconds or (8.0 if settings.quick else 25.0)
    clip, said = pipeline._clip()
    settings.say(f"{said}: {seconds:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        stacks, wall_s, detected = _sampled(Path(folder), clip, seconds)
    return [{"subject": "vitrine", "clip": said, "detected_per_s": detected, **figures(stacks, wall_s)}], []


def _sampled(folder: Path, clip: Path, seconds: float) -> tuple[dict[str, int], float, float]:
    """Processor nanoseconds by stack, seconds looked, detections a second."""
    # No deadline: processor time is asked for, and a busy machine shall detect as often as an idle one.
    inference: dict[str, object] = {"show_unsure": True, "budget_ms": 1000}
    if not (WEIGHTS / EMBEDDER).exists():
        inference["embedder"] = str(write_embedder(folder / "embedder.onnx"))
    if pipeline.YOLOX.exists():
        inference |= {"detector": str(pipeline.YOLOX), "rungs": [416]}
    sections: dict[str, dict[str, object]] = {
        "inference": inference,
        "catalog": {"feed": str(catalogue(folder))},
    }
    ours, others = two_cores()
    target = folder / "seen.json"
    with engine(folder, sections, cores=ours, under=("benchmarks.sampler", target)) as server:
        with viewer(server.websocket), publisher(clip, server.whip, KEY, others) as sending:
            wait_until(lambda: len(server.lines()) > 5, 20, lambda: f"no overlay; {server.process.tail()}")
            time.sleep(pipeline.SETTLE_S)
            server.process.process.send_signal(signal.SIGUSR1)
            begin = time.monotonic_ns()
            time.sleep(seconds)
            end = time.monotonic_ns()
            sending.check()
            server.process.process.send_signal(signal.SIGTERM)
            server.process.process.wait(20)
    if not target.exists():
        raise CannotRun(f"the sampled server left nothing behind; {server.process.tail()}")
    seen = json.loads(target.read_text(encoding="utf-8"))
    measured = between(overlays(server.lines()), begin, end)
    detected = sum(one.outcome == "detected" for one in measured) / seconds
    return seen["stacks"], seen["wall_ns"] / 1e9, round(detected, 1)


def figures(stacks: Mapping[str, int], wall_s: float) -> Row:
    """Processor milliseconds per frame: in all, by thread, by innermost entry; and stacks for the picture.

    Args:
        stacks: nanoseconds by stack, as `benchmarks.sampler` writes them.
        wall_s: how long was looked.

    Raises:
        CannotRun: nothing was seen.
    """
    whole, frames = sum(stacks.values()), wall_s * FPS
    if not whole or not frames:
        raise CannotRun("nothing was seen; measure for longer (--seconds)")
    threads: Counter[str] = Counter()
    inner: Counter[str] = Counter()
    for stack, ns in stacks.items():
        entries = stack.split(";")
        threads[f"thread {entries[0]}"] += ns
        native = entries[-1].startswith(NATIVE) and len(entries) > 2
        inner[f"{entries[-2]} {entries[-1]}" if native else entries[-1]] += ns
    costs = {"all": whole, **dict(threads.most_common()), **dict(inner.most_common(TOP))}
    return {
        **{f"{name}, ms a frame": round(ns / frames / 1e6, 3) for name, ns in costs.items()},
        "stacks_curve": json.dumps(stacks),
    }


class Box:
    """One entry of the picture: how much was spent in it, and in what it called."""

    def __init__(self) -> None:
        self.ns = 0
        self.inside: dict[str, Box] = {}


def tree(stacks: Mapping[str, int]) -> Box:
    """Stacks merged from the outermost entry inwards."""
    root = Box()
    for stack, ns in stacks.items():
        box = root
        box.ns += ns
        for entry in stack.split(";"):
            box = box.inside.setdefault(entry, Box())
            box.ns += ns
    return root


def colour(entry: str) -> str:
    """By package; what C computes stands out."""
    return next((found for start, found in COLOURS.items() if entry.startswith(start)), OTHER)


def draw(report: Report, figure: Figure) -> None:
    """The flame graph: threads at the bottom, what they called above; widest first."""
    figure.set_size_inches(15, 9)
    axes = figure.subplots()
    stacks = json.loads(str(report.rows[0]["stacks_curve"]))
    root = tree(stacks)
    deepest = _row_of_boxes(axes, root, 0.0, 0, root.ns)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, deepest + 1)
    axes.set_yticks([])
    ms = report.rows[0]["all, ms a frame"]
    axes.set_xlabel(
        f"processor time: {ms} ms a frame in all; below: threads; [C]: computing outside of Python"
    )
    for spine in axes.spines.values():
        spine.set_visible(False)
    names = {"stream/": "stream", "inference/": "inference", "overlay/": "overlay", "vitrine/": "vitrine"}
    shown = [(names.get(start, "C code"), found) for start, found in COLOURS.items()]
    handles = [Rectangle((0, 0), 1, 1, color=found) for _, found in (*shown, ("", OTHER))]
    labels = [*(name for name, _ in shown), "libraries, Python"]
    axes.legend(handles, labels, loc="upper right", fontsize="small", frameon=False)


def _row_of_boxes(axes: Axes, box: Box, left: float, depth: int, whole: int) -> int:
    """Draw what is inside `box`, from `left` on; returns how deep it went."""
    deepest = depth
    for entry, inner in sorted(box.inside.items(), key=lambda item: -item[1].ns):
        width = inner.ns / whole
        if width < NARROWEST:
            continue
        axes.add_patch(
            Rectangle((left, depth), width, 0.94, facecolor=colour(entry), edgecolor="white", lw=0.4)
        )
        letters = int(width * 190)
        if letters >= 5:
            text = entry if len(entry) <= letters or entry.startswith(NATIVE) else entry.rpartition(":")[2]
            text = text if len(text) <= letters else text[: letters - 1] + "…"
            axes.text(
                left + 0.002, depth + 0.45, text, fontsize=6.5, va="center", clip_on=True, parse_math=False
            )
        deepest = max(deepest, _row_of_boxes(axes, inner, left, depth + 1, whole))
        left += width
    return deepest


BENCH = Benchmark("flame", run, draw, ("vitrine",))

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
