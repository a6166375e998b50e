"""From read-back pictures to the figures of a row. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.painted.motion import HEIGHT, WIDTH, Motion
from benchmarks.painted.readback import Seen
from benchmarks.report import Row
from benchmarks.stats import histogram, percentile, share

LIMIT = 4
"""Misalignments beyond are counted at the ends of the histogram."""

TRUSTED_PX = 6.0
"""The object must be found this close to where the barcode's frame has it, else the picture is a mixture."""


class Reading(NamedTuple):
    """One picture's content, and how wide the video was in it."""

    seen: Seen
    width_px: float


def verdict(motion: Motion, readings: Sequence[Reading], seconds: float) -> Row:
    """Count what the pictures showed.

    Pictures whose barcode cannot be read, or whose object is not where the barcode says, are not judged.

    Returns:
        ``pictures`` taken per second, ``readable`` ones, ``hotspot_pct`` of those with the object,
        ``aligned_pct`` of those with a hotspot, ``error_px`` percentiles, one ``off_N`` column per offset.
    """
    trusted = 0
    offsets: list[int] = []
    errors: list[float] = []
    for seen, width_px in readings:
        if seen.number is None or seen.object is None:
            continue
        if _distance_px(seen.object, motion.at(seen.number), width_px) > TRUSTED_PX:
            continue
        trusted += 1
        if seen.marker is not None:
            offset, error = motion.misalignment(seen.number, seen.marker, width_px)
            offsets.append(offset)
            errors.append(error)
    counted = histogram(offsets, LIMIT)
    return {
        "pictures_per_s": round(len(readings) / seconds, 1),
        "readable": trusted,
        "hotspot_pct": round(share(len(offsets), trusted), 2),
        "aligned_pct": round(share(offsets.count(0), len(offsets)), 2),
        "error_px_p50": round(percentile(errors, 50), 1),
        "error_px_p99": round(percentile(errors, 99), 1),
        **{f"off_{offset:+d}": counted.get(offset, 0) for offset in range(-LIMIT, LIMIT + 1)},
    }


def _distance_px(a: tuple[float, float], b: tuple[float, float], width_px: float) -> float:
    across, down = (a[0] - b[0]) * width_px, (a[1] - b[1]) * width_px * HEIGHT / WIDTH
    return float((across**2 + down**2) ** 0.5)
