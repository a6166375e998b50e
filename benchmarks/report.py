"""What a benchmark run says: rows, targets, and the one JSON object that carries them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.machine import ROOT, MachineInfo

Scalar = str | int | float | bool | None
Row = dict[str, Scalar]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Target:
    """One promise and what became of it.

    Attributes:
        name: what is promised, in words.
        value: what was measured; NaN (null in JSON) when it could not be, which is a miss.
        unit: of value and bound ("ms", "%", "frames").
        target: the bound in words (``"<= 60"``).
        ok: kept.
    """

    name: str
    value: float
    unit: str
    target: str
    ok: bool


def judge(name: str, value: float, bound: str, unit: str) -> Target:
    """Compare `value` with `bound`, written ``"<= 60"`` or ``">= 99"``. NaN never passes."""
    operator, _, number = bound.partition(" ")
    limit = float(number)
    if operator == "<=":
        ok = value <= limit
    elif operator == ">=":
        ok = value >= limit
    else:
        raise ValueError(f"bound: got {bound!r}, expected '<= NUMBER' or '>= NUMBER'")
    return Target(name, round(value, 3), unit, bound, ok)


def value_of(row: Row, name: str) -> float:
    """A column as a number; NaN, which passes no bound, where the row has none there."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


@dataclass(frozen=True, slots=True)
class Report:
    """A finished run.

    Attributes:
        bench: registry name.
        machine: see `benchmarks.machine.describe`.
        commit: of the checkout that was measured.
        rows: one per subject and setting; flat, the column names carry units.
        targets: those this run could judge.
    """

    bench: str
    machine: MachineInfo
    commit: str
    rows: list[Row]
    targets: list[Target] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Every listed target was kept."""
        return all(target.ok for target in self.targets)

    def to_json(self) -> str:
        """``{bench, machine, commit, rows, targets}``; numbers that could not be measured are null."""
        return json.dumps(
            {
                "bench": self.bench,
                "machine": self.machine,
                "commit": self.commit,
                "rows": [{key: _plain(value) for key, value in row.items()} for row in self.rows],
                "targets": [
                    {"name": t.name, "value": _plain(t.value), "unit": t.unit, "target": t.target, "ok": t.ok}
                    for t in self.targets
                ],
            },
            allow_nan=False,
        )

    @staticmethod
    def from_json(text: str) -> Report:
        """Read what `to_json` wrote.

        Raises:
            ValueError: not such an object; says which key is missing.
        """
        raw = json.loads(text)
        missing = {"bench", "machine", "commit", "rows", "targets"} - set(raw)
        if missing:
            raise ValueError(f"saved result: missing {', '.join(sorted(missing))}; run the benchmark again")
        targets = [
            Target(
                t["name"],
                math.nan if t["value"] is None else t["value"],
                t["unit"],
                t["target"],
                bool(t["ok"]),
            )
            for t in raw["targets"]
        ]
        return Report(raw["bench"], raw["machine"], raw["commit"], raw["rows"], targets)

    def save(self, folder: Path = RESULTS) -> Path:
        """Write ``FOLDER/BENCH.json``, indented, and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.bench}.json"
        path.write_text(json.dumps(json.loads(self.to_json()), indent=1) + "\n", encoding="utf-8")
        return path


def _plain(value: Scalar) -> Scalar:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def columns(rows: list[Row]) -> list[str]:
    """Column names of all rows, in order of first appearance, without curves (``..._curve``: for plots)."""
    seen: dict[str, Literal[True]] = {}
    for row in rows:
        for key in row:
            if not key.endswith("_curve"):
                seen[key] = True
    return list(seen)


def cell(value: Scalar) -> str:
    """A value as a table shows it: ``-`` for what was not measured."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
