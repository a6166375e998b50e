"""What was drawn at an instant: the history of samples and the drawing rule of docs/protocol.md."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from overlay.messages import COORD, Sample, Spot
from stream.types import RTP_CLOCK_HZ, MediaTime

TICKS_PER_MS = RTP_CLOCK_HZ // 1000
INTERPOLATE_TICKS = 600 * TICKS_PER_MS
"""Two measured samples further apart are not interpolated between."""
EXTRAPOLATE_TICKS = 400 * TICKS_PER_MS
"""Media time after a sample for which its hotspots are still drawn."""


def ticks_between(later: int, earlier: int) -> int:
    """`later` - `earlier` of two unsigned 32-bit RTP timestamps, as the shorter way round (signed)."""
    return ((later - earlier + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def is_newer(a: MediaTime, b: MediaTime) -> bool:
    """`a` is a later frame than `b`: a later epoch, or a later timestamp of the same one (wrapping)."""
    if a.epoch != b.epoch:
        return a.epoch > b.epoch
    return ticks_between(a.rtp, b.rtp) > 0


class Basis(StrEnum):
    """What a layer of hotspots rests on."""

    MEASURED = "measured"
    INTERPOLATED = "interpolated"
    PREDICTED = "predicted"
    EXTRAPOLATED = "extrapolated"


@dataclass(frozen=True, slots=True)
class Layer:
    """Hotspots as they may have been drawn on one frame."""

    basis: Basis
    spots: tuple[Spot, ...]


class Absent(StrEnum):
    """Why nothing is known about a frame."""

    UNKNOWN_EPOCH = "unknown-epoch"
    TOO_OLD = "too-old"
    TOO_NEW = "too-new"


@dataclass(slots=True)
class _Epoch:
    """Samples of one epoch by unwrapped ticks.

    `ticks` is sorted and parallel to the keys of `measured`, `every` to those of both kinds.
    """

    last_rtp: int
    last_ticks: int = 0
    ticks: list[int] = field(default_factory=list)
    every: list[int] = field(default_factory=list)
    measured: dict[int, Sample] = field(default_factory=dict)
    predicted: dict[int, Sample] = field(default_factory=dict)
    received_ns: dict[int, int] = field(default_factory=dict)

    def unwrap(self, rtp: int) -> int:
        return self.last_ticks + ticks_between(rtp, self.last_rtp)

    def at(self, ticks: int) -> Sample:
        """The sample there; the measured one where there are both."""
        return self.measured.get(ticks) or self.predicted[ticks]


class SampleHistory:
    """Samples of the last `keep_ns` of arrival time, at most `limit` of them, over all epochs."""

    def __init__(self, keep_ns: int = 20_000_000_000, limit: int = 4096) -> None:
        self._keep_ns = keep_ns
        self._limit = limit
        self._epochs: dict[int, _Epoch] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, sample: Sample, now_ns: int) -> bool:
        """Keep a sample that arrived at `now_ns`. False when it is known already."""
        epoch = self._epochs.setdefault(sample.epoch, _Epoch(sample.rtp))
        ticks = epoch.unwrap(sample.rtp)
        store = epoch.measured if sample.measured else epoch.predicted
        if ticks in store:
            return False
        store[ticks] = sample
        if sample.measured:
            insort(epoch.ticks, ticks)
        if ticks not in epoch.received_ns:
            insort(epoch.every, ticks)
        epoch.received_ns[ticks] = now_ns
        if ticks > epoch.last_ticks:
            epoch.last_ticks, epoch.last_rtp = ticks, sample.rtp
        self._count += 1
        self._prune(now_ns)
        return True

    def since(self, received_ns: int) -> list[Sample]:
        """Measured samples that arrived from then on, each epoch's by media time."""
        return [
            epoch.measured[ticks]
            for epoch in self._epochs.values()
            for ticks in epoch.ticks
            if epoch.received_ns[ticks] >= received_ns
        ]

    def layers(self, time: MediaTime) -> tuple[Layer, ...] | Absent:
        """What may have been on that frame, best knowledge first.

        A viewer drew one of these, depending on what had reached it when the frame was painted: the measured
        sample of the frame or the interpolation between its neighbours; the prediction for it; or an
        extrapolation of earlier samples.
        """
        epoch = self._epochs.get(time.epoch)
        if epoch is None:
            return Absent.UNKNOWN_EPOCH
        at = epoch.unwrap(time.rtp)
        found = [layer for layer in (_measured(epoch, at), _predicted(epoch, at)) if layer is not None]
        earlier = _extrapolated(epoch, at)
        if earlier is not None:
            found.append(earlier)
        if found:
            return tuple(found)
        newest = max([*epoch.measured, *epoch.predicted])
        return Absent.TOO_NEW if at > newest else Absent.TOO_OLD

    def sightings(self, time: MediaTime, spot_id: int) -> tuple[tuple[Basis, Spot], ...]:
        """A hotspot as the samples around a frame have it, the nearest in time first.

        Whatever a viewer drew of it on that frame, from whichever samples had reached it, came from these.
        """
        epoch = self._epochs.get(time.epoch)
        if epoch is None:
            return ()
        at = epoch.unwrap(time.rtp)
        reach = max(INTERPOLATE_TICKS, EXTRAPOLATE_TICKS)
        around = epoch.every[bisect_left(epoch.every, at - reach) : bisect_right(epoch.every, at + reach)]
        return tuple(
            (basis, spot)
            for ticks in sorted(around, key=lambda ticks: abs(ticks - at))
            for basis, store in ((Basis.MEASURED, epoch.measured), (Basis.PREDICTED, epoch.predicted))
            if ticks in store
            for spot in store[ticks].spots
            if spot.id == spot_id
        )

    def _prune(self, now_ns: int) -> None:
        oldest = now_ns - self._keep_ns
        while self._count:
            number, epoch = next(iter(self._epochs.items()))
            ticks, received = next(iter(epoch.received_ns.items()), (0, now_ns))
            if self._count <= self._limit and received >= oldest:
                return
            del epoch.received_ns[ticks]
            self._count -= (epoch.measured.pop(ticks, None) is not None) + (
                epoch.predicted.pop(ticks, None) is not None
            )
            place = bisect_left(epoch.ticks, ticks)
            if place < len(epoch.ticks) and epoch.ticks[place] == ticks:
                del epoch.ticks[place]
            del epoch.every[bisect_left(epoch.every, ticks)]
            if not epoch.received_ns:
                del self._epochs[number]


def _measured(epoch: _Epoch, at: int) -> Layer | None:
    exact = epoch.measured.get(at)
    if exact is not None:
        return Layer(Basis.MEASURED, exact.spots)
    place = bisect_left(epoch.ticks, at)
    if place in (0, len(epoch.ticks)):
        return None
    before, after = epoch.ticks[place - 1], epoch.ticks[place]
    if after - before > INTERPOLATE_TICKS:
        return None
    spots = _between(
        epoch.measured[before].spots, epoch.measured[after].spots, (at - before) / (after - before)
    )
    return Layer(Basis.INTERPOLATED, tuple(spots))


def _predicted(epoch: _Epoch, at: int) -> Layer | None:
    sample = epoch.predicted.get(at)
    return Layer(Basis.PREDICTED, sample.spots) if sample is not None else None


def _extrapolated(epoch: _Epoch, at: int) -> Layer | None:
    """From the last two samples before, of either kind: predictions are samples to go on from too."""
    place = bisect_left(epoch.every, at)
    if place == 0 or at - epoch.every[place - 1] > EXTRAPOLATE_TICKS:
        return None
    last = epoch.every[place - 1]
    spots = epoch.at(last).spots
    if place >= 2 and last - epoch.every[place - 2] <= INTERPOLATE_TICKS:
        first = epoch.every[place - 2]
        moved = {
            spot.id: spot for spot in _between(epoch.at(first).spots, spots, (at - first) / (last - first))
        }
        spots = tuple(moved.get(spot.id, spot) for spot in spots)
    return Layer(Basis.EXTRAPOLATED, spots)


def _between(a: Iterable[Spot], b: Iterable[Spot], share: float) -> list[Spot]:
    """Hotspots in both, moved linearly: share 0 is `a`, 1 is `b`, beyond 1 extrapolates. The nearer names."""
    earlier = {spot.id: spot for spot in a}
    moved = []
    for spot in b:
        old = earlier.get(spot.id)
        if old is not None:
            x0, y0, x1, y1 = (
                min(COORD, max(0, round(start + (end - start) * share)))
                for start, end in zip(
                    (old.x0, old.y0, old.x1, old.y1), (spot.x0, spot.y0, spot.x1, spot.y1), strict=True
                )
            )
            near = old if share < 0.5 else spot
            moved.append(Spot(near.id, near.pid, near.state, near.flags, x0, y0, x1, y1))
    return moved
