from __future__ import annotations

import pytest

from overlay.samples import Absent
from stream.types import EncodedFrame, MediaTime
from vitrine.recorder import UNIT_BYTES, Recorder, RecorderSettings, Stretch

MS = 1_000_000
FRAME_NS = 33_333_333


def unit(number: int, *, key: bool = False, epoch: int = 1, start: int = 0, size: int = 100) -> EncodedFrame:
    rtp = (start + number * 3000) & 0xFFFF_FFFF
    data = bytes([number & 0xFF]) * size
    return EncodedFrame("H264", MediaTime(epoch, rtp), data, key, number * FRAME_NS)


def recorded(count: int, *, gop: int = 10, settings: RecorderSettings | None = None) -> Recorder:
    recorder = Recorder(settings or RecorderSettings())
    for number in range(count):
        recorder.add(unit(number, key=number % gop == 0))
    return recorder


def moment(recorder: Recorder, rtp: int, epoch: int = 1) -> Stretch:
    found = recorder.stretch(MediaTime(epoch, rtp & 0xFFFF_FFFF))
    assert isinstance(found, Stretch)
    return found


def test_a_moment_is_decoded_from_the_keyframe_before_it() -> None:
    found = moment(recorded(30), 24 * 3000)
    assert found.time == MediaTime(1, 24 * 3000)
    assert [data[0] for data in found.units] == [20, 21, 22, 23, 24]


def test_the_frame_on_screen_is_the_last_one_at_or_before_the_moment() -> None:
    assert moment(recorded(30), 24 * 3000 + 2999).time.rtp == 24 * 3000


def test_timestamps_that_wrap_are_found() -> None:
    recorder, start = Recorder(), 2**32 - 15 * 3000
    for number in range(30):
        recorder.add(unit(number, key=number % 10 == 0, start=start))
    assert [data[0] for data in moment(recorder, start + 17 * 3000).units] == list(range(10, 18))


def test_moments_that_are_not_recorded_say_why() -> None:
    recorder = Recorder()
    for number in range(10):
        recorder.add(unit(number, key=number == 0, epoch=2, start=900_000))
    assert recorder.stretch(MediaTime(3, 900_000)) is Absent.UNKNOWN_EPOCH
    assert recorder.stretch(MediaTime(1, 900_000)) is Absent.TOO_OLD
    assert recorder.stretch(MediaTime(2, 900_000 - 1)) is Absent.TOO_OLD
    assert recorder.stretch(MediaTime(2, 900_000 + 9 * 3000 + 45_001)) is Absent.TOO_NEW
    assert Recorder().stretch(MediaTime(1, 0)) is Absent.UNKNOWN_EPOCH


def test_what_is_older_than_kept_is_forgotten_by_whole_groups() -> None:
    recorder = recorded(100, settings=RecorderSettings(keep_ns=1_000 * MS))
    assert recorder.stretch(MediaTime(1, 55 * 3000)) is Absent.TOO_OLD
    assert moment(recorder, 75 * 3000).units[0][0] == 70
    recorder.prune(10_000 * MS)
    assert recorder.statistics().frames == recorder.statistics().bytes == 0


def test_memory_never_exceeds_its_bound() -> None:
    limit = 40 * (100 + UNIT_BYTES)
    recorder = Recorder(RecorderSettings(max_bytes=limit))
    for number in range(500):
        recorder.add(unit(number, key=number % 7 == 0))
        assert recorder.statistics().bytes <= limit
    held = recorder.statistics()
    assert held.frames > 30 and held.bytes == held.frames * (100 + UNIT_BYTES)
    assert moment(recorder, 499 * 3000).time.rtp == 499 * 3000


def test_an_endless_group_is_given_up_and_a_keyframe_asked_for() -> None:
    recorder = Recorder(RecorderSettings(max_bytes=20 * (100 + UNIT_BYTES), keyframe_ns=100_000 * MS))
    asked = [recorder.add(unit(number, key=number == 0)) for number in range(30)]
    assert asked.index(True) == 20 and asked.count(True) == 1
    assert recorder.statistics().frames == 0 and recorder.statistics().skipped == 9
    assert not recorder.add(unit(30, key=True))
    assert moment(recorder, 30 * 3000).units[0][0] == 30


def test_nothing_is_kept_before_the_first_keyframe_or_across_connections() -> None:
    recorder = Recorder()
    assert recorder.add(unit(0)) is True
    recorder.add(unit(1, key=True))
    recorder.add(unit(2, epoch=2))
    recorder.add(unit(3, epoch=2))
    assert recorder.statistics().frames == 1 and recorder.statistics().skipped == 3


def test_keyframes_are_asked_for_at_the_wanted_pace() -> None:
    recorder = Recorder(RecorderSettings(keyframe_ns=2_000 * MS))
    asked = [n for n in range(300) if recorder.add(unit(n, key=n == 0))]
    assert asked == [pytest.approx(61, abs=1), pytest.approx(122, abs=2), *asked[2:]] and len(asked) <= 5
    assert recorded(300, gop=30).add(unit(300, key=True)) is False
    never = Recorder(RecorderSettings(keyframe_ns=0))
    assert not any(never.add(unit(n, key=n == 0)) for n in range(300))


def test_sound_is_not_kept() -> None:
    recorder = Recorder()
    assert not recorder.add(EncodedFrame("opus", MediaTime(1, 0), b"x", True, 0))
    assert recorder.statistics().frames == 0


def test_marks_are_the_keyframes() -> None:
    marks = recorded(25).marks()
    assert [mark.time.rtp for mark in marks] == [0, 30_000, 60_000]
    assert marks[1].arrived_ns == 10 * FRAME_NS
