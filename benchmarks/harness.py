"""The one command line of all benchmarks: settings in, one JSON object or a table out.

A benchmark module makes a `Benchmark` and ends with ``raise SystemExit(main(BENCH))``. Its `run` returns rows
and targets; the rest (machine, commit, saving, drawing, exit status) happens here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.registry import SUMMARIES
from benchmarks.report import Report, Row, Target, cell, columns

QUICK_LIMIT_S = 45.0
"""A ``--quick`` run ends within this."""


class CannotRun(Exception):
    """Something the benchmark needs is not there; the message says what and how to get it. Exit status 2."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked for.

    Attributes:
        quick: end within `QUICK_LIMIT_S`; judge only what that allows.
        seed: of everything random.
        only: subjects to run; empty for all.
        seconds: measured per subject and setting, instead of the benchmark's own choice; None to leave it.
        say: progress for people, on stderr.
    """

    quick: bool
    seed: int
    only: tuple[str, ...]
    seconds: float | None
    say: Callable[[str], None]

    def wants(self, subject: str) -> bool:
        """`subject` is to be run."""
        return not self.only or subject in self.only


Outcome = tuple[list[Row], list[Target]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One question and how to answer it.

    Attributes:
        name: registry name.
        run: measures. One process per subject, subjects interleaved.
        draw: puts the report on an empty figure.
        subjects: what ``--only`` may name.
        judge: the targets of rows alone, where a long run may be measured in pieces and joined.
    """

    name: str
    run: Callable[[Settings], Outcome]
    draw: Callable[[Report, Figure], None]
    subjects: tuple[str, ...]
    judge: Callable[[Sequence[Row]], list[Target]] | None = None


def main(bench: Benchmark, arguments: Sequence[str] | None = None) -> int:
    """Run `bench` as its command line says. Returns the exit status: 0, 1 target missed, 2 cannot run."""
    parser = _parser(bench)
    options = parser.parse_args(arguments)
    if options.save and options.quick:
        parser.error("--save keeps full runs only; leave out --quick")
    say = _progress(options.quiet)
    settings = Settings(options.quick, options.seed, tuple(options.only or ()), options.seconds, say)
    about = machine.describe()
    try:
        if bench.judge is not None and options.merge:
            report = joined(bench.name, options.merge, bench.judge)
        else:
            report = Report(bench.name, about, machine.commit(), *bench.run(settings))
    except CannotRun as error:
        print(f"{bench.name}: {error}", file=sys.stderr)
        return 2
    if options.plot:
        plot(bench, report, options.plot)
    if options.save:
        say(f"saved {report.save().name}")
    if options.json:
        print(report.to_json())
    else:
        show(report, Console())
    return 0 if report.ok else 1


def joined(name: str, pieces: Sequence[Path], judge: Callable[[Sequence[Row]], list[Target]]) -> Report:
    """One report of the pieces that ``--json`` printed, judged as if measured in one run.

    Raises:
        CannotRun: a file is no such report, or of another benchmark, checkout or machine than the first.
    """
    reports = []
    for path in pieces:
        try:
            reports.append(Report.from_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise CannotRun(f"--merge {path}: {error}") from error
    first = reports[0]
    for path, one in zip(pieces, reports, strict=True):
        told = (one.bench, one.commit, one.machine.get("cpu"))
        expected = (name, first.commit, first.machine.get("cpu"))
        if told != expected:
            raise CannotRun(f"--merge {path}: got {told}, expected {expected}; measure all pieces alike")
    rows = [row for one in reports for row in one.rows]
    return Report(name, first.machine, first.commit, rows, judge(rows))


def plot(bench: Benchmark, report: Report, path: Path) -> None:
    """Draw `report` into the PNG, SVG or PDF file `path`."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    bench.draw(report, figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None} if path.suffix == ".png" else None)


def show(report: Report, console: Console) -> None:
    """Print `report` as tables: one column per row of the report, then the targets."""
    names = columns(report.rows)
    table = Table(title=f"{report.bench}: {SUMMARIES.get(report.bench, '')}", show_lines=False)
    table.add_column("")
    for row in report.rows:
        table.add_column(cell(row.get(names[0])), justify="right")
    for name in names[1:]:
        table.add_row(name, *(cell(row.get(name)) for row in report.rows))
    if report.rows:
        console.print(table)
    targets = Table(title="targets")
    for heading in ("target", "measured", "wanted", ""):
        targets.add_column(heading, overflow="fold")
    for t in report.targets:
        verdict = "[green]met[/]" if t.ok else "[red]missed[/]"
        targets.add_row(t.name, f"{cell(t.value)} {t.unit}", f"{t.target} {t.unit}", verdict)
    if report.targets:
        console.print(targets)
    console.print(f"{machine.in_words(report.machine)}; commit {report.commit}", style="dim", highlight=False)


def _parser(bench: Benchmark) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{bench.name}", description=SUMMARIES.get(bench.name, "")
    )
    parser.add_argument("--quick", action="store_true", help=f"end within {QUICK_LIMIT_S:.0f} s")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw into a PNG, SVG or PDF file")
    parser.add_argument("--save", action="store_true", help="keep the result for docs/benchmarks.md")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="measured time per subject and setting")
    parser.add_argument("--only", action="append", choices=bench.subjects, help="one subject; repeatable")
    if bench.judge is not None:
        parser.add_argument(
            "--merge",
            type=Path,
            nargs="+",
            metavar="JSON",
            help="measure nothing: join what --json printed for pieces (--only), and judge that",
        )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def _progress(quiet: bool) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not quiet:
            print(f"[bench] {text}", file=sys.stderr, flush=True)

    return say
