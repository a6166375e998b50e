"""HLS playlists as sources: keys are the media's own times, also where its encoder began anew, and live."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pytest
from aiohttp import web

from stream.clock import MonotonicClock
from stream.sources.file import FileSource
from stream.sources.outlet import Outlet
from tests.serving import serving
from tests.stream.media import write_clip
from tests.stream.rig import STREAM, RecordingSink, until
from tests.stream.rtsp import ffmpeg_running


def hls(clip: Path, playlist: Path, kind: str, *more: str) -> list[str]:
    """What makes a playlist of a clip, without encoding it again."""
    segments = ("-f", "hls", "-hls_time", "0.5", "-hls_segment_type", kind, *more)
    return ["-i", str(clip), "-c", "copy", *segments, str(playlist)]


def list_of_runs(folder: Path, kind: str, b_frames: int) -> Path:
    """Two runs of 45 frames whose timestamps both begin at the same time, as after an encoder's restart."""
    clip = write_clip(folder / "a.mp4", frames=45, b_frames=b_frames)
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:1"]
    for name in ("a", "b"):
        (folder / name).mkdir()
        made = folder / name / "list.m3u8"
        command = [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-v",
            "error",
            *hls(clip, made, kind, "-hls_list_size", "0"),
        ]
        subprocess.run(command, check=True)
        lines += ["#EXT-X-DISCONTINUITY"] if name == "b" else []
        for line in made.read_text().splitlines():
            if line.startswith("#EXT-X-MAP"):
                lines.append(f'#EXT-X-MAP:URI="{name}/init.mp4"')
            elif line.startswith("#EXTINF"):
                lines.append(line)
            elif not line.startswith("#"):
                lines.append(f"{name}/{line}")
    playlist = folder / "all.m3u8"
    playlist.write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    return playlist


@pytest.mark.parametrize("kind", ["mpegts", "fmp4"])
@pytest.mark.parametrize("b_frames", [0, 2])
async def test_a_run_of_timestamps_that_begins_anew_is_another_epoch(
    tmp_path: Path, kind: str, b_frames: int
) -> None:
    playlist = list_of_runs(tmp_path, kind, b_frames)
    with av.open(str(tmp_path / "a" / "list.m3u8")) as container:  # what a player of that run sees
        base = container.streams.video[0].time_base
        assert base is not None
        found = [p.pts for p in container.demux(video=0) if p.pts is not None]
    times = sorted(round(pts * base * 90_000) for pts in found)
    sink = RecordingSink()
    async with asyncio.timeout(20):
        await FileSource(str(playlist), STREAM, MonotonicClock()).run(sink)
    for epoch in (1, 2):
        seen = [(frame.barcode, frame.rtp) for frame in sink.frames if frame.epoch == epoch]
        assert seen == list(zip(range(45), times, strict=True)), epoch
        assert {unit.time.rtp for unit in sink.video() if unit.time.epoch == epoch} == set(times)
    assert [epoch for epoch, _ in sink.started] == [1, 2]
    assert max(late.arrived_ns - early.arrived_ns for early, late in pairwise(sink.frames)) < 1e9


async def test_a_live_list_is_read_from_its_newest_segment(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.ts", frames=240, gop=15)
    playlist = tmp_path / "live" / "a.m3u8"
    playlist.parent.mkdir()
    app = web.Application()
    app.router.add_static("/", playlist.parent)
    with ffmpeg_running("-re", *hls(clip, playlist, "mpegts", "-hls_list_size", "5")):
        async with serving(app) as site:
            await until(lambda: playlist.exists() and playlist.read_text().count("#EXTINF") >= 4, 20)
            listed = playlist.read_text().count("#EXTINF")
            sink = RecordingSink()
            source = FileSource(f"{site}/a.m3u8", STREAM, MonotonicClock())
            running = asyncio.create_task(source.run(sink))
            await until(lambda: running.done() or len(sink.frames) > 30, 20)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    codes = [frame.barcode or 0 for frame in sink.frames]
    assert codes[0] >= 15 * (listed - 2)
    assert codes == list(range(codes[0], codes[0] + len(codes)))
    assert {frame.epoch for frame in sink.frames} == {1}


class SlowClock(MonotonicClock):
    """Stands for a machine that takes far too long over each frame: 60 ms pass between two looks."""

    def __init__(self) -> None:
        self.more_ns = 0

    def now_ns(self) -> int:
        self.more_ns += 60_000_000
        return super().now_ns() + self.more_ns


async def test_a_machine_that_is_too_slow_for_a_live_list_skips_to_a_keyframe(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.ts", frames=600, gop=15)
    playlist = tmp_path / "a.m3u8"
    with ffmpeg_running("-re", *hls(clip, playlist, "mpegts", "-hls_list_size", "5")):
        await until(lambda: playlist.exists() and playlist.read_text().count("#EXTINF") >= 2, 20)
        sink = RecordingSink()
        running = asyncio.create_task(FileSource(str(playlist), STREAM, SlowClock()).run(sink))
        await until(
            lambda: running.done() or (sink.dropped.get("late", 0) > 20 and len(sink.frames) > 20), 20
        )
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    codes = [frame.barcode or 0 for frame in sink.frames]
    assert codes == sorted(set(codes))
    gaps = [after for before, after in pairwise(codes) if after != before + 1]
    assert gaps and all(code % 15 == 0 for code in gaps)


async def test_a_question_from_the_thread_is_answered_by_the_loop_or_given_up() -> None:
    loop = asyncio.get_running_loop()
    outlet = Outlet(loop, loop.create_future(), live=False, on_late=lambda: None)
    here = threading.get_ident()

    def ask(question: Callable[[], int]) -> Any:
        return asyncio.to_thread(outlet.ask, question, -1)

    assert await ask(threading.get_ident) == here
    outlet.stop.set()
    began = time.monotonic()
    assert await ask(lambda: 7) == -1
    assert time.monotonic() - began < 2
