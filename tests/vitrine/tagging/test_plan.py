from __future__ import annotations

from pathlib import Path

import pytest

from vitrine.config import Config, ServerConfig
from vitrine.tagging.frames import TagSettings
from vitrine.tagging.job import TagJob
from vitrine.tagging.plan import PlanError, Wanted, plan


def planned(wanted: Wanted, data_dir: Path = Path("state")) -> list[TagJob]:
    return plan(wanted, Config(server=ServerConfig(data_dir=data_dir)), TagSettings())


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    for name in ("b.mp4", "a.webm", "deep/Über uns (1).MOV", "notes.txt", "site/show/video.mp4", "x.ts"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "site" / "show" / "replay.json").touch()
    return folder


def test_documents_lie_beside_the_video_or_where_one_says(tmp_path: Path) -> None:
    (job,) = planned(Wanted([str(tmp_path / "show.mp4")]))
    assert (job.target, job.page) == (tmp_path / "show", None)
    (job,) = planned(Wanted(["show.mp4"], out=tmp_path / "other"))
    assert job.target == tmp_path / "other"


def test_folders_are_searched_in_order_and_keep_their_shape(videos: Path, tmp_path: Path) -> None:
    jobs = planned(Wanted([str(videos)], out=tmp_path / "tags"))
    assert [job.target for job in jobs] == [
        tmp_path / "tags" / name for name in ("a", "b", "deep/Über uns (1)")
    ]


def test_a_replay_is_named_for_addresses_and_no_two_alike(videos: Path) -> None:
    (videos / "b.mkv").touch()
    jobs = planned(Wanted([str(videos)], page=Path("site")))
    assert [job.page for job in jobs] == [Path("site") / name for name in ("a", "b", "b-2", "ber-uns-1")]
    assert all(job.target is None and job.static for job in jobs)
    (job,) = planned(Wanted(["https://cdn.example/shows/spring/index.m3u8?x=1"], publish=True), Path("data"))
    assert (job.page, job.static) == (Path("data/replays/spring"), False)


def test_two_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    jobs = planned(Wanted([str(tmp_path / "a.mp4"), str(tmp_path / "a.webm"), str(tmp_path / "a.mp4")]))
    assert [job.target for job in jobs] == [tmp_path / "a", tmp_path / "a.webm"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(["https://cdn.example/a.m3u8"]), "--out, --page or --publish"),
        (Wanted(["a.mp4"], out=Path("absent/folder/a")), "no such folder"),
        (Wanted(["a.mp4"], page=Path("site"), publish=True), "give one"),
    ],
)
def test_what_cannot_be_done_is_said(wanted: Wanted, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        planned(wanted)


def test_a_folder_without_videos_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"no video in this folder; looked for \.mp4"):
        planned(Wanted([str(tmp_path)]))
