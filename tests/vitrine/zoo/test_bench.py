from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from inference.attributes import WEIGHTS as ATTRIBUTES
from inference.detection import DetectorSettings
from inference.embedded import embedded_model
from inference.errors import ModelError
from inference.runtime import RuntimeSettings
from inference.types import Rung
from tests.inference.models import colour_embedder, yolox_model
from tests.shared import shared_path
from vitrine.zoo.bench import Bench, Row, bench_model
from vitrine.zoo.plot import draw, save

CPU = DetectorSettings(runtime=RuntimeSettings("cpu", 1))
SVG = "{http://www.w3.org/2000/svg}"


class Ticking:
    """A clock on which every look takes a millisecond."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        self.ns += 1_000_000
        return self.ns


def written(folder: Path, data: bytes) -> Path:
    path = folder / "made.onnx"
    path.write_bytes(data)
    return path


def test_every_size_of_the_ladder_is_measured_by_its_own_session() -> None:
    told: list[str] = []
    path = shared_path("models/detect/yolox_nano.onnx")
    found = bench_model(path, rungs=[Rung(160, 160)], runs=3, settings=CPU, told=told.append)
    assert [row.subject for row in found.rows] == ["160x160", "160x96", "96x160"] == told
    assert {row.rung for row in found.rows} == {"160x160"}
    assert (found.kind, found.family, found.provider, found.threads) == ("detector", "yolox", "cpu", 1)
    for row in found.rows:
        assert row.runs == 3 and 0 < row.p50_ms <= row.p95_ms <= row.p99_ms
        assert set(row.stages_ms) == {"preprocess", "detect", "decode"}
        assert row.stages_ms["detect"] > row.stages_ms["preprocess"]
        assert row.per_s == pytest.approx(1e3 / row.p50_ms, rel=0.05)


def test_time_is_read_off_the_clock(tmp_path: Path) -> None:
    path = written(tmp_path, yolox_model([]))
    (row,) = bench_model(path, runs=4, settings=CPU, clock=Ticking()).rows
    assert row.stages_ms["detect"] == row.stages_ms["decode"] == 1.0
    assert row.p50_ms == row.p99_ms == sum(row.stages_ms.values())


def test_an_embedder_is_measured_by_the_crop(tmp_path: Path) -> None:
    found = bench_model(written(tmp_path, colour_embedder()), runs=3, settings=CPU, clock=Ticking())
    assert (found.kind, found.family) == ("embedder", "")
    assert [row.subject for row in found.rows] == ["1 crop", "4 crops", "8 crops"]
    assert all(row.stages_ms == {"embed": 1.0} for row in found.rows)


def test_the_embedded_attributes_are_measured_by_the_crop() -> None:
    found = bench_model(embedded_model(ATTRIBUTES), runs=2, settings=CPU, clock=Ticking())
    (row,) = found.rows
    assert (found.kind, row.subject, row.stages_ms) == ("attributes", "1 crop", {"tag": 1.0})


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a usable ONNX model"):
        bench_model(written(tmp_path, b"nothing"), settings=CPU)


def made(*p50s: float) -> Bench:
    rows = tuple(
        Row(f"{i}x{i}", "", 9, {"detect": p50 * 0.8, "decode": p50 * 0.2}, p50, p50 * 1.5, p50 * 2, 1.0)
        for i, p50 in enumerate(p50s)
    )
    return Bench("/models/a<b>&c.onnx", "detector", "yolox", "cpu", 1, rows)


def test_the_drawing_has_a_bar_for_each_stage_as_long_as_it_took(tmp_path: Path) -> None:
    path = save(made(20.0, 10.0), tmp_path / "new" / "bench.svg")
    tree = ElementTree.parse(path).getroot()
    assert "a<b>&c.onnx: yolox, cpu, 1 thread" in [text.text for text in tree.iter(f"{SVG}text")]
    bars = [bar for bar in tree.iter(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert len(widths) == 4
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.01)
    assert widths[0] / widths[2] == pytest.approx(2, rel=0.01)
    ends = [float(bar.attrib["x"]) + float(bar.attrib["width"]) for bar in bars]
    assert max(ends) < float(tree.attrib["width"])


@pytest.mark.parametrize("p50", [0.002, 0.7, 3.0, 41.0, 2500.0])
def test_the_axis_has_few_round_marks_whatever_the_scale(p50: float) -> None:
    tree = ElementTree.fromstring(draw(made(p50)))
    middles = [text for text in tree.iter(f"{SVG}text") if text.attrib.get("text-anchor") == "middle"]
    values = [float(str(text.text)) for text in middles]
    assert 3 <= len(values) <= 10 and values[0] == 0 and values[-1] >= p50 * 2


def test_a_model_without_rows_is_drawn_empty() -> None:
    assert ElementTree.fromstring(draw(made())).tag == f"{SVG}svg"
