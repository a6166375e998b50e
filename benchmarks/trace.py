"""Reading the engine's trace: one JSON line per overlay that was handed to the sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report import Row
from benchmarks.stats import percentile, rtp_after, share, spread

MS = 1e-6
NOT_OURS = ("receive", "detect")
"""Not the engine's own time: video decoding (last packet to picture) and the detector's ONNX run.

Embedding runs beside the frames; its stage is listed, and is no part of any overlay's age.
"""


@dataclass(frozen=True, slots=True)
class Overlay:
    """One overlay handed to the sockets.

    Attributes:
        rtp: key of its frame.
        arrived_ns: `time.monotonic_ns` of the frame's last packet.
        sent_ns: when the overlay was handed over.
        outcome: ``detected``, ``coasted``, ``cancelled`` or ``failed``.
        stages_ns: duration per stage.
        staleness_ns: media time from the newest detected frame to the newest frame; None before the first.
    """

    rtp: int
    arrived_ns: int
    sent_ns: int
    outcome: str
    stages_ns: Mapping[str, int]
    staleness_ns: int | None

    @property
    def age_ms(self) -> float:
        """Last packet to socket."""
        return (self.sent_ns - self.arrived_ns) * MS

    @property
    def own_ms(self) -> float:
        """Of the age, all that is neither video decoding nor an ONNX run; waiting included."""
        return self.age_ms - sum(self.stages_ns.get(stage, 0) for stage in NOT_OURS) * MS


def overlays(lines: Sequence[Mapping[str, object]]) -> list[Overlay]:
    """Trace lines as values, in the order they were sent.

    Staleness is worked out here from the keys alone: when an overlay leaves, how far is the newest frame that
    has one ahead of the newest frame that was detected.
    """
    found: list[Overlay] = []
    newest: int | None = None
    detected: int | None = None
    for line in sorted(lines, key=lambda one: _int(one["sent_ns"])):
        rtp, outcome, stages = _int(line["rtp"]), str(line["outcome"]), line.get("stages_ns", {})
        assert isinstance(stages, Mapping)
        newest = rtp if newest is None or rtp_after(rtp, newest) > 0 else newest
        if outcome == "detected" and (detected is None or rtp_after(rtp, detected) > 0):
            detected = rtp
        stale = None if detected is None else rtp_after(newest, detected) * 1_000_000 // 90
        took = {str(name): _int(value) for name, value in stages.items()}
        found.append(Overlay(rtp, _int(line["arrived_ns"]), _int(line["sent_ns"]), outcome, took, stale))
    return found


def between(all_of_them: Sequence[Overlay], begin_ns: int, end_ns: int) -> list[Overlay]:
    """Those whose frame arrived in the measured stretch."""
    return [overlay for overlay in all_of_them if begin_ns <= overlay.arrived_ns < end_ns]


def summary(measured: Sequence[Overlay], seconds: float) -> Row:
    """Ages, staleness, rates and stages of a stretch, as columns of a row."""
    detected = [overlay for overlay in measured if overlay.outcome == "detected"]
    stale = [overlay.staleness_ns * MS for overlay in measured if overlay.staleness_ns is not None]
    ages = [overlay.age_ms for overlay in measured]
    own = [overlay.own_ms for overlay in measured]
    row: Row = {
        "frames_per_s": round(len({overlay.rtp for overlay in measured}) / seconds, 1),
        "detected_per_s": round(len({overlay.rtp for overlay in detected}) / seconds, 1),
        **spread(ages, "age_ms"),
        **spread([overlay.age_ms for overlay in detected], "age_detected_ms"),
        **spread(stale, "staleness_ms"),
        **spread(own, "own_ms"),
        "own_share_pct": round(share(sum(own), sum(ages)), 1),
    }
    for stage in dict.fromkeys(name for overlay in measured for name in overlay.stages_ns):
        took = [overlay.stages_ns[stage] * MS for overlay in measured if stage in overlay.stages_ns]
        row.update(spread(took, f"{stage}_ms"))
    return row


def at_viewer(measured: Sequence[Overlay], seen: Mapping[tuple[int, bool], int]) -> list[float]:
    """Ages in ms at a viewer's socket, for the overlays that reached it: a check on what the server says."""
    return [
        (seen[key] - overlay.arrived_ns) * MS
        for overlay in measured
        if (key := (overlay.rtp, overlay.outcome == "detected")) in seen
    ]


def worst_growth(ages: Sequence[tuple[float, float]], parts: int = 4) -> float:
    """Median age of the last quarter over that of the first: 1 is flat. Points are (seconds, ms)."""
    if len(ages) < 2 * parts:
        return float("nan")
    size = len(ages) // parts
    first = percentile([age for _, age in ages[:size]], 50)
    last = percentile([age for _, age in ages[-size:]], 50)
    return last / first if first else float("nan")


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
