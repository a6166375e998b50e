"""Two trackers seen side by side: figures over the same objects, frames and absences. Pure arithmetic.

A mean over whatever a tracker shows says little about two trackers that show different things. The frames one
of them leaves out are the hard ones (half covered, turned, fast), where boxes lie further off, tremble more
and vanish sooner: the tracker that hides most looks best (survivorship bias). So each figure is taken where
both can be asked, as in any paired comparison:

- centre error: frames on which both show the object;
- jitter: three frames running on which both show it under one id;
- flicker: vanishings per minute in which both showed it the frame before, the time at risk;
- returns: all absences of the truth, the same for both; who does not show an object again has lost it;
- time to first: all objects, the same for both; one that is never shown counts as never.

What a tracker hides costs it coverage, which is judged beside these, as are ids per object.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

from benchmarks.display import (
    Sight,
    Tally,
    errors_px,
    first_ms,
    jitter_px,
    returns,
    sights_of,
    vanished,
    watch,
)
from benchmarks.sequences import Floats, Sequence

Figures = dict[str, float | int | str]

LESS_IS_WORSE = ("coverage_pct", "returned_pct")
MORE_IS_WORSE = (
    "flicker_per_object_min",
    "jitter_px",
    "centre_error_px",
    "ids_per_object",
    "first_ms_p50",
)


@dataclass(slots=True)
class Side:
    """One tracker's observations where both could be asked.

    Attributes:
        errors_px: of shared frames.
        jitter_px: of shared stretches of three frames.
        vanished: times that a box both had shown vanished.
        first_ms: of every object; infinite for never.
        kept: absences after which it showed the id from before.
    """

    errors_px: list[float] = field(default_factory=list)
    jitter_px: list[float] = field(default_factory=list)
    vanished: int = 0
    first_ms: list[float] = field(default_factory=list)
    kept: int = 0


@dataclass(slots=True)
class Pair:
    """Two trackers over the same sequences; `alone` are their figures each by itself."""

    alone: tuple[Tally, Tally] = field(default_factory=lambda: (Tally(), Tally()))
    sides: tuple[Side, Side] = field(default_factory=lambda: (Side(), Side()))
    at_risk_s: float = 0.0
    absences: int = 0

    def add(self, sequence: Sequence, ours: Floats, theirs: Floats) -> None:
        """One sequence: rows of frame, id, x0, y0, x1, y1 of what each showed, in order of frames."""
        for tally, rows in zip(self.alone, (ours, theirs), strict=True):
            watch(tally, sequence, rows)
        mine, yours = sights_of(sequence, ours)[0], sights_of(sequence, theirs)[0]
        for one, sights in mine.items():
            self._add((sights, yours[one]), sequence.fps)

    def _add(self, both: tuple[list[Sight], list[Sight]], fps: float) -> None:
        errors = [errors_px(sights) for sights in both]
        jitter = [jitter_px(sights) for sights in both]
        shown, steady = errors[0].keys() & errors[1].keys(), jitter[0].keys() & jitter[1].keys()
        frames = [sight.frame for sight in both[0]]
        at_risk = {i for i in shown if i + 1 < len(frames) and frames[i + 1] == frames[i] + 1}
        self.at_risk_s += len(at_risk) / fps
        self.absences += len(returns(both[0]))
        for index, side in enumerate(self.sides):
            side.errors_px += [errors[index][i] for i in sorted(shown)]
            side.jitter_px += [jitter[index][i] for i in sorted(steady)]
            side.vanished += len(vanished(both[index]) & at_risk)
            first = first_ms(both[index], fps)
            side.first_ms.append(math.inf if first is None else first)
            side.kept += sum(kept is True for kept in returns(both[index]))

    def figures(self) -> tuple[Figures, Figures]:
        """Ours and theirs, under the names of `Tally.figures`."""
        return self._figures(0), self._figures(1)

    def _figures(self, index: int) -> Figures:
        side, alone = self.sides[index], self.alone[index].figures()
        squared = statistics.fmean(value * value for value in side.jitter_px or [0.0])
        return {
            "coverage_pct": alone["coverage_pct"],
            "returned_pct": round(100 * side.kept / max(1, self.absences), 1),
            "flicker_per_object_min": round(60 * side.vanished / max(1e-9, self.at_risk_s), 2),
            "jitter_px": round(squared**0.5, 2),
            "centre_error_px": round(statistics.fmean(side.errors_px or [0.0]), 2),
            "ids_per_object": alone["ids_per_object"],
            "first_ms_p50": round(statistics.median_high(side.first_ms or [0.0]), 1),
        }

    def worse(self) -> list[str]:
        """Figures in which ours are worse, side by side."""
        return worse(*self.figures())

    def worse_alone(self) -> list[str]:
        """The same where each is measured over whatever it shows."""
        return worse(self.alone[0].figures(), self.alone[1].figures())


def worse(ours: Figures, theirs: Figures) -> list[str]:
    """Names of the figures in which `ours` are worse."""
    return [key for key in LESS_IS_WORSE if float(ours[key]) < float(theirs[key])] + [
        key for key in MORE_IS_WORSE if float(ours[key]) > float(theirs[key])
    ]
