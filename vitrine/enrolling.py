"""Products that are shown to be learned: by hosts, one at a time on each stream, or in a recording."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.apart import Verdict, assess
from inference.embedder import OnnxEmbedder
from inference.enrolment import Enrolment, EnrolmentSettings
from inference.evidence import scale
from inference.index import IndexHolder
from inference.types import Plan
from inference.views import Look
from inference.worker import StreamWorker
from overlay.catalog.words import LessonKind
from stream.clock import Clock, MonotonicClock
from stream.errors import EngineError
from stream.latest import LatestSlot
from stream.recorded import read_frames
from stream.sources.base import open_source
from stream.types import EncodedFrame, Frame, SourceInfo, StreamId
from vitrine.recognition import Recognition
from vitrine.teaching import Teacher

NEAREST = 8
"""Products that each view is compared with."""
_OFF_AIR: Final = StreamId("enrol")
_NO_HURRY_NS: Final = 60_000_000_000


@dataclass(slots=True)
class Enrolling:
    """One enrolment of one stream.

    Attributes:
        enrolment: what is collected.
        verdict: what the views are worth; None before it is done.
        kept: views that became references.
    """

    enrolment: Enrolment
    verdict: Verdict | None = None
    kept: int = 0


def settings_for(embedder: OnnxEmbedder, seconds: float) -> EnrolmentSettings:
    """How to look, on the scale of an embedder's cosines."""
    return EnrolmentSettings(seconds=seconds, alike=embedder.calibration.alike(0.1))


def judged(looks: tuple[Look, ...], product_id: str, embedder: OnnxEmbedder, index: IndexHolder) -> Verdict:
    """What views are worth beside everything that is known. Blocking."""
    rows = [look.vector for look in looks if look.vector is not None]
    vectors = np.stack(rows) if rows else np.zeros((0, embedder.dim), np.float32)
    queries = embedder.queries(vectors)
    found: list[Mapping[str, float]] = [dict(near) for near in index.search(queries, NEAREST)]
    own = embedder.calibration
    margins: dict[str, float] = {}
    if own.relative:
        others = {product for near in found for product in near} - {product_id}
        for other in others:
            distance = index.apart((product_id, other)).get((product_id, other), 1.0)
            margins[other] = own.margin * scale(distance)
    return assess(vectors, queries, found, product_id, own.limits, margins)


async def recorded_frames(path: str, every: int = 3) -> AsyncGenerator[Frame]:
    """Every n-th frame of a recording, as fast as they are taken.

    Raises:
        SourceError: it cannot be read.
    """
    frames = read_frames(path, _OFF_AIR)
    for number in itertools.count():
        frame = await asyncio.to_thread(next, frames, None)
        if frame is None:
            return
        if number % every == 0:
            yield frame


async def live_frames(url: str, clock: Clock) -> AsyncGenerator[Frame]:
    """The newest frame of a live address, whenever one is asked for.

    Raises:
        SourceError: it cannot be opened, or breaks off.
    """
    sink = _Newest()
    running = asyncio.create_task(open_source(url, _OFF_AIR, clock).run(sink))
    running.add_done_callback(lambda done: sink.slot.close())
    try:
        while (frame := await sink.slot.get()) is not None:
            yield frame
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class _Newest:
    """A `StreamSink` that keeps the newest frame."""

    def __init__(self) -> None:
        self.slot: LatestSlot[Frame] = LatestSlot()

    def on_started(self, epoch: int, info: SourceInfo) -> None:
        """Nothing to do."""

    def on_frame(self, frame: Frame) -> None:
        """Keep it."""
        self.slot.put(frame)

    def on_encoded(self, frame: EncodedFrame) -> None:
        """Nobody watches."""

    def wants_pictures(self) -> bool:
        """They are what it is for."""
        return True

    def next_epoch(self, epoch: int) -> int:
        """The next one."""
        return epoch + 1

    def on_dropped(self, reason: str, count: int = 1) -> None:
        """Nothing to do."""

    def on_ended(self, reason: str) -> None:
        """Nothing more will come."""
        self.slot.close()


async def watch(
    frames: AsyncGenerator[Frame],
    recognition: Recognition,
    product_id: str,
    seconds: float,
    report: Callable[[Enrolling], None],
) -> Enrolling:
    """Enrol a product from frames of any kind, without a show.

    Args:
        frames: in which it is shown.
        recognition: models and index.
        product_id: which product.
        seconds: of media time at most.
        report: told after every frame.

    Raises:
        SourceError: the frames break off.
        RuntimeStuck: the model does not come back.
    """
    clock, device = MonotonicClock(), recognition.device
    worker = recognition.worker(_OFF_AIR, clock)
    made = Enrolling(Enrolment(product_id, settings_for(recognition.embedder, seconds)))
    worker.enrolment = made.enrolment
    try:
        async with aclosing(frames):
            async for frame in frames:
                plan = Plan(True, recognition.detector.rungs[0], clock.now_ns() + _NO_HURRY_NS, 1, "enrol")
                await worker.process(frame, plan)
                await device.run(lambda handle: None, plan.deadline_ns, priority=9)  # until it was looked at
                report(made)
                if made.enrolment.done:
                    break
        made.enrolment.end()
    finally:
        worker.close()
    return made


class Enroller:
    """Event loop only.

    Args:
        embedder: whose vectors the views have.
        index: what they are compared with.
        teacher: makes them references.
    """

    def __init__(self, embedder: OnnxEmbedder, index: IndexHolder, teacher: Teacher) -> None:
        self._embedder, self._index, self._teacher = embedder, index, teacher
        self._open: dict[StreamId, tuple[StreamWorker, Enrolling]] = {}

    def begin(self, worker: StreamWorker, product_id: str, seconds: float) -> Enrolling:
        """Start to look; what was collected before on this stream and not kept is given up."""
        self.cancel(worker.stream)
        made = Enrolling(Enrolment(product_id, settings_for(self._embedder, seconds)))
        worker.enrolment = made.enrolment
        self._open[worker.stream] = worker, made
        return made

    async def state(self, stream: StreamId) -> Enrolling:
        """How far it is; judged as soon as it is done.

        Raises:
            EngineError: nothing is being enrolled.
        """
        worker, made = self._of(stream)
        if made.enrolment.done and made.verdict is None:
            worker.enrolment = None
            made.verdict = await asyncio.to_thread(
                judged, made.enrolment.taken, made.enrolment.product_id, self._embedder, self._index
            )
        return made

    async def keep(self, stream: StreamId) -> Enrolling:
        """The views become references of the product.

        Raises:
            EngineError: nothing is being enrolled, or it is not done.
            CatalogError: the product is gone.
        """
        made = await self.state(stream)
        if made.verdict is None or not made.enrolment.taken:
            raise EngineError(
                "the enrolment has no views to keep yet, expected one that is done and saw the product",
                code="enrolment-not-done",
                http_status=409,
            )
        if not made.kept:
            enrolment = made.enrolment
            made.kept = await self._teacher.learn(
                enrolment.product_id, LessonKind.ENROLLED, enrolment.taken, stream
            )
        return made

    def cancel(self, stream: StreamId) -> None:
        """Give up what is being enrolled on a stream, if anything."""
        found = self._open.pop(stream, None)
        if found is not None:
            found[0].enrolment = None

    def _of(self, stream: StreamId) -> tuple[StreamWorker, Enrolling]:
        found = self._open.get(stream)
        if found is None:
            raise EngineError(
                f"nothing is being enrolled on {stream}; begin with POST /api/streams/{stream}/enrol",
                code="no-enrolment",
                http_status=404,
            )
        return found
