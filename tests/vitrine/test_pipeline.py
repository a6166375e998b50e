from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from inference.types import Box, Demand, FrameResult, Outcome, Plan, Rung
from overlay.types import HotspotFrame
from stream.types import EncodedFrame, Frame, SourceInfo
from tests.fakes.clock import FakeClock
from tests.fakes.frames import DEMO, frame
from vitrine.pipeline import Pipeline, PipelineParts


def result(of: Frame, outcome: Outcome) -> FrameResult:
    return FrameResult(of.stream, of.time, of.pts_ns, of.arrived_ns, outcome, ())


class Always:
    """Plans to detect every frame, or none."""

    def __init__(self, detect: bool = True, cover: bool = False) -> None:
        self.detect, self.cover = detect, cover

    def plan(self, arrived_ns: int, now_ns: int, demand: Demand, region: Callable[[], Box | None]) -> Plan:
        return Plan(self.detect, Rung(320, 320) if self.detect else None, now_ns, 0, "test", self.cover)

    def observe_result(self, plan: Plan, result: FrameResult) -> None:
        pass


class GatedWorker:
    """Detects when told to."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.gate: asyncio.Queue[Outcome] = asyncio.Queue()

    async def process(self, frame: Frame, plan: Plan) -> FrameResult:
        self.begun.append(frame.time.rtp)
        return result(frame, await self.gate.get())

    def coast(self, frame: Frame) -> FrameResult:
        return result(frame, Outcome.COASTED)

    def region(self, frame: Frame) -> Box | None:
        return None


class Recorder:
    """The overlay and the metrics of a test."""

    def __init__(self) -> None:
        self.published: list[tuple[int, str]] = []
        self.counts: Counter[str] = Counter()
        self.said: list[str] = []
        self.demanded = Demand(viewers=1)

    def publish(self, result: FrameResult) -> HotspotFrame:
        self.published.append((result.time.rtp, result.outcome.value))
        return HotspotFrame(result.stream, result.time, result.outcome is Outcome.DETECTED, ())

    def live(self, epoch: int, info: SourceInfo) -> None:
        self.said.append(f"live {epoch}")

    def ended(self, reason: str) -> None:
        self.said.append(f"ended {reason}")

    def demand(self) -> Demand:
        return self.demanded

    def frame_in(self, now_ns: int) -> None:
        self.counts["in"] += 1

    def frame_done(self, outcome: Outcome) -> None:
        self.counts[outcome.value] += 1

    def overlay(self, result: FrameResult, now_ns: int) -> None:
        self.counts["overlays"] += 1

    def dropped(self, reason: str, count: int = 1) -> None:
        self.counts[f"dropped {reason}"] += count


def make(worker: GatedWorker, detect: bool = True) -> tuple[Pipeline, Recorder, list[EncodedFrame]]:
    recorder, encoded = Recorder(), list[EncodedFrame]()
    parts = PipelineParts(FakeClock(), Always(detect), worker, recorder, recorder)
    return Pipeline(DEMO, parts, encoded.append), recorder, encoded


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_frames_that_find_the_device_busy_are_predicted_at_once_and_only_the_newest_waits() -> None:
    worker = GatedWorker()
    pipeline, seen, _ = make(worker)
    async with asyncio.TaskGroup() as group:
        group.create_task(pipeline.run())
        pipeline.on_frame(frame(0))
        await settle()
        for number in (1, 2, 3):
            pipeline.on_frame(frame(number))
        assert seen.published == [(3000, "coasted"), (6000, "coasted"), (9000, "coasted")]
        worker.gate.put_nowait(Outcome.DETECTED)
        worker.gate.put_nowait(Outcome.DETECTED)
        await settle()
        pipeline.close()
    assert worker.begun == [0, 9000]
    assert seen.published[3:] == [(0, "detected"), (9000, "detected")]


async def test_every_frame_ends_in_exactly_one_count() -> None:
    worker = GatedWorker()
    pipeline, seen, _ = make(worker)
    async with asyncio.TaskGroup() as group:
        group.create_task(pipeline.run())
        for number in range(20):
            pipeline.on_frame(frame(number))
            if number % 4 == 3:
                worker.gate.put_nowait((Outcome.DETECTED, Outcome.CANCELLED, Outcome.FAILED)[number // 4 % 3])
            await settle()
        for _ in range(3):
            worker.gate.put_nowait(Outcome.DETECTED)
        await settle()
        pipeline.close()
    ended = sum(n for name, n in seen.counts.items() if name not in {"in", "overlays"})
    assert seen.counts["in"] == ended == 20
    assert seen.counts["cancelled"] and seen.counts["failed"] and seen.counts["coasted"]


@pytest.mark.parametrize("outcome", [Outcome.DETECTED, Outcome.CANCELLED])
async def test_a_run_that_may_be_late_does_not_hold_its_frame_up(outcome: Outcome) -> None:
    worker, seen = GatedWorker(), Recorder()
    parts = PipelineParts(FakeClock(), Always(cover=True), worker, seen, seen)
    pipeline = Pipeline(DEMO, parts, lambda packet: None)
    async with asyncio.TaskGroup() as group:
        group.create_task(pipeline.run())
        pipeline.on_frame(frame(0))
        await settle()
        assert seen.published == [(0, "coasted")]
        worker.gate.put_nowait(outcome)
        await settle()
        pipeline.close()
    assert seen.published[1:] == ([(0, "detected")] if outcome is Outcome.DETECTED else [])
    assert (seen.counts["in"], seen.counts[outcome.value], seen.counts["coasted"]) == (1, 1, 0)


async def test_a_cancelled_frame_that_was_never_predicted_still_gets_its_overlay() -> None:
    worker = GatedWorker()
    pipeline, seen, _ = make(worker)
    async with asyncio.TaskGroup() as group:
        group.create_task(pipeline.run())
        pipeline.on_frame(frame(0))
        worker.gate.put_nowait(Outcome.CANCELLED)
        await settle()
        pipeline.close()
    assert seen.published == [(0, "cancelled")]


@pytest.mark.parametrize(("late_ms", "overlays"), [(120, [0, 3000]), (900, [3000])])
async def test_of_frames_that_come_at_once_the_older_is_predicted_unless_it_is_too_old(
    late_ms: int, overlays: list[int]
) -> None:
    pipeline, seen, _ = make(GatedWorker(), detect=False)
    async with asyncio.TaskGroup() as group:
        group.create_task(pipeline.run())
        for number in (0, 1):
            arrived_ns = FakeClock().now_ns() - late_ms * 1_000_000 * (1 - number)
            pipeline.on_frame(replace(frame(number), arrived_ns=arrived_ns))
        await settle()
        pipeline.close()
    assert seen.published == [(rtp, "coasted") for rtp in overlays]
    assert seen.counts["dropped late"] == 2 - len(overlays)
    assert seen.counts["in"] == seen.counts["coasted"] + seen.counts["dropped late"] == 2


async def test_encoded_frames_pass_untouched_and_the_publisher_is_announced() -> None:
    pipeline, seen, encoded = make(GatedWorker())
    packet = EncodedFrame("H264", frame(0).time, b"abc", True, 0)
    pipeline.on_encoded(packet)
    info = SourceInfo("H264", 1280, 720, False, False, "test")
    pipeline.on_started(3, info)
    assert encoded == [packet]
    assert pipeline.info == info
    pipeline.on_ended("timeout")
    assert seen.said == ["live 3", "ended timeout"]
    assert pipeline.info is None


async def test_listeners_get_every_published_result() -> None:
    pipeline, _, _ = make(GatedWorker(), detect=False)
    heard: list[tuple[int, bool]] = []
    pipeline.listeners.append(lambda result, sent: heard.append((result.time.rtp, sent.measured)))
    async with asyncio.TaskGroup() as group:
        group.create_task(pipeline.run())
        pipeline.on_frame(frame(2))
        await settle()
        pipeline.close()
    assert heard == [(6000, False)]


class Regional(Always):
    """Plans to look at the part of the picture that the worker names."""

    def plan(self, arrived_ns: int, now_ns: int, demand: Demand, region: Callable[[], Box | None]) -> Plan:
        return replace(super().plan(arrived_ns, now_ns, demand, region), region=region())


class Looking(GatedWorker):
    """Needs a look at a quarter of the second frame only."""

    def __init__(self) -> None:
        super().__init__()
        self.looked: list[Box | None] = []

    async def process(self, frame: Frame, plan: Plan) -> FrameResult:
        self.looked.append(plan.region)
        return await super().process(frame, plan)

    def region(self, frame: Frame) -> Box | None:
        return Box(0.0, 0.0, 0.5, 0.5) if frame.time.rtp == 3000 else None


async def test_the_planner_hears_from_the_worker_which_part_of_this_frame_needs_a_look() -> None:
    worker, recorder = Looking(), Recorder()
    pipeline = Pipeline(
        DEMO, PipelineParts(FakeClock(), Regional(), worker, recorder, recorder), list[EncodedFrame]().append
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(pipeline.run())
        for number in range(2):
            pipeline.on_frame(frame(number))
            worker.gate.put_nowait(Outcome.DETECTED)
            await settle()
        pipeline.close()
    assert worker.looked == [None, Box(0.0, 0.0, 0.5, 0.5)]


def test_pictures_are_wanted_until_nobody_has_needed_them_for_a_while() -> None:
    clock, seen, enrolling = FakeClock(), Recorder(), [False]
    parts = PipelineParts(clock, Always(), GatedWorker(), seen, seen, doze_ns=10_000_000_000)
    pipeline = Pipeline(DEMO, parts, lambda packet: None)
    pipeline.needs.append(lambda: enrolling[0])

    def wanted_after(seconds: float) -> bool:
        clock.advance_ms(seconds * 1000)
        return pipeline.wants_pictures()

    seen.demanded = Demand()
    clock.advance_ms(60_000)
    pipeline.on_started(1, SourceInfo("H264", 320, 240, False, False, "test"))
    assert wanted_after(9.9)
    assert not wanted_after(0.1)
    for demand in (Demand(viewers=1), Demand(pinned=1), Demand(tapped=1)):
        seen.demanded = demand
        assert wanted_after(60)
        seen.demanded = Demand()
        assert wanted_after(9.9) and not wanted_after(0.1)
    enrolling[0] = True
    assert wanted_after(60)


def test_pictures_are_always_wanted_where_nothing_dozes() -> None:
    clock, seen = FakeClock(), Recorder()
    seen.demanded = Demand()
    pipeline = Pipeline(DEMO, PipelineParts(clock, Always(), GatedWorker(), seen, seen), lambda packet: None)
    clock.advance_ms(3_600_000)
    assert pipeline.wants_pictures()
