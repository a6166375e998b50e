"""Jobs with real (tiny) models: what is written, what is skipped, and workers that die."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from overlay.catalog.pictures import encode_jpeg
from overlay.catalog.store import CatalogStore
from tests.inference.models import colour_embedder, yolox_model
from tests.overlay.builders import product
from tests.stream.media import write_clip
from vitrine.config import Config, InferenceConfig, ServerConfig
from vitrine.tagging import video
from vitrine.tagging.job import TagJob, TagReport, TagState
from vitrine.tagging.pool import InProcess, ProcessPool
from vitrine.tagging.video import prepare, tag_video


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "detector.onnx").write_bytes(yolox_model([(32, 24, 16, 16, 0.9, 0)]))
    (tmp_path / "embedder.onnx").write_bytes(colour_embedder())
    models = InferenceConfig(
        detector=tmp_path / "detector.onnx", embedder=tmp_path / "embedder.onnx", show_unsure=True
    )
    return Config(server=ServerConfig(data_dir=tmp_path / "state"), inference=models)


@pytest.fixture
def job(tmp_path: Path, config: Config) -> TagJob:
    clip = write_clip(tmp_path / "a.mp4", frames=30)
    return TagJob(str(clip), config, tmp_path / "a", tmp_path / "site" / "a", static=True)


def test_a_replay_holds_all_that_its_page_needs(job: TagJob) -> None:
    report = tag_video(job)
    assert report.state is TagState.TAGGED, report.message
    assert job.page is not None
    about = json.loads((job.page / "replay.json").read_text())
    assert (about["kind"], about["video"], about["title"]) == ("file", "video.mp4", "a")
    assert (job.page / "video.mp4").samefile(job.video)  # linked, not copied
    for name in (about["track"], about["chapters"], about["poster"], "index.html", "static/replay.js"):
        assert (job.page / name).stat().st_size > 0
    with Image.open(job.page / "poster.jpg") as poster:
        assert poster.size == (320, 240)


def test_what_is_whole_is_skipped_and_what_is_not_is_done_again(job: TagJob) -> None:
    assert tag_video(job).state is TagState.TAGGED
    assert tag_video(job).state is TagState.SKIPPED
    assert tag_video(replace(job, again=True)).state is TagState.TAGGED
    assert job.page is not None and job.target is not None
    for lost in (job.page / "replay.json", job.target.with_name("a.vtt"), job.page / "index.html"):
        lost.unlink()
        assert tag_video(job).state is TagState.TAGGED, lost
    write_clip(Path(job.video), frames=33)
    assert tag_video(job).state is TagState.TAGGED
    other = replace(job, settings=replace(job.settings, every=2))
    assert tag_video(other).state is TagState.TAGGED


def test_products_without_vectors_of_this_model_are_embedded_before_a_batch(config: Config) -> None:
    store = CatalogStore(config.server.data_dir)
    store.put(product("a"), [encode_jpeg(np.full((64, 64, 3), 200, np.uint8))], "")
    store.close()
    assert prepare(config) == 1


def test_jobs_and_reports_travel(job: TagJob) -> None:
    assert pickle.loads(pickle.dumps(job)) == job
    report = tag_video(job)
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_playlist_is_kept_with_its_segments(tmp_path: Path, job: TagJob) -> None:
    (tmp_path / "spring").mkdir()
    arguments = ("-i", job.video, "-c", "copy", "-f", "hls", "-hls_segment_type", "fmp4", "-hls_time", "0.5")
    os.spawnl(
        os.P_WAIT,
        imageio_ffmpeg.get_ffmpeg_exe(),
        "ffmpeg",
        "-v",
        "error",
        *arguments,
        str(tmp_path / "spring" / "index.m3u8"),
    )
    page = tmp_path / "site" / "spring"
    listed = replace(job, video=str(tmp_path / "spring" / "index.m3u8"), target=None, page=page)
    assert tag_video(listed).state is TagState.TAGGED
    about = json.loads((page / "replay.json").read_text())
    assert (about["kind"], about["video"], about["title"]) == ("hls", "hls/index.m3u8", "spring")
    assert {"index.m3u8", "init.mp4", "index0.m4s"} <= {file.name for file in (page / "hls").iterdir()}
    assert tag_video(listed).state is TagState.SKIPPED


def test_progress_is_told_and_reports_come_in(job: TagJob) -> None:
    told: list[tuple[str, int, int]] = []
    (report,) = InProcess().run([job], lambda *one: told.append(one))
    assert report.figures["frames"] == 30
    assert told[0] == (job.video, 3, 30) and told[-1] == (job.video, 30, 30)


def test_a_process_that_dies_takes_only_its_video_along(job: TagJob, tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{n}.mp4", frames=60 + n) for n in range(3)]
    jobs = [replace(job, video=str(clip), target=clip.with_suffix(""), page=None) for clip in clips]
    jobs.insert(1, replace(jobs[0], video=str(tmp_path / "absent.mp4")))
    killed: list[int] = []

    def kill_once(name: str, done: int, total: int) -> None:
        if name == str(clips[0]) and not killed:
            killed.extend(worker_pids())
            os.kill(killed[0], signal.SIGKILL)

    reports = {Path(r.video).name: r for r in ProcessPool(1).run(jobs, kill_once)}
    assert reports["0.mp4"].state is TagState.FAILED and "SIGKILL" in reports["0.mp4"].message
    assert "absent.mp4" in reports["absent.mp4"].message
    assert reports["1.mp4"].state is reports["2.mp4"].state is TagState.TAGGED
    again = list(InProcess().run([one for one in jobs if "absent" not in one.video], lambda *_: None))
    states = {Path(r.video).name: r.state for r in again}
    assert states == {"0.mp4": TagState.TAGGED, "1.mp4": TagState.SKIPPED, "2.mp4": TagState.SKIPPED}


def worker_pids() -> list[int]:
    import multiprocessing

    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]


def test_no_worker_stays_when_the_batch_is_left(job: TagJob, tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / f"{n}.mp4", frames=30) for n in range(2)]
    jobs = [replace(job, video=str(clip), target=clip.with_suffix(""), page=None) for clip in clips]
    reports: Iterator[TagReport] = ProcessPool(1).run(jobs, lambda *_: None)
    next(reports)
    assert worker_pids()
    reports.close()  # type: ignore[attr-defined]
    assert worker_pids() == []


@pytest.fixture(autouse=True)
def fresh_models() -> Iterator[None]:
    yield
    video._recognition.cache_clear()
