from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from stream.bitstream import has_parameter_sets, is_keyframe
from stream.decoder import low_delay_decoder
from stream.pixels import AvPixels
from stream.transcode import OpusTranscoder, VideoTranscoder
from tests.stream.media import picture, read_barcode


def frame(number: int, size: tuple[int, int] = (320, 240)) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")


def shown(units: list[bytes]) -> list[tuple[int, int, int]]:
    """Barcode, width and height of what a viewer sees."""
    context = low_delay_decoder("H264")
    pixels = [AvPixels(f, VideoReformatter()) for u in units for f in context.decode(av.Packet(u))]
    return [(read_barcode(p.scaled(320, 240, "gray")), p.width, p.height) for p in pixels]


def test_one_access_unit_for_each_frame_without_delay() -> None:
    encoder = VideoTranscoder()
    units = [encoder.encode(frame(n), n * 3000) for n in range(10)]
    assert all(units)
    assert [is_keyframe("H264", u) for u in units] == [True] + [False] * 9
    assert has_parameter_sets(units[0])
    assert shown(units) == [(n, 320, 240) for n in range(10)]
    assert encoder.encoded == 10


def test_keyframe_on_demand() -> None:
    encoder = VideoTranscoder()
    for n in range(3):
        encoder.encode(frame(n), n * 3000)
    encoder.force_keyframe()
    assert is_keyframe("H264", encoder.encode(frame(3), 9000))
    assert not is_keyframe("H264", encoder.encode(frame(4), 12000))


def test_size_may_change_and_may_be_odd() -> None:
    encoder = VideoTranscoder()
    units = [encoder.encode(frame(1), 0), encoder.encode(frame(2, (641, 361)), 3000)]
    assert is_keyframe("H264", units[1])
    assert shown(units[1:]) == [(2, 640, 360)]


def test_frame_keeps_its_own_time() -> None:
    made = frame(1).reformat(format="yuv420p")
    made.pts, made.time_base = 77, VideoTranscoder()._open(16, 16).time_base
    VideoTranscoder().encode(made, 5)
    assert made.pts == 77


def test_audio_becomes_opus_of_twenty_milliseconds() -> None:
    encoder = OpusTranscoder()
    packets = []
    for n in range(20):
        samples = (np.sin(np.arange(1024) / 10) * 8000).astype(np.int16).reshape(1, -1)
        sound = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        sound.sample_rate, sound.pts = 44_100, n * 1024
        packets += list(encoder.encode(sound))
    assert len(packets) >= 20
    steps = {b[1] - a[1] for a, b in zip(packets, packets[1:], strict=False)}
    assert steps == {960}
    context = av.CodecContext.create("libopus", "r")
    decoded = [f for data, _ in packets for f in context.decode(av.Packet(data))]
    assert sum(f.samples for f in decoded) >= 19 * 960
