"""Do the weights that ship find what a host shows, beside the detectors one would take instead?

Every detector is run as the engine runs it and made class-agnostic in the same way, in the same run. Each
question is a file of `benchmarks.model_parts`. The boxed photos, both clips and the show's frames were never
trained on; the show's products were, so its rows say how well the shipped pair fits together.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from benchmarks.harness import Benchmark, Outcome, Settings, main
from benchmarks.model_parts import attributes, blank, clips, cost, held, on_show, retrieval
from benchmarks.model_parts.finders import Finder, finders
from benchmarks.model_parts.tally import FIRST
from benchmarks.report import Report, Row, Target, value_of

Part = Callable[[Settings], Outcome]


def compared(measure: Callable[[Settings, list[Finder]], Outcome]) -> Part:
    """A question that is put to every detector; they are loaded once."""
    return lambda settings: measure(settings, finders())


PARTS: dict[str, Part] = {
    "held": compared(held.measure),
    "blank": compared(blank.measure),
    "clips": compared(clips.measure),
    "cost": cost.measure,
    "retrieval": retrieval.measure,
    "attributes": attributes.measure,
    "show": on_show.measure,
}
"""Question -> what answers it. `--only` names them."""


def run(settings: Settings) -> Outcome:
    """Every question asked for, in order."""
    rows: list[Row] = []
    targets: list[Target] = []
    for name, part in PARTS.items():
        if settings.wants(name):
            more, judged = part(settings)
            rows += more
            targets += judged
    return rows, targets


def draw(report: Report, figure: Figure) -> None:
    """Left: held products among the first k. Right: average precision on the clips."""
    left, right = figure.subplots(1, 2)
    for row in report.rows:
        kind, _, subject = str(row["subject"]).partition(": ")
        if kind != "held":
            continue
        line = left.plot(FIRST, [value_of(row, f"r{k}_75_prior") for k in FIRST], marker="o", label=subject)
        plain = [value_of(row, f"r{k}_75") for k in FIRST]
        left.plot(FIRST, plain, linestyle=":", marker=".", color=line[0].get_color())
    left.set_xticks(FIRST)
    left.set_ylim(0, 1)
    left.set_xlabel("first boxes (line: ranked by prominence, dotted: by score)")
    left.set_ylabel("held products found, IoU .75")
    if left.lines:
        left.legend(fontsize="small")
    rows = [row for row in report.rows if "ap50" in row]
    right.barh(range(len(rows)), [value_of(row, "ap50") for row in rows])
    right.set_yticks(range(len(rows)), [str(row["subject"]) for row in rows], fontsize="small")
    right.invert_yaxis()
    right.set_xlim(0, 1)
    right.set_xlabel("average precision at IoU .5, any class")


BENCH = Benchmark("models", run, draw, tuple(PARTS))

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
