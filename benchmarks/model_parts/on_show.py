"""Does the engine name what the show shows? The whole path: WebRTC, both models, tracker, matcher, hotspots.

`vitrine demo` publishes the embedded show to a server in the same process and holds what was sent for each
frame against the truth of that frame (`vitrine.demo_score`), in real time: a machine that cannot keep up
shows later, and that is part of the answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import cast

from benchmarks.harness import CannotRun, Outcome, Settings
from benchmarks.machine import ROOT
from benchmarks.report import Row
from benchmarks.stats import percentile
from stream.sources.synthetic import load_ground_truth

QUICK_S = 8
LIMIT_S = 180


def measure(settings: Settings) -> Outcome:
    """One row; no bound was promised, so none is judged."""
    settings.say("on the show: through the whole engine")
    accuracy = play(QUICK_S if settings.quick else None)
    pts_ns = load_ground_truth().pts_ns
    row = figures(accuracy, (pts_ns[1] - pts_ns[0]) / 1e9)
    return [{"subject": "on the show: vitrine demo", **row}], []


def play(seconds: int | None) -> Mapping[str, object]:
    """What `vitrine demo --json` says of its accuracy, after `seconds` or once through the show.

    Raises:
        CannotRun: it does not run.
    """
    command = [sys.executable, "-m", "vitrine", "demo", "--json", "--port", "0"]
    command += ["--seconds", str(seconds)] if seconds else []
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = subprocess.run(
                [*command, "--data-dir", folder],
                cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise CannotRun(f"vitrine demo did not end within {LIMIT_S} s") from error
    try:
        return cast("Mapping[str, object]", json.loads(run.stdout)["accuracy"])
    except (ValueError, KeyError) as error:
        raise CannotRun(f"vitrine demo: exit code {run.returncode}: {run.stderr.strip()[-400:]}") from error


def figures(accuracy: Mapping[str, object], frame_s: float) -> Row:
    """The row: products, mistakes and times from `vitrine.demo_score.ShowScore.summary`.

    Args:
        accuracy: the summary.
        frame_s: seconds between two frames of the show.
    """
    products = cast("dict[str, dict[str, int | None]]", accuracy["by_product"])
    waits = [
        (last - first) * frame_s
        for one in products.values()
        if (last := one["first_identified_frame"]) is not None
        and (first := one["first_visible_frame"]) is not None
    ]
    unseen_min = cast(int, accuracy["not_in_catalogue_visible"]) * frame_s / 60
    false = cast(int, accuracy["not_in_catalogue_hotspots"])
    return {
        "products_shown": len(products),
        "products_identified": cast(int, accuracy["products_identified"]),
        "wrong_identities": cast(int, accuracy["wrong_identities"]),
        "first_correct_p50_s": round(percentile(waits, 50), 2) if waits else None,
        "first_correct_max_s": round(max(waits), 2) if waits else None,
        "right": cast(float, accuracy["right"]),
        "wrong": cast(float, accuracy["wrong"]),
        "loose": cast(float, accuracy["loose"]),
        "false_per_min_not_in_catalogue": round(false / unseen_min, 2) if unseen_min else None,
    }
