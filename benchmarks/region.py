"""Does looking only where the tracks are cost less, or find more small things, than looking at everything?

YOLOX-Nano over clips with true boxes, every frame in order, planned by the engine's own planner and followed
by its own worker: 416 on the whole picture; where the tracks are, at whatever size shows them in as much
detail, and everything every 400 ms ("always"); and a machine that after a calm second can afford 224 only, on
the whole picture or where the tracks are ("busy"). "small" clips show the picture in a corner of a grey one
2.5 times its sides. Recall is of true boxes at IoU .5 among what is shown; cost is the device's time per
frame: cutting out, scaling, model and decoding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from benchmarks.budget_parts.subjects import YOLOX
from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.model_parts.pictures import Sample, coffee, frame_of, in_corner, show
from benchmarks.report import Report, Row, Target, judge, value_of
from benchmarks.stats import percentile
from inference.budget import BudgetPlanner, BudgetSettings
from inference.detection import DetectorSettings, LoadedDetector, load_detector
from inference.device import DeviceWorker
from inference.geometry import iou_matrix
from inference.runtime import RuntimeSettings
from inference.types import Demand, Rung
from inference.worker import StreamWorker
from stream.clock import MonotonicClock
from stream.types import stream_id

LARGE, SMALL = Rung(416, 416), Rung(224, 224)
WAYS = {
    "416, everything": BudgetSettings(rungs=(LARGE,), regions="never"),
    "416, regions always": BudgetSettings(rungs=(LARGE, SMALL), regions="always"),
    "busy, everything": BudgetSettings(rungs=(LARGE, SMALL), regions="never"),
    "busy, regions": BudgetSettings(rungs=(LARGE, SMALL), regions="busy"),
}
CALM_FRAMES = 30
"""At the beginning everything can be afforded; they do not count."""
DEAR_NS = 1_000_000_000
"""What 416 costs where it cannot be afforded."""
CHEAP_NS = 5_000_000
"""What 224 costs there."""
FRAME_NS = 33_333_333
LARGER = 2.5
RUNS = ("detect", "pixels", "preprocess", "decode")
"""Stages of a result that occupy the device."""


def run(settings: Settings) -> Outcome:
    """A row per clip and way."""
    if not YOLOX.exists():
        raise CannotRun(f"{YOLOX.name} is not among the shared models")
    wanted = DetectorSettings(0.1, RuntimeSettings("cpu", 1))
    detector = load_detector(YOLOX, rungs=[LARGE, SMALL], settings=wanted)
    rows: list[Row] = []
    for name in clips():
        samples = list(clip(name, 75 if settings.quick else 210))
        for way in WAYS:
            if settings.wants(way):
                settings.say(f"{name}: {way}")
                rows.append({"subject": way, "clip": name, **asyncio.run(_follow(way, samples, detector))})
    return rows, _judge(rows)


def clips() -> tuple[str, ...]:
    """Names of the clips."""
    return "mug", "mug, small", "show", "show, small"


def clip(name: str, frames: int) -> Iterator[Sample]:
    """The first `frames` of a clip, in order, with the boxes to be found."""
    source = coffee("mug", 1) if name.startswith("mug") else show(1)
    for number, sample in enumerate(source):
        if number == frames:
            return
        if name.endswith("small"):
            image = sample.frame.pixels.scaled(640, 360, "rgb")
            larger, moved = in_corner(image, sample.truth, 0, LARGER)
            sample = Sample(frame_of(larger), moved)
        yield Sample(replace(sample.frame, pts_ns=number * FRAME_NS), sample.truth)


async def _follow(way: str, samples: list[Sample], detector: LoadedDetector) -> Row:
    planner, device, clock = BudgetPlanner(WAYS[way]), DeviceWorker("bench"), MonotonicClock()
    worker = StreamWorker(stream_id("bench"), device=device, detector=detector)
    found = wanted = regions = 0
    cost_ms: list[float] = []
    for number, sample in enumerate(samples):
        frame = sample.frame
        counts = number >= CALM_FRAMES
        if "busy" in way and counts:
            planner.observe(LARGE, DEAR_NS)
            planner.observe(SMALL, CHEAP_NS)
        plan = planner.plan(frame.pts_ns, frame.pts_ns, Demand(viewers=1), partial(worker.region, frame))
        plan = replace(plan, deadline_ns=clock.now_ns() + DEAR_NS)
        result = await worker.process(frame, plan)
        if not counts:
            continue
        regions += plan.region is not None
        if plan.detect:
            cost_ms.append(sum(result.stages_ns.get(stage, 0) for stage in RUNS) / 1e6)
        shown = np.array([track.box for track in result.tracks if track.confirmed], np.float32).reshape(-1, 4)
        wanted += len(sample.truth)
        if len(shown) and len(sample.truth):
            found += int((iou_matrix(sample.truth, shown).max(axis=1) >= 0.5).sum())
    await device.close()
    return {
        "frames": len(samples) - CALM_FRAMES,
        "regions": regions,
        "recall": round(found / max(1, wanted), 4),
        "cost_ms_p50": round(percentile(cost_ms, 50), 2),
        "cost_ms_per_frame": round(sum(cost_ms) / max(1, len(samples) - CALM_FRAMES), 2),
    }


def _judge(rows: list[Row]) -> list[Target]:
    targets = []
    for name in clips():
        here = {str(row["subject"]): row for row in rows if row["clip"] == name}
        if set(here) != set(WAYS):
            continue
        large, always, small, busy = (here[way] for way in WAYS)
        ahead = value_of(always, "recall") - value_of(large, "recall")
        targets.append(judge(f"{name}: recall of regions always, ahead of 416", ahead, ">= -0.01", ""))
        if value_of(always, "regions"):
            ratio = value_of(always, "cost_ms_per_frame") / value_of(large, "cost_ms_per_frame")
            targets.append(judge(f"{name}: cost of regions always, against 416", ratio, "<= 0.75", "x"))
        ahead = value_of(busy, "recall") - value_of(small, "recall")
        if name.endswith("small"):
            targets.append(
                judge(f"{name}: recall of regions when busy, ahead of everything", ahead, ">= 0.05", "")
            )
        else:
            targets.append(
                judge(f"{name}: recall of regions when busy, ahead of everything", ahead, ">= -0.01", "")
            )
    return targets


def draw(report: Report, figure: Figure) -> None:
    """Recall against cost, a panel per clip."""
    for axes, name in zip(figure.subplots(1, len(clips()), squeeze=False)[0], clips(), strict=True):
        for row in report.rows:
            if row["clip"] == name:
                point = value_of(row, "cost_ms_per_frame"), value_of(row, "recall")
                axes.scatter(*point, label=str(row["subject"]))
        axes.set(title=name, xlabel="ms of the device per frame", ylim=(0, 1.02))
    figure.axes[0].set_ylabel("recall at IoU .5")
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), fontsize=7, loc="outside lower center", ncols=4
    )


BENCH = Benchmark("region", run, draw, tuple(WAYS))

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
