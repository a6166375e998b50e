"""Counts and durations: for Prometheus, and as the figures on the operator's page.

Counters run since the start, percentiles over the last ten seconds. All methods on the event loop; time is
passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inference.device import DeviceStatistics
from inference.types import FrameResult, Outcome
from stream.types import StreamId
from vitrine.diagnose import UNWATCHED, Recent, diagnose
from vitrine.figures import FrameCounts, Percentiles, StreamFigures, StreamStatus, VideoStatus
from vitrine.recorder import RecorderStatistics
from vitrine.rolling import Rolling
from vitrine.studio.nodes import NodeRecord

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
MS: Final = 1e-6
SECONDS: Final = 1e-9
_BUCKETS: Final = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.03,
    0.04,
    0.06,
    0.08,
    0.1,
    0.15,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)
_JOB_OUTCOMES: Final = ("done", "cancelled", "expired", "failed", "abandoned")
_OUTCOMES: Final = {
    Outcome.DETECTED: "detected",
    Outcome.COASTED: "propagated",
    Outcome.CANCELLED: "cancelled",
    Outcome.FAILED: "failed",
}


def _histogram(name: str, words: str, *labels: str) -> Histogram:
    return Histogram(name, words, labels, buckets=_BUCKETS, registry=None)


class Metrics:
    """The Prometheus registry of one engine, and the figures of each of its streams.

    Labels are stream names and fixed words only: their number is bounded by ``server.max_streams``.
    """

    def __init__(self, version: str = "") -> None:
        self.registry = CollectorRegistry()
        self.frames = Counter("vitrine_frames", "Frames by outcome.", ("stream", "outcome"), registry=None)
        self.drops = Counter("vitrine_drops", "Frames without overlay.", ("stream", "reason"), registry=None)
        self.misses = Counter("vitrine_budget_misses", "Budget misses.", ("stream",), registry=None)
        self.events = Counter("vitrine_events", "What happened, by name.", ("stream", "event"), registry=None)
        self.stages = _histogram("vitrine_stage_seconds", "Duration per stage.", "stream", "stage")
        self.age = _histogram("vitrine_frame_age_seconds", "Last packet of a frame to its overlay.", "stream")
        self.staleness = _histogram(
            "vitrine_staleness_seconds", "Newest frame minus newest detected.", "stream"
        )
        self.overlay_age = _histogram("vitrine_overlay_age_seconds", "At viewers, their p95.", "stream")
        self.viewers = Gauge("vitrine_viewers", "Viewers connected.", ("stream",), registry=None)
        self.live = Gauge("vitrine_live", "1 while a publisher delivers.", ("stream",), registry=None)
        build = Info("vitrine_build", "Version of the engine.", registry=None)
        build.info({"version": version})
        counters = (self.frames, self.drops, self.misses, self.events)
        histograms = (self.stages, self.age, self.staleness, self.overlay_age)
        for collector in (*counters, *histograms, self.viewers, self.live, build):
            self.registry.register(collector)
        ProcessCollector(registry=self.registry)
        self._streams: dict[StreamId, StreamMetrics] = {}

    def stream(self, stream: StreamId, budget_ns: int = 60_000_000) -> StreamMetrics:
        """Metrics of `stream`, made at the first call."""
        if stream not in self._streams:
            self._streams[stream] = StreamMetrics(self, stream, budget_ns)
        return self._streams[stream]

    def prometheus(self) -> bytes:
        """The text of ``/metrics``; its media type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class StreamMetrics:
    """Counts and durations of one stream. Implements `vitrine.pipeline.FrameMetrics`.

    Args:
        shared: the registry it also counts into.
        stream: its name.
        budget_ns: an overlay older than this is a budget miss.
    """

    def __init__(self, shared: Metrics, stream: StreamId, budget_ns: int) -> None:
        self.stream = stream
        self.budget_ns = budget_ns
        self.budget_misses = 0
        self.counts = dict.fromkeys(("in", "detected", "propagated", "cancelled", "failed"), 0)
        self.drops: dict[str, int] = {}
        self._shared = shared
        self._now_ns = 0
        self._in, self._detected = Rolling(4096), Rolling(4096)
        self._missed, self._failed = Rolling(4096), Rolling(4096)
        self._dropped: dict[str, Rolling] = {}
        self._stages: dict[str, tuple[Rolling, Callable[[float], None]]] = {}
        self._age, self._staleness, self._overlay_age = Rolling(4096), Rolling(4096), Rolling(4096)
        self._overlay_age_p50 = Rolling(4096)
        self._newest_pts: int | None = None
        self._detected_pts: int | None = None
        self._count_frame = {word: shared.frames.labels(stream, word) for word in self.counts}
        self._observe_age = shared.age.labels(stream).observe
        self._observe_staleness = shared.staleness.labels(stream).observe
        self._viewers = shared.viewers.labels(stream)
        self._live = shared.live.labels(stream)

    # ---- the pipeline --------------------------------------------------------------------------------------

    def frame_in(self, now_ns: int) -> None:
        """A decoded frame arrived."""
        self._now_ns = now_ns
        self.counts["in"] += 1
        self._in.add(now_ns)
        self._count_frame["in"].inc()

    def frame_done(self, outcome: Outcome) -> None:
        """A frame's way ended: detected, coasted (propagated), cancelled or failed."""
        word = _OUTCOMES[outcome]
        self.counts[word] += 1
        self._count_frame[word].inc()
        if outcome is Outcome.DETECTED:
            self._detected.add(self._now_ns)
        elif outcome is Outcome.CANCELLED:
            self._miss(self._now_ns)
        elif outcome is Outcome.FAILED:
            self._failed.add(self._now_ns)

    def overlay(self, result: FrameResult, now_ns: int) -> None:
        """A frame's overlay was handed over at `now_ns`."""
        self._now_ns = max(now_ns, self._now_ns)
        age_ns = now_ns - result.arrived_ns
        self._age.add(now_ns, age_ns)
        self._observe_age(age_ns * SECONDS)
        if age_ns > self.budget_ns and result.outcome is not Outcome.CANCELLED:
            self._miss(now_ns)
        for name, took_ns in result.stages_ns.items():
            self.stage(name, took_ns, now_ns)
        self._stale(result, now_ns)

    def _stale(self, result: FrameResult, now_ns: int) -> None:
        if result.outcome is Outcome.DETECTED:
            self._detected_pts = max(result.pts_ns, self._detected_pts or result.pts_ns)
        self._newest_pts = max(result.pts_ns, self._newest_pts or result.pts_ns)
        if self._detected_pts is not None:
            stale_ns = self._newest_pts - self._detected_pts
            self._staleness.add(now_ns, stale_ns)
            self._observe_staleness(stale_ns * SECONDS)

    def dropped(self, reason: str, count: int = 1) -> None:
        """Frames that got no overlay."""
        self.drops[reason] = self.drops.get(reason, 0) + count
        self._dropped.setdefault(reason, Rolling(1024)).add(self._now_ns, count)
        self._shared.drops.labels(self.stream, reason).inc(count)

    def stage(self, name: str, took_ns: int, now_ns: int) -> None:
        """One stage of one frame took so long. `FrameResult.stages_ns` comes in through `overlay`."""
        known = self._stages.get(name)
        if known is None:
            known = self._stages[name] = (Rolling(), self._shared.stages.labels(self.stream, name).observe)
        known[0].add(now_ns, took_ns)
        known[1](took_ns * SECONDS)

    def _miss(self, now_ns: int) -> None:
        self.budget_misses += 1
        self._missed.add(now_ns)
        self._shared.misses.labels(self.stream).inc()

    # ---- everybody else ------------------------------------------------------------------------------------

    def event(self, name: str) -> None:
        """Count something that happened (``"tap"``, ``"resync"``, ``"slow-viewer"``): a fixed word."""
        self._shared.events.labels(self.stream, name).inc()

    def viewer_report(self, p50_ms: float, p95_ms: float, now_ns: int) -> None:
        """A viewer says how old its overlay was, median and p95."""
        self._overlay_age_p50.add(now_ns, p50_ms)
        self._overlay_age.add(now_ns, p95_ms)
        self._shared.overlay_age.labels(self.stream).observe(p95_ms / 1e3)

    def set_status(self, live: bool, viewers: int) -> None:
        """Update the gauges."""
        self._live.set(int(live))
        self._viewers.set(viewers)

    def figures(self, now_ns: int, status: StreamStatus) -> StreamFigures:
        """Everything an operator sees of this stream, problems in words included."""
        self.set_status(status.live, status.viewers)
        figures = self._figures(now_ns, status)
        return replace(figures, problems=diagnose(figures, self.recent(now_ns)))

    def _figures(self, now_ns: int, status: StreamStatus) -> StreamFigures:
        return StreamFigures(
            id=self.stream,
            live=status.live,
            epoch=status.epoch,
            viewers=status.viewers,
            source=status.source,
            fps_in=round(self._in.rate(now_ns) + self._unwatched(now_ns), 1),
            fps_detected=round(self._detected.rate(now_ns), 1),
            budget_ms=self.budget_ns * MS,
            frames=self.frame_counts(),
            drops=dict(self.drops),
            budget_misses=self.budget_misses,
            stages_ms={name: values.percentiles(now_ns, MS) for name, (values, _) in self._stages.items()},
            frame_age_ms=self._age.percentiles(now_ns, MS),
            staleness_ms=self._staleness.percentiles(now_ns, MS),
            overlay_age_ms=self._reported_age(now_ns),
            latency_ms=status.latency_ms,
            hotspots=status.hotspots,
            video=status.video,
        )

    def seen(self, now_ns: int) -> StreamFigures:
        """What is known of a stream that another node holds: ages that viewers here report."""
        return self._figures(now_ns, StreamStatus())

    def frame_counts(self) -> FrameCounts:
        """Frames since the start."""
        counts = self.counts
        return FrameCounts(
            in_=counts["in"],
            detected=counts["detected"],
            propagated=counts["propagated"],
            dropped=sum(count for reason, count in self.drops.items() if reason != UNWATCHED),
            cancelled=counts["cancelled"],
            failed=counts["failed"],
        )

    def recent(self, now_ns: int) -> Recent:
        """Counts of the last ten seconds."""
        drops = {reason: int(values.total(now_ns)) for reason, values in self._dropped.items()}
        return Recent(
            frames=self._in.count(now_ns),
            detected=self._detected.count(now_ns),
            misses=self._missed.count(now_ns),
            failed=self._failed.count(now_ns),
            drops={reason: count for reason, count in drops.items() if count},
        )

    def _unwatched(self, now_ns: int) -> float:
        """Frames a second that arrive and are not decoded."""
        values = self._dropped.get(UNWATCHED)
        return 0.0 if values is None else values.total(now_ns) * 1e9 / values.window_ns

    def _reported_age(self, now_ns: int) -> Percentiles:
        """Median of the viewers' medians, p95 of their p95."""
        median = self._overlay_age_p50.percentiles(now_ns).p50
        return Percentiles(median, self._overlay_age.percentiles(now_ns).p95)


class DeviceCollector(Collector):
    """Jobs by outcome, how long cancelled ones overshot, and how many wait."""

    def __init__(self, statistics: Callable[[], DeviceStatistics]) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        seen = self._statistics()
        jobs = CounterMetricFamily("vitrine_device_jobs", "Inference runs by outcome.", labels=("outcome",))
        for outcome in _JOB_OUTCOMES:
            jobs.add_metric((outcome,), getattr(seen, outcome))
        yield jobs
        words = "From the deadline of cancelled runs to the device being free again."
        yield CounterMetricFamily(
            "vitrine_device_overshoot_seconds", words, value=seen.overshoot_sum_ns / 1e9
        )
        yield GaugeMetricFamily("vitrine_device_overshoot_seconds_max", words, seen.overshoot_max_ns / 1e9)
        yield GaugeMetricFamily("vitrine_device_waiting", "Inference jobs in the queue now.", seen.waiting)


class VideoCollector(Collector):
    """Video on its way out: WHEP viewers, what they were not sent or were sent again, re-publication."""

    def __init__(self, statistics: Callable[[], Iterable[VideoStatus]]) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        label = ("stream",)
        viewers = GaugeMetricFamily("vitrine_video_viewers", "WHEP connections.", labels=label)
        dropped = CounterMetricFamily("vitrine_video_dropped", "Frames slow viewers missed.", labels=label)
        packets = CounterMetricFamily(
            "vitrine_video_packets_again", "Packets by why they were sent again.", labels=("stream", "why")
        )
        sending = GaugeMetricFamily("vitrine_republish_up", "1 while a stream is sent on.", labels=label)
        failures = CounterMetricFamily("vitrine_republish_failures", "Attempts that failed.", labels=label)
        connections = CounterMetricFamily("vitrine_republish_connections", "Made so far.", labels=label)
        for one in self._statistics():
            viewers.add_metric((one.stream,), one.viewers)
            dropped.add_metric((one.stream,), one.dropped)
            for why, count in (("lost", one.resent), ("refused", one.refused), ("joined", one.replayed)):
                packets.add_metric((one.stream, why), count)
            if one.republish is not None:
                sending.add_metric((one.stream,), one.republish.state == "sending")
                failures.add_metric((one.stream,), one.republish.failures)
                connections.add_metric((one.stream,), one.republish.connections)
        yield from (viewers, dropped, packets, sending, failures, connections)


class RecorderCollector(Collector):
    """What is kept of each stream for searches."""

    def __init__(self, statistics: Callable[[], Mapping[StreamId, RecorderStatistics]]) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        held = GaugeMetricFamily("vitrine_recorder_bytes", "Video kept for searches.", labels=("stream",))
        span = GaugeMetricFamily("vitrine_recorder_seconds", "How far back it reaches.", labels=("stream",))
        words = "Frames not kept, because no keyframe was before them."
        skipped = CounterMetricFamily("vitrine_recorder_skipped", words, labels=("stream",))
        for stream, seen in self._statistics().items():
            held.add_metric((stream,), seen.bytes)
            span.add_metric((stream,), seen.span_ns * SECONDS)
            skipped.add_metric((stream,), seen.skipped)
        yield from (held, span, skipped)


class NodeCollector(Collector):
    """This node among the others, at every scrape: what autoscaling goes by.

    Args:
        record: the node as it is now.
    """

    def __init__(self, record: Callable[[], NodeRecord]) -> None:
        self._record = record

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`."""
        told = self._record()
        yield GaugeMetricFamily("vitrine_node_viewers", "Viewers on this node.", sum(told.viewers.values()))
        yield GaugeMetricFamily("vitrine_node_streams", "Streams that this node holds.", len(told.streams))
        yield GaugeMetricFamily("vitrine_node_load", "Of what this node may take; 1 is all of it.", told.load)
        yield GaugeMetricFamily("vitrine_node_draining", "1 while this node ends.", int(told.draining))
