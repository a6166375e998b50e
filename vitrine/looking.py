"""The device's part of a search: detect, cut, embed, compare, in one job that yields to the live streams."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from inference.allowance import Allowance
from inference.classes import PERSON
from inference.deadline import Cancelled, RunHandle
from inference.detection import DetectorSettings, LoadedDetector, load_detector
from inference.embedded import DETECTOR, embedded_model
from inference.geometry import pad_box
from inference.search import (
    Refusal,
    Scene,
    Thing,
    Thresholds,
    crops_of,
    inside,
    merged,
    refusal,
    scene_of,
    without_heads,
)
from inference.types import Box, Rung
from stream.clock import Clock
from stream.types import Frame, MediaTime, StreamId
from vitrine.choosing import Scope
from vitrine.errors import Busy
from vitrine.moments import Moment
from vitrine.recognition import Recognition

log = logging.getLogger(__name__)

T = TypeVar("T")
Ranked = list[tuple[str, float]]

PRIORITY: Final = 2
"""After the live streams' detections (0) and embeddings (1)."""
DEADLINE_NS: Final = 2_000_000_000
PATIENCE_NS: Final = 500_000_000
"""A search waits so long for its share of the device, then it is refused."""
DEAR_NS: Final = 40_000_000
"""A detector's size is too dear for a search when a run takes longer."""
CROP_PAD: Final = 0.04
"""As the live matcher's: what the embedder's thresholds are calibrated for."""
KEPT_SCENES: Final = 64
MOST_OBJECTS: Final = 8
GUARD_RUNG: Final = Rung(320, 320)


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found in one picture.

    Attributes:
        scene: what is there.
        refused: why the region was not searched; None where it was.
        ranked: for each region or object, its nearest products and their cosines, best first.
        took_ns: on the device.
    """

    scene: Scene
    refused: Refusal | None
    ranked: list[Ranked]
    took_ns: int


def chosen(scene: Scene, person: Box | None) -> tuple[Thing, ...]:
    """The products of a scene that are compared, or those of one person in it; the surest few."""
    things = scene.products if person is None else inside(person, scene.products)
    return things[:MOST_OBJECTS]


def person_guard(recognition: Recognition) -> LoadedDetector | None:
    """What looks for people where the configured detector knows none: the embedded one. Blocking.

    A detector of garments or groceries alone must not open people to searches.
    """
    detector = recognition.detector
    names = detector.detector.names if detector.classes is None else detector.classes.names
    if PERSON in names:
        return None
    log.info("the detector knows no people; searches ask the embedded one for them")
    settings = DetectorSettings(runtime=detector.settings.runtime)
    return load_detector(embedded_model(DETECTOR), rungs=[GUARD_RUNG], settings=settings)


class Looking:
    """Runs the models for searches. Event loop only.

    Args:
        recognition: the models, shared with the live streams.
        guard: see `person_guard`.
        share: of the device's time that searches may take.
        clock: the engine's clock.
    """

    def __init__(
        self, recognition: Recognition, guard: LoadedDetector | None, share: float, clock: Clock
    ) -> None:
        self._models, self._guard, self._clock = recognition, guard, clock
        self._allowance = Allowance(share)
        self._scenes: OrderedDict[tuple[StreamId, MediaTime], Scene] = OrderedDict()

    @property
    def thresholds(self) -> Thresholds:
        """What the embedder's cosines mean."""
        own = self._models.embedder.calibration
        return Thresholds(own.exact, own.similar, own.margin)

    async def region(self, moment: Moment, region: Box, k: int, scope: Scope) -> Looked:
        """What a region of a moment looks like, unless it may not be searched.

        Raises:
            Busy: the device has no time for searches now.
        """
        rung = self._rung()

        def job(handle: RunHandle) -> Looked:
            began_ns = self._clock.now_ns()
            scene = self._scene(moment, rung, handle)
            refused = refusal(region, scene)
            ranked: list[Ranked] = []
            if refused is None:
                ranked = [merged(self._compare(moment, scene, crops_of(region, scene), (k, scope), handle))]
            return Looked(scene, refused, ranked, self._clock.now_ns() - began_ns)

        return await self._run(job)

    async def objects(self, moment: Moment, person: Box | None, k: int, scope: Scope) -> Looked:
        """What the objects of a moment look like, those that are `chosen`.

        Raises:
            Busy: the device has no time for searches now.
        """
        rung = self._rung()

        def job(handle: RunHandle) -> Looked:
            began_ns = self._clock.now_ns()
            scene = self._scene(moment, rung, handle)
            boxes = [thing.box for thing in chosen(scene, person)]
            ranked = self._compare(moment, scene, boxes, (k, scope), handle) if boxes else []
            return Looked(scene, None, ranked, self._clock.now_ns() - began_ns)

        return await self._run(job)

    def prepare(self, scope: Scope) -> None:
        """Have the index remember a viewer's choice, so that this costs the device nothing. Blocking."""
        index = self._models.index
        if scope.chosen and len(index):
            index.search(np.zeros((1, self._models.embedder.dim), np.float32), 1, scope.chosen)

    def like_product(self, product_id: str, k: int, within: Collection[str] | None) -> list[Ranked]:
        """Nearest products of each view of a product, itself among them. Blocking; any thread, no model."""
        index = self._models.index
        views = index.views(product_id)
        return index.search(self._models.embedder.queries(views), k, within) if len(views) else []

    def _rung(self) -> Rung:
        """The largest size that a search can afford."""
        models, now_ns = self._models, self._clock.now_ns()
        rungs = models.detector.rungs
        cheap = (rung for rung in rungs if models.share.costs.typical_ns(rung, now_ns) <= DEAR_NS)
        return next(cheap, rungs[-1])

    async def _run(self, job: Callable[[RunHandle], T]) -> T:
        clock, allowance = self._clock, self._allowance
        wait_ns = allowance.wait_ns(clock.now_ns())
        if wait_ns > PATIENCE_NS:
            raise Busy("search: searches have used up their share of the inference device; try again shortly")
        if wait_ns:
            await asyncio.sleep(wait_ns / 1e9)
        took_ns = 0

        def timed(handle: RunHandle) -> T:
            nonlocal took_ns
            began_ns = clock.now_ns()
            try:
                return job(handle)
            finally:
                took_ns = clock.now_ns() - began_ns

        found = await self._models.device.run(timed, clock.now_ns() + DEADLINE_NS, priority=PRIORITY)
        allowance.spent(took_ns, clock.now_ns())
        if isinstance(found, Cancelled):
            raise Busy("search: the inference device had no time for it; try again in a moment")
        return found

    # ---- on the device's thread ----------------------------------------------------------------------------

    def _scene(self, moment: Moment, rung: Rung, handle: RunHandle) -> Scene:
        """What is in the picture: detected once, remembered for the next question about it."""
        key = moment.stream, moment.time
        scene = self._scenes.get(key)
        if scene is None:
            pixels = moment.pixels
            frame = Frame(moment.stream, moment.time, 0, 0, 0, pixels)
            found = [self._models.detector.detect(frame, rung, handle, self._clock).detections]
            if self._guard is not None:
                found.append(self._guard.detect(frame, GUARD_RUNG, handle, self._clock).detections)
            scene = self._scenes[key] = scene_of(found, pixels.width / pixels.height)
            if len(self._scenes) > KEPT_SCENES:
                self._scenes.popitem(last=False)
        return scene

    def _compare(
        self,
        moment: Moment,
        scene: Scene,
        boxes: Sequence[Box],
        asked: tuple[int, Scope],
        handle: RunHandle,
    ) -> list[Ranked]:
        """Nearest products of each box, heads left out of the crops; `asked`: how many, among which.

        Where a viewer chose, both what is there and what was chosen: a look-alike of a product that is sold
        out must not pass for that product.
        """
        embedder, index = self._models.embedder, self._models.index
        if not len(index):
            return [[] for _ in boxes]
        grown = [pad_box(box, CROP_PAD) for box in boxes]
        crops = [without_heads(moment.pixels.crop(box, embedder.size), box, scene) for box in grown]
        vectors = embedder.embed(np.stack(crops), handle)
        handle.check()
        queries, (k, scope) = embedder.queries(vectors), asked
        found = index.search(queries, k, scope.within)
        if scope.chosen is None:
            return found
        return [merged(pair) for pair in zip(found, index.search(queries, k, scope.chosen), strict=True)]
