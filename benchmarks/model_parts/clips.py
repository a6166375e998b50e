"""Clips with true boxes: the rendered show, a mug and a kettle, and bottles as the best teacher sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.harness import Outcome, Settings
from benchmarks.model_parts.finders import CENTRE, NANODET, OURS, Finder
from benchmarks.model_parts.pictures import Sample, bottles, coffee, frame_of, in_corner, show
from benchmarks.model_parts.tally import FIRST, FirstBoxes, Precision
from benchmarks.report import Row, Target, judge

SMALLER = 2.5
"""Small objects are reported apart: the show in a corner of a picture this many times its sides."""
SURE = 0.4
"""NanoDet-Plus boxes from this score on are the pseudo-truth of the bottle clip."""
FLOORS = {"mug": 0.85, "kettle": 0.5}


def measure(settings: Settings, finders: list[Finder]) -> Outcome:
    """A row per set and finder: average precision, and recall among the first boxes."""
    rows: list[Row] = []
    targets: list[Target] = []
    pace = 3 if settings.quick else 1
    sets: dict[str, Callable[[], Iterator[Sample]]] = {
        "show": lambda: show(15 * pace),
        "show, small": lambda: shrunk(show(30 * pace)),
        "mug": lambda: coffee("mug", 5 * pace),
        "kettle": lambda: coffee("kettle", 5 * pace),
        "bottles (pseudo-truth)": lambda: pseudo(finders, 15 * pace),
    }
    for name, source in sets.items():
        settings.say(f"clips: {name}")
        samples = list(source())
        for finder in finders:
            if finder.name == CENTRE or (finder.name == NANODET and "pseudo" in name):
                continue
            row, five = row_of(finder, samples)
            rows.append({"subject": f"{name}: {finder.name}", **row})
            if finder.name == OURS and name in FLOORS:
                words = f"{name} of sam2_coffee among the first 5, IoU .5"
                targets.append(judge(words, five, f">= {FLOORS[name]}", ""))
    return rows, targets


def shrunk(samples: Iterator[Sample]) -> Iterator[Sample]:
    """Each picture in a corner of a grey one `SMALLER` times as wide and high: objects of under 1 %."""
    for number, sample in enumerate(samples):
        image = sample.frame.pixels.scaled(640, 360, "rgb")
        larger, moved = in_corner(image, sample.truth, number % 4, SMALLER)
        yield Sample(frame_of(larger), moved)


def pseudo(finders: list[Finder], every: int) -> Iterator[Sample]:
    """Pictures of `intel_bottle` with the sure boxes of NanoDet-Plus."""
    teacher = next(finder for finder in finders if finder.name == NANODET)
    for frame in bottles(every):
        boxes, scores = teacher.find(frame)
        yield Sample(frame, boxes[scores >= SURE])


def row_of(finder: Finder, samples: list[Sample]) -> tuple[Row, float]:
    """Figures of one finder on one set, and its recall among the first 5 at IoU .5."""
    precision, loose, tight = Precision(), FirstBoxes(0.5), FirstBoxes(0.75)
    for sample in samples:
        boxes, scores = finder.find(sample.frame)
        precision.add(boxes, scores, sample.truth)
        loose.add(boxes, sample.truth)
        tight.add(boxes, sample.truth)
    row: Row = {"n": precision.count, "ap50": round(precision.average(), 3)}
    for tally, name in ((loose, "r{}_50"), (tight, "r{}_75")):
        row |= {name.format(k): round(v, 3) for k, v in zip(FIRST, tally.recall(), strict=True)}
    return row, loose.recall()[2]
