"""What the embedded weights cost: bytes on disk and milliseconds on one thread."""

from __future__ import annotations

import numpy as np

from benchmarks.harness import Outcome, Settings
from benchmarks.model_parts.finders import OURS, PEERS
from benchmarks.model_parts.pictures import shared
from benchmarks.report import Row, Target, judge, value_of
from benchmarks.stats import percentile
from inference.attributes import WEIGHTS as ATTRIBUTES
from inference.embedded import DETECTOR, EMBEDDER, embedded_model
from inference.ladder import rewrite
from inference.runtime import OrtModel, RunOk, RuntimeSettings
from inference.types import Rung

LIMIT_MB, LIMIT_MS = 3.0, 6.0
CROP_MB, CROP_MS = 4.0, 3.0
CROP = (1, 3, 128, 128)
RUNGS = (
    Rung(320, 320),
    Rung(320, 192),
    Rung(224, 224),
    Rung(160, 160),
    Rung(416, 416),
    Rung(416, 256),
)
"""What ships, the first of them judged, and a larger one to choose."""


def measure(settings: Settings) -> Outcome:
    """A row per model and rung: the fastest and the median of many runs."""
    runs = 40 if settings.quick else 200
    path = embedded_model(DETECTOR)
    one = RuntimeSettings("cpu", 1)
    size_mb = path.stat().st_size / 1e6
    rows: list[Row] = []
    for rung in RUNGS:
        model = OrtModel(rewrite(path.read_bytes(), rung), one)
        fastest, median = _timed(model, (1, 3, rung.height, rung.width), runs)
        name = f"cost: {OURS.split()[0]} {rung.width}x{rung.height}"
        rows.append({"subject": name, "file_mb": round(size_mb, 2), "ms_min": fastest, "ms_p50": median})
    for peer, file in PEERS.items():
        fastest, median = _timed(OrtModel(shared(file), one), (1, 3, 416, 416), runs)
        megabytes = round(shared(file).stat().st_size / 1e6, 2)
        rows.append({"subject": f"cost: {peer}", "file_mb": megabytes, "ms_min": fastest, "ms_p50": median})
    for file in (EMBEDDER, ATTRIBUTES):
        crop = embedded_model(file)
        fastest, median = _timed(OrtModel(crop, one), CROP, runs)
        megabytes = round(crop.stat().st_size / 1e6, 2)
        rows.append(
            {
                "subject": f"cost: {crop.stem}, one crop",
                "file_mb": megabytes,
                "ms_min": fastest,
                "ms_p50": median,
            }
        )
    return rows, targets(rows)


def targets(rows: list[Row]) -> list[Target]:
    """The detector at its first rung, and the embedder; by the median, so a slow moment counts."""
    detector, embedder = rows[0], next(row for row in rows if EMBEDDER.split(".")[0] in str(row["subject"]))
    return [
        judge("size of the embedded detector", value_of(detector, "file_mb"), f"<= {LIMIT_MB}", "MB"),
        judge("median run at 320x320, one thread", value_of(detector, "ms_p50"), f"<= {LIMIT_MS}", "ms"),
        judge("size of the embedded embedder", value_of(embedder, "file_mb"), f"<= {CROP_MB}", "MB"),
        judge("median run of one crop, one thread", value_of(embedder, "ms_p50"), f"<= {CROP_MS}", "ms"),
    ]


def _timed(model: OrtModel, shape: tuple[int, ...], runs: int) -> tuple[float, float]:
    feeds = {model.info.image_input().name: np.zeros(shape, np.float32)}
    model.warm_up()
    took = []
    for _ in range(runs):
        outcome = model.run(feeds)
        if isinstance(outcome, RunOk):
            took.append(outcome.took_ns / 1e6)
    return round(min(took), 2), round(percentile(took, 50), 2)
