from __future__ import annotations

import pytest

from inference.budget import BudgetPlanner, BudgetSettings
from inference.types import Box, Demand, FrameResult, Outcome, Plan, Rung
from stream.types import MediaTime, stream_id

LARGE, MIDDLE, SMALL = Rung(416, 416), Rung(320, 320), Rung(224, 224)
WATCHED, ALONE = Demand(viewers=3), Demand()
MS = 1_000_000
FRAME_MS = 33


def planner(**settings: float | int | str) -> BudgetPlanner:
    return BudgetPlanner(BudgetSettings(rungs=(SMALL, LARGE, MIDDLE), **settings))  # type: ignore[arg-type]


class Show:
    """A planner fed with frames at 30 fps and runs that cost what `cost_ms` says."""

    def __init__(self, planner: BudgetPlanner, demand: Demand = WATCHED) -> None:
        self.planner, self.demand = planner, demand
        self.now_ms = 0.0
        self.in_time = 0
        self.longest_ms = 0.0

    def frames(self, count: int, costs_ms: dict[Rung, float], late_ms: float = 0.0) -> list[Plan]:
        made = []
        for _ in range(count):
            self.now_ms += FRAME_MS
            arrived_ns = int(self.now_ms * MS)
            now_ns = arrived_ns + int(late_ms * MS)
            plan = self.planner.plan(arrived_ns, now_ns, self.demand)
            if plan.rung is not None:
                took_ns = int(costs_ms[plan.rung] * MS)
                left_ns = plan.deadline_ns - now_ns
                self.longest_ms = max(self.longest_ms, left_ns / MS)
                if took_ns <= left_ns:
                    self.in_time += 1
                    self.planner.observe(plan.rung, took_ns)
                else:
                    self.planner.observe_cancelled(plan.rung, left_ns)
            made.append(plan)
        return made


FAST = {LARGE: 15.0, MIDDLE: 9.0, SMALL: 5.0}
HOGGED = {LARGE: 75.0, MIDDLE: 45.0, SMALL: 25.0}
HOPELESS = {LARGE: 700.0, MIDDLE: 400.0, SMALL: 250.0}


def test_with_time_to_spare_every_frame_is_detected_at_the_largest_size() -> None:
    plans = Show(planner()).frames(60, FAST)
    assert all(plan.detect and plan.rung == LARGE for plan in plans)
    assert plans[-1].reason == "detect"


def test_the_deadline_counts_from_arrival_and_leaves_a_reserve() -> None:
    plan = planner(budget_ms=60, reserve_ms=5).plan(100 * MS, 110 * MS, WATCHED)
    assert plan.deadline_ns == 155 * MS


def test_a_busy_machine_costs_a_rung_not_the_promise() -> None:
    show = Show(planner())
    show.frames(60, FAST)
    plans = show.frames(90, HOGGED)
    late = plans[10:]
    assert {plan.rung for plan in late if plan.rung} <= {MIDDLE, SMALL}
    gaps = [i for i, plan in enumerate(late) if plan.detect]
    assert max(b - a for a, b in zip(gaps, gaps[1:], strict=False)) * FRAME_MS <= 250


def test_after_the_hog_the_largest_rung_returns_within_seconds() -> None:
    show = Show(planner())
    show.frames(60, FAST)
    show.frames(300, HOGGED)
    plans = show.frames(180, FAST)
    assert all(plan.rung == LARGE for plan in plans[-30:])


def test_no_flapping_when_a_rung_barely_fits() -> None:
    show = Show(planner())
    costs = {LARGE: 52.0, MIDDLE: 31.0, SMALL: 16.0}
    plans = [plan for plan in show.frames(300, costs) if plan.rung]
    changes = sum(a.rung != b.rung for a, b in zip(plans, plans[1:], strict=False))
    assert changes <= 4


def test_when_nothing_fits_boxes_are_late_rather_than_never() -> None:
    show = Show(planner())
    plans = show.frames(150, HOPELESS)
    detected = [plan for plan in plans[60:] if plan.detect]
    assert detected and all(plan.rung == SMALL for plan in detected)
    assert {plan.reason for plan in detected} == {"detect-stale"}
    assert show.in_time >= len(detected) // 2, "the deadline must grow until the run can end"


def test_patience_ends() -> None:
    show = Show(planner(patience_ms=300))
    show.frames(150, {LARGE: 9_000.0, MIDDLE: 9_000.0, SMALL: 9_000.0})
    assert show.in_time == 0 and show.longest_ms <= 300


def test_a_frame_that_waited_too_long_is_coasted() -> None:
    show = Show(planner())
    show.frames(30, FAST)
    (plan,) = show.frames(1, FAST, late_ms=55)
    assert not plan.detect and plan.rung is None and plan.reason == "budget-too-short"


def test_the_device_gets_rest() -> None:
    plans = Show(planner(budget_ms=200)).frames(90, {LARGE: 60.0, MIDDLE: 40.0, SMALL: 20.0})
    share = sum(plan.detect for plan in plans[10:]) / 80
    assert share * 60 / FRAME_MS <= 0.95
    assert any(plan.reason == "device-duty" for plan in plans)


def test_without_viewers_it_looks_twice_a_second_at_the_smallest_size() -> None:
    plans = Show(planner(), ALONE).frames(300, FAST)
    detected = [plan for plan in plans if plan.detect]
    assert 15 <= len(detected) <= 22
    assert {plan.rung for plan in detected} == {SMALL}
    assert {plan.reason for plan in plans} == {"no-viewers"}


def test_a_pinned_product_counts_as_demand() -> None:
    plans = Show(planner(), Demand(viewers=0, pinned=1)).frames(10, FAST)
    assert all(plan.detect for plan in plans)


def test_warm_up_times_are_a_first_guess() -> None:
    warm = planner()
    for rung, cost in {LARGE: 90, MIDDLE: 40, SMALL: 15}.items():
        warm.observe(rung, cost * MS)
    assert warm.plan(0, 0, WATCHED).rung == MIDDLE


def test_unmeasured_rungs_are_scaled_by_area() -> None:
    warm = planner()
    warm.observe(LARGE, 104 * MS)
    assert warm.costs_ms()[SMALL] == pytest.approx(104 * 224**2 / 416**2, rel=0.01)
    assert planner().costs_ms() == {LARGE: None, MIDDLE: None, SMALL: None}


def test_crops_fill_the_time_that_is_left() -> None:
    few, many = planner(), planner()
    few.observe_embed(20 * MS)
    many.observe_embed(2 * MS)
    for each in (few, many):
        each.observe(LARGE, 10 * MS)
    assert few.plan(0, 0, WATCHED).embed_limit == 1
    assert many.plan(0, 0, WATCHED).embed_limit == 4
    assert planner().plan(0, 0, WATCHED).embed_limit == 1


@pytest.mark.parametrize(
    ("outcome", "cost_ms"),
    [(Outcome.DETECTED, 8.0), (Outcome.CANCELLED, 10.0), (Outcome.FAILED, None)],
)
def test_results_teach_costs(outcome: Outcome, cost_ms: float | None) -> None:
    learning = planner()
    plan = Plan(True, LARGE, 0, 0, "detect")
    stages = {"queue": 2 * MS, "detect": 8 * MS, "match": 99 * MS, "embed": 3 * MS}
    result = FrameResult(stream_id("s"), MediaTime(1, 0), 0, 0, outcome, (), stages)
    learning.observe_result(plan, result)
    assert learning.costs_ms()[LARGE] == cost_ms
    learning.observe_result(Plan(False, None, 0, 0, "no-viewers"), result)


def test_an_unknown_rung_is_ignored() -> None:
    learning = planner()
    learning.observe(Rung(96, 96), MS)
    assert learning.costs_ms()[LARGE] is None


def paced(planner: BudgetPlanner, cost_ms: float, late_ms: list[float]) -> list[str]:
    """Reasons for frames 33 ms apart that are planned so late, each run reporting its cost."""
    planner.observe(LARGE, int(cost_ms * MS))
    reasons = []
    for i, late in enumerate(late_ms):
        arrived_ns = (1 + i) * FRAME_MS * MS
        reasons.append(planner.plan(arrived_ns, arrived_ns + int(late * MS), WATCHED).reason)
    return reasons


def test_a_frame_long_here_is_left_for_the_next_when_that_gives_the_newer_answer() -> None:
    roomy = BudgetPlanner(BudgetSettings(rungs=(LARGE,), duty=10.0))
    # 1.5 frames a run, begun two thirds of a frame late: it would end just after the next but one came
    assert paced(roomy, 49.0, [0.0, 20.0]) == ["detect", "next-frame-sooner"]
    # begun a tenth of a frame late it ends while the next one is still the newest
    roomy = BudgetPlanner(BudgetSettings(rungs=(LARGE,), duty=10.0))
    assert paced(roomy, 46.0, [0.0, 3.0]) == ["detect", "detect"]


def test_frames_that_always_come_late_are_detected_all_the_same() -> None:
    roomy = BudgetPlanner(BudgetSettings(rungs=(LARGE,), duty=10.0))
    reasons = paced(roomy, 15.0, [0.0, *[25.0] * 60])
    assert reasons[-30:] == ["detect"] * 30
    assert all(a != b or a == "detect" for a, b in zip(reasons, reasons[1:], strict=False)), "never twice"


def waited(queue_ms: float, outcome: Outcome = Outcome.DETECTED) -> FrameResult:
    stages = {"queue": int(queue_ms * MS), "detect": 12 * MS}
    return FrameResult(stream_id("s"), MediaTime(1, 0), 0, 0, outcome, (), stages)


def test_waits_that_nobody_foresaw_shorten_the_next_runs() -> None:
    show = planner()
    show.observe(LARGE, 12 * MS)
    for i in range(4):
        show.observe_result(show.plan(i * FRAME_MS * MS, i * FRAME_MS * MS, WATCHED), waited(46.0))
    assert show.plan(5 * FRAME_MS * MS, 5 * FRAME_MS * MS, WATCHED).rung in (MIDDLE, SMALL)
    assert show.costs_ms()[LARGE] == 12.0, "the rung itself is as fast as ever"


def test_a_run_that_was_cut_off_too_early_to_tell_teaches_nothing() -> None:
    show = planner()
    show.observe(LARGE, 30 * MS)
    show.observe_cancelled(LARGE, 12 * MS)
    assert show.costs_ms()[LARGE] == 30.0


def test_what_is_pinned_or_just_tapped_gets_one_more_look() -> None:
    assert planner().plan(0, 0, Demand(viewers=1, pinned=1)).embed_limit == 2
    assert planner().plan(0, 0, Demand(viewers=1, tapped=1)).embed_limit == 2


def test_a_run_that_may_not_end_in_time_is_covered_by_a_prediction() -> None:
    calm, tight, late = planner(), planner(), planner()
    calm.observe(LARGE, 12 * MS)
    assert not calm.plan(0, 0, WATCHED).cover
    for rung in (LARGE, MIDDLE, SMALL):
        tight.observe(rung, 40 * MS)
        late.observe(rung, 400 * MS)
    assert tight.plan(0, 0, WATCHED).cover
    stale = late.plan(0, 0, WATCHED)
    assert stale.cover and stale.reason == "detect-stale"


def regions(mode: str, costs_ms: dict[Rung, float]) -> list[Plan]:
    """Two seconds of plans at 30 fps, with everything to be seen in the middle half of the picture."""
    show = Show(planner(regions=mode))
    show.frames(60, costs_ms)
    middle, plans = Box(0.25, 0.25, 0.75, 0.75), []
    for _ in range(60):
        show.now_ms += FRAME_MS
        now_ns = int(show.now_ms * MS)
        plans.append(show.planner.plan(now_ns, now_ns, WATCHED, lambda: middle))
        if plans[-1].rung is not None:
            show.planner.observe(plans[-1].rung, int(costs_ms[plans[-1].rung] * MS))
    return [plan for plan in plans if plan.detect]


def test_where_the_tracks_are_a_small_size_shows_as_much_and_the_whole_is_looked_at_every_so_often() -> None:
    plans = regions("always", FAST)
    whole = [i for i, plan in enumerate(plans) if plan.region is None]
    assert {plan.rung for plan in plans if plan.region} == {SMALL}
    assert {plans[i].rung for i in whole} == {LARGE}
    assert max(b - a for a, b in zip(whole, whole[1:], strict=False)) * FRAME_MS <= 400 + FRAME_MS
    assert len(whole) < len(plans) / 4


def test_regions_are_for_busy_times_unless_asked_for() -> None:
    assert not any(plan.region for plan in regions("busy", FAST))
    assert any(plan.region for plan in regions("busy", HOGGED))
    assert not any(plan.region for plan in regions("never", HOGGED))


def test_enough_detections_are_enough_unless_a_product_is_pinned_or_tapped() -> None:
    calm = Show(planner(enough_hz=10)).frames(90, FAST)
    assert 28 <= sum(plan.detect for plan in calm) <= 31
    assert {plan.reason for plan in calm if not plan.detect} == {"often-enough"}
    for demand in (Demand(viewers=1, pinned=1), Demand(viewers=1, tapped=1)):
        assert all(plan.detect for plan in Show(planner(enough_hz=10), demand).frames(90, FAST))
