from __future__ import annotations

import json

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from inference.device import DeviceStatistics
from inference.types import FrameResult, Outcome
from stream.types import MediaTime, RepublishStatus, SourceInfo, stream_id
from vitrine.figures import EngineFigures, HotspotFigures, StreamStatus, VideoStatus, encode
from vitrine.metrics import DeviceCollector, Metrics, StreamMetrics, VideoCollector

MS = 1_000_000
S = 1000 * MS
DEMO = stream_id("demo")


def result(index: int, outcome: Outcome = Outcome.DETECTED, detect_ms: int = 20) -> FrameResult:
    at = index * 33 * MS
    stages = {"queue": MS, "detect": detect_ms * MS}
    return FrameResult(DEMO, MediaTime(1, index * 2970), at, at, outcome, (), stages)


def run_frames(metrics: StreamMetrics, count: int, detect_every: int = 2, took_ms: int = 25) -> int:
    """Frames at 30 fps, each `took_ms` old when its overlay goes out; the time of the last one."""
    now_ns = 0
    for index in range(count):
        outcome = Outcome.DETECTED if index % detect_every == 0 else Outcome.COASTED
        frame = result(index, outcome)
        metrics.frame_in(frame.arrived_ns)
        now_ns = frame.arrived_ns + took_ms * MS
        metrics.frame_done(outcome)
        metrics.overlay(frame, now_ns)
    return now_ns


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.prometheus().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_frame_ends_in_one_count() -> None:
    metrics = Metrics().stream(DEMO)
    run_frames(metrics, 60)
    for outcome in (Outcome.CANCELLED, Outcome.FAILED):
        metrics.frame_in(2 * S)
        metrics.frame_done(outcome)
    metrics.frame_in(2 * S)
    metrics.dropped("late")
    counts = metrics.frame_counts()
    assert msgspec.to_builtins(counts) == {
        "in": 63,
        "detected": 30,
        "propagated": 30,
        "dropped": 1,
        "cancelled": 1,
        "failed": 1,
    }
    assert counts.in_ == counts.detected + counts.propagated + counts.dropped + 2


def test_figures_have_the_documented_shape() -> None:
    metrics = Metrics().stream(DEMO)
    now_ns = run_frames(metrics, 300)
    metrics.viewer_report(12.0, 41.0, now_ns)
    source = SourceInfo("H264", 1280, 720, False, True, "WHIP, Chromium")
    spot = HotspotFigures(7, "mug-01", "Mug", "exact", 0.83, "seen from 6 views")
    status = StreamStatus(live=True, epoch=1, viewers=2, source=source, latency_ms=120, hotspots=(spot,))
    stream = metrics.figures(now_ns, status)
    engine = EngineFigures(
        now_ms=1, uptime_s=2.0, version="0", model="m", provider="p", problems=(), streams=(stream,)
    )
    (shown,) = json.loads(encode(engine))["streams"]
    assert shown["id"] == "demo" and shown["frames"]["in"] == 300 and shown["budget_ms"] == 60
    assert shown["fps_in"] == pytest.approx(30, abs=0.5) and shown["fps_detected"] == pytest.approx(
        15, abs=0.5
    )
    assert shown["frame_age_ms"] == {"p50": 25.0, "p95": 25.0, "p99": 25.0}
    assert shown["stages_ms"]["detect"] == {"p50": 20.0, "p95": 20.0, "p99": 20.0}
    assert shown["overlay_age_ms"] == {"p50": 12.0, "p95": 41.0}
    assert shown["source"]["codec"] == "H264" and shown["hotspots"][0]["title"] == "Mug"
    assert shown["problems"] == []


def test_staleness_is_media_time_since_the_newest_detection() -> None:
    metrics = Metrics().stream(DEMO)
    for index in range(5):
        metrics.overlay(result(index, Outcome.DETECTED if index == 0 else Outcome.COASTED), index * 33 * MS)
    assert metrics.figures(5 * 33 * MS, StreamStatus()).staleness_ms.p99 == 4 * 33.0


def test_a_late_detection_of_an_old_frame_still_counts_from_the_newest_frame() -> None:
    metrics = Metrics().stream(DEMO)
    metrics.overlay(result(3, Outcome.COASTED), 3 * 33 * MS)
    metrics.overlay(result(0), 4 * 33 * MS)
    assert metrics.figures(S, StreamStatus()).staleness_ms.p50 == 3 * 33.0


def test_before_the_first_detection_there_is_no_staleness() -> None:
    metrics = Metrics().stream(DEMO)
    metrics.overlay(result(0, Outcome.COASTED), 0)
    assert metrics.figures(S, StreamStatus()).staleness_ms.p50 is None


def test_late_overlays_and_cancelled_runs_miss_the_budget_once_each() -> None:
    metrics = Metrics().stream(DEMO, budget_ns=60 * MS)
    metrics.overlay(result(0), 60 * MS)
    assert metrics.budget_misses == 0
    metrics.overlay(result(0), 61 * MS)
    assert metrics.budget_misses == 1
    metrics.frame_done(Outcome.CANCELLED)
    metrics.overlay(result(0, Outcome.CANCELLED), 80 * MS)
    assert metrics.budget_misses == 2


def test_percentiles_forget_but_counters_do_not() -> None:
    metrics = Metrics().stream(DEMO)
    now_ns = run_frames(metrics, 30)
    later = metrics.figures(now_ns + 11 * S, StreamStatus())
    assert later.frame_age_ms.p50 is None and later.fps_in == 0.0
    assert later.frames.in_ == 30


def test_frames_that_nobody_wanted_decoded_arrived_and_are_no_loss() -> None:
    metrics = Metrics().stream(DEMO)
    run_frames(metrics, 10)
    metrics.dropped("late", 2)
    metrics.dropped("unwatched", 250)
    figures = metrics.figures(S, StreamStatus(live=True))
    assert figures.drops == {"late": 2, "unwatched": 250} and figures.frames.dropped == 2
    assert figures.fps_in > 25 and figures.problems == ()


def test_prometheus_text_carries_the_same_counts() -> None:
    metrics = Metrics("1.2.3")
    stream = metrics.stream(DEMO)
    run_frames(stream, 10)
    stream.dropped("late", 3)
    stream.event("tap")
    stream.figures(S, StreamStatus(live=True, viewers=4))
    found = samples(metrics)
    demo = ("stream", "demo")
    assert found["vitrine_frames_total", (("outcome", "detected"), demo)] == 5
    assert found["vitrine_drops_total", (("reason", "late"), demo)] == 3
    assert found["vitrine_events_total", (("event", "tap"), demo)] == 1
    assert found["vitrine_stage_seconds_count", (("stage", "detect"), demo)] == 10
    assert found["vitrine_frame_age_seconds_sum", (demo,)] == pytest.approx(0.25)
    assert found["vitrine_viewers", (demo,)] == 4 and found["vitrine_live", (demo,)] == 1
    assert found["vitrine_build_info", (("version", "1.2.3"),)] == 1


def test_two_engines_in_one_process_do_not_share_counts() -> None:
    first, second = Metrics(), Metrics()
    first.stream(DEMO).frame_in(0)
    assert ("vitrine_frames_total", (("outcome", "in"), ("stream", "demo"))) not in samples(second)
    assert first.stream(DEMO) is first.stream(DEMO)


def test_the_device_is_read_when_it_is_asked_for() -> None:
    now = [DeviceStatistics()]
    registry = CollectorRegistry()
    registry.register(DeviceCollector(lambda: now[0]))
    now[0] = DeviceStatistics(
        done=7, cancelled=2, waiting=1, overshoot_sum_ns=3_000_000, overshoot_max_ns=2_000_000
    )
    lines = generate_latest(registry).decode().splitlines()
    for line in (
        'vitrine_device_jobs_total{outcome="done"} 7.0',
        'vitrine_device_jobs_total{outcome="cancelled"} 2.0',
        "vitrine_device_overshoot_seconds_total 0.003",
        "vitrine_device_overshoot_seconds_max 0.002",
        "vitrine_device_waiting 1.0",
    ):
        assert line in lines


def test_video_on_its_way_out_is_counted() -> None:
    status = VideoStatus(
        stream="demo",
        viewers=3,
        dropped=4,
        resent=5,
        refused=6,
        replayed=7,
        republish=RepublishStatus("sfu.example", "retrying", "gone", 2, 8),
    )
    registry = CollectorRegistry()
    registry.register(VideoCollector(lambda: [status]))
    lines = generate_latest(registry).decode().splitlines()
    for line in (
        'vitrine_video_viewers{stream="demo"} 3.0',
        'vitrine_video_dropped_total{stream="demo"} 4.0',
        'vitrine_video_packets_again_total{stream="demo",why="lost"} 5.0',
        'vitrine_video_packets_again_total{stream="demo",why="refused"} 6.0',
        'vitrine_video_packets_again_total{stream="demo",why="joined"} 7.0',
        'vitrine_republish_up{stream="demo"} 0.0',
        'vitrine_republish_failures_total{stream="demo"} 8.0',
        'vitrine_republish_connections_total{stream="demo"} 2.0',
    ):
        assert line in lines
