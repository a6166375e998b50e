"""The replay benchmark as far as it is arithmetic, and its drawn recording against the referee."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from benchmarks import replay
from benchmarks.harness import Settings, plot
from benchmarks.painted.motion import ellipse
from benchmarks.painted.readback import Area, read
from benchmarks.painted.recording import pictures
from benchmarks.report import Report, Row


def settings(quick: bool = False, only: tuple[str, ...] = ()) -> Settings:
    return Settings(quick, 1, only, None, lambda text: None)


def test_a_full_run_plays_every_kind_and_seeks_in_it() -> None:
    films = [case for case in replay.cases(settings()) if case.subject == "vitrine"]
    assert {(case.played, case.seeks) for case in films} == {
        (played, seeks) for played in ("mp4", "hls", "hls-ts", "hls native") for seeks in (False, True)
    }
    assert {case.subject for case in replay.cases(settings())} == {"vitrine", "cuechange", "currentTime"}
    assert len(replay.cases(settings(quick=True))) == 3


def test_each_case_has_a_page() -> None:
    paths = {case.played: case.path for case in replay.cases(settings(only=("vitrine",)))}
    assert paths == {
        "mp4": "/replay/mp4/",
        "hls": "/replay/hls/",
        "hls-ts": "/replay/hls-ts/",
        "hls native": "/replay/hls-ts/?player=native",
    }
    (peer,) = replay.cases(settings(only=("cuechange",)))
    assert peer.path == "/replay/mp4/recorded.html?mode=cuechange"


def test_the_drawn_recording_says_what_the_referee_reads() -> None:
    motion = ellipse()
    for number, shot in enumerate(islice(pictures(motion, 4, 1), 4)):
        seen = read(shot, Area(0, 0, 1280, 720))
        assert seen.number == number and seen.object is not None and seen.marker is None
        assert seen.object == pytest.approx(motion.at(number), abs=0.002)


FILM: Row = {
    "subject": "vitrine",
    "played": "hls",
    "seeks": False,
    "aligned_pct": 99.0,
    "hotspot_pct": 94.0,
    "off_+0": 99,
}
TAG: Row = {"subject": "tag", "videos": 4, "workers": 2, "cores": 2, "times_real_time": 2.5}


def test_films_and_speed_are_judged() -> None:
    targets = replay.judged([FILM, TAG, {**FILM, "subject": "cuechange"}])
    assert [target.ok for target in targets] == [True, False, True]


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    rows = [FILM, {**FILM, "subject": "cuechange"}, TAG]
    report = Report("replay", {}, "abc", rows, [])
    plot(replay.BENCH, report, tmp_path / "replay.png")
    assert (tmp_path / "replay.png").stat().st_size > 1000


def test_a_live_list_is_judged_as_a_replay_is() -> None:
    targets = replay.judged([FILM | {"subject": "live", "played": "fmp4", "hotspot_pct": 100.0}])
    names = [target.name for target in targets]
    assert names == ["0 frames off, live fmp4, playing", "hotspot shown, live fmp4, playing"]
    assert all(target.ok for target in targets)
