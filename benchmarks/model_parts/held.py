"""Products held up to the camera: is the box of the one being shown among the first?

Real products stand unlabelled on the shelves behind, so false boxes cannot be counted, only ranked. IoU .5
proves little here (the fixed centre box reaches .79): .75 is judged, .5 is shown beside.
"""

from __future__ import annotations

from benchmarks.harness import Outcome, Settings
from benchmarks.model_parts.finders import CENTRE, OURS, Finder
from benchmarks.model_parts.pictures import Floats, frame_of, held_photos, in_corner
from benchmarks.model_parts.tally import FIRST, FirstBoxes, standard_error
from benchmarks.report import Row, Target, judge
from inference.prominence import rank

WITH_PRIOR, WITHOUT = (0.60, 0.72, 0.76), (0.35, 0.60, 0.68)
CORNER_LOSS = 0.05
TIGHT, LOOSE = 0.75, 0.5


def measure(settings: Settings, finders: list[Finder]) -> Outcome:
    """A row per finder: recall at both IoUs, ranked by score and by prominence, whole and in a corner."""
    rows: list[Row] = []
    targets: list[Target] = []
    every = 3 if settings.quick else 1
    photos = list(held_photos(every))
    for finder in finders:
        settings.say(f"held products: {finder.name}")
        whole = [(finder.find(frame_of(image)), truth) for image, truth in photos]
        corners = []
        for number, (image, truth) in enumerate(photos if finder.name != CENTRE else []):
            larger, moved = in_corner(image, truth, number % 4)
            corners.append((finder.find(frame_of(larger)), moved))
        row: Row = {"subject": f"held: {finder.name}", "n": len(photos)}
        plain, prior = _recall(whole, TIGHT, False), _recall(whole, TIGHT, True)
        row |= _columns("r{}_75", plain) | _columns("r{}_75_prior", prior)
        row |= _columns("r{}_50", _recall(whole, LOOSE, False))
        row |= _columns("r{}_50_prior", _recall(whole, LOOSE, True))
        row["se_r1_75_prior"] = round(standard_error(prior[0], len(photos)), 3)
        if corners:
            moved_prior = _recall(corners, TIGHT, True)
            row |= _columns("r{}_75_prior_corner", moved_prior)
            row |= _columns("r{}_75_corner", _recall(corners, TIGHT, False))
        rows.append(row)
        if finder.name == OURS:
            targets = [*_judged(plain, prior), _corner(prior, moved_prior)]
    return rows, targets


def _judged(plain: tuple[float, ...], prior: tuple[float, ...]) -> list[Target]:
    found = []
    for said, values, bounds in (("with the prior", prior, WITH_PRIOR), ("by score", plain, WITHOUT)):
        for k, value, bound in zip(FIRST, values, bounds, strict=True):
            found.append(
                judge(f"held product among the first {k}, IoU .75, {said}", value, f">= {bound}", "")
            )
    return found


def _corner(whole: tuple[float, ...], corner: tuple[float, ...]) -> Target:
    lost = max(a - b for a, b in zip(whole, corner, strict=True))
    name = "worst loss of the three when the photo is in a corner of a 1.6 x larger picture, with the prior"
    return judge(name, lost, f"<= {CORNER_LOSS}", "")


def _recall(
    found: list[tuple[tuple[Floats, Floats], Floats]], bar: float, prior: bool
) -> tuple[float, float, float]:
    tally = FirstBoxes(bar)
    for (boxes, scores), truth in found:
        tally.add(boxes[rank(boxes, scores)] if prior else boxes, truth)
    return tally.recall()


def _columns(name: str, values: tuple[float, ...]) -> Row:
    return {name.format(k): round(value, 3) for k, value in zip(FIRST, values, strict=True)}
