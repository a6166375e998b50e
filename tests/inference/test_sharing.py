"""Several streams on one device, in time that is told."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field

import pytest

from inference.budget import BudgetPlanner, BudgetSettings, device_share
from inference.sharing import DeviceShare
from inference.types import Demand, FrameResult, Outcome, Plan, Rung
from stream.types import MediaTime, stream_id

LARGE, MIDDLE, SMALL = Rung(416, 416), Rung(320, 320), Rung(224, 224)
LADDER = (LARGE, MIDDLE, SMALL)
WATCHED = Demand(viewers=1)
MS = 1_000_000
FRAME_NS = 33_333_333
COSTS = {LARGE: 12.0, MIDDLE: 7.0, SMALL: 3.5}


@dataclass
class Stream:
    """A stream in the simulation and what became of it."""

    planner: BudgetPlanner
    demand: Demand
    offset_ns: int
    done: int = 0
    cancelled: int = 0
    rungs: Counter[Rung] = field(default_factory=Counter)
    gaps_ns: list[int] = field(default_factory=list)
    last_ns: int = 0
    busy: bool = False


class Device:
    """Frames at 30 fps from each stream and one device, earliest deadline first."""

    def __init__(self, demands: list[Demand], costs_ms: dict[Rung, float] = COSTS) -> None:
        settings = BudgetSettings(rungs=LADDER)
        self.share = device_share(settings)
        for rung, cost in costs_ms.items():
            self.share.costs.add(rung, int(cost * MS), 0)
        self.costs_ms = costs_ms
        self.streams = [
            Stream(BudgetPlanner(settings, self.share), demand, i * FRAME_NS // max(1, len(demands)))
            for i, demand in enumerate(demands)
        ]
        self.queue: list[tuple[int, int, int, Plan, int]] = []
        self.free_ns = 0

    def run(self, seconds: float, together: bool = False) -> None:
        frames = sorted(
            (n * FRAME_NS + (0 if together else stream.offset_ns), i)
            for n in range(int(seconds * 30))
            for i, stream in enumerate(self.streams)
        )
        for now_ns, i in frames:
            self._work(now_ns)
            stream = self.streams[i]
            if stream.busy:
                continue
            plan = stream.planner.plan(now_ns, now_ns, stream.demand)
            if plan.rung is not None:
                stream.busy = True
                heapq.heappush(self.queue, (plan.deadline_ns, now_ns, i, plan, now_ns))

    def _work(self, until_ns: int) -> None:
        while self.queue and max(self.free_ns, min(job[1] for job in self.queue)) < until_ns:
            began_ns = max(self.free_ns, min(job[1] for job in self.queue))
            ready = [job for job in self.queue if job[1] <= began_ns]
            job = min(ready)
            self.queue.remove(job)
            heapq.heapify(self.queue)
            deadline_ns, asked_ns, i, plan, _ = job
            assert plan.rung is not None
            stream, cost_ns = self.streams[i], int(self.costs_ms[plan.rung] * MS)
            ends_ns = min(began_ns + cost_ns, max(deadline_ns, began_ns))
            self.free_ns = ends_ns
            in_time = began_ns + cost_ns <= deadline_ns
            stages = {"queue": began_ns - asked_ns}
            if ends_ns > began_ns:
                stages["detect"] = ends_ns - began_ns
            outcome = Outcome.DETECTED if in_time else Outcome.CANCELLED
            result = FrameResult(stream_id("s"), MediaTime(1, 0), 0, asked_ns, outcome, (), stages)
            stream.busy = False
            stream.planner.observe_result(plan, result)
            stream.done += in_time
            stream.cancelled += not in_time
            stream.rungs[plan.rung] += in_time
            if in_time:
                stream.gaps_ns.append(ends_ns - stream.last_ns)
                stream.last_ns = ends_ns


def rate(stream: Stream, seconds: float) -> float:
    return stream.done / seconds


@pytest.mark.parametrize("together", [False, True], ids=["in turn", "all at once"])
def test_four_streams_get_ten_detections_a_second_each(together: bool) -> None:
    device = Device([WATCHED] * 4)
    device.run(10, together)
    rates = [rate(stream, 10) for stream in device.streams]
    spent = [sum(stream.rungs[rung] * COSTS[rung] for rung in LADDER) for stream in device.streams]
    assert min(rates) >= 10 and max(spent) <= 1.3 * min(spent)
    assert sum(stream.cancelled for stream in device.streams) <= 4


def test_all_take_a_smaller_rung_before_any_goes_without() -> None:
    device = Device([WATCHED] * 8)
    device.run(10)
    for stream in device.streams:
        assert rate(stream, 10) >= 9, "promised: ten a second"
        assert stream.rungs[LARGE] <= 1, "the first frame of the first stream, when it was alone"


def test_when_even_the_smallest_is_too_much_all_suffer_alike() -> None:
    device = Device([WATCHED] * 6, {LARGE: 110.0, MIDDLE: 66.0, SMALL: 33.0})
    device.run(20)
    rates = [rate(stream, 20) for stream in device.streams]
    assert min(rates) >= 2 and max(rates) <= 1.5 * min(rates)


def test_a_pinned_product_brings_its_stream_a_larger_part() -> None:
    device = Device([Demand(viewers=1, pinned=2), WATCHED, WATCHED, WATCHED])
    device.run(10)
    favoured, *others = [rate(stream, 10) for stream in device.streams]
    assert favoured >= 1.4 * max(others) and min(others) >= 9


def test_a_tap_counts_like_a_pin_for_a_while() -> None:
    device = Device([Demand(viewers=1, tapped=2), WATCHED, WATCHED, WATCHED])
    device.run(10)
    favoured, *others = [rate(stream, 10) for stream in device.streams]
    assert favoured >= 1.4 * max(others)


def test_streams_without_viewers_cost_next_to_nothing() -> None:
    device = Device([WATCHED, *[Demand()] * 5])
    device.run(10)
    watched, *others = device.streams
    assert rate(watched, 10) >= 25 and watched.rungs[LARGE] == watched.done
    assert all(rate(stream, 10) <= 2.2 for stream in others)
    spent_ms = sum(stream.rungs[SMALL] * COSTS[SMALL] for stream in others)
    assert spent_ms <= 10_000 * 0.04


def admitted(share: DeviceShare, limit: int = 60) -> int:
    planners: list[BudgetPlanner] = []
    while len(planners) < limit and not share.refusal(0):
        planners.append(BudgetPlanner(BudgetSettings(rungs=LADDER), share))
        planners[-1].plan(0, 0, WATCHED)
    return len(planners)


def test_a_stream_that_would_break_the_promise_is_refused_with_the_reason() -> None:
    share = device_share(BudgetSettings(rungs=LADDER))
    share.costs.add(SMALL, 10 * MS, 0)
    assert admitted(share) == 7
    assert share.refusal(0) == (
        "the device is full: one more stream would leave each less than 10 detections a second "
        "at 10 ms a detection"
    )


def test_the_first_stream_is_always_admitted() -> None:
    share = device_share(BudgetSettings(rungs=LADDER))
    share.costs.add(SMALL, 900 * MS, 0)
    assert admitted(share) == 1


def test_streams_that_left_make_room() -> None:
    share = device_share(BudgetSettings(rungs=LADDER))
    share.costs.add(SMALL, 10 * MS, 0)
    admitted(share)
    assert share.refusal(3_900 * MS) and not share.refusal(4_100 * MS)


def test_the_wait_is_the_running_job_and_those_with_earlier_deadlines() -> None:
    share = device_share(BudgetSettings(rungs=LADDER))
    share.costs.add(LARGE, 20 * MS, 0)
    share.begin("a", LARGE, 60 * MS, 0)
    share.begin("b", LARGE, 70 * MS, 0)
    share.begin("c", LARGE, 90 * MS, 0)
    assert share.wait_ns("d", 80 * MS, 5 * MS) == (15 + 20) * MS
    assert share.wait_ns("d", 65 * MS, 5 * MS) == 15 * MS
    assert share.wait_ns("a", 60 * MS, 5 * MS) == 0 + 0
    share.end("a", 22 * MS)
    assert share.wait_ns("d", 80 * MS, 22 * MS) == 20 * MS
    assert share.wait_ns("d", 95 * MS, 22 * MS) == 40 * MS


def test_a_run_that_never_reports_does_not_block_the_others_for_ever() -> None:
    share = device_share(BudgetSettings(rungs=LADDER))
    share.costs.add(LARGE, 20 * MS, 0)
    share.begin("lost", LARGE, 60 * MS, 0)
    share.begin("next", LARGE, 60 * MS, 0)
    assert share.wait_ns("x", 5_000 * MS, 1_100 * MS) == 0


def test_the_load_says_how_much_of_the_promise_is_spoken_for() -> None:
    share = device_share(BudgetSettings(rungs=LADDER))
    share.costs.add(SMALL, 7 * MS, 0)
    admitted(share, 5)
    assert share.load(SMALL, 0) == pytest.approx(0.5)
