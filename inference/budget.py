"""Which frames to detect, at which size, until when: the deadline budget of one stream. Pure.

Costs are learned: per rung the 90th percentile of recent runs, from pixels to tracks. What other streams have
queued before a run is foreseen, and what else it waited lately (embedding, a late event loop) comes on top.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from inference.costs import CostEstimate, RungCosts
from inference.region import as_detailed
from inference.sharing import DeviceShare, ShareSettings
from inference.types import Box, Demand, FrameResult, Outcome, Plan, Rung

_WAIT_STAGES = ("queue", "resume")
_OTHER_STAGES = ("receive", "match", "embed", "publish")
"""Stages of a result that are no part of its detection; all the rest are the run."""


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """The promise and how carefully to keep it.

    Attributes:
        budget_ms: from a frame's arrival to its overlay.
        reserve_ms: of which kept for what follows the tracks (policy, fan-out).
        rungs: the ladder, in any order; of several models, the best first.
        quantile: of recent costs that must fit.
        window: recent costs remembered per rung.
        fresh_ms: costs older than this are not trusted any more.
        climb: a larger rung is taken when its cost fits into this share of what is left...
        climb_ms: ...for this long.
        sure: a run that may need more than this share of what is left gets a predicted overlay before it.
        duty: largest share of the time the device may work, for all its streams together.
        floor_hz: detections a second promised to each watched stream; sizes shrink before it is broken.
        idle_ms: between detections without viewers.
        retry_ms: after this long without a detection the smallest rung is run though it cannot be in time.
        patience_ms: a run that no deadline allows may take this long at most.
        max_embed: crops per frame at most.
        regions: look only where the tracks are: ``"never"``, ``"busy"`` (when the best rung cannot be had)
            or ``"always"``.
        enough_hz: detections a second that are enough for a stream of which nothing is pinned or was just
            tapped; 0: every frame that time allows.
        whole_ms: the whole picture is looked at this often at least.
    """

    budget_ms: float = 60.0
    reserve_ms: float = 4.0
    rungs: tuple[Rung, ...] = (Rung(416, 416),)
    quantile: float = 0.9
    window: int = 30
    fresh_ms: float = 3_000.0
    climb: float = 0.8
    climb_ms: float = 500.0
    sure: float = 0.6
    duty: float = 0.7
    floor_hz: float = 10.0
    idle_ms: float = 500.0
    retry_ms: float = 50.0
    patience_ms: float = 2_000.0
    max_embed: int = 4
    regions: Literal["never", "busy", "always"] = "busy"
    enough_hz: float = 0.0
    whole_ms: float = 400.0


def device_share(settings: BudgetSettings) -> DeviceShare:
    """What the planners of one device have in common, for these settings."""
    costs = RungCosts(settings.rungs, settings.quantile, settings.window, settings.fresh_ms)
    return DeviceShare(costs, ShareSettings(settings.duty, settings.floor_hz))


class BudgetPlanner:
    """Plans the frames of one stream. Event loop only.

    Args:
        settings: the promise.
        share: of the device; None where the stream has it for itself.
    """

    def __init__(self, settings: BudgetSettings = BudgetSettings(), share: DeviceShare | None = None) -> None:
        self.settings = settings
        self._share = share or device_share(settings)
        self._costs = self._share.costs
        self._rungs = self._costs.rungs
        self._embed = CostEstimate(settings.window, 0.5, settings.fresh_ms)
        self._now_ns = 0
        self._current = self._rungs[0]
        self._could_climb_ns: int | None = None
        self._detected_ns: int | None = None
        self._whole_ns: int | None = None
        self._due_ns = 0
        self._foreseen_ns = 0
        self._unforeseen = CostEstimate(12, settings.quantile, 1_000.0)
        self._pace = _Pace()

    def plan(
        self,
        arrived_ns: int,
        now_ns: int,
        demand: Demand,
        region: Callable[[], Box | None] = lambda: None,
    ) -> Plan:
        """What to do with the frame that arrived at `arrived_ns`, decided at `now_ns`.

        Args:
            arrived_ns: of the frame.
            now_ns: the present.
            demand: for the stream.
            region: the part of the picture that holds all that is to be seen in this frame, None where all of
                it has to be looked at. Asked only where it matters.
        """
        self._pace.frame(arrived_ns, now_ns)
        self._share.seen(self, demand, now_ns)
        self._now_ns = now_ns
        deadline_ns = arrived_ns + int((self.settings.budget_ms - self.settings.reserve_ms) * 1e6)
        since_ns = None if self._detected_ns is None else now_ns - self._detected_ns
        if demand.viewers == 0 and demand.pinned == 0:
            return self._idle(now_ns, since_ns)
        if since_ns is not None and self._enough(since_ns, demand):
            return Plan(False, None, deadline_ns, 0, "often-enough")
        if now_ns < self._due_ns - self._pace.interval_ns / 2:
            return Plan(False, None, deadline_ns, 0, "device-duty")
        wait_ns = self._share.wait_ns(self, deadline_ns, now_ns) + (self._unforeseen.bound_ns(now_ns) or 0)
        if self._pace.better_later(now_ns, wait_ns + self._costs.typical_ns(self._current, now_ns)):
            return Plan(False, None, deadline_ns, 0, "next-frame-sooner")
        rung = self._choose(deadline_ns - now_ns - wait_ns)
        if rung is not None:
            return self._detect(rung, deadline_ns, "detect", demand, self._part(rung, region))
        retry_ns = int(self.settings.retry_ms * 1e6)
        if self._detected_ns is None or arrived_ns - self._detected_ns >= retry_ns:
            return self._detect(self._rungs[-1], self._patient_ns(wait_ns), "detect-stale", demand)
        return Plan(False, None, deadline_ns, 0, "budget-too-short")

    def observe(self, rung: Rung, took_ns: int) -> None:
        """A detection at `rung` ran so long, pixels to tracks; also from warm-up, as a first guess."""
        self._costs.add(rung, took_ns, self._now_ns)

    def observe_cancelled(self, rung: Rung, after_ns: int) -> None:
        """A detection at `rung` was cancelled after running so long: it would have taken longer still.

        Cut off before it could have ended, it says nothing.
        """
        if not self._costs.exceeded(rung, after_ns, self._now_ns):
            return
        smaller = self._rungs[self._rungs.index(rung) + 1 :]
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
        stages = result.stages_ns
        apart = (*_WAIT_STAGES, *_OTHER_STAGES)
        run_ns = sum(took_ns for stage, took_ns in stages.items() if stage not in apart)
        wait_ns = sum(stages.get(stage, 0) for stage in _WAIT_STAGES)
        self._now_ns += run_ns + wait_ns
        self._share.end(self, self._now_ns)
        self._unforeseen.add(max(0, wait_ns - self._foreseen_ns), self._now_ns)
        if result.outcome is Outcome.DETECTED:
            self.observe(plan.rung, run_ns)
        elif result.outcome is Outcome.CANCELLED:
            self.observe_cancelled(plan.rung, run_ns)
        if "embed" in stages:
            self.observe_embed(stages["embed"])

    def costs_ms(self) -> dict[Rung, float | None]:
        """What each rung is believed to cost, for operators; None before the first run of any."""
        known = self._costs.known
        return {
            rung: self._costs.bound_ns(rung, self._now_ns) / 1e6 if known else None for rung in self._rungs
        }

    # ---- decisions -----------------------------------------------------------------------------------------

    def _idle(self, now_ns: int, since_ns: int | None) -> Plan:
        """Nobody watches: now and then, at the smallest size, without hurry."""
        deadline_ns = now_ns + int(max(self.settings.budget_ms, self.settings.idle_ms) * 1e6)
        if since_ns is not None and since_ns < self.settings.idle_ms * 1e6:
            return Plan(False, None, deadline_ns, 0, "no-viewers")
        return self._detect(self._rungs[-1], deadline_ns, "no-viewers", Demand())

    def _patient_ns(self, wait_ns: int) -> int:
        """A deadline for a run that cannot be in time: until it ends, frames are predicted."""
        needs_ms = (1.5 * self._costs.bound_ns(self._rungs[-1], self._now_ns) + wait_ns) / 1e6
        return self._now_ns + int(
            min(self.settings.patience_ms, max(self.settings.budget_ms, needs_ms)) * 1e6
        )

    def _enough(self, since_ns: int, demand: Demand) -> bool:
        """The last detection is so recent that another one now would be more than is asked for."""
        if self.settings.enough_hz <= 0 or demand.pinned + demand.tapped > 0:
            return False
        return since_ns < 1e9 / self.settings.enough_hz - self._pace.interval_ns / 2

    def _part(self, rung: Rung, region: Callable[[], Box | None]) -> Box | None:
        """The part of the picture to look at instead of the whole, where that is due for one."""
        fits_best = rung == self._rungs[0]
        if self.settings.regions == "never" or (self.settings.regions == "busy" and fits_best):
            return None
        if self._whole_ns is None or self._now_ns - self._whole_ns >= self.settings.whole_ms * 1e6:
            return None
        return region()

    def _detect(
        self, rung: Rung, deadline_ns: int, reason: str, demand: Demand, region: Box | None = None
    ) -> Plan:
        if region is None:
            self._whole_ns = self._now_ns
        else:
            rung = as_detailed(self._rungs, self._rungs.index(rung), region)
        gap_ns = self._share.gap_ns(self, rung, self._now_ns)
        self._due_ns = max(self._due_ns, self._now_ns - gap_ns) + gap_ns
        self._detected_ns = self._now_ns
        self._foreseen_ns = self._share.wait_ns(self, deadline_ns, self._now_ns)
        self._share.begin(self, rung, deadline_ns, self._now_ns)
        needs_ns = self._costs.bound_ns(rung, self._now_ns) + self._foreseen_ns
        cover = reason == "detect-stale" or needs_ns > self.settings.sure * (deadline_ns - self._now_ns)
        return Plan(True, rung, deadline_ns, self._embed_limit(rung, demand), reason, cover, region)

    def _choose(self, left_ns: int) -> Rung | None:
        """The largest rung that fits and that all can afford; down at once, up only after a while."""
        at = self._rungs.index(self._current)
        larger = self._rungs[at - 1] if at else None
        if larger is not None and self._fits(larger, left_ns, self.settings.climb):
            since_ns = self._could_climb_ns = self._could_climb_ns or self._now_ns
            if self._now_ns - since_ns >= self.settings.climb_ms * 1e6:
                self._current, self._could_climb_ns = larger, None
                return larger
        else:
            self._could_climb_ns = None
        for rung in self._rungs[at:]:
            if self._fits(rung, left_ns):
                self._current = rung
                return rung
        return None

    def _fits(self, rung: Rung, left_ns: int, margin: float = 1.0) -> bool:
        """In time, and with enough left for the others: but the smallest is for everybody."""
        if self._costs.bound_ns(rung, self._now_ns) > margin * left_ns:
            return False
        return rung == self._rungs[-1] or self._share.affordable(rung, self._now_ns, margin)

    def _embed_limit(self, rung: Rung, demand: Demand) -> int:
        """Crops that fit between the end of this detection and the next frame; at least one.

        One more for what is pinned or was just tapped: there the product must be right.
        """
        cost_ns = self._embed.bound_ns()
        extra = int(demand.pinned + demand.tapped > 0)
        if cost_ns is None:
            return 1 + extra
        left_ns = self._pace.interval_ns - self._costs.typical_ns(rung, self._now_ns)
        return min(self.settings.max_embed, max(1, left_ns // max(cost_ns, 1)) + extra)


class _Pace:
    """When frames come, and whether waiting for the next one is better."""

    def __init__(self) -> None:
        self.interval_ns = 33_000_000
        self._arrived_ns: int | None = None
        self._lag_ns = 0
        self._waited = False

    def frame(self, arrived_ns: int, now_ns: int) -> None:
        """Follow the interval between frames, and the least delay with which they become known."""
        if self._arrived_ns is not None and 0 < arrived_ns - self._arrived_ns < 500_000_000:
            self.interval_ns += (arrived_ns - self._arrived_ns - self.interval_ns) // 8
        self._arrived_ns = arrived_ns
        self._lag_ns = min(now_ns - arrived_ns, self._lag_ns + 1_000_000)

    def better_later(self, now_ns: int, takes_ns: int) -> bool:
        """Whether a result for the next frame is better than one for this, which came some time ago.

        With runtime r and time t in frames: when ``r < floor(frac(t) + r)``, a run begun now ends after yet
        another frame has come, and a run begun with the next frame would not (Li, Wang and Ramanan, Towards
        Streaming Perception, ECCV 2020). Never twice in a row, lest odd arrivals stop everything.
        """
        assert self._arrived_ns is not None
        t = (now_ns - self._arrived_ns - self._lag_ns) / self.interval_ns
        r = takes_ns / self.interval_ns
        self._waited = 0 < t < 1 and r < int(t + r) and not self._waited
        return self._waited
