from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks import docs, harness, machine, registry
from benchmarks.harness import Benchmark, CannotRun, Outcome, Settings, main
from benchmarks.report import Report, Row, Target, cell, columns, judge

ROWS: list[Row] = [{"subject": "vitrine", "age_ms": 12.5}, {"subject": "peer", "age_ms": math.nan, "n": 3}]


def draw(report: Report, figure: Figure) -> None:
    figure.subplots().bar([str(row["subject"]) for row in report.rows], [1.0] * len(report.rows))


def bench(*targets: Target, error: str = "") -> Benchmark:
    def run(settings: Settings) -> Outcome:
        if error:
            raise CannotRun(error)
        settings.say("measuring")
        return ROWS, list(targets)

    return Benchmark("pipeline", run, draw, ("vitrine", "peer"))


MET = judge("age p99", 12.5, "<= 60", "ms")
MISSED = judge("age p99", 61.0, "<= 60", "ms")


def test_json_prints_exactly_one_object_of_the_agreed_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(bench(MET), ["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"bench", "machine", "commit", "rows", "targets"}
    assert printed["bench"] == "pipeline"
    assert printed["targets"] == [
        {"name": "age p99", "value": 12.5, "unit": "ms", "target": "<= 60", "ok": True}
    ]
    assert printed["rows"][1] == {"subject": "peer", "age_ms": None, "n": 3}


def test_a_missed_target_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(bench(MET, MISSED), []) == 1
    assert "missed" in capsys.readouterr().out


def test_what_cannot_run_exits_2_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(bench(error="no Chromium found"), ["--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "no Chromium found" in said.err


def test_a_quick_run_is_not_saved() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(bench(), ["--quick", "--save"])
    assert stopped.value.code == 2


def pieces(folder: Path, **of_second: str) -> list[str]:
    first = Report("pipeline", {"cpu": "x"}, "abc", ROWS[:1], [MISSED])
    second = replace(first, rows=ROWS[1:], targets=[], **of_second)  # type: ignore[arg-type]
    return [str(one.save(folder / str(number))) for number, one in enumerate((first, second))]


def judging() -> Benchmark:
    return replace(bench(error="nothing is measured"), judge=lambda rows: [judge("n", len(rows), ">= 2", "")])


def test_pieces_are_joined_and_judged_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(judging(), ["--json", "--merge", *pieces(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["subject"] for row in printed["rows"]] == ["vitrine", "peer"]
    assert [(target["name"], target["value"]) for target in printed["targets"]] == [("n", 2.0)]


@pytest.mark.parametrize("of_second", [{"commit": "def"}, {"bench": "other"}])
def test_pieces_measured_otherwise_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], of_second: dict[str, str]
) -> None:
    assert main(judging(), ["--merge", *pieces(tmp_path, **of_second)]) == 2
    assert "measure all pieces alike" in capsys.readouterr().err


def test_a_piece_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.json").write_text("not one")
    assert main(judging(), ["--merge", str(tmp_path / "bad.json")]) == 2
    assert "bad.json" in capsys.readouterr().err


def test_only_what_rows_judge_alone_can_be_joined() -> None:
    with pytest.raises(SystemExit):
        main(bench(), ["--merge", "a.json"])


def test_plot_is_written(tmp_path: Path) -> None:
    assert main(bench(MET), ["--json", "--plot", str(tmp_path / "sub" / "age.png")]) == 0
    assert (tmp_path / "sub" / "age.png").read_bytes().startswith(b"\x89PNG")


def test_only_takes_known_subjects() -> None:
    with pytest.raises(SystemExit):
        main(bench(), ["--only", "nobody"])


def test_a_report_survives_saving(tmp_path: Path) -> None:
    report = Report("pipeline", machine.describe(), "abc", ROWS, [MET, judge("x", math.nan, ">= 1", "%")])
    again = Report.from_json(report.save(tmp_path).read_text())
    assert again.targets[0] == MET
    assert math.isnan(again.targets[1].value) and not again.targets[1].ok
    assert again.rows[0] == ROWS[0]
    assert again.machine == report.machine


def test_a_damaged_result_is_named() -> None:
    with pytest.raises(ValueError, match="missing commit, rows"):
        Report.from_json('{"bench": "x", "machine": {}, "targets": []}')


@pytest.mark.parametrize(
    ("value", "bound", "ok"),
    [(60.0, "<= 60", True), (60.1, "<= 60", False), (99.0, ">= 99", True), (98.9, ">= 99", False)],
)
def test_targets_are_judged_by_their_bound(value: float, bound: str, ok: bool) -> None:
    assert judge("x", value, bound, "ms").ok is ok


@pytest.mark.parametrize("bound", ["<= 1", ">= 1"])
def test_what_was_not_measured_misses_its_target(bound: str) -> None:
    assert not judge("x", math.nan, bound, "ms").ok


def test_an_unknown_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="expected '<= NUMBER'"):
        judge("x", 1, "< 2", "ms")


def test_columns_and_cells() -> None:
    assert columns([*ROWS, {"age_curve": "0:1"}]) == ["subject", "age_ms", "n"]
    assert [cell(value) for value in (None, math.nan, True, 3, 1.23456, 12345.6, "a")] == [
        "-",
        "-",
        "yes",
        "3",
        "1.235",
        "12346",
        "a",
    ]


def test_the_machine_is_described_without_host_or_path() -> None:
    import getpass
    import socket

    text = json.dumps(machine.describe())
    assert "/" not in text.replace("N/A", "")
    assert socket.gethostname() not in text
    assert getpass.getuser() not in text.split()
    assert machine.describe()["cores"]


def test_listing_names_every_benchmark_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks"], capture_output=True, text=True, cwd=machine.ROOT, timeout=60
    )
    assert done.returncode == 0
    assert set(registry.BENCHMARKS) == set(registry.SUMMARIES)
    for name in registry.BENCHMARKS:
        assert sum(line.split()[:1] == [name] for line in done.stdout.splitlines()) == 1


def test_every_registered_benchmark_loads_under_its_own_name() -> None:
    for name in registry.BENCHMARKS:
        assert registry.load(name).name == name


def test_an_unknown_benchmark_lists_the_known_ones() -> None:
    with pytest.raises(KeyError, match="pipeline"):
        registry.load("nonsense")


def test_the_page_says_plainly_what_was_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Report("pipeline", machine.describe(), "abc", ROWS, [MET, MISSED]).save(tmp_path / "results")
    monkeypatch.setattr(docs, "load", lambda name: bench())
    assert docs.write(tmp_path / "results", tmp_path / "docs") == ["pipeline"]
    text = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "1 of 2 targets missed" in text
    assert "| age p99 | 61 ms | <= 60 ms | **missed** |" in text
    assert "./run bench pipeline" in text
    assert (tmp_path / "docs" / "benchmarks" / "pipeline.png").exists()


def test_the_table_shows_rows_and_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.main(bench(MET), ["--quiet"]) == 0
    out = capsys.readouterr()
    assert "vitrine" in out.out and "met" in out.out
    assert out.err == ""


def test_the_page_says_what_limits_a_missed_target_and_nothing_of_a_met_one() -> None:
    name = "1,000,000 products: 16 callers, p99"
    missed, met = (Target(name, 20.0, "ms", "<= 14", ok) for ok in (False, True))
    assert "What limits it" in docs.section(Report("index", machine.describe(), "abc", [], [missed]))
    assert "What limits it" not in docs.section(Report("index", machine.describe(), "abc", [], [met]))
    assert "What limits it" not in docs.section(Report("pipeline", machine.describe(), "abc", [], [missed]))
