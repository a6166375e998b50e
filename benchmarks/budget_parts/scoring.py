"""Streaming average precision and the other figures of a run. Pure.

At each instant a frame arrives, the newest answer that is *out by then* is compared with what that frame
shows (Li, Wang and Ramanan, Towards Streaming Perception, ECCV 2020): lateness costs what it costs a viewer.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.stats import percentile, slope
from inference.geometry import iou_matrix

IOUS = np.arange(0.5, 0.96, 0.05)
RARE = 0.05
"""Classes in less than this share of the frames are left out: a handful of boxes is noise."""
MS = 1e-6
TICK_NS = 5_000_000

Found = tuple[float, float, float, float, float, str]
"""One box: x0 y0 x1 y1 in 0..1, score, class."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a subject said of one frame.

    Attributes:
        frame: its number in the clip.
        arrived_ns: `time.monotonic_ns` of its last packet.
        sent_ns: when the answer was with the socket.
        measured: a detector looked at this very frame.
        boxes: what it said.
    """

    frame: int
    arrived_ns: int
    sent_ns: int
    measured: bool
    boxes: tuple[Found, ...] = ()

    @property
    def age_ms(self) -> float:
        """Last packet to socket."""
        return (self.sent_ns - self.arrived_ns) * MS


def streaming_ap(
    answers: Sequence[Answer], truth: Sequence[Sequence[Found]], begin_ns: int, end_ns: int
) -> float:
    """Mean average precision at IoU .5 to .95 over the classes, at every instant a frame arrives.

    Args:
        answers: of one stream, from before `begin_ns` on.
        truth: true boxes by frame number.
        begin_ns: of the measured stretch.
        end_ns: of the measured stretch.
    """
    arrivals = _arrivals(answers)
    instants = [(frame, at) for frame, at in arrivals if begin_ns <= at < end_ns and frame < len(truth)]
    ordered = sorted(answers, key=lambda answer: answer.sent_ns)
    sent = [answer.sent_ns for answer in ordered]
    newest: list[Answer] = []
    for answer in ordered:  # an older frame answered later does not replace a newer one
        newest.append(answer if not newest or answer.frame >= newest[-1].frame else newest[-1])
    pairs = []
    for frame, at_ns in instants:
        index = bisect_right(sent, at_ns)
        pairs.append((newest[index - 1].boxes if index else (), truth[frame]))
    return average_precision(pairs)


def offline_ap(answers: Sequence[Answer], truth: Sequence[Sequence[Found]], shift: int) -> float:
    """Average precision of the measured answers against their own frames, numbered `shift` higher."""
    pairs = [
        (answer.boxes, truth[answer.frame + shift])
        for answer in answers
        if answer.measured and 0 <= answer.frame + shift < len(truth)
    ]
    return average_precision(pairs)


def average_precision(pairs: Sequence[tuple[Sequence[Found], Sequence[Found]]]) -> float:
    """Mean over classes and IoU thresholds of (found, true) boxes per instant; NaN without any true box."""
    present = Counter(name for _, true in pairs for name in {box[5] for box in true})
    names = [name for name, count in present.items() if count >= RARE * len(pairs)]
    values = [_class_ap(pairs, name) for name in names]
    return float(np.mean(values)) if values else math.nan


def _class_ap(pairs: Sequence[tuple[Sequence[Found], Sequence[Found]]], name: str) -> float:
    scores: list[float] = []
    hits: list[NDArray[np.bool_]] = []
    total = 0
    for found, true in pairs:
        mine = sorted((box for box in found if box[5] == name), key=lambda box: -box[4])
        theirs = np.array([box[:4] for box in true if box[5] == name], np.float32).reshape(-1, 4)
        total += len(theirs)
        if not mine:
            continue
        overlap = iou_matrix(np.array([box[:4] for box in mine], np.float32), theirs)
        scores += [box[4] for box in mine]
        hits.append(_assign(overlap))
    if not hits or not total:
        return 0.0
    order = np.argsort(-np.array(scores), kind="stable")
    ranked = np.concatenate(hits)[order]
    true_so_far = ranked.cumsum(axis=0)
    precision = true_so_far / np.arange(1, len(ranked) + 1)[:, None]
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    return float((envelope * ranked).sum(axis=0).mean() / total)


def _assign(overlap: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Hits per box (best first) and IoU threshold: each true box is found once."""
    hit = np.zeros((overlap.shape[0], len(IOUS)), bool)
    if not overlap.shape[1]:
        return hit
    for column, bar in enumerate(IOUS):
        free = np.ones(overlap.shape[1], bool)
        for index, row in enumerate(overlap):
            left = np.where(free, row, 0.0)
            if left.max() >= bar:
                free[left.argmax()], hit[index, column] = False, True
    return hit


def _arrivals(answers: Sequence[Answer]) -> list[tuple[int, int]]:
    """When each frame arrived, those without an answer in between by interpolation."""
    known = {answer.frame: answer.arrived_ns for answer in answers}
    if not known:
        return []
    frames = sorted(known)
    every = np.arange(frames[0], frames[-1] + 1)
    base = known[frames[0]]
    times = np.interp(every, frames, [known[frame] - base for frame in frames])
    return [(int(frame), base + int(at)) for frame, at in zip(every, times, strict=True)]


def staleness_ms(answers: Sequence[Answer], frame_ms: float) -> list[float]:
    """How far the newest arrived frame is ahead of the newest measured one that is out, every `TICK_NS`.

    At instants, not at answers: who answers rarely is stale in between.
    """
    arrivals = [at for _, at in _arrivals(answers)]
    first = min((answer.frame for answer in answers), default=0)
    measured = sorted((one.sent_ns, one.frame) for one in answers if one.measured)
    if not measured:
        return []
    newest, at, found = -1, 0, []
    for now_ns in range(measured[0][0], max(one.sent_ns for one in answers) + 1, TICK_NS):
        while at < len(measured) and measured[at][0] <= now_ns:
            newest, at = max(newest, measured[at][1]), at + 1
        come = first + bisect_right(arrivals, now_ns) - 1
        if now_ns > arrivals[-1]:  # frames after the last answered one came too
            come += int((now_ns - arrivals[-1]) * MS / frame_ms)
        found.append(max(0, come - newest) * frame_ms)
    return found


def age_slope(answers: Sequence[Answer]) -> float:
    """By how many ms the age grows each second, least squares."""
    return slope([(answer.arrived_ns / 1e9, answer.age_ms) for answer in answers])


def recovery_s(answers: Sequence[Answer], calm: tuple[int, int], over_ns: int) -> float:
    """Seconds after a disturbance until one second's p95 age is again within 1.2 times what it was before.

    NaN when it never is.

    Args:
        answers: of the run.
        calm: the undisturbed stretch before, monotonic ns.
        over_ns: when the disturbance ended.
    """
    before = [one.age_ms for one in answers if calm[0] <= one.arrived_ns < calm[1]]
    after = sorted((one.arrived_ns, one.age_ms) for one in answers if one.arrived_ns >= over_ns)
    if not before or not after:
        return math.nan
    bar = 1.2 * percentile(before, 95)
    for start_ns in range(over_ns, after[-1][0] - 1_000_000_000 + 1, 100_000_000):
        ages = [age for at, age in after if start_ns <= at < start_ns + 1_000_000_000]
        if ages and percentile(ages, 95) <= bar:
            return (start_ns - over_ns) / 1e9
    return math.nan
