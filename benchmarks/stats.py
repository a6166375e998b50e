"""The arithmetic that benchmarks share. Pure: numbers in, numbers out."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def percentile(values: Sequence[float], q: float) -> float:
    """The `q`-th percentile (0..100), linear between the two nearest ranks (Hyndman and Fan's type 7).

    NaN when there are no values: a missing measurement is never a good one.
    """
    if not 0 <= q <= 100:
        raise ValueError(f"percentile: got {q}, expected 0..100")
    if not values:
        return math.nan
    ordered = sorted(values)
    position = (len(ordered) - 1) * q / 100
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def spread(values: Sequence[float], name: str, digits: int = 2) -> dict[str, float]:
    """p50, p95 and p99 as ``{"NAME_p50": ..., "NAME_p95": ..., "NAME_p99": ...}``, rounded."""
    return {f"{name}_p{q}": round(percentile(values, q), digits) for q in (50, 95, 99)}


def share(part: float, whole: float) -> float:
    """`part` / `whole` in percent; NaN when there is no whole."""
    return math.nan if whole == 0 else 100.0 * part / whole


def histogram(values: Iterable[int], limit: int) -> dict[int, int]:
    """How often each integer occurs, with everything beyond +-`limit` counted at +-`limit`; sorted."""
    counted = Counter(max(-limit, min(limit, value)) for value in values)
    return dict(sorted(counted.items()))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of (x, y) points; NaN with fewer than two different x."""
    n = len(points)
    if n < 2:
        return math.nan
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    denominator = sum((x - mean_x) ** 2 for x, _ in points)
    if denominator == 0:
        return math.nan
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / denominator


def interleaved(subjects: Sequence[T], rounds: int, seed: int) -> list[T]:
    """Every subject once per round, each round in another order: a drifting machine favours nobody."""
    rng = random.Random(seed)
    plan: list[T] = []
    for _ in range(rounds):
        order = list(subjects)
        rng.shuffle(order)
        plan.extend(order)
    return plan


def rtp_after(a: int, b: int) -> int:
    """Signed difference a - b of unsigned 32-bit RTP timestamps, across the wrap."""
    return ((a - b + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
