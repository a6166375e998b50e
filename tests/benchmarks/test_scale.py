from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.registry import BENCHMARKS
from benchmarks.scale import Constant


def test_constants_come_from_saved_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = {"subject": "vitrine", "case": "crowd"}
    rows = [
        {**crowd, "viewers": 100, "viewers_per_core": 300},
        {**crowd, "viewers": 200, "viewers_per_core": 250},
        {**crowd, "viewers": 400, "viewers_per_core": None},
        {"subject": "aiortc MediaRelay", "case": "crowd", "viewers": 900, "viewers_per_core": 3},
    ]
    saved = {"rows": rows, "commit": "0123456789abcdef"}
    (tmp_path / "whep.json").write_text(json.dumps(saved))
    monkeypatch.setattr(scale, "RESULTS", tmp_path)
    found = scale.constants()
    assert (found["whep"].value, found["whep"].source) == (
        250.0,
        "`python -m benchmarks.whep`, commit 0123456789ab",
    )
    assert "not saved yet" in found["delivery"].source
    assert all("assumption" in scale.ASSUMED[name].source for name in scale.ASSUMED)


def test_every_cited_command_exists() -> None:
    assert {wanted.bench for wanted in scale.WANTED.values()} <= set(BENCHMARKS)


def test_the_arithmetic() -> None:
    values = {"stream": 40, "delivery": 10, "memory": 16, "octets": 100, "whep": 200}
    fixed = {name: Constant(name, float(value), "", "") for name, value in values.items()}
    needs = {need.what: need.count for need in scale.plan({**fixed, **scale.ASSUMED})}
    assert needs["ingest nodes of 8 cores"] == 100  # 1000 x 0.4 / 4
    assert needs["gateways of 8 cores"] == 375  # 150 million a second x 10 / 4
    assert needs["viewers per gateway"] == 26_667
    assert needs["egress of positions, Gbit/s"] == 120
    assert needs["egress of video, Gbit/s"] == 25_000
    bill = scale.costs({**fixed, **scale.ASSUMED}, scale.plan({**fixed, **scale.ASSUMED}))
    assert {need.what: need.count for need in bill} == {
        "recognition": 0.032,
        "gateways": 0.12,
        "egress of positions": 0.54,
        "egress of video": 112.5,
    }


def test_the_page_is_complete_and_there() -> None:
    made, kept = scale.page(scale.constants()), scale.PAGE.read_text(encoding="utf-8")
    headings = [line for line in made.splitlines() if line.startswith("#")]
    assert headings == [line for line in kept.splitlines() if line.startswith("#")]
    assert "{" not in made and "nan" not in made
