from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from stream.errors import SourceError
from stream.recorded import describe_recording, read_frames
from stream.types import stream_id
from tests.stream.media import read_barcode, write_clip

DEMO = stream_id("demo")


@pytest.mark.parametrize(
    ("name", "codec", "b_frames"), [("a.mp4", "libx264", 0), ("b.mp4", "libx264", 2), ("c.webm", "libvpx", 0)]
)
def test_every_frame_comes_once_and_in_display_order(
    tmp_path: Path, name: str, codec: str, b_frames: int
) -> None:
    clip = write_clip(tmp_path / name, codec=codec, frames=40, b_frames=b_frames)
    frames = list(read_frames(str(clip), DEMO))
    assert [read_barcode(frame.pixels.scaled(320, 240, "gray")) for frame in frames] == list(range(40))
    assert [round(frame.pts_ns * 30 / 1e9) for frame in frames] == list(range(40))
    assert [frame.time.rtp for frame in frames][:3] == [
        0,
        pytest.approx(3000, abs=90),
        pytest.approx(6000, abs=90),
    ]


def test_motion_vectors_come_along_where_the_codec_has_them(tmp_path: Path) -> None:
    frames = list(read_frames(str(write_clip(tmp_path / "a.mp4", frames=10)), DEMO))
    assert any(frame.pixels.motion_vectors() is not None for frame in frames)


def test_a_recording_describes_itself(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=60)
    recording = describe_recording(str(clip))
    assert (recording.codec, recording.width, recording.height) == ("h264", 320, 240)
    assert recording.fps == pytest.approx(30) and recording.frames == 60
    assert recording.duration_ns == pytest.approx(2e9, rel=0.05)


def test_damage_in_the_middle_costs_frames_but_not_the_rest(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", frames=120)
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    clip.write_bytes(data)
    frames = list(read_frames(str(clip), DEMO))
    assert 40 < len(frames) <= 120
    assert frames[-1].pts_ns > 3_000_000_000


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(SourceError, match=r"text\.mp4"):
        next(read_frames(str(tmp_path / "text.mp4"), DEMO))
    with pytest.raises(SourceError):
        describe_recording(str(tmp_path / "absent.mp4"))


@pytest.mark.parametrize("kind", ["mpegts", "fmp4"])
def test_a_list_whose_clock_starts_anew_is_refused_with_what_helps(tmp_path: Path, kind: str) -> None:
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error"]
    clip = write_clip(tmp_path / "a.mp4", frames=90)
    lists = []
    for part in "ab":
        target = tmp_path / f"{part}.m3u8"
        options = ["-c", "copy", "-f", "hls", "-hls_time", "1", "-hls_segment_type", kind]
        names = ["-hls_fmp4_init_filename", f"{part}.init.mp4", "-hls_playlist_type", "vod"]
        subprocess.run([*ffmpeg, "-i", clip, *options, *names, target], check=True, timeout=60)
        lists.append(target.read_text().replace("#EXT-X-ENDLIST", "").strip())
    whole, anew = tmp_path / "whole.m3u8", lists[1][lists[1].index("#EXTINF") :]
    part_b = '#EXT-X-MAP:URI="b.init.mp4"\n' if kind == "fmp4" else ""
    whole.write_text(f"{lists[0]}\n#EXT-X-DISCONTINUITY\n{part_b}{anew}\n#EXT-X-ENDLIST\n")
    with pytest.raises(SourceError, match=r"go back from [23]\.\d+ s to .*ffmpeg -i IN -c copy OUT\.mp4"):
        list(read_frames(str(whole), DEMO))
    joined = tmp_path / "joined.mp4"
    subprocess.run([*ffmpeg, "-i", whole, "-c", "copy", joined], check=True, timeout=60)
    frames = list(read_frames(str(joined), DEMO))
    read = [read_barcode(frame.pixels.scaled(320, 240, "gray")) for frame in frames]
    assert read == [*range(90), *range(90)] and frames[-1].pts_ns == pytest.approx(179 / 30 * 1e9, rel=0.01)
