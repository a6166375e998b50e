from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import jwt
import pytest
from PIL import Image

from tests.inference.models import colour_embedder, yolox_model
from tests.stream.media import write_clip
from vitrine.cli import app, run
from vitrine.cli.output import Exit, exit_code
from vitrine.errors import AuthError, ConfigError, FrontError
from vitrine.version import version

COMMANDS = [
    ["serve"],
    ["demo"],
    ["check"],
    ["catalog", "import"],
    ["catalog", "list"],
    ["catalog", "export"],
    ["catalog", "search"],
    ["catalog", "tag"],
    ["catalog", "enroll"],
    ["models", "list"],
    ["models", "check"],
    ["tag"],
    ["token"],
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No configuration of the developer's own, and state in a folder that goes away."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    yield


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """A detector that always sees one box in the middle, and an embedder that looks at the colour."""
    (tmp_path / "detector.onnx").write_bytes(yolox_model([(32, 24, 16, 16, 0.9, 0)]))
    (tmp_path / "embedder.onnx").write_bytes(colour_embedder())
    return ["--detector", "detector.onnx", "--embedder", "embedder.onnx"]


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """Two good products, of one colour each, and two bad rows."""
    for name, colour in (("red", (200, 60, 40)), ("blue", (30, 40, 220))):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.png")
    rows = [
        "id\ttitle\tprice\tlink\timage_link",
        "red\tRed square\t5.00 EUR\thttps://shop.example/red\tred.png",
        "cheap\tNo price\tcheap\thttps://shop.example/c\tred.png",
        "blue\tBlue square\t6.00 EUR\thttps://shop.example/blue\tblue.png",
        "gone\tNo picture\t6.00 EUR\thttps://shop.example/gone\tgone.png",
    ]
    path = tmp_path / "feed.tsv"
    path.write_text("\n".join(rows) + "\n")
    return path


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert run(arguments) == Exit.OK, capsys.readouterr().err
    value: dict[str, object] = json.loads(capsys.readouterr().out)
    return value


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_examples_and_exit_codes(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--help"]) == Exit.OK
    shown = capsys.readouterr().out
    assert "Examples" in shown and f"vitrine {' '.join(command)}" in shown and "Exit codes" in shown


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == Exit.OK
    shown = capsys.readouterr().out
    assert all(
        name in shown for name in ("serve", "demo", "check", "fleet", "catalog", "models", "tag", "token")
    )
    assert len(app.registered_commands) + len(app.registered_groups) == 8


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == Exit.OK
    assert capsys.readouterr().out == f"vitrine {version()}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--prot", "1"],
        ["nonsense"],
        ["serve", "--source", "no-equals-sign"],
        ["serve", "--log-level", "loud"],
        ["token", "king", "demo"],
        ["token", "view", "Bad Name"],
        ["token", "view", "demo", "--ttl", "0"],
        ["catalog", "search"],
        ["catalog", "search", "--image", "absent.png"],
        ["models", "check", "x.onnx", "--rung", "100"],
        ["tag", "http://x/y.mp4"],
        ["tag", "a.mp4", "--out", "absent/folder/a"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(arguments)
    shown = capsys.readouterr()
    assert code == Exit.USAGE, shown.err
    assert shown.out == "" and "Traceback" not in shown.err and "Usage:" in shown.err


def test_a_refused_configuration_is_exit_code_3_and_one_paragraph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vitrine.toml").write_text("[server]\nprot = 1\n")
    assert run(["check"]) == Exit.CONFIG
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "error: vitrine.toml: unknown key server.prot. Did you mean 'port'?\n"


def test_debug_shows_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "vitrine.toml").write_text("[server]\nprot = 1\n")
    assert run(["--debug", "check"]) == Exit.CONFIG
    assert "Traceback" in capsys.readouterr().err


def test_what_an_error_means_for_the_exit_code() -> None:
    assert exit_code(ConfigError("x")) is Exit.CONFIG
    assert exit_code(FrontError("x")) is Exit.UNAVAILABLE
    assert exit_code(AuthError("x", retryable=True)) is Exit.UNAVAILABLE
    assert exit_code(AuthError("x")) is Exit.FAILED


def test_a_token_is_signed_with_the_secret_kept_in_the_data_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_json(capsys, "token", "view", "demo", "--ttl", "30", "--json", "--data-dir", "state")
    secret = json.loads((tmp_path / "state" / "keys.json").read_text())["secret"]
    claims = jwt.decode(str(found["token"]), secret, algorithms=["HS256"], audience="vitrine")
    assert (claims["role"], claims["stream"], claims["exp"] - claims["iat"]) == ("view", "demo", 30)
    assert run(["token", "host", "*", "--data-dir", "state"]) == Exit.OK
    assert capsys.readouterr().out.count(".") == 2


def test_a_model_that_works_is_described(models: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "models", "check", "detector.onnx", "--json")
    assert (found["kind"], found["family"], found["names"]) == ("detector", "yolox", ["product", "person"])
    assert run(["models", "check", "embedder.onnx"]) == Exit.OK
    assert "embedder" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a model", yolox_model([])[:900]])
def test_a_model_that_does_not_work_fails_in_words(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    assert run(["models", "check", "broken.onnx"]) == Exit.FAILED
    shown = capsys.readouterr().err
    assert shown.startswith("error: broken.onnx") and "Traceback" not in shown


def test_models_list_names_families(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "models", "list", "--json")
    families = found["families"]
    assert isinstance(families, list) and {"yolox", "nanodet-plus"} <= set(families)


def test_import_list_and_search(models: list[str], feed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embedder = models[2:]
    report = run_json(capsys, "catalog", "import", str(feed), "--json", *embedder)
    assert (report["imported"], report["unchanged"], report["recognisable"]) == (2, 0, 2)
    bad = report["bad"]
    assert isinstance(bad, list)
    assert [(row["line"], row["id"], row["field"]) for row in bad] == [
        (3, "cheap", "price"),
        (5, "gone", "image_link"),
    ]
    assert run_json(capsys, "catalog", "import", str(feed), "--json", *embedder)["unchanged"] == 2
    assert run(["catalog", "list"]) == Exit.OK
    assert "Red square" in capsys.readouterr().out
    assert run(["catalog", "search", "blue", "square"]) == Exit.OK
    shown = capsys.readouterr().out
    assert "Blue square" in shown and "Red square" not in shown
    assert run(["catalog", "search", "green"]) == Exit.FAILED
    capsys.readouterr()
    found = run_json(capsys, "catalog", "search", "--image", "blue.png", "--json", *embedder)
    products = found["products"]
    assert isinstance(products, list)
    assert [product["id"] for product in products] == ["blue", "red"]
    assert products[0]["score"] == pytest.approx(1.0, abs=0.01)


def test_a_search_keeps_to_sellers_markets_and_what_is_in_stock(
    models: list[str], feed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = feed.read_text().splitlines()
    marks = ["availability", "in_stock", "in_stock", "out_of_stock", "in_stock"]
    feed.write_text("\n".join(f"{line}\t{mark}" for line, mark in zip(lines, marks, strict=True)) + "\n")
    run(["catalog", "import", str(feed), *models[2:]])
    by_picture = ["--image", "blue.png", *models[2:]]
    for asked in (by_picture, ["square"]):
        for limits, wanted in (
            (["--availability", "in_stock"], {"red"}),
            (["--availability", "in_stock", "--availability", "out_of_stock"], {"red", "blue"}),
            (["--currency", "usd"], set()),
            (["--currency", "eur", "--availability", "out_of_stock"], {"blue"}),
            (["--seller", "nobody"], set()),
        ):
            capsys.readouterr()
            run(["catalog", "search", *asked, *limits, "--json"])
            found = json.loads(capsys.readouterr().out)["products"]
            assert {product["id"] for product in found} == wanted, f"{asked} {limits}"


def test_bad_rows_are_shown_and_strict_fails(
    models: list[str], feed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["catalog", "import", str(feed), "--strict", *models[2:]]) == Exit.FAILED
    shown = capsys.readouterr()
    assert "2 imported" in shown.out and "line 3: price: " in shown.err


def test_a_feed_that_is_not_there_or_has_no_good_row_fails(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["catalog", "import", "absent.tsv", *models[2:]]) == Exit.FAILED
    assert "absent.tsv" in capsys.readouterr().err
    (tmp_path / "bad.tsv").write_text("id\ttitle\tprice\tlink\timage_link\nx\t\t\t\t\n")
    assert run(["catalog", "import", "bad.tsv", *models[2:]]) == Exit.FAILED
    capsys.readouterr()


def test_tag_writes_what_belongs_to_a_video_and_skips_it_then(
    tmp_path: Path, models: list[str], feed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["catalog", "import", str(feed), *models[2:]]) == Exit.OK
    capsys.readouterr()
    write_clip(tmp_path / "show.mp4", frames=60)
    found = run_json(capsys, "tag", "show.mp4", "--unsure", "--json", *models)
    (video,) = cast("list[dict[str, object]]", found["videos"])
    assert (found["tagged"], video["frames"], video["detected"], video["hotspots"]) == (1, 60, 20, 1)
    files = [Path(str(name)) for name in cast("list[object]", video["files"])]
    assert {file.name for file in files} == {
        "show.vtt",
        "show.chapters.vtt",
        "show.hotspots.json",
        "show.poster.jpg",
        "show.contact.jpg",
    }
    (spot,) = json.loads((tmp_path / "show.hotspots.json").read_text())["hotspots"]
    assert spot["boxes"][-1][1:] == pytest.approx([0.375, 1 / 3, 0.625, 2 / 3], abs=0.02)
    assert run(["tag", "show.mp4", "--unsure", *models]) == Exit.OK
    assert "show.mp4: done before" in capsys.readouterr().out


def test_a_batch_goes_on_after_a_bad_video_and_says_so(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos" / "spring").mkdir(parents=True)
    write_clip(tmp_path / "videos" / "spring" / "a.mp4", frames=20)
    (tmp_path / "videos" / "notes.mp4").write_text("not a video")
    assert run(["tag", "videos", "--out", "tags", "--json", *models]) == Exit.FAILED
    found = json.loads(capsys.readouterr().out)
    assert (found["tagged"], found["failed"]) == (1, 1)
    bad, good = found["videos"]
    assert bad["state"] == "failed" and "notes.mp4" in bad["message"]
    assert good["state"] == "tagged" and (tmp_path / "tags" / "spring" / "a.vtt").is_file()


def test_jobs_run_on_whatever_executor_is_named(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "a.mp4", frames=10)
    here = ["--executor", "vitrine.tagging.pool:InProcess"]
    assert run(["tag", "a.mp4", *here, *models]) == Exit.OK
    assert run(["tag", "a.mp4", "--executor", "nowhere:Nothing", *models]) == Exit.USAGE
    assert "expected MODULE:NAME" in capsys.readouterr().err


def test_tag_of_something_else_fails_in_words(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.mp4").write_text("not a video")
    assert run(["tag", "notes.mp4", *models]) == Exit.FAILED
    assert "notes.mp4" in capsys.readouterr().err


def write_config(tmp_path: Path, extra: str = "", port: int = 0) -> Path:
    path = tmp_path / "vitrine.toml"
    models = "[inference]\ndetector = 'detector.onnx'\nembedder = 'embedder.onnx'\n"
    path.write_text(f"[server]\nport = {port}\n{models}{extra}")
    return path


def test_check_of_a_good_configuration(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, "[auth]\nhost_key = 'not-to-be-shown'\n")
    assert run(["check", str(path), "--json"]) == Exit.OK
    shown = capsys.readouterr().out
    found = json.loads(shown)
    assert found["ok"] is True and all(check["verdict"] == "ok" for check in found["checks"])
    assert "not-to-be-shown" not in shown
    assert run(["check", str(path)]) == Exit.OK
    assert "yolox" in capsys.readouterr().out


def test_check_names_everything_that_is_wrong(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "detector.onnx").write_bytes(b"broken")
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as closed:
        redis = closed.getsockname()[1]
        closed.close()
        extra = f"[bus]\nurl = 'redis://127.0.0.1:{redis}/0'\n[catalog]\nfeed = 'absent.tsv'\n"
        path = write_config(tmp_path, extra, port=taken.getsockname()[1])
        assert run(["check", str(path), "--json"]) == Exit.FAILED
    found = json.loads(capsys.readouterr().out)
    failed = {check["name"]: check["words"] for check in found["checks"] if check["verdict"] == "failed"}
    assert set(failed) == {"port", "detector", "bus", "catalogue"}
    assert "set server.port" in failed["port"] and "set bus.url" in failed["bus"]
