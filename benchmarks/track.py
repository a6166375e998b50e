"""Do boxes stay on their objects, with the same id, better than with any tracker one can install?

All sequences of the shared data, a detection every frame, every third, every sixth, and every third usable
three frames late; every frame is scored, whether it was detected or not. HOTA (arXiv 2009.07736), IDF1 and
MOTA are `trackeval`'s own figures. The peers run with their defaults in environments of their own; each may
hold or coast its boxes between detections, whichever scores better. "+ looks" subjects also get an embedding
per detection: synthetic ones, for these sequences have no pixels.

What viewers see is compared side by side, over what both trackers show (`benchmarks.paired` says why); the
rows also tell each tracker's figures by itself, and in which ours are worse that way (`worse_alone`). The
tracker's first display settings were chosen on the first, third... sequence of each set, and `worse_unseen`
judges the others alone; later rules were chosen looking at all. Another `--seed` draws other looks: ids per
object on MOT17 with looks then come out on either side of the peer's, which shows fewer of the objects.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from matplotlib.figure import Figure

from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.machine import ROOT
from benchmarks.paired import Pair
from benchmarks.peers.registry import TRACKEVAL, TRACKING
from benchmarks.publish import CACHE, SHARED
from benchmarks.report import Report, Row, Target, judge
from benchmarks.sequences import REGIMES, SETS, folders, load
from benchmarks.track_ours import SUBJECTS as OURS

TRACKS = SHARED / "tracks"
PEERS = {name: peer for peer in TRACKING for name in peer.subjects}
SUBJECTS = (*OURS, *PEERS)
QUICK = ("vitrine", "trackers C-BIoU")
LEVEL = {"MOT17-val-half"}
"""Sets on which level is enough: half a point below counts as level."""

OBJECTS = (10, 50, 200)
Scores = dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]
"""Set, subject, regime, mode, metric."""

Cell = tuple[str, str, str]
"""Set, subject, regime."""


def run(settings: Settings) -> Outcome:
    """Every subject over every set and regime; a row per subject."""
    if not TRACKS.exists():
        raise CannotRun("the shared tracking sequences are not here")
    if TRACKEVAL.missing:
        raise CannotRun(f"the scoring kit is missing. {TRACKEVAL.missing}")
    wanted = [name for name in SUBJECTS if settings.wants(name) and (not settings.quick or name in QUICK)]
    job: dict[str, object] = {
        "root": str(TRACKS),
        "sets": list(SETS if not settings.quick else SETS[:1]),
        "regimes": list(REGIMES if not settings.quick else ("k1", "k3")),
        "seed": settings.seed,
        "frames": 200 if settings.quick else None,
        "subjects": wanted,
        "cache": str(CACHE / "tracks"),
        "versions": {peer.name: peer.requirements for peer in (*TRACKING, TRACKEVAL)},
        "objects": OBJECTS if not settings.quick else OBJECTS[:2],
    }
    with tempfile.TemporaryDirectory() as folder:
        boxes = Path(folder) / "boxes"
        boxes.mkdir()
        (Path(folder) / "job.json").write_text(json.dumps(job))
        notes = _follow(settings, Path(folder) / "job.json", boxes)
        settings.say("scoring")
        scores = _score(Path(folder) / "job.json", boxes)
        chosen = best_modes(scores)
        settings.say("watching")
        seen = _display(job, boxes, chosen, {cell: best_peer(scores, chosen, cell) for cell in ours(scores)})
        speed = {
            k: v for file in sorted(boxes.glob("*.json")) for k, v in json.loads(file.read_text()).items()
        }
    rows = [_row(name, scores, chosen, seen, speed) for name in wanted]
    for row in rows:
        if note := notes.get(str(row["subject"])):
            row["note"] = note
    return rows, _judge(scores, chosen, seen, speed)


def _follow(settings: Settings, job: Path, boxes: Path) -> dict[str, str]:
    """Run all families; returns why subjects were left out."""
    wanted, notes = json.loads(job.read_text())["subjects"], dict[str, str]()
    commands: list[tuple[str, Sequence[str | Path]]] = []
    if set(wanted) & set(OURS):
        commands.append(("vitrine", [sys.executable, "-m", "benchmarks.track_ours", job, boxes]))
    for peer in TRACKING:
        mine = [name for name in peer.subjects if name in wanted]
        if peer.missing:
            notes |= dict.fromkeys(mine, peer.missing)
        elif mine:
            commands.append((peer.name, peer.command(peer.name, job, boxes)))
    for name, command in commands:
        settings.say(f"{name}: following")
        done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise CannotRun(f"{name} failed: {done.stderr.strip()[-600:]}")
    return notes


def _score(job: Path, boxes: Path) -> Scores:
    command = [str(part) for part in TRACKEVAL.command(job, boxes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise CannotRun(f"scoring failed: {done.stderr.strip()[-600:]}")
    return cast(Scores, json.loads(done.stdout.splitlines()[-1]))


def best_modes(scores: Scores) -> dict[Cell, str]:
    """(set, subject, regime) to the mode with the higher HOTA."""
    return {
        (set_name, subject, regime): max(modes, key=lambda mode: modes[mode]["hota"])
        for set_name, subjects in scores.items()
        for subject, regimes in subjects.items()
        for regime, modes in regimes.items()
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """What viewers see of ours beside the peer with the best HOTA: over all sequences, over the unseen."""

    peer: str
    whole: Pair
    unseen: Pair

    def row(self, end: str) -> Row:
        """Columns of our row, whose names end in `end`."""
        ours, theirs = self.whole.figures()
        row: Row = {f"{key}{end}": value for key, value in self.whole.alone[0].figures().items()}
        row |= {f"{key}_beside{end}": value for key, value in ours.items()}
        row |= {f"{key}_of_peer{end}": value for key, value in theirs.items()}
        return row


def _display(
    job: dict[str, object], boxes: Path, chosen: dict[Cell, str], beside: dict[Cell, str]
) -> dict[Cell, Seen]:
    """Ours beside the best peer of each cell."""
    seen = {}
    for set_name in cast("list[str]", job["sets"]):
        frames, seed = cast("int | None", job["frames"]), cast("int", job["seed"])
        sequences = [load(f, seed, frames) for f in folders(TRACKS, set_name)]
        for cell, peer in beside.items():
            if cell[0] != set_name or not peer:
                continue
            keys = [f"{cell[2]}|{chosen[set_name, who, cell[2]]}" for who in (cell[1], peer)]
            answers = [np.load(boxes / f"{set_name}|{who}.npz") for who in (cell[1], peer)]
            seen[cell] = one = Seen(peer, Pair(), Pair())
            for number, sequence in enumerate(sequences):
                both = [told[f"{key}|{sequence.name}"] for told, key in zip(answers, keys, strict=True)]
                one.whole.add(sequence, both[0], both[1])
                if number % 2:
                    one.unseen.add(sequence, both[0], both[1])
    return seen


def ours(scores: Scores) -> list[Cell]:
    """All cells of our subjects."""
    return [
        (set_name, name, regime)
        for set_name, subjects in scores.items()
        for name in OURS
        for regime in subjects.get(name, {})
    ]


def best_peer(scores: Scores, chosen: dict[Cell, str], cell: Cell) -> str:
    """Of those that had what we had in `cell`, the one with the best HOTA; empty where there is none."""
    set_name, name, regime = cell
    hota = {
        peer: scores[set_name][peer][regime][chosen[set_name, peer, regime]]["hota"]
        for peer in rivals(scores, set_name, OURS[name])
    }
    return max(hota, key=hota.__getitem__, default="")


def _row(
    name: str,
    scores: Scores,
    chosen: dict[Cell, str],
    seen: dict[Cell, Seen],
    speed: dict[str, dict[str, float]],
) -> Row:
    row: Row = {"subject": name}
    for count, took_ms in speed.get(name, {}).items():
        row[f"update_ms_{count}_objects"] = round(took_ms, 3)
    for set_name in scores:
        for regime in REGIMES:
            mode = chosen.get((set_name, name, regime))
            if mode is not None:
                figures = scores[set_name][name][regime][mode]
                for metric in ("hota", "idf1", "mota", "idsw"):
                    row[f"{set_name} {regime} {metric}"] = figures[metric]
    for (set_name, subject, regime), one in seen.items():
        if subject == name:
            row[f"{set_name} {regime} worse_alone"] = ", ".join(one.whole.worse_alone()) or "none"
            row[f"{set_name} {regime} worse_unseen"] = ", ".join(one.unseen.worse()) or "none"
            # Beside k3, for the saved file only.
            told = one.row("" if regime == "k3" else "_curve")
            row |= {f"{set_name} {regime} {key}": value for key, value in told.items()}
    return row


def rivals(scores: Scores, set_name: str, looks: bool) -> Iterator[str]:
    """Peers that had what we had: looks or none."""
    yield from (name for name in scores[set_name] if name in PEERS and (looks or "looks" not in name))


def _judge(
    scores: Scores,
    chosen: dict[Cell, str],
    seen: dict[Cell, Seen],
    speed: dict[str, dict[str, float]],
) -> list[Target]:
    """HOTA and IDF1 against the best peer of each cell, display against the peer with the best HOTA."""
    targets = []
    for (set_name, name, regime), one in seen.items():

        def of(subject: str, metric: str, where: tuple[str, str] = (set_name, regime)) -> float:
            mode = chosen[where[0], subject, where[1]]
            return scores[where[0]][subject][where[1]][mode][metric]

        peers = list(rivals(scores, set_name, OURS[name]))
        bound = ">= -0.5" if set_name in LEVEL else ">= 0"
        for metric in ("hota", "idf1"):
            best = max(peers, key=lambda peer, metric=metric: of(peer, metric))  # type: ignore[misc]
            ahead = of(name, metric) - of(best, metric)
            what = f"{name}, {set_name} {regime}: {metric.upper()} ahead of {best}"
            targets.append(judge(what, ahead, bound, "points"))
        bad = one.whole.worse()
        what = f"{name}, {set_name} {regime}: display worse than {one.peer}"
        what += f" in {', '.join(bad)}" if bad else ""
        targets.append(judge(what, len(bad), "<= 0", "figures"))
    if "50" in speed.get("vitrine", {}):
        targets.append(judge("an update with 50 objects", speed["vitrine"]["50"], "<= 1", "ms"))
    return targets


def draw(report: Report, figure: Figure) -> None:
    """A panel per set: HOTA per regime, ours thick."""
    present = [s for s in SETS if any(key.startswith(f"{s} ") for row in report.rows for key in row)]
    for axes, set_name in zip(
        figure.subplots(1, max(1, len(present)), squeeze=False)[0], present, strict=True
    ):
        for row in report.rows:
            name = str(row["subject"])
            points = [(r, row[f"{set_name} {r} hota"]) for r in REGIMES if f"{set_name} {r} hota" in row]
            if points:
                axes.plot(
                    [p[0] for p in points],
                    [p[1] for p in points],
                    linewidth=3 if name in OURS else 0.8,
                    linestyle="--" if "looks" in name else "-",
                    label=name,
                )
        axes.set_title(set_name, fontsize=9)
    figure.axes[0].set_ylabel("HOTA")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=6, loc="outside right upper")


BENCH = Benchmark("track", run, draw, SUBJECTS)

if __name__ == "__main__":
    raise SystemExit(main(BENCH))
