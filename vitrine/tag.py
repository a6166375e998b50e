"""Hotspots of a recorded video, found ahead of time: the same recognition as live, without a deadline.

Decoding runs beside detection, so a recording takes less time than it lasts. What is known later is used
earlier: frames of an object from before its product was certain get the product too.
"""

from __future__ import annotations

import asyncio
import json
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

VERSION: Final = 1
MS: Final = 1_000_000
_NO_HURRY_NS: Final = 60_000 * MS


@dataclass(frozen=True, slots=True)
class TagSettings:
    """How thoroughly to look, and how finely to write.

    Attributes:
        every: detect in every n-th frame; between them objects are followed.
        sample_ms: distance of cues: boxes are to be interpolated in between.
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
    """

    cues: tuple[Cue, ...]
    frames: int
    detected: int
    end_ns: int
    took_ns: int


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
    """Results at least `step_ns` apart."""

    def __init__(self, step_ns: int) -> None:
        self.results: list[FrameResult] = []
        self._step_ns = step_ns

    def add(self, result: FrameResult) -> None:
        if not self.results or result.pts_ns - self.results[-1].pts_ns >= self._step_ns - MS:
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


# ---- what is written -----------------------------------------------------------------------------------


def to_webvtt(tags: Tags, products: Sequence[Product]) -> str:
    """A metadata track (https://www.w3.org/TR/webvtt1/): JSON in every cue.

    The first cue, ``products``, lasts as long as the video: ``{"version", "products": [...]}``. Every other
    holds ``{"hotspots": [{"id", "product", "state", "box": [x0, y0, x1, y1]}]}``, boxes 0..1 of the picture.
    """
    wanted = {spot.product_id for cue in tags.cues for spot in cue.hotspots}
    head = {"version": VERSION, "products": [product_json(p) for p in products if p.id in wanted]}
    blocks = ["WEBVTT", f"products\n{_span(0, tags.end_ns)}\n{_cue_text(head)}"]
    for number, cue in enumerate(tags.cues, 1):
        body = {"hotspots": [_spot_json(spot) for spot in cue.hotspots]}
        blocks.append(f"{number}\n{_span(cue.start_ns, cue.end_ns)}\n{_cue_text(body)}")
    return "\n\n".join(blocks) + "\n"


def to_json(tags: Tags, products: Sequence[Product]) -> dict[str, object]:
    """The same by hotspot: for each, what it shows and its box over time (``[ms, x0, y0, x1, y1]``)."""
    found: dict[int, dict[str, object]] = {}
    paths: dict[int, list[list[float]]] = {}
    titles = {product.id: product.title for product in products}
    for cue in tags.cues:
        for spot in cue.hotspots:
            entry = found.setdefault(spot.id, {"id": spot.id, "start_ms": cue.start_ns // MS})
            entry |= {"product_id": spot.product_id, "title": titles.get(spot.product_id, "")}
            entry |= {"state": spot.state.value, "end_ms": cue.end_ns // MS}
            paths.setdefault(spot.id, []).append([cue.start_ns // MS, *_box(spot)])
    wanted = {entry["product_id"] for entry in found.values()}
    return {
        "version": VERSION,
        "duration_ms": tags.end_ns // MS,
        "frames": tags.frames,
        "detected": tags.detected,
        "took_ms": tags.took_ns // MS,
        "times_real_time": round(tags.end_ns / tags.took_ns, 2) if tags.took_ns else 0.0,
        "products": [product_json(product) for product in products if product.id in wanted],
        "hotspots": [entry | {"boxes": paths[number]} for number, entry in sorted(found.items())],
    }


def product_json(product: Product) -> dict[str, str]:
    """What a page needs to show a product."""
    names = ("id", "title", "price", "sale_price", "link", "seller", "brand")
    return {name: str(getattr(product, name)) for name in names if getattr(product, name)}


def _spot_json(spot: Hotspot) -> dict[str, object]:
    return {"id": spot.id, "product": spot.product_id, "state": spot.state.value, "box": _box(spot)}


def _box(spot: Hotspot) -> list[float]:
    return [round(float(edge), 4) for edge in spot.box]


def _span(start_ns: int, end_ns: int) -> str:
    return f"{_timestamp(start_ns)} --> {_timestamp(end_ns)}"


def _timestamp(at_ns: int) -> str:
    seconds, ms = divmod(at_ns // MS, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{ms:03d}"


def _cue_text(value: object) -> str:
    """JSON on one line without ``-->``, which would end the cue."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace(">", "\\u003e")
