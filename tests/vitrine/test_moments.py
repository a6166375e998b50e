from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stream.packets import read_packets
from stream.types import EncodedFrame, MediaTime, stream_id
from tests.fakes.clock import FakeClock
from tests.stream.media import read_barcode, write_clip
from vitrine.errors import Busy, NoMoment
from vitrine.moments import MOST_WAITING, Moments, stream_memory
from vitrine.recorder import Recorder
from vitrine.settings import SearchConfig

DEMO = stream_id("demo")


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    clip: Path = write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=60, gop=15)
    recorder = Recorder()
    for packet in read_packets(str(clip)):
        time = MediaTime(1, packet.index * 3000)
        recorder.add(EncodedFrame("H264", time, packet.data, packet.keyframe, packet.pts_ns))
    return recorder


async def test_a_moment_is_the_very_frame_and_is_decoded_once(recorder: Recorder) -> None:
    clock = FakeClock()
    clock.advance_ms(3_000)
    asked_ns = clock.now_ns()
    moments = Moments(clock)
    asked = [moments.get(DEMO, recorder, MediaTime(1, 37 * 3000 + extra)) for extra in (0, 0, 500)]
    found = await asyncio.gather(*asked)
    again = await moments.get(DEMO, recorder, MediaTime(1, 37 * 3000))
    assert {one.time for one in (*found, again)} == {MediaTime(1, 37 * 3000)}
    assert read_barcode(again.pixels.scaled(320, 240, "gray")) == 37
    assert (moments.decoded, moments.reused) == (1, 1)
    assert again.age_ns == pytest.approx(asked_ns - 37e9 / 30, abs=1e6)
    moments.close()


@pytest.mark.parametrize(
    ("time", "code", "status"),
    [
        (MediaTime(9, 0), "moment-unknown", 404),
        (MediaTime(1, 2**32 - 9000), "moment-too-old", 410),
        (MediaTime(1, 60 * 3000 + 90_000), "moment-too-new", 409),
    ],
)
async def test_a_moment_that_is_not_there_says_why(
    recorder: Recorder, time: MediaTime, code: str, status: int
) -> None:
    moments = Moments(FakeClock())
    with pytest.raises(NoMoment) as caught:
        await moments.get(DEMO, recorder, time)
    assert (caught.value.code, caught.value.http_status) == (code, status)
    moments.close()


async def test_more_than_a_few_waiting_moments_are_refused(recorder: Recorder) -> None:
    moments = Moments(FakeClock())
    asked = [moments.get(DEMO, recorder, MediaTime(1, n * 3000)) for n in range(MOST_WAITING + 4)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, Busy) for one in found) == 4
    assert moments.decoded == MOST_WAITING
    moments.close()


def test_the_off_switch_keeps_nothing() -> None:
    assert stream_memory(SearchConfig(enabled=False)) is None
    memory = stream_memory(SearchConfig(keep_ms=5_000, memory_mb=2, keyframe_ms=0))
    assert memory is not None
    settings = memory.recorder.settings
    assert (settings.keep_ns, settings.max_bytes, settings.keyframe_ns) == (5 * 10**9, 2 << 20, 0)


def test_recorded_frames_go_on_to_the_viewers_and_keyframes_are_asked_for() -> None:
    memory = stream_memory(SearchConfig())
    assert memory is not None
    pushed: list[EncodedFrame] = []
    asked: list[bool] = []
    push = memory.recording(pushed.append, lambda: asked.append(True))
    frames = [EncodedFrame("VP8", MediaTime(1, n * 3000), b"x", n == 1, n) for n in range(3)]
    for frame in frames:
        push(frame)
    assert pushed == frames and asked == [True]
    assert memory.recorder.statistics().frames == 2
