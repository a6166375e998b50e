from __future__ import annotations

import pytest
from msgspec.structs import replace

from inference.device import DeviceStatistics
from stream.types import RepublishStatus, SourceInfo
from vitrine.diagnose import Recent, device_problems, diagnose
from vitrine.figures import FrameCounts, Percentiles, StreamFigures, VideoStatus

GOOD = StreamFigures(
    id="demo",
    live=True,
    epoch=1,
    viewers=3,
    source=SourceInfo("H264", 1280, 720, False, True, "WHIP"),
    fps_in=30.0,
    fps_detected=15.0,
    budget_ms=60,
    frames=FrameCounts(in_=3000, detected=1500, propagated=1500),
    drops={},
    budget_misses=0,
    stages_ms={
        "queue": Percentiles(1, 2, 3),
        "detect": Percentiles(30, 48, 55),
        "receive": Percentiles(2, 3, 4),
    },
    frame_age_ms=Percentiles(20, 40, 50),
    staleness_ms=Percentiles(33, 66, 99),
    overlay_age_ms=Percentiles(10, 40),
    latency_ms=120,
)
BUSY = Recent(frames=300, detected=150)
SLOW_DECODING: dict[str, object] = {"stages_ms": {"receive": Percentiles(10, 31, 40)}}


def test_a_good_stream_has_no_problems() -> None:
    assert diagnose(GOOD, BUSY) == ()


def test_a_stream_that_is_not_live_has_no_problems() -> None:
    assert diagnose(replace(GOOD, live=False, fps_in=0.0), Recent()) == ()


def test_missed_budgets_name_the_share_and_the_slowest_stage() -> None:
    (words,) = diagnose(GOOD, Recent(frames=300, detected=150, misses=9))
    assert words == (
        "3.0 % of frames missed the 60 ms budget in the last 10 s; the detector takes 48 ms at p95"
    )


def test_two_percent_of_misses_are_no_problem_and_few_frames_say_nothing() -> None:
    assert diagnose(GOOD, Recent(frames=300, detected=150, misses=6)) == ()
    assert diagnose(GOOD, Recent(frames=20, detected=10, misses=9)) == ()


def test_no_frames_is_said_alone() -> None:
    assert diagnose(replace(GOOD, fps_in=0.0), Recent()) == (
        "no frame arrived in the last 10 s; the publisher is connected but sends no video",
    )


@pytest.mark.parametrize(
    ("change", "recent", "expected"),
    [
        ({"fps_in": 7.6}, BUSY, "only 8 frames a second arrive"),
        ({}, Recent(frames=300, detected=10, failed=4), "detector failed on 4 frames"),
        ({}, Recent(frames=300), "no frame was detected"),
        ({"staleness_ms": Percentiles(100, 400, 500)}, BUSY, "400 ms old"),
        ({"overlay_age_ms": Percentiles(100, 900)}, BUSY, "viewers see hotspots 900 ms old"),
        (SLOW_DECODING, BUSY, "decoding takes 31 ms at p95; lower the resolution or the frame rate"),
        ({**SLOW_DECODING, "source": SourceInfo("VP8", 1, 1, False, False, "")}, BUSY, "or publish H264"),
        ({"source": SourceInfo("hevc", 1, 1, True, False, "file")}, BUSY, "hevc is transcoded"),
        ({}, Recent(300, 150, drops={"undecodable": 40}), "40 frames dropped in the last 10 s (undecodable)"),
        ({}, Recent(300, 150, drops={"new-reason": 40}), "see the log"),
    ],
)
def test_each_trouble_has_its_words(change: dict[str, object], recent: Recent, expected: str) -> None:
    (words,) = diagnose(replace(GOOD, **change), recent)
    assert expected in words


def test_nobody_watching_needs_no_detection() -> None:
    assert diagnose(replace(GOOD, viewers=0), Recent(frames=300)) == ()


def test_drops_come_worst_first() -> None:
    first, second = diagnose(GOOD, Recent(300, 150, drops={"late": 30, "undecodable": 60}))
    assert "undecodable" in first and "late" in second


def test_a_device_that_stops_in_time_has_no_problems() -> None:
    assert device_problems(DeviceStatistics(done=900, cancelled=90, overshoot_sum_ns=90_000_000)) == ()


@pytest.mark.parametrize("cancelled", [0, 1, 4])
def test_a_few_slow_stops_say_nothing(cancelled: int) -> None:
    device = DeviceStatistics(done=9, cancelled=cancelled, overshoot_sum_ns=cancelled * 400_000_000)
    assert device_problems(device) == ()


def test_a_device_that_cannot_be_stopped_is_named() -> None:
    (words,) = device_problems(DeviceStatistics(done=9, cancelled=10, overshoot_sum_ns=400_000_000))
    assert words.startswith("10 cancelled runs") and "40 ms after their deadline" in words
    (words,) = device_problems(DeviceStatistics(abandoned=2))
    assert words.startswith("2 runs would not stop")


@pytest.mark.parametrize(("state", "told"), [("sending", False), ("waiting", False), ("retrying", True)])
def test_a_stream_that_is_not_sent_on_is_told(state: str, told: bool) -> None:
    sent_on = RepublishStatus("sfu.example", state, "got 503", 1, 2)
    counts = dict.fromkeys(("viewers", "dropped", "resent", "refused", "replayed"), 0)
    video = VideoStatus(stream="demo", **counts, republish=sent_on)
    found = diagnose(replace(GOOD, video=video), BUSY)
    wanted = ("not re-published to sfu.example: got 503; trying again by itself",)
    assert found == (wanted if told else ())


def test_a_stream_that_nobody_watches_is_not_taken_for_a_broken_one() -> None:
    dozing = Recent(frames=5, detected=5, drops={"unwatched": 295})
    assert diagnose(replace(GOOD, viewers=0, fps_in=0.5), dozing) == ()
    assert diagnose(replace(GOOD, viewers=0, fps_in=0.0), Recent(drops={"unwatched": 300})) == ()
    rare = replace(GOOD, viewers=0, staleness_ms=Percentiles(250, 500, 500))
    assert diagnose(rare, BUSY) == () and diagnose(replace(rare, viewers=1), BUSY) != ()
