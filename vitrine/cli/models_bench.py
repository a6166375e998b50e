"""``vitrine models bench``: how fast a model is on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vitrine.cli.options import FamilyOption, JsonOption, ProviderOption, RungOption, ladder
from vitrine.cli.output import epilog, note, out, print_json, progress, usage_error

EPILOG = epilog(
    ("vitrine models bench my_detector.onnx", "every size of its ladder; draws my_detector-bench.svg"),
    ("vitrine models bench d.onnx --rung 416 --runs 200", "one size, more often"),
    ("vitrine models bench d.onnx --threads 2 --plot two.svg", "with two threads"),
    ("vitrine models bench d.onnx --no-plot --json", "for a program"),
)


def bench(
    file: Annotated[Path, typer.Argument(help="An ONNX file: detector, embedder or attributes.")],
    rung: RungOption = None,
    runs: Annotated[int, typer.Option(min=1, max=10_000, help="Measured for each size.")] = 50,
    threads: Annotated[int, typer.Option(min=0, max=256, help="Within one run; 0 decides.")] = 0,
    family: FamilyOption = "",
    provider: ProviderOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Where the drawing goes. Default: FILE-bench.svg here.")
    ] = None,
    no_plot: Annotated[bool, typer.Option("--no-plot", help="Draw nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a model: every input size of its ladder, stage by stage. Prints a table and saves a drawing."""
    from inference.detection import DetectorSettings
    from inference.runtime import RuntimeSettings
    from vitrine.zoo.bench import bench_model
    from vitrine.zoo.plot import save

    settings = DetectorSettings(runtime=RuntimeSettings(provider or "auto", threads), family=family)
    with progress(as_json) as bar:
        task = bar.add_task(f"loading {file.name}", total=None)
        found = bench_model(
            file,
            rungs=ladder(rung),
            runs=runs,
            settings=settings,
            told=lambda subject: bar.update(task, description=f"measuring {file.name}, {subject}"),
        )
    drawing = None
    if not no_plot:
        drawing = plot or Path(f"{file.stem}-bench.svg")
        try:
            save(found, drawing)
        except OSError as error:
            raise usage_error(f"--plot: {drawing}: {error.strerror}; --no-plot draws nothing") from None
    if as_json:
        print_json(asdict(found) | {"plot": str(drawing) if drawing else None})
        return
    stages = list(found.rows[0].stages_ms) if found.rows else []
    table = Table("size", *stages, "p50 ms", "p95 ms", "p99 ms", "a second", box=None)
    for row in found.rows:
        figures = [*row.stages_ms.values(), row.p50_ms, row.p95_ms, row.p99_ms, row.per_s]
        table.add_row(row.subject, *(f"{figure:.2f}" for figure in figures))
    threads_words = f"{found.threads} thread{'' if found.threads == 1 else 's'}"
    out().print(f"{found.family or found.kind} on {found.provider}, {threads_words}, {runs} runs each")
    out().print(table)
    if drawing:
        note(f"drawn in {drawing}")


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("bench", epilog=EPILOG)(bench)
