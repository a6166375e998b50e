"""Files and addresses of every kind that can be made here, played in real time."""

from __future__ import annotations

import asyncio
import subprocess
import time
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import pytest
from aiohttp import web
from av.video.reformatter import VideoReformatter

from stream.bitstream import has_parameter_sets
from stream.clock import MonotonicClock
from stream.decoder import low_delay_decoder
from stream.errors import SourceError
from stream.pixels import AvPixels
from stream.sources.base import open_source
from stream.sources.file import FileSource
from stream.sources.reader import describe
from tests.serving import serving
from tests.shared import shared_path
from tests.stream.media import read_barcode, write_clip
from tests.stream.rig import STREAM, RecordingSink, until
from tests.stream.rtsp import camera, ffmpeg_running


async def play(url: Path | str, *, loop: bool = False) -> RecordingSink:
    sink = RecordingSink()
    async with asyncio.timeout(30):
        await open_source(str(url), STREAM, MonotonicClock(), loop=loop).run(sink)
    return sink


async def watched(address: str) -> RecordingSink:
    """What came from a live address until there was enough of it."""
    sink = RecordingSink()
    running = asyncio.create_task(open_source(address, STREAM, MonotonicClock()).run(sink))
    await until(lambda: running.done() or len(sink.frames) > 20, 20)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return sink


def expect_every_frame(sink: RecordingSink, description: str) -> None:
    """In order, none twice, none gone uncounted, and passed through."""
    codes = [f.barcode for f in sink.frames]
    assert len(codes) > 20
    assert codes == sorted(set(codes), key=lambda code: code or 0)
    missing = (codes[-1] or 0) - (codes[0] or 0) + 1 - len(codes)
    assert 0 <= missing <= sink.dropped.get("late", 0)  # those before the first and after the last, too
    assert sink.started[0][1].description == description
    assert not sink.started[0][1].transcoded


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg to its end."""
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments], check=True)


def barcodes_of(sink: RecordingSink) -> list[int]:
    """What a viewer's decoder shows of the encoded frames."""
    context = low_delay_decoder(sink.video()[0].codec)
    shown: list[AvPixels] = []
    for unit in sink.video():
        shown += [AvPixels(f, VideoReformatter()) for f in context.decode(av.Packet(unit.data))]
    return [read_barcode(pixels.scaled(320, 180, "gray")) for pixels in shown]


async def test_h264_is_passed_through_in_real_time(clip: Path) -> None:
    begun_ns = time.monotonic_ns()
    sink = await play(clip)
    assert 1.3e9 < time.monotonic_ns() - begun_ns < 6e9
    assert [f.barcode for f in sink.frames] == list(range(45))
    assert [f.rtp for f in sink.frames] == [n * 3000 for n in range(45)]
    assert [f.time.rtp for f in sink.video()] == [f.rtp for f in sink.frames]
    assert barcodes_of(sink) == list(range(45))
    assert all(has_parameter_sets(f.data) for f in sink.video() if f.keyframe)
    info = sink.started[0][1]
    assert (info.codec, info.transcoded, info.has_audio, info.description) == (
        "H264",
        False,
        True,
        "file clip.mp4",
    )
    assert sink.ended == ["end-of-file"]
    assert sum(f.motion > 0 for f in sink.frames) > 35


async def test_audio_passes_and_keeps_its_time(clip: Path) -> None:
    sound = (await play(clip)).audio()
    assert len(sound) > 70
    assert {(b.time.rtp - a.time.rtp) % (1 << 32) for a, b in zip(sound[1:], sound[2:], strict=False)} == {
        960
    }


async def test_transport_stream_gets_parameter_sets_and_is_passed(tmp_path: Path) -> None:
    sink = await play(write_clip(tmp_path / "a.ts", frames=20))
    assert barcodes_of(sink) == list(range(20))
    assert not sink.started[0][1].transcoded


async def test_vp8_is_passed_through(tmp_path: Path) -> None:
    sink = await play(write_clip(tmp_path / "a.webm", codec="libvpx", frames=20))
    assert {f.codec for f in sink.video()} == {"VP8"}
    assert barcodes_of(sink) == list(range(20))


@pytest.mark.parametrize(
    ("codec", "suffix", "b_frames", "name"), [("libx264", ".mp4", 2, "h264"), ("mpeg4", ".mp4", 0, "mpeg4")]
)
async def test_what_cannot_be_passed_is_encoded_once_and_said(
    tmp_path: Path, codec: str, suffix: str, b_frames: int, name: str
) -> None:
    sink = RecordingSink()
    path = write_clip(tmp_path / f"a{suffix}", codec=codec, frames=30, b_frames=b_frames)
    source = FileSource(str(path), STREAM, MonotonicClock())
    await source.run(sink)
    info = sink.started[0][1]
    assert (info.codec, info.transcoded) == (name, True)
    assert source.transcoded == 30
    assert {f.codec for f in sink.video()} == {"H264"}
    assert barcodes_of(sink) == list(range(30))
    assert [f.barcode for f in sink.frames] == list(range(30))
    assert [f.time.rtp for f in sink.video()] == [f.rtp for f in sink.frames] == [n * 3000 for n in range(30)]


async def test_viewers_of_encoded_material_get_a_keyframe_when_they_ask(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=60, b_frames=2)
    sink = RecordingSink()
    source = FileSource(str(path), STREAM, MonotonicClock())
    running = asyncio.create_task(source.run(sink))
    await until(lambda: len(sink.video()) > 10)
    asked = len(sink.video())
    source.request_keyframe()
    await running
    keys = [n for n, f in enumerate(sink.video()) if f.keyframe]
    assert any(asked <= n <= asked + 6 for n in keys)


async def test_loop_continues_the_timeline_and_cancel_ends_it(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=15)
    sink = RecordingSink()
    running = asyncio.create_task(open_source(str(path), STREAM, MonotonicClock(), loop=True).run(sink))
    await until(lambda: len(sink.frames) >= 40)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sink.ended == ["bye"]
    assert [f.barcode for f in sink.frames[:40]] == [n % 15 for n in range(40)]
    assert [f.rtp for f in sink.frames[:40]] == [n * 3000 for n in range(40)]
    steps = {(b.pts_ns - a.pts_ns) // 1000 for a, b in zip(sink.frames, sink.frames[1:], strict=False)}
    assert steps <= {33_333, 33_334}


async def test_rotated_video_is_upright_for_everybody(tmp_path: Path) -> None:
    upright = write_clip(tmp_path / "a.mp4", frames=5)
    turned = tmp_path / "b.mp4"
    ffmpeg("-display_rotation", "90", "-i", str(upright), "-c", "copy", str(turned))
    sink = await play(turned)
    info = sink.started[0][1]
    assert (info.width, info.height, info.transcoded) == (240, 320, True)
    context = low_delay_decoder("H264")
    shown = [f for unit in sink.video() for f in context.decode(av.Packet(unit.data))]
    assert {(f.width, f.height) for f in shown} == {(240, 320)}


async def test_hls_over_http(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=45)
    playlist = ("-f", "hls", "-hls_time", "0.5", "-hls_list_size", "0", str(tmp_path / "a.m3u8"))
    ffmpeg("-i", str(clip), "-c", "copy", *playlist)
    app = web.Application()
    app.router.add_static("/", tmp_path)
    async with serving(app) as site:
        sink = await play(f"{site}/a.m3u8")
    assert [f.barcode for f in sink.frames] == list(range(45))
    assert sink.started[0][1].description == "http 127.0.0.1"
    with av.open(str(tmp_path / "a.m3u8")) as container:  # what a player of the same playlist sees
        times = sorted(p.pts for p in container.demux(video=0) if p.pts is not None)
        assert container.streams.video[0].time_base == Fraction(1, 90_000)
    assert times[0] > 90_000 and [f.rtp for f in sink.frames] == times
    assert [f.time.rtp for f in sink.video()] == times


@pytest.mark.parametrize(
    ("scheme", "path", "listener"),
    [
        ("srt", "", ("-f", "mpegts", "{}?mode=listener")),
        ("rtmp", "/live/show", ("-f", "flv", "-listen", "1", "{}")),
    ],
)
async def test_live_addresses(
    tmp_path: Path, unused_port: int, scheme: str, path: str, listener: tuple[str, ...]
) -> None:
    clip = write_clip(tmp_path / "a.ts", frames=120, gop=10)
    address = f"{scheme}://127.0.0.1:{unused_port}{path}"
    to = [part.format(address) for part in listener]
    with ffmpeg_running("-re", "-i", str(clip), "-c", "copy", *to):
        await asyncio.sleep(1.0)  # the listener says nothing when it is ready, and RTMP does not try again
        sink = await watched(address)
    expect_every_frame(sink, f"{scheme} 127.0.0.1")


async def test_an_rtsp_camera(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.ts", frames=120, gop=10)
    async with camera(clip) as (address, serving):
        sink = await watched(address)
    expect_every_frame(sink, "rtsp 127.0.0.1")
    assert serving.methods[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]


@pytest.mark.parametrize("content", [b"", b"not a video at all", b"\x00" * 5000])
async def test_what_is_no_video_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    sink = RecordingSink()
    with pytest.raises(SourceError, match="broken.mp4") as caught:
        await FileSource(str(path), STREAM, MonotonicClock()).run(sink)
    assert caught.value.code == "source-open"
    assert sink.ended == ["error: source-open"]


async def test_missing_file_and_audio_only_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="check the address"):
        await play(tmp_path / "nowhere.mp4")
    sound = tmp_path / "a.ogg"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="stereo")
        frame = av.AudioFrame(format="s16", layout="stereo", samples=960)
        frame.sample_rate, frame.pts = 48_000, 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(SourceError, match="no video stream"):
        await play(sound)


async def test_truncated_file_plays_what_is_there(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", frames=45)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    sink = await play(path)
    assert 5 < len(sink.frames) < 40
    assert sink.ended == ["end-of-file"]


async def test_secrets_in_an_address_are_not_repeated() -> None:
    with pytest.raises(SourceError) as caught:
        await play("rtmp://user:hunter2@127.0.0.1:1/live/key?token=abc")
    assert "hunter2" not in str(caught.value)
    assert "token" not in str(caught.value)
    assert describe("rtsp://user:hunter2@camera.example/1?x=y") == "rtsp camera.example"
    assert describe("file:///tmp/my%20show.mp4") == "file my show.mp4"


async def test_busy_loop_holds_a_file_up_instead_of_filling_memory(clip: Path) -> None:
    class Busy(RecordingSink):
        def on_encoded(self, frame: object) -> None:
            time.sleep(0.03)  # a loop that does other things

    sink = Busy(barcodes=False)
    source = FileSource(str(clip), STREAM, MonotonicClock())
    async with asyncio.timeout(30):
        await source.run(sink)
    assert len(sink.frames) == 45
    waits = [(f.delivered_ns - f.decoded_ns) / 1e6 for f in sink.frames]
    assert max(waits) < 8 * 4 * 30


async def test_a_real_clip_with_b_frames_plays() -> None:
    path = shared_path("clips/dev/intel_bottle.mp4")
    sink = RecordingSink()
    running = asyncio.create_task(FileSource(str(path), STREAM, MonotonicClock()).run(sink))
    await until(lambda: len(sink.frames) > 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sink.started[0][1].transcoded
    assert (sink.started[0][1].width, sink.started[0][1].height) == (640, 360)
    assert len(sink.video()) >= 30
