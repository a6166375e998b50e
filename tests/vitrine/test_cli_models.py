"""``vitrine models``: list, check, bench and pull, as a shell sees them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.inference.detectors import graphs
from tests.inference.models import colour_embedder, yolox_model
from tests.vitrine.test_cli import run_json
from vitrine.cli import run
from vitrine.cli.output import Exit, exit_code
from vitrine.errors import PullBrokeOff, WrongFile

MODEL = yolox_model([(32, 24, 16, 16, 0.9, 0)])
SHA = hashlib.sha256(MODEL).hexdigest()


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    return run_json(capsys, *arguments)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[str]:
    """A web server with a model and a page."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shoes.onnx").write_bytes(MODEL)
    (folder / "page.html").write_text("<html>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(2)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_pulling_an_address_says_aloud_that_it_was_trusted(
    here: Path, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "pull", f"{shop}/shoes.onnx"]) == Exit.OK
    said = capsys.readouterr()
    place = here / "vitrine-data" / "models" / "shoes.onnx"
    assert place.read_bytes() == MODEL
    assert "No hash is known for shoes: what came was trusted" in said.err and SHA in said.err
    assert "pulled: vitrine-data/models/shoes.onnx" in said.out
    assert 'detector = "vitrine-data/models/shoes.onnx"' in said.out
    assert run(["models", "pull", f"{shop}/shoes.onnx"]) == Exit.OK
    said = capsys.readouterr()
    assert "already here" in said.out and "trusted" not in said.err


def test_a_program_learns_everything_from_json(
    here: Path, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(
        capsys, "models", "pull", f"{shop}/shoes.onnx", "--sha256", SHA, "--to", "elsewhere", "--json"
    )
    assert found["path"] == "elsewhere/shoes.onnx" and found["sha256"] == SHA
    assert (found["fetched"], found["trusted_on_first_use"], found["bytes"]) == (True, False, len(MODEL))


def test_a_wrong_hash_fails_and_leaves_nothing(
    here: Path, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "pull", f"{shop}/shoes.onnx", "--sha256", "0" * 64]) == Exit.FAILED
    assert "It was thrown away; nothing was replaced" in capsys.readouterr().err
    assert list((here / "vitrine-data" / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["nothing-like-it-zzz"], "no model is called", Exit.FAILED),
        (["yolox-nano", "--sha256", "12"], "expected 64 digits", Exit.FAILED),
        (["yolox-nano", "--mirror", "nowhere"], "in the mirror, found neither", Exit.FAILED),
        (["SHOP/absent.onnx"], "404", Exit.FAILED),
        (["SHOP/page.html"], "web page", Exit.FAILED),
    ],
)
def test_what_cannot_be_pulled_is_said(
    shop: str, arguments: list[str], words: str, code: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [each.replace("SHOP", shop) for each in arguments]
    assert run(["models", "pull", *arguments]) == code
    assert words in capsys.readouterr().err


def test_the_list_shows_what_is_here_and_what_could_be(
    here: Path, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["models", "pull", f"{shop}/shoes.onnx"])
    capsys.readouterr()
    found = answer(capsys, "models", "list", "--json")
    assert [each["name"] for each in found["pulled"]] == ["shoes"]
    assert {"vitrine_detect", "vitrine_embed"} <= {each["name"] for each in found["models"]}
    public = {each["name"]: each for each in found["public"]}
    assert public["yolox-nano"]["licence"] == "Apache-2.0" and not public["yolox-nano"]["pulled"]
    assert public["yolox-nano"]["source"] and "rf-detr" in found["families"]
    assert run(["models", "list"]) == Exit.OK
    shown = capsys.readouterr().out
    assert "shoes" in shown and "yolox-nano" in shown and "no hash is known" in shown


def test_bench_prints_a_table_and_saves_a_drawing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "d.onnx").write_bytes(MODEL)
    assert run(["models", "bench", "d.onnx", "--runs", "2", "--threads", "1"]) == Exit.OK
    said = capsys.readouterr()
    assert "yolox on cpu, 1 thread, 2 runs each" in said.out and "64x64" in said.out
    assert (here / "d-bench.svg").read_text().startswith("<svg ")
    found = answer(capsys, "models", "bench", "d.onnx", "--runs", "2", "--plot", "x/y.svg", "--json")
    assert found["rows"][0]["subject"] == "64x64" and found["plot"] == "x/y.svg"
    assert (here / "x" / "y.svg").exists()


def test_bench_of_an_embedder_without_a_drawing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "e.onnx").write_bytes(colour_embedder())
    assert run(["models", "bench", "e.onnx", "--runs", "1", "--no-plot"]) == Exit.OK
    assert "4 crops" in capsys.readouterr().out
    assert not (here / "e-bench.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["bench", "absent.onnx", "--no-plot"], Exit.FAILED),
        (["bench", "d.onnx", "--rung", "100"], Exit.USAGE),
        (["bench", "d.onnx", "--runs", "0"], Exit.USAGE),
        (["bench", "d.onnx", "--runs", "1", "--plot", "file/x.svg"], Exit.USAGE),
        (["check", "d.onnx", "--family", "yolo99"], Exit.FAILED),
    ],
)
def test_wrong_use_has_its_exit_code(here: Path, arguments: list[str], code: Exit) -> None:
    (here / "d.onnx").write_bytes(MODEL)
    (here / "file").write_text("")
    assert run(["models", *arguments]) == code


def test_check_takes_a_family_the_file_does_not_show(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    boxes, scores, labels = np.zeros((9, 4), np.float32), np.zeros(9, np.float32), np.zeros(9, np.int64)
    (here / "d.onnx").write_bytes(graphs.rt_detr(boxes, scores, labels, (1, 3, 96, 96)))
    assert answer(capsys, "models", "check", "d.onnx", "--json")["family"] == "rt-detr"
    found = answer(capsys, "models", "check", "d.onnx", "--family", "deimv2", "--json")
    assert found["family"] == "deimv2" and found["ladder"].startswith("one size: ")
    assert run(["models", "check", "d.onnx"]) == Exit.OK
    assert "one size: anchors and position codes" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", ["list", "check", "bench", "pull"])
def test_help_has_examples_and_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", command, "--help"]) == Exit.OK
    shown = capsys.readouterr().out
    assert "Examples" in shown and f"vitrine models {command}" in shown and "Exit codes" in shown


def test_a_json_error_is_still_words(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "pull", "zzzzzzzz", "--json"]) == Exit.FAILED
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ")


def test_only_a_network_that_gave_out_may_be_tried_again() -> None:
    assert exit_code(PullBrokeOff("x")) == Exit.UNAVAILABLE
    assert exit_code(WrongFile("x")) == Exit.FAILED
