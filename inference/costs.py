"""What a run costs, learned while running: a quantile per rung that follows the machine. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from inference.types import Rung


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

    def clear(self) -> None:
        """Forget everything: it was learned in other times."""
        self._costs.clear()

    def bound_ns(self, now_ns: int | None = None) -> int | None:
        """The quantile, at least the median of the last three; None where there is none.

        Of fresh costs with `now_ns`, of all that are remembered without.
        """
        costs = self._since(now_ns)
        if not costs:
            return None
        ordered, lately = sorted(costs), sorted(costs[-3:])
        usual = ordered[min(len(ordered) - 1, int(self._quantile * len(ordered)))]
        return max(usual, lately[len(lately) // 2])

    def typical_ns(self, now_ns: int | None = None) -> int | None:
        """The median, of the same costs."""
        ordered = sorted(self._since(now_ns))
        return ordered[len(ordered) // 2] if ordered else None

    def _since(self, now_ns: int | None) -> list[int]:
        return [cost for when, cost in self._costs if now_ns is None or now_ns - when <= self._fresh_ns]


class RungCosts:
    """The costs of a ladder on one device with one provider, shared by the streams that use it.

    Args:
        rungs: the ladder, in any order; of several models, the best first.
        quantile: of recent costs that `bound_ns` gives.
        window: recent costs remembered per rung.
        fresh_ms: older ones are not trusted any more.

    Attributes:
        rungs: best first: largest first, of one model.
    """

    def __init__(self, rungs: Sequence[Rung], quantile: float, window: int, fresh_ms: float) -> None:
        several = len({rung.model for rung in rungs}) > 1
        self.rungs = list(rungs) if several else sorted(rungs, key=area, reverse=True)
        self._first: dict[Rung, int] = {}
        self._costs = {rung: CostEstimate(window, quantile, fresh_ms) for rung in self.rungs}

    def add(self, rung: Rung, took_ns: int, now_ns: int) -> None:
        """A run at `rung` took so long. A rung of another ladder is ignored."""
        if rung in self._costs:
            self._costs[rung].add(took_ns, now_ns)

    def warmed(self, rung: Rung, took_ns: int, now_ns: int) -> None:
        """The warm-up's run at `rung`: a first cost, and what all rungs cost relative to each other."""
        self.add(rung, took_ns, now_ns)
        self._first[rung] = took_ns

    def exceeded(self, rung: Rung, after_ns: int, now_ns: int) -> bool:
        """A run at `rung` was cut off after so long: it would have taken longer still.

        What was known of the rung came from better times and is forgotten. False where a usual run would not
        have ended either: that says nothing.
        """
        at_least_ns = int(after_ns * 1.25)
        if rung not in self._costs or at_least_ns <= self.typical_ns(rung, now_ns):
            return False
        self._costs[rung].clear()
        self._costs[rung].add(at_least_ns, now_ns)
        return True

    def forget(self) -> None:
        """Another provider, another session: nothing that was learned holds."""
        self._first.clear()
        for cost in self._costs.values():
            cost.clear()

    @property
    def known(self) -> bool:
        """Some rung has run."""
        return any(cost.typical_ns() is not None for cost in self._costs.values())

    def bound_ns(self, rung: Rung, now_ns: int) -> int:
        """What `rung` may cost: a fresh quantile, else scaled from a rung with one, else an old one.

        Scaled as the warm-up's costs of both are, or by area.

        0 before the first run of any.
        """
        return self._best(rung, CostEstimate.bound_ns, now_ns)

    def typical_ns(self, rung: Rung, now_ns: int) -> int:
        """What `rung` usually costs: as `bound_ns`, with the median."""
        return self._best(rung, CostEstimate.typical_ns, now_ns)

    def _best(
        self, rung: Rung, value_of: Callable[[CostEstimate, int | None], int | None], now_ns: int
    ) -> int:
        for since_ns in (now_ns, None):
            found = {other: value_of(cost, since_ns) for other, cost in self._costs.items()}
            known = {other: value for other, value in found.items() if value is not None}
            if rung in known:
                return known[rung]
            if known:
                nearest = min(known, key=lambda one: (one.model != rung.model, abs(area(one) - area(rung))))
                return int(known[nearest] * self._ratio(rung, nearest))
        return 0

    def _ratio(self, rung: Rung, other: Rung) -> float:
        """How much dearer `rung` is than `other`."""
        first, its = self._first.get(rung), self._first.get(other)
        return first / its if first and its else area(rung) / area(other)


def area(rung: Rung) -> int:
    """Pixels of a rung."""
    return rung.width * rung.height
