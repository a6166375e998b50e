"""Which frames to detect, at which size, until when: the deadline budget of one stream. Pure.

Costs are learned: per rung the 90th percentile of recent runs, from the moment a frame is handed to the
device to its tracks being known, so that waiting for other streams is part of the price.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from inference.types import Demand, FrameResult, Outcome, Plan, Rung

_DETECT_STAGES = ("queue", "pixels", "preprocess", "detect", "decode", "track")


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """The promise and how carefully to keep it.

    Attributes:
        budget_ms: from a frame's arrival to its overlay.
        reserve_ms: of which kept for what follows the tracks (policy, fan-out).
        rungs: the ladder, in any order.
        quantile: of recent costs that must fit.
        window: recent costs remembered per rung.
        fresh_ms: costs older than this are not trusted any more.
        climb: a larger rung is taken when its cost fits into this share of what is left...
        climb_ms: ...for this long.
        duty: largest share of the time the device may work for this stream.
        idle_ms: between detections without viewers.
        retry_ms: after this long without a detection the smallest rung is run though it cannot be in time.
        patience_ms: a run that no deadline allows may take this long at most.
        max_embed: crops per frame at most.
    """

    budget_ms: float = 60.0
    reserve_ms: float = 4.0
    rungs: tuple[Rung, ...] = (Rung(416, 416),)
    quantile: float = 0.9
    window: int = 30
    fresh_ms: float = 3_000.0
    climb: float = 0.8
    climb_ms: float = 500.0
    duty: float = 0.7
    idle_ms: float = 500.0
    retry_ms: float = 90.0
    patience_ms: float = 2_000.0
    max_embed: int = 4


class CostEstimate:
    """A quantile over the last costs; reacts within a few runs to a change in either direction.

    Costs older than `fresh_ms` count only while there is nothing newer anywhere: what a rung cost while
    another process held the machine says nothing about now.
    """

    def __init__(self, window: int, quantile: float, fresh_ms: float) -> None:
        self._costs: deque[tuple[int, int]] = deque(maxlen=window)
        self._quantile = quantile
        self._fresh_ns = int(fresh_ms * 1e6)

    def add(self, took_ns: int, now_ns: int) -> None:
        """One more run, that ended about `now_ns`."""
        self._costs.append((now_ns, took_ns))

    def fresh_ns(self, now_ns: int) -> int | None:
        """The quantile of fresh costs, at least the median of the last three; None where there is none."""
        return self._value([cost for when, cost in self._costs if now_ns - when <= self._fresh_ns])

    def old_ns(self) -> int | None:
        """The same of all costs remembered; None before the first run."""
        return self._value([cost for _, cost in self._costs])

    def typical_ns(self) -> int | None:
        """The median of all; None before the first run."""
        ordered = sorted(cost for _, cost in self._costs)
        return ordered[len(ordered) // 2] if ordered else None

    def _value(self, costs: list[int]) -> int | None:
        if not costs:
            return None
        ordered, lately = sorted(costs), sorted(costs[-3:])
        usual = ordered[min(len(ordered) - 1, int(self._quantile * len(ordered)))]
        return max(usual, lately[len(lately) // 2])


class BudgetPlanner:
    """Plans the frames of one stream. Not thread-safe."""

    def __init__(self, settings: BudgetSettings = BudgetSettings()) -> None:
        self.settings = settings
        self._rungs = sorted(settings.rungs, key=lambda rung: rung.width * rung.height, reverse=True)
        self._costs = {rung: self._estimate(settings.quantile) for rung in self._rungs}
        self._embed = self._estimate(0.5)
        self._now_ns = 0
        self._current = self._rungs[0]
        self._could_climb_ns: int | None = None
        self._detected_ns: int | None = None
        self._arrived_ns: int | None = None
        self._interval_ns = 33_000_000

    def plan(self, arrived_ns: int, now_ns: int, demand: Demand) -> Plan:
        """What to do with the frame that arrived at `arrived_ns`, decided at `now_ns`."""
        self._pace(arrived_ns)
        self._now_ns = now_ns
        deadline_ns = arrived_ns + int((self.settings.budget_ms - self.settings.reserve_ms) * 1e6)
        since_ns = None if self._detected_ns is None else now_ns - self._detected_ns
        if demand.viewers == 0 and demand.pinned == 0:
            return self._idle(now_ns, since_ns)
        busy_ns = self._costs[self._current].typical_ns() or 0
        if since_ns is not None and since_ns < busy_ns / self.settings.duty - self._interval_ns / 2:
            return Plan(False, None, deadline_ns, 0, "device-duty")
        rung = self._choose(deadline_ns - now_ns)
        if rung is not None:
            return self._detect(rung, deadline_ns, now_ns, "detect")
        if since_ns is None or since_ns >= self.settings.retry_ms * 1e6:
            return self._detect(self._rungs[-1], self._patient_ns(now_ns), now_ns, "detect-stale")
        return Plan(False, None, deadline_ns, 0, "budget-too-short")

    def observe(self, rung: Rung, took_ns: int) -> None:
        """A detection at `rung` took this long, hand-over to tracks; also from warm-up, as a first guess."""
        estimate = self._costs.get(rung)
        if estimate is not None:
            estimate.add(took_ns, self._now_ns)

    def observe_cancelled(self, rung: Rung, after_ns: int) -> None:
        """A detection at `rung` was cancelled after this long: it would have taken longer still.

        What was known of the rung came from better times and is forgotten.
        """
        if rung in self._costs:
            self._costs[rung] = self._estimate(self.settings.quantile)
        self.observe(rung, int(after_ns * 1.25))
        smaller = [other for other in self._rungs if _area(other) < _area(rung)]
        if smaller and rung == self._current:
            self._current = smaller[0]
            self._could_climb_ns = None

    def observe_embed(self, took_ns: int) -> None:
        """Embedding one crop took this long."""
        self._embed.add(took_ns, self._now_ns)

    def observe_result(self, plan: Plan, result: FrameResult) -> None:
        """Learn from a processed frame: `observe` or `observe_cancelled` with its stages."""
        if plan.rung is None:
            return
        took_ns = sum(result.stages_ns.get(stage, 0) for stage in _DETECT_STAGES)
        if result.outcome is Outcome.DETECTED:
            self.observe(plan.rung, took_ns)
        elif result.outcome is Outcome.CANCELLED:
            self.observe_cancelled(plan.rung, took_ns)
        if "embed" in result.stages_ns:
            self.observe_embed(result.stages_ns["embed"])

    def costs_ms(self) -> dict[Rung, float | None]:
        """What each rung is believed to cost, for operators; None before the first run of any."""
        known = any(estimate.typical_ns() is not None for estimate in self._costs.values())
        return {rung: self._cost_ns(rung) / 1e6 if known else None for rung in self._rungs}

    # ---- decisions -----------------------------------------------------------------------------------------

    def _idle(self, now_ns: int, since_ns: int | None) -> Plan:
        """Nobody watches: now and then, at the smallest size, without hurry."""
        deadline_ns = now_ns + int(max(self.settings.budget_ms, self.settings.idle_ms) * 1e6)
        if since_ns is not None and since_ns < self.settings.idle_ms * 1e6:
            return Plan(False, None, deadline_ns, 0, "no-viewers")
        return self._detect(self._rungs[-1], deadline_ns, now_ns, "no-viewers")

    def _patient_ns(self, now_ns: int) -> int:
        """A deadline for a run that cannot be in time: until it ends, frames are predicted."""
        needs_ms = 1.5 * self._cost_ns(self._rungs[-1]) / 1e6
        return now_ns + int(min(self.settings.patience_ms, max(self.settings.budget_ms, needs_ms)) * 1e6)

    def _detect(self, rung: Rung, deadline_ns: int, now_ns: int, reason: str) -> Plan:
        self._detected_ns = now_ns
        return Plan(True, rung, deadline_ns, self._embed_limit(rung), reason)

    def _choose(self, left_ns: int) -> Rung | None:
        """The largest rung that fits; down at once, up only after fitting well for a while."""
        at = self._rungs.index(self._current)
        larger = self._rungs[at - 1] if at else None
        if larger is not None and self._cost_ns(larger) <= self.settings.climb * left_ns:
            since_ns = self._could_climb_ns = self._could_climb_ns or self._now_ns
            if self._now_ns - since_ns >= self.settings.climb_ms * 1e6:
                self._current, self._could_climb_ns = larger, None
                return larger
        else:
            self._could_climb_ns = None
        for rung in self._rungs[at:]:
            if self._cost_ns(rung) <= left_ns:
                self._current = rung
                return rung
        return None

    def _cost_ns(self, rung: Rung) -> int:
        """Believed cost: a fresh one, else scaled by area from a rung that has one, else an old one."""
        fresh = {other: cost.fresh_ns(self._now_ns) for other, cost in self._costs.items()}
        values = {other: value for other, value in fresh.items() if value is not None}
        if not values:
            old = {other: cost.old_ns() for other, cost in self._costs.items()}
            values = {other: value for other, value in old.items() if value is not None}
        if rung in values:
            return values[rung]
        if not values:
            return 0
        nearest = min(values, key=lambda other: abs(_area(other) - _area(rung)))
        return int(values[nearest] * _area(rung) / _area(nearest))

    def _embed_limit(self, rung: Rung) -> int:
        """Crops that fit between the end of this detection and the next frame; at least one."""
        cost_ns = self._embed.old_ns()
        if cost_ns is None:
            return 1
        detect_ns = self._costs[rung].typical_ns() or 0
        return min(self.settings.max_embed, max(1, (self._interval_ns - detect_ns) // max(cost_ns, 1)))

    def _estimate(self, quantile: float) -> CostEstimate:
        return CostEstimate(self.settings.window, quantile, self.settings.fresh_ms)

    def _pace(self, arrived_ns: int) -> None:
        """Follow the interval between frames."""
        if self._arrived_ns is not None and 0 < arrived_ns - self._arrived_ns < 500_000_000:
            self._interval_ns += (arrived_ns - self._arrived_ns - self._interval_ns) // 8
        self._arrived_ns = arrived_ns


def _area(rung: Rung) -> int:
    return rung.width * rung.height
