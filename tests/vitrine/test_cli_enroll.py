"""``vitrine catalog enroll`` with the embedded weights, on the embedded show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from overlay.catalog.lessons import LessonStore
from stream.sources.synthetic import show_path
from vitrine.cli import run
from vitrine.cli.output import Exit
from vitrine.demo import CATALOGUE

SHOWN, OTHER = "tide-hand-cream", "lumen-serum-h"
"""What is most prominent when the show begins, and what is not."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("enrolled")
    assert run(["catalog", "import", str(CATALOGUE), "--data-dir", str(folder), "--json"]) == Exit.OK
    return folder


def kept(folder: Path, product: str) -> int:
    lessons = LessonStore(folder)
    try:
        return sum(one.views["enrolled"] for one in lessons.summary() if one.product_id == product)
    finally:
        lessons.close()


def enrol(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> tuple[int, dict[str, object]]:
    capsys.readouterr()
    code = run(["catalog", "enroll", *arguments, "--data-dir", str(folder), "--json"])
    found: dict[str, object] = json.loads(capsys.readouterr().out or "{}")
    return code, found


def test_a_product_shown_in_a_recording_is_learned_kept_over_an_import_and_forgotten(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = enrol(capsys, data, SHOWN, "--video", str(show_path()), "--seconds", "5")
    assert code == Exit.OK and found["telling"] == "apart"
    assert found["views"] == found["kept"] == kept(data, SHOWN)
    assert str(found["words"]).startswith("It can be told from everything else")
    assert run(["catalog", "import", str(CATALOGUE), "--data-dir", str(data), "--prune"]) == Exit.OK
    assert kept(data, SHOWN) == found["views"]
    code, found = enrol(capsys, data, SHOWN, "--forget")
    assert code == Exit.OK and found["forgotten"] and kept(data, SHOWN) == 0


def test_when_another_product_was_shown_it_says_so_and_keeps_nothing(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [OTHER, "--source", "synthetic://show", "--seconds", "2"]
    code, found = enrol(capsys, data, *arguments)
    assert code == Exit.FAILED and found["kept"] == 0 == kept(data, OTHER)
    assert found["telling"] == "too-few" or "Tide Hand Cream" in str(found["words"])


def test_a_dry_run_keeps_nothing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [SHOWN, "--video", str(show_path()), "--seconds", "5", "--dry-run"]
    code, found = enrol(capsys, data, *arguments)
    assert code == Exit.OK and found["views"] and found["kept"] == 0 == kept(data, SHOWN)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([SHOWN], Exit.USAGE, "either --video FILE or --source URL"),
        ([SHOWN, "--video", "a", "--source", "b"], Exit.USAGE, "either --video FILE or --source URL"),
        ([SHOWN, "--video", "absent.mp4"], Exit.USAGE, "absent.mp4: no such file"),
        (["nothing-like-it", "--source", "synthetic://show"], Exit.FAILED, "is not in the catalogue"),
        ([SHOWN, "--source", "gopher://x"], Exit.FAILED, "expected one of"),
    ],
)
def test_what_cannot_be_done_is_explained(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert run(["catalog", "enroll", *arguments, "--data-dir", str(data)]) == code
    assert words in " ".join(capsys.readouterr().err.replace("│", " ").split())
