"""One stream from frames to hotspots: the shell between `stream`, `inference` and `overlay`.

Every frame gets an overlay. When the device is free a frame is detected, and its overlay is *measured*; while
it is busy, a frame is given a *predicted* overlay the moment it arrives and waits in the `LatestSlot` for the
device, where a newer frame may displace it. So a slow detector makes boxes staler, never frames later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from inference.types import Box, Demand, FrameResult, Outcome, Plan
from overlay.types import HotspotFrame
from stream.clock import Clock
from stream.latest import LatestSlot
from stream.types import EncodedFrame, Frame, SourceInfo, StreamId

log = logging.getLogger(__name__)


LATE_NS: Final = 500_000_000
"""An overlay later than this is of no use to anybody: viewers hold their video back by less."""


class Planner(Protocol):
    """What decides, per frame, whether and how to detect (`inference.budget.BudgetPlanner`)."""

    def plan(self, arrived_ns: int, now_ns: int, demand: Demand, region: Callable[[], Box | None]) -> Plan:
        """The plan for a frame that arrived at `arrived_ns`; `region` says what part of it needs a look."""

    def observe_result(self, plan: Plan, result: FrameResult) -> None:
        """Learn what the plan cost."""


class Worker(Protocol):
    """What turns frames into results (`inference.worker.StreamWorker`)."""

    async def process(self, frame: Frame, plan: Plan) -> FrameResult:
        """Detect, track, match."""

    def coast(self, frame: Frame) -> FrameResult:
        """Predict where the tracks are in `frame`; cheap, on the event loop."""

    def region(self, frame: Frame) -> Box | None:
        """The part of `frame` that needs a look; None for all of it."""


class Overlay(Protocol):
    """Where results go (`vitrine.show.Show`)."""

    def publish(self, result: FrameResult) -> HotspotFrame:
        """Project, author and send one result. Returns what was sent."""

    def live(self, epoch: int, info: SourceInfo) -> None:
        """A publisher connection delivers."""

    def ended(self, reason: str) -> None:
        """The publisher went away."""

    def demand(self) -> Demand:
        """Who is watching."""


class FrameMetrics(Protocol):
    """Where the pipeline counts (`vitrine.metrics.StreamMetrics`).

    Every frame in ends in exactly one of `frame_done`'s outcomes or in `dropped`.
    """

    def frame_in(self, now_ns: int) -> None:
        """A decoded frame arrived."""

    def frame_done(self, outcome: Outcome) -> None:
        """A frame's way ended: detected, coasted (propagated), cancelled or failed."""

    def overlay(self, result: FrameResult, now_ns: int) -> None:
        """A frame's overlay was handed over at `now_ns`."""

    def dropped(self, reason: str, count: int = 1) -> None:
        """Frames that got no overlay."""


@dataclass(frozen=True, slots=True)
class PipelineParts:
    """What one pipeline is made of.

    Attributes:
        doze_ns: nobody needing pictures for so long, they are no longer asked for; 0: they always are.
    """

    clock: Clock
    planner: Planner
    worker: Worker
    overlay: Overlay
    metrics: FrameMetrics
    doze_ns: int = 0


ResultListener = Callable[[FrameResult, HotspotFrame], None]


class _Waiting(NamedTuple):
    """A frame waiting for the device; `covered`: a predicted overlay of it is out already."""

    frame: Frame
    covered: bool


class Pipeline:
    """Runs one stream. A `StreamSink`; all methods on the event loop.

    Attributes:
        listeners: called with every result that was published, on the event loop.
        needs: asked whether somebody other than viewers needs pictures now.
        info: what the current source is, None before the first frame.
    """

    def __init__(
        self, stream: StreamId, parts: PipelineParts, push_encoded: Callable[[EncodedFrame], None]
    ) -> None:
        self.stream = stream
        self.listeners: list[ResultListener] = []
        self.needs: list[Callable[[], bool]] = []
        self.info: SourceInfo | None = None
        self._parts = parts
        self._push_encoded = push_encoded
        self._slot: LatestSlot[_Waiting] = LatestSlot()
        self._busy = False
        self._needed_ns = 0

    # ---- StreamSink ----------------------------------------------------------------------------------------

    def on_started(self, epoch: int, info: SourceInfo) -> None:
        """A new publisher connection delivers."""
        self.info = info
        self._needed_ns = self._parts.clock.now_ns()
        log.info("stream live", extra={"stream": self.stream, "epoch": epoch, "codec": info.codec})
        self._parts.overlay.live(epoch, info)

    def on_frame(self, frame: Frame) -> None:
        """Predict at once when the device is busy; queue for detection either way."""
        self._parts.metrics.frame_in(self._parts.clock.now_ns())
        waiting = self._slot.peek()
        covered = waiting is not None and (waiting.covered or self._worth(waiting.frame))
        if waiting is not None and covered and not waiting.covered:
            # the loop was late and two frames came at once: the older one shall not go without
            self._publish(self._parts.worker.coast(waiting.frame))
        if self._busy:
            self._publish(self._parts.worker.coast(frame))
        displaced = self._slot.put(_Waiting(frame, self._busy))
        if displaced is None:
            return
        if covered:
            self._parts.metrics.frame_done(Outcome.COASTED)
        else:
            self._parts.metrics.dropped("late")

    def on_encoded(self, frame: EncodedFrame) -> None:
        """Encoded frames go to the viewers' relay untouched."""
        self._push_encoded(frame)

    def wants_pictures(self) -> bool:
        """Somebody watches, a product is pinned, or that was so a moment ago."""
        now_ns, doze_ns = self._parts.clock.now_ns(), self._parts.doze_ns
        demand = self._parts.overlay.demand()
        if demand.viewers or demand.pinned or demand.tapped or any(need() for need in self.needs):
            self._needed_ns = now_ns
        return not doze_ns or now_ns - self._needed_ns < doze_ns

    def on_dropped(self, reason: str, count: int = 1) -> None:
        """Count what the source could not deliver."""
        self._parts.metrics.dropped(reason, count)

    def on_ended(self, reason: str) -> None:
        """Tell the viewers; tracks and products stay for the publisher's return."""
        log.info("stream ended", extra={"stream": self.stream, "reason": reason})
        self.info = None
        self._parts.overlay.ended(reason)

    # ---- the loop ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take the newest frame, detect, publish; until `close`."""
        while (waiting := await self._slot.get()) is not None:
            try:
                await self._one(waiting.frame, waiting.covered)
            except Exception:  # one bad frame must not end the stream
                log.exception("frame failed", extra={"stream": self.stream})
                self._parts.metrics.frame_done(Outcome.FAILED)

    async def _one(self, frame: Frame, covered: bool) -> None:
        parts = self._parts
        plan = parts.planner.plan(
            frame.arrived_ns, parts.clock.now_ns(), parts.overlay.demand(), lambda: parts.worker.region(frame)
        )
        if plan.detect:
            if plan.cover and not covered:
                self._publish(parts.worker.coast(frame))
                covered = True
            self._busy = True
            try:
                result = await parts.worker.process(frame, plan)
            finally:
                self._busy = False
            parts.planner.observe_result(plan, result)
        else:
            result = parts.worker.coast(frame)
        parts.metrics.frame_done(result.outcome)
        if result.outcome is Outcome.DETECTED or not covered:
            self._publish(result)

    def close(self) -> None:
        """End `run` after the frame in hand."""
        self._slot.close()

    def _worth(self, frame: Frame) -> bool:
        """Viewers may still wait for this frame's overlay."""
        return self._parts.clock.now_ns() - frame.arrived_ns <= LATE_NS

    def _publish(self, result: FrameResult) -> None:
        sent = self._parts.overlay.publish(result)
        self._parts.metrics.overlay(result, self._parts.clock.now_ns())
        for listener in self.listeners:
            listener(result, sent)
