"""Hotspots of a recorded video, found ahead of time: the same recognition as live, without a deadline.

Decoding runs beside detection, so a recording takes less time than it lasts. What is known later is used
earlier: frames of an object from before its product was certain get the product too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from inference.device import DeviceWorker
from inference.types import FrameResult, Match, MatchState, Outcome, Plan, Rung, Track
from overlay.hotspots import HotspotProjector, HotspotSettings
from overlay.types import Hotspot, Product, ShowList
from stream.clock import Clock, MonotonicClock
from stream.types import Frame
from vitrine.pipeline import Worker

MS: Final = 1_000_000
_NO_HURRY_NS: Final = 60_000 * MS


@dataclass(frozen=True, slots=True)
class TagSettings:
    """How thoroughly to look, and how finely to write.

    Attributes:
        every: detect in every n-th frame; between them objects are followed.
        sample_ms: least distance of cues: boxes are to be interpolated in between. Detected frames are
            preferred; predicted ones serve where those lie more than twice as far apart.
        embed_limit: crops compared per detected frame.
        hotspots: limits on what is shown.
    """

    every: int = 3
    sample_ms: int = 100
    embed_limit: int = 8
    hotspots: HotspotSettings = field(default_factory=lambda: HotspotSettings(min_dwell_ms=0))


@dataclass(frozen=True, slots=True)
class Cue:
    """The hotspots from `start_ns` up to `end_ns`; boxes as they are at `start_ns`."""

    start_ns: int
    end_ns: int
    hotspots: tuple[Hotspot, ...]


@dataclass(frozen=True, slots=True)
class Tags:
    """What was found.

    Attributes:
        cues: in order, with hotspots only.
        frames: frames read.
        detected: of which detected.
        end_ns: media time of the end of the last frame.
        took_ns: how long it took.
        start_ns: media time of the first frame.
    """

    cues: tuple[Cue, ...]
    frames: int
    detected: int
    end_ns: int
    took_ns: int
    start_ns: int = 0

    def starting_at(self, start_ns: int) -> Tags:
        """The same, counted by a clock on which the first frame has the time `start_ns`."""
        moved_ns = start_ns - self.start_ns
        cues = tuple(
            replace(c, start_ns=c.start_ns + moved_ns, end_ns=c.end_ns + moved_ns) for c in self.cues
        )
        return replace(self, cues=cues, end_ns=self.end_ns + moved_ns, start_ns=start_ns)


async def tag_frames(
    frames: Iterable[Frame],
    *,
    worker: Worker,
    device: DeviceWorker,
    rung: Rung,
    products: Sequence[Product],
    settings: TagSettings = TagSettings(),
    clock: Clock | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Tags:
    """Look through a recording.

    Args:
        frames: of one stream, in order; read in a thread.
        worker: of that stream, fresh.
        device: the thread it runs on.
        rung: input size to detect at.
        products: what may be shown; empty shows every object, without a product.
        settings: how thoroughly.
        clock: for deadlines.
        on_progress: called with the number of frames done.

    Raises:
        RuntimeStuck: the model does not come back.
        stream.errors.SourceError: the recording breaks off.
    """
    clock = clock or MonotonicClock()
    began_ns = clock.now_ns()
    source = iter(frames)
    sampled = _Sampled(settings.sample_ms * MS)
    count = detected = last_ns = previous_ns = 0
    batch = await asyncio.to_thread(_take, source, settings.every)
    while batch:
        plan = Plan(True, rung, clock.now_ns() + _NO_HURRY_NS, settings.embed_limit, "tag")
        result, following = await asyncio.gather(
            _detect(worker, device, batch[0], plan), asyncio.to_thread(_take, source, settings.every)
        )
        detected += result.outcome is Outcome.DETECTED
        sampled.add(result)
        for frame in batch[1:]:
            sampled.add(worker.coast(frame))
        count += len(batch)
        for frame in batch:
            previous_ns, last_ns = last_ns, frame.pts_ns
        if on_progress is not None:
            on_progress(count)
        batch = following
    end_ns = last_ns + max(last_ns - previous_ns, 0)
    cues = tuple(_cues(_known_earlier(sampled.results), products, settings, end_ns))
    return Tags(cues, count, detected, end_ns, clock.now_ns() - began_ns)


def _take(source: Iterator[Frame], count: int) -> list[Frame]:
    return list(islice(source, count))


async def _detect(worker: Worker, device: DeviceWorker, frame: Frame, plan: Plan) -> FrameResult:
    """Detect, and wait until what was embedded has voted, so that the machine's speed changes nothing."""
    result = await worker.process(frame, plan)
    await device.run(lambda handle: None, plan.deadline_ns, priority=9)
    return result


class _Sampled:
    """Results at least `step_ns` apart, those that were detected before those that were predicted."""

    def __init__(self, step_ns: int) -> None:
        self.results: list[FrameResult] = []
        self._step_ns = step_ns

    def add(self, result: FrameResult) -> None:
        if self.results:
            gap_ns = result.pts_ns - self.results[-1].pts_ns
            step_ns = self._step_ns if result.outcome is Outcome.DETECTED else 2 * self._step_ns
            if gap_ns < step_ns - MS:
                return
        self.results.append(result)


def _known_earlier(results: Sequence[FrameResult]) -> list[FrameResult]:
    """The results with each track's first certain product carried back to its beginning."""
    first: dict[int, Match] = {}
    known: list[FrameResult] = []
    for result in reversed(results):
        tracks = []
        for track in result.tracks:
            if track.match.state is not MatchState.UNSURE:
                first[track.id] = track.match
            tracks.append(_matched(track, first.get(track.id)))
        known.append(replace(result, tracks=tuple(tracks)))
    return known[::-1]


def _matched(track: Track, match: Match | None) -> Track:
    if match is None or track.match.state is not MatchState.UNSURE:
        return track
    return replace(track, match=replace(match, reason=f"{match.reason}, known from later"))


def _cues(
    results: Sequence[FrameResult], products: Sequence[Product], settings: TagSettings, end_ns: int
) -> Iterator[Cue]:
    limits = settings.hotspots if products else replace(settings.hotspots, show_unsure=True)
    projector = HotspotProjector(limits)
    shown = ShowList(pids={product.id: number for number, product in enumerate(products, 1)})
    for index, result in enumerate(results):
        spots = projector.project(result, shown).hotspots
        until_ns = results[index + 1].pts_ns if index + 1 < len(results) else max(end_ns, result.pts_ns + MS)
        if spots:
            yield Cue(result.pts_ns, until_ns, spots)
