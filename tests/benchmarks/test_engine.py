from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from benchmarks.engine import Engine, catalogue, toml
from benchmarks.painted.blob import write_embedder, write_model
from benchmarks.peers.registry import AIORTC, Peer
from benchmarks.procs import Child, child
from inference.runtime import OrtModel

SILENT = ["python3", "-c", "input()"]


def test_configuration_is_toml_with_the_values_given() -> None:
    sections: dict[str, dict[str, object]] = {
        "server": {"port": 0, "origins": ["http://a.example"]},
        "inference": {"show_unsure": True},
    }
    assert tomllib.loads(toml(sections)) == sections


def test_a_half_written_trace_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "trace.jsonl").write_text('{"rtp": 1}\n{"rtp": 2}\n{"rt')
    with child("stand-in", SILENT) as process:
        assert [line["rtp"] for line in _engine(process, tmp_path).lines()] == [1, 2]


def test_no_trace_yet_is_no_lines(tmp_path: Path) -> None:
    with child("stand-in", SILENT) as process:
        assert _engine(process, tmp_path).lines() == []


def _engine(process: Child, folder: Path) -> Engine:
    return Engine(process, "http://127.0.0.1:1", folder / "trace.jsonl")


def test_addresses_follow_from_the_one_port(tmp_path: Path) -> None:
    with child("stand-in", SILENT) as process:
        running = _engine(process, tmp_path)
    assert running.whip == "http://127.0.0.1:1/whip/bench"
    assert running.websocket == "ws://127.0.0.1:1/ws/bench"


def test_the_catalogue_has_one_product_with_its_picture(tmp_path: Path) -> None:
    head, row = catalogue(tmp_path).read_text().splitlines()
    product = dict(zip(head.split("\t"), row.split("\t"), strict=True))
    assert (tmp_path / product["image_link"]).exists()
    assert product["id"] == "object-1"


def test_the_benchmarks_models_can_be_loaded_and_say_how_long_they_take(tmp_path: Path) -> None:
    model = OrtModel(write_model(tmp_path / "blob.onnx", 60))
    assert model.info.metadata["benchmark.takes_ms"] == "60"
    assert OrtModel(write_embedder(tmp_path / "embedder.onnx")).info.image_input().shape[1:] == (3, 64, 64)


def test_a_peer_without_requirements_is_always_there() -> None:
    assert AIORTC.missing == ""


def test_a_peer_that_is_not_installed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.peers.registry.HOME", tmp_path)
    peer = Peer("nobody", "nobody", ("nothing==1",), "")
    assert peer.missing == "nobody: not installed (./run bench-setup)"
    (tmp_path / "nobody").mkdir()
    (tmp_path / "nobody" / "ready").touch()
    assert peer.missing == ""
