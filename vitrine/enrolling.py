"""Products that hosts show to the camera to be learned: one at a time on each stream."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from inference.apart import Verdict, assess
from inference.embedder import OnnxEmbedder
from inference.enrolment import Enrolment, EnrolmentSettings
from inference.index import IndexHolder
from inference.views import Look
from inference.worker import StreamWorker
from overlay.catalog.lessons import LessonKind
from stream.errors import EngineError
from stream.types import StreamId
from vitrine.teaching import Teacher

NEAREST = 8
"""Products that each view is compared with."""


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
    vectors = [look.vector for look in looks if look.vector is not None]
    found: list[Mapping[str, float]] = [
        dict(near) for vector in vectors for near in index.search(vector[None], NEAREST)
    ]
    return assess(vectors, found, product_id, embedder.calibration.limits)


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
