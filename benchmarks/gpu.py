"""What does a GPU buy: the same detector on the CPU, on CUDA in every way the engine knows, and on TensorRT?

Each way is a session of its own, in turns. A row says how long a run takes, how many milliseconds of the
processor it costs, and how far its outputs are from the CPU's. Where there is no GPU the row says why, and
the run ends well: there is nothing to judge.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.harness import Benchmark, Outcome, Settings, main
from benchmarks.publish import SHARED
from benchmarks.report import Report, Row, Target, judge, value_of
from benchmarks.stats import interleaved, spread
from inference.embedded import DETECTOR, embedded_model
from inference.gpu import Machine
from inference.ladder import rewrite
from inference.runtime import OrtModel, RunOk, RuntimeSettings, machine
from inference.types import Rung

YOLOX = SHARED / "models" / "detect" / "yolox_nano.onnx"
RUNG = Rung(640, 640)
CPU = "cpu"
WAYS: dict[str, RuntimeSettings] = {
    CPU: RuntimeSettings("cpu"),
    "cuda": RuntimeSettings("cuda"),
    "cuda, bound": RuntimeSettings("cuda", bind=True),
    "cuda, 16 bit": RuntimeSettings("cuda", half=True),
    "cuda, graphs": RuntimeSettings("cuda", graphs=True),
    "cuda, graphs, 16 bit": RuntimeSettings("cuda", graphs=True, half=True),
    "tensorrt": RuntimeSettings("tensorrt"),
    "tensorrt, 16 bit": RuntimeSettings("tensorrt", half=True),
}
"""Subject -> how its session is made."""


def run(settings: Settings) -> Outcome:
    """A row per way, and one for those that this machine has not: which, and why."""
    return measure(settings, machine(), WAYS)


def measure(settings: Settings, here: Machine, ways: dict[str, RuntimeSettings]) -> Outcome:
    """As `run`, for a machine and ways that are given."""
    path = YOLOX if YOLOX.exists() else embedded_model(DETECTOR)
    data = rewrite(path.read_bytes(), RUNG)
    rows: dict[str, Row] = {}
    models: dict[str, OrtModel] = {}
    absent: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as engines:
        for name, wanted in ways.items():
            if not settings.wants(name):
                continue
            reason = here.why_not(wanted.provider)
            if reason:
                absent.setdefault(reason, []).append(name)
                continue
            settings.say(f"{name}: loading")
            began = time.monotonic()
            model = OrtModel(data, replace(wanted, engines=engines), path=path.name, machine=here)
            model.warm_up()
            load_s = round(time.monotonic() - began, 2)
            rows[name] = {
                "subject": name,
                "got": model.way,
                "cancellable": model.cancellable,
                "load_s": load_s,
            }
            models[name] = model
        _time(models, rows, 3 if settings.quick else 10, 20 if settings.quick else 50, settings.seed)
    notes: list[Row] = [
        {"subject": "not measured", "note": f"{'; '.join(names)}: {reason}"}
        for reason, names in absent.items()
    ]
    return [*rows.values(), *notes], _judge(rows)


def _time(models: dict[str, OrtModel], rows: dict[str, Row], rounds: int, runs: int, seed: int) -> None:
    """Run all models in turns and fill their rows."""
    image = np.random.default_rng(seed).random((1, 3, RUNG.height, RUNG.width), np.float32) * np.float32(255)
    took: dict[str, list[float]] = {name: [] for name in models}
    cpu: dict[str, float] = dict.fromkeys(models, 0.0)
    answers: dict[str, NDArray[np.generic]] = {}
    for name in interleaved(list(models), rounds, seed):
        model = models[name]
        feeds = {model.info.image_input().name: image}
        for _ in range(runs):
            used = time.process_time()
            outcome = model.run(feeds)
            cpu[name] += time.process_time() - used
            if isinstance(outcome, RunOk):
                took[name].append(outcome.took_ns / 1e6)
                answers[name] = next(iter(outcome.outputs.values()))
    for name, times in took.items():
        rows[name].update(spread(times, "run_ms", 3))
        rows[name]["cpu_ms_per_run"] = round(1e3 * cpu[name] / (rounds * runs), 3)
        if CPU in answers and name in answers:
            rows[name]["largest_difference"] = _difference(answers[name], answers[CPU])


def _difference(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """The largest difference of two outputs, as a share of the largest value."""
    first, second = one.astype(np.float64), other.astype(np.float64)
    return round(float(np.abs(first - second).max() / max(1e-9, np.abs(second).max())), 6)


def _judge(rows: dict[str, Row]) -> list[Target]:
    """A GPU that is there has to be used, and be faster than the CPU; without one nothing is promised."""
    reached: Sequence[Row] = [row for name, row in rows.items() if name != CPU and "got" in row]
    if not reached or CPU not in rows:
        return []
    used = sum(str(row["got"]) != CPU for row in reached)
    best = min(value_of(row, "run_ms_p50") for row in reached)
    return [
        judge("ways that run on the GPU that is there", 100.0 * used / len(reached), ">= 100", "%"),
        judge("best run on the GPU, of the CPU's", best / value_of(rows[CPU], "run_ms_p50"), "<= 1", "x"),
    ]


def draw(report: Report, figure: Figure) -> None:
    """A run's time and the processor's share of it, by way."""
    axes = figure.subplots()
    rows = [row for row in report.rows if "run_ms_p50" in row]
    for index, (column, label) in enumerate((("run_ms_p50", "run, p50"), ("cpu_ms_per_run", "processor"))):
        places = [place + 0.4 * index for place in range(len(rows))]
        axes.barh(places, [value_of(row, column) for row in rows], 0.4, label=label)
    axes.set_yticks([place + 0.2 for place in range(len(rows))], [str(row["subject"]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("ms")
    notes = [str(row["note"]) for row in report.rows if "note" in row]
    if notes:
        axes.set_title("\n".join(["not measured:", *notes]), fontsize="small", wrap=True)
    axes.legend()


BENCH = Benchmark("gpu", run, draw, tuple(WAYS))

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
