"""Does a track find its product, does the engine know when it does not, and does a host's word help?

Groceries photographed in shops are made into tracks: several photos of one article are its views. The
rendered show's objects are tracks already. Both are put to the engine's own matcher, with the thresholds of
each embedder's own metadata (the defaults where it has none), in catalogues that lack every fifth article in
its turn. Ours was trained on ten of the nineteen cartons and on the show's products: the rows `new cartons`,
the nine others among all nineteen, are the ones to go by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.match_parts import teaching
from benchmarks.match_parts.asking import AFTER, Embedded, ask_all, embed
from benchmarks.match_parts.goods import Article, groceries, show
from benchmarks.match_parts.judging import PRECISION, confusions, figures
from benchmarks.model_parts.pictures import shared
from benchmarks.model_parts.retrieval import OURS, PEERS
from benchmarks.report import Report, Row, Target, judge, value_of
from inference.embedded import EMBEDDER, embedded_model
from inference.embedder import OnnxEmbedder
from inference.errors import ModelError
from inference.runtime import OrtModel, RuntimeSettings

QUICK_PEER = "mobilenetv3s_embed576"
CARTONS = "new cartons"


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of goods.

    Attributes:
        load: the articles; given whether to be quick.
        tracks: of each article in each turn.
        wanted: of the articles, those that are shown; all are in the catalogue.
        in_order: views are consecutive ones of a video.
    """

    load: Callable[[bool], list[Article]]
    tracks: int
    wanted: Callable[[Article], bool] = bool
    in_order: bool = False


def _cartons(quick: bool) -> list[Article]:
    return groceries("package", 12 if quick else 24)


KINDS = {
    CARTONS: Kind(_cartons, 8, lambda article: article.unseen),
    "all cartons": Kind(_cartons, 4),
    "produce": Kind(lambda quick: groceries("produce", 6 if quick else 15), 3),
    "show": Kind(lambda quick: show(30 if quick else 10), 4, in_order=True),
}
QUICK = (CARTONS, "show")


def run(settings: Settings) -> Outcome:
    """A row for every kind of goods and every embedder."""
    models = {OURS: embedded_model(EMBEDDER)} | {name: shared(f"models/embed/{name}.onnx") for name in PEERS}
    if settings.quick:
        models = {name: models[name] for name in (OURS, QUICK_PEER)}
    kinds = {
        name: kind
        for name, kind in KINDS.items()
        if settings.wants(name) and (not settings.quick or name in QUICK)
    }
    rows: list[Row] = []
    goods: dict[Callable[[bool], list[Article]], list[Article]] = {}
    for kind in kinds.values():
        if kind.load not in goods:
            settings.say(f"pictures of {', '.join(n for n, k in kinds.items() if k.load is kind.load)}")
            goods[kind.load] = kind.load(settings.quick)
    for model, path in models.items():
        rows += _of_model(settings, kinds, goods, model, path)
    rows.sort(key=lambda row: [*kinds].index(str(row["subject"]).partition(": ")[0]))
    return rows, targets(rows)


def _of_model(
    settings: Settings,
    kinds: dict[str, Kind],
    goods: dict[Callable[[bool], list[Article]], list[Article]],
    model: str,
    path: Path,
) -> list[Row]:
    try:
        embedder = OnnxEmbedder(OrtModel(path, RuntimeSettings("cpu", 1)))
    except ModelError as error:
        raise CannotRun(str(error)) from error
    seen: dict[Callable[[bool], list[Article]], Embedded] = {}
    rows = []
    for name, kind in kinds.items():
        settings.say(f"{name}: {model}")
        if kind.load not in seen:
            seen[kind.load] = embed(goods[kind.load], embedder)
        rows.append({"subject": f"{name}: {model}", **_row(seen[kind.load], kind, settings)})
    return rows


def _row(seen: Embedded, kind: Kind, settings: Settings) -> Row:
    answers = ask_all(seen, kind.tracks, settings.seed, in_order=kind.in_order, wanted=kind.wanted)
    row = figures(answers, [article.family for article in seen.articles])
    if not kind.in_order:
        row |= teaching.measure(seen, kind.tracks, settings.seed, kind.wanted)
    worst = confusions(answers, [article.name for article in seen.articles])
    return row | {"mixed_up": "; ".join(worst)}


def targets(rows: list[Row]) -> list[Target]:
    """Ours on goods it was never trained on, and beside the best of the others."""
    mine = next((row for row in rows if row["subject"] == f"{CARTONS}: {OURS}"), None)
    if mine is None:
        return []
    others = [row for row in rows if str(row["subject"]).startswith(f"{CARTONS}: ") and row is not mine]

    def value(row: Row, key: str) -> float:
        found = row[key]
        return float(found) if isinstance(found, int | float) else 0.0

    def best(key: str) -> float:
        return max((value(row, key) for row in others), default=0.0)

    last = AFTER[-1]
    return [
        judge(
            f"{CARTONS}: of 'exact', right, as shipped", value(mine, "exact_precision"), f">= {PRECISION}", ""
        ),
        judge(
            f"{CARTONS}: best coverage at .97, ahead of the best peer",
            value(mine, "coverage_97") - max(best("coverage_97"), best("coverage_97_plain")),
            ">= 0",
            "",
        ),
        judge(
            f"{CARTONS}: top-1 after {last} views, ahead of the best peer",
            value(mine, f"top1_{last}") - best(f"top1_{last}"),
            ">= 0.05",
            "",
        ),
        judge(f"{CARTONS}: AUROC against what is not in the catalogue", value(mine, "auroc"), ">= 0.8", ""),
        judge(
            f"{CARTONS}: top-1 gained by one confirm of each",
            value(mine, "top1_confirmed") - value(mine, "top1_untaught"),
            ">= 0",
            "",
        ),
        judge(f"{CARTONS}: rightly named, and lost by vetoes of others", value(mine, "lost"), "<= 0.05", ""),
    ]


def draw(report: Report, figure: Figure) -> None:
    """Left: top-1 over views. Right: coverage at .97 and AUROC."""
    left, right = figure.subplots(1, 2)
    rows = [row for row in report.rows if str(row["subject"]).startswith(f"{CARTONS}: ")]
    names = [str(row["subject"]).partition(": ")[2] for row in rows]
    for row, name in zip(rows, names, strict=True):
        left.plot(range(len(AFTER)), [value_of(row, f"top1_{n}") for n in AFTER], marker="o", label=name)
    left.set_xticks(range(len(AFTER)), [str(n) for n in AFTER])
    left.set_ylim(0, 1)
    left.set_xlabel("views of the track")
    left.set_ylabel("leading product is right")
    if left.lines:
        left.legend(fontsize="small")
    for at, key in enumerate(("coverage_97", "exact_coverage", "auroc")):
        right.barh(
            [n + at * 0.27 for n in range(len(rows))], [value_of(r, key) for r in rows], 0.25, label=key
        )
    right.set_yticks([n + 0.27 for n in range(len(rows))], names, fontsize="small")
    right.invert_yaxis()
    right.set_xlim(0, 1)
    right.legend(fontsize="small")
    figure.suptitle("Cartons the embedded embedder was never trained on")


BENCH = Benchmark("match", run, draw, tuple(KINDS))

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
