"""Pictures that show nothing: a detector that finds something there has learnt where products use to be."""

from __future__ import annotations

import numpy as np

from benchmarks.harness import Outcome, Settings
from benchmarks.model_parts.finders import CENTRE, OURS, Finder
from benchmarks.model_parts.pictures import Picture, frame_of
from benchmarks.report import Row, Target, judge

SHOWN = 0.1
"""Score from which the engine's detector reports a box."""


def measure(settings: Settings, finders: list[Finder]) -> Outcome:
    """A row per finder: boxes and the highest score on flat and noisy pictures."""
    rows: list[Row] = []
    targets: list[Target] = []
    pictures = blanks(settings.seed)
    for finder in finders:
        if finder.name == CENTRE:
            continue
        scores = np.concatenate([finder.find(frame_of(picture))[1] for picture in pictures])
        count = int((scores >= SHOWN).sum())
        highest = round(float(scores.max(initial=0.0)), 3)
        rows.append(
            {"subject": f"blank: {finder.name}", "n": len(pictures), "boxes": count, "score_max": highest}
        )
        if finder.name == OURS:
            targets.append(judge("boxes on blank pictures", count, "<= 0", "boxes"))
    return rows, targets


def blanks(seed: int) -> list[Picture]:
    """Flat black, grey, white and one colour, a gradient, and noise, wide and square."""
    rng = np.random.default_rng(seed)
    found = []
    for shape in ((360, 640, 3), (480, 480, 3)):
        flat = [np.full(shape, level) for level in (0, 114, 255)]
        colour = np.broadcast_to(rng.integers(0, 256, 3), shape)
        ramp = np.broadcast_to(np.linspace(0, 255, shape[1])[None, :, None], shape)
        noise = np.clip(rng.normal(128, 12, shape), 0, 255)
        found += [np.ascontiguousarray(one, dtype=np.uint8) for one in (*flat, colour, ramp, noise)]
    return found
