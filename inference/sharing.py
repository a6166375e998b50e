"""One device, several streams: who may use how much of it, and whether another stream fits. Pure.

The device runs jobs earliest deadline first (Liu and Layland 1973), which serves everybody in time as long as
the device is not asked for more than it has. That is seen to here: each stream is paced to its share by
weight; when the shares would fall below the promised rate all streams take a smaller rung; and a stream that
even the smallest rung leaves no room for is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.costs import RungCosts
from inference.types import Demand, Rung

ALIVE_NS = 4_000_000_000
"""A stream that planned no frame for so long is not there; one that nobody watches has some every 2 s."""
STRAY_NS = 1_000_000_000
"""A run that did not report this long after its deadline is forgotten."""


@dataclass(frozen=True, slots=True)
class ShareSettings:
    """The promise to every stream.

    Attributes:
        capacity: largest share of the time that the device may work: the rest is what keeps waits short.
        floor_hz: detections a second that every watched stream is promised.
    """

    capacity: float = 0.7
    floor_hz: float = 10.0


@dataclass(slots=True)
class _Member:
    """A stream as last seen."""

    weight: float
    seen_ns: int


@dataclass(slots=True)
class _Job:
    """A run that was handed to the device; `started_ns` is when it came first in the queue."""

    expected_ns: int
    deadline_ns: int
    started_ns: int


def weight(demand: Demand) -> float:
    """What a stream weighs: nothing when nobody watches, more with products pinned or just tapped (to 2)."""
    if demand.viewers == 0 and demand.pinned == 0:
        return 0.0
    return 1.0 + 0.5 * min(2, demand.pinned + demand.tapped)


class DeviceShare:
    """The streams of one device. Event loop only; knows them by any hashable name.

    Args:
        costs: of the device's ladder; learned by all streams together.
        settings: the promise.
    """

    def __init__(self, costs: RungCosts, settings: ShareSettings = ShareSettings()) -> None:
        self.costs = costs
        self.settings = settings
        self._members: dict[object, _Member] = {}
        self._jobs: dict[object, _Job] = {}
        self._running: object = None

    def seen(self, stream: object, demand: Demand, now_ns: int) -> None:
        """`stream` has a frame to plan, and this demand."""
        self._members[stream] = _Member(weight(demand), now_ns)

    # ---- pacing --------------------------------------------------------------------------------------------

    def gap_ns(self, stream: object, rung: Rung, now_ns: int) -> int:
        """Least time between two detections of `stream` at `rung`, start to start, for its share to hold."""
        own = self._members.get(stream)
        if own is None or own.weight <= 0:
            return 0
        share = own.weight / self._weight(now_ns)
        return int(self.costs.typical_ns(rung, now_ns) / (self.settings.capacity * share))

    def affordable(self, rung: Rung, now_ns: int, margin: float = 1.0) -> bool:
        """Whether `rung`, used by all, leaves every watched stream its promised rate.

        Args:
            rung: of the ladder.
            now_ns: the present.
            margin: use only so much of the capacity (for climbing back without flapping).
        """
        weights = [member.weight for member in self._alive(now_ns) if member.weight > 0]
        if not weights:
            return True
        slowest_ns = (
            self.costs.typical_ns(rung, now_ns) * sum(weights) / (self.settings.capacity * min(weights))
        )
        return slowest_ns <= margin * 1e9 / self.settings.floor_hz

    # ---- the queue, foreseen -------------------------------------------------------------------------------

    def begin(self, stream: object, rung: Rung, deadline_ns: int, now_ns: int) -> None:
        """`stream` hands a run at `rung` to the device."""
        self._jobs[stream] = _Job(self.costs.typical_ns(rung, now_ns), deadline_ns, now_ns)
        if self._running not in self._jobs:
            self._running = stream

    def end(self, stream: object, now_ns: int) -> None:
        """The run of `stream` ended, however."""
        self._jobs.pop(stream, None)
        if self._jobs and self._running not in self._jobs:
            self._running = min(self._jobs, key=lambda name: self._jobs[name].deadline_ns)
            self._jobs[self._running].started_ns = now_ns

    def wait_ns(self, stream: object, deadline_ns: int, now_ns: int) -> int:
        """How long a run of `stream` with this deadline would wait for others.

        For the one that runs, and for all that wait with an earlier deadline.
        """
        late = [name for name, job in self._jobs.items() if now_ns > job.deadline_ns + STRAY_NS]
        for name in late:
            del self._jobs[name]
        waits_ns = 0
        for name, job in self._jobs.items():
            if name == stream:
                continue
            if name == self._running:
                waits_ns += max(0, job.started_ns + job.expected_ns - now_ns)
            elif job.deadline_ns <= deadline_ns:
                waits_ns += job.expected_ns
        return waits_ns

    # ---- admission -----------------------------------------------------------------------------------------

    def refusal(self, now_ns: int) -> str:
        """Why one more stream would break the promise to those that are there; empty where it would not.

        Every live stream counts, watched or not: viewers may come at any moment.
        """
        smallest = self.costs.rungs[-1]
        cost_ns = self.costs.typical_ns(smallest, now_ns)
        alive = sum(max(1.0, member.weight) for member in self._alive(now_ns))
        room = self.settings.capacity * 1e9 / self.settings.floor_hz
        if alive == 0 or (alive + 1.0) * cost_ns <= room:
            return ""
        return (
            f"the device is full: one more stream would leave each less than {self.settings.floor_hz:.0f} "
            f"detections a second at {cost_ns / 1e6:.0f} ms a detection"
        )

    def load(self, rung: Rung, now_ns: int) -> float:
        """Share of the capacity that the promised rate takes at `rung`; above 1 it cannot be kept."""
        watched = sum(member.weight for member in self._alive(now_ns))
        return (
            watched
            * self.costs.typical_ns(rung, now_ns)
            * self.settings.floor_hz
            / 1e9
            / self.settings.capacity
        )

    # ---- details -------------------------------------------------------------------------------------------

    def _alive(self, now_ns: int) -> list[_Member]:
        for name in [n for n, member in self._members.items() if now_ns - member.seen_ns > ALIVE_NS]:
            del self._members[name]
        return list(self._members.values())

    def _weight(self, now_ns: int) -> float:
        return sum(member.weight for member in self._alive(now_ns)) or 1.0
