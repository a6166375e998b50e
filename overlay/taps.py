"""Taps: resolved against what that viewer saw, answered once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from overlay.messages import COORD, EXACT, SIMILAR, Card, Spot, Tap, TapResult
from overlay.replica import OverlayReplica
from overlay.samples import Absent, Layer
from stream.types import MediaTime

MIN_TARGET = (0.06, 0.10)
"""Smallest target, as a share of the picture: small boxes are grown to it. 44 CSS pixels (WCAG 2.2, 2.5.5)
are 0.06 x 0.11 of a 16:9 picture 720 pixels wide."""

_STATE_NAMES = {EXACT: "exact", SIMILAR: "similar"}


@dataclass(frozen=True, slots=True)
class TapOutcome:
    """What a tap met.

    Attributes:
        tap: the tap.
        hit: it met a hotspot or a product of the list.
        spot: the hotspot, as it was on that frame; None for the list or a miss.
        card: the product, as the show has it; None for a miss and where the product is not known.
        state: ``exact``, ``similar`` or ``unsure``.
        reason: why it missed: ``unknown-epoch``, ``too-old``, ``too-new``, ``no-hotspot-there``,
            ``unknown-product``, ``hidden``; for a hit, what it rests on: a `Basis`, ``list``, or ``page``
            where only the page that was tapped says so.
    """

    tap: Tap
    hit: bool
    spot: Spot | None = None
    card: Card | None = None
    state: str = "unsure"
    reason: str = ""

    @property
    def time(self) -> MediaTime:
        """The frame that was on screen."""
        return MediaTime(self.tap.epoch, self.tap.rtp)

    def result(self, reason: str = "") -> TapResult:
        """The answer, from what the show itself knows."""
        return TapResult(
            self.tap.id, self.hit, self.state, self.card, reason or ("" if self.hit else self.reason)
        )


def resolve(tap: Tap, replica: OverlayReplica) -> TapOutcome:
    """What the tap met on the frame it names. Never raises.

    A page that names the hotspot has hit it, wherever it and its label were by then: the frame's samples say
    whether it was there, not whether the finger was. Only a tap that names none is looked up by place.
    """
    if tap.h is None and tap.pid is not None:
        card = replica.product(tap.pid)
        if card is None:
            return TapOutcome(tap, False, reason="unknown-product")
        return TapOutcome(tap, True, card=card, state="exact", reason="list")
    return _named(tap, replica) or _placed(tap, replica)


def _named(tap: Tap, replica: OverlayReplica) -> TapOutcome | None:
    """The hotspot that the page says it hit, with the product that the page says it bore."""
    if tap.h is None:
        return None
    seen = replica.history.sightings(MediaTime(tap.epoch, tap.rtp), tap.h)
    for basis, spot in seen:
        if tap.pid is None or spot.pid == tap.pid:
            return _outcome(tap, spot, basis.value, replica)
    if tap.pid is None:
        return None
    card = replica.product(tap.pid)
    if card is None or tap.pid in replica.state.hidden:
        return TapOutcome(tap, False, reason="unknown-product" if card is None else "hidden")
    # A picture paused for long, a node that has just taken over: it was shown, how surely is not known.
    return TapOutcome(tap, True, card=card, state="unsure", reason="page")


def _placed(tap: Tap, replica: OverlayReplica) -> TapOutcome:
    """The hotspot under the finger, on the frame as it may have been drawn."""
    layers = replica.history.layers(MediaTime(tap.epoch, tap.rtp))
    if isinstance(layers, Absent):
        return TapOutcome(tap, False, reason=layers.value)
    vetoed = False
    for layer in layers:
        spot = _hit(tap, layer)
        if spot is None:
            continue
        if spot.pid in replica.state.hidden:
            vetoed = True
            continue
        return _outcome(tap, spot, layer.basis.value, replica)
    return TapOutcome(tap, False, reason="hidden" if vetoed else "no-hotspot-there")


def _outcome(tap: Tap, spot: Spot, basis: str, replica: OverlayReplica) -> TapOutcome:
    if spot.pid in replica.state.hidden:
        return TapOutcome(tap, False, spot, reason="hidden")
    if spot.pid == 0:
        return TapOutcome(tap, True, spot, None, "unsure", basis)
    card = replica.product(spot.pid)
    if card is None:
        return TapOutcome(tap, False, spot, reason="unknown-product")
    return TapOutcome(tap, True, spot, card, _STATE_NAMES.get(spot.state, "unsure"), basis)


def _hit(tap: Tap, layer: Layer) -> Spot | None:
    """The hotspot under the tap: one truly under it, a known product, the smallest."""
    x, y = tap.x * COORD, tap.y * COORD

    def order(spot: Spot) -> tuple[bool, bool, int]:
        return (not _inside(spot, x, y, (0, 0)), spot.pid == 0, _area(spot))

    return min((spot for spot in layer.spots if _inside(spot, x, y, MIN_TARGET)), key=order, default=None)


def _inside(spot: Spot, x: float, y: float, target: tuple[float, float]) -> bool:
    """(x, y) is within the box, grown to at least `target`."""
    half_x = max(spot.x1 - spot.x0, target[0] * COORD) / 2
    half_y = max(spot.y1 - spot.y0, target[1] * COORD) / 2
    return abs(x - (spot.x0 + spot.x1) / 2) <= half_x and abs(y - (spot.y0 + spot.y1) / 2) <= half_y


def _area(spot: Spot) -> int:
    return (spot.x1 - spot.x0) * (spot.y1 - spot.y0)


class Claim(Enum):
    """What to do with a tap whose answer is not known yet."""

    NEW = "new"
    WAIT = "wait"


T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    since_ns: int
    result: TapResult | None = None
    waiting: list[T] = field(default_factory=list)


class TapLedger(Generic[T]):
    """Answers by tap id: the same id always gets the same answer, also while the first is being worked out.

    Ids of 16 characters and more are taken to be unguessable and are known again across reconnects; shorter
    ones only within one viewer. `T` is whoever waits for an answer.

    Args:
        ttl_ns: how long an answer is remembered.
        limit: answers remembered at most; the oldest go first.
    """

    UNGUESSABLE = 16

    def __init__(self, ttl_ns: int = 600_000_000_000, limit: int = 10_000) -> None:
        self._ttl_ns = ttl_ns
        self._limit = limit
        self._entries: OrderedDict[Hashable, _Entry[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def claim(self, viewer: str, tap_id: str, who: T, now_ns: int) -> Claim | TapResult:
        """The known answer; NEW: work it out and call `settle`; WAIT: `settle` will return `who` too."""
        self._prune(now_ns)
        key = self._key(viewer, tap_id)
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = _Entry(now_ns, waiting=[who])
            return Claim.NEW
        if entry.result is not None:
            return entry.result
        if who not in entry.waiting:
            entry.waiting.append(who)
        return Claim.WAIT

    def settle(self, viewer: str, tap_id: str, result: TapResult) -> list[T]:
        """The answer is known. Returns all who wait for it."""
        entry = self._entries.get(self._key(viewer, tap_id))
        if entry is None:
            return []
        entry.result = result
        waiting, entry.waiting = entry.waiting, []
        return waiting

    def _key(self, viewer: str, tap_id: str) -> Hashable:
        return tap_id if len(tap_id) >= self.UNGUESSABLE else (viewer, tap_id)

    def _prune(self, now_ns: int) -> None:
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if len(self._entries) < self._limit and now_ns - oldest.since_ns <= self._ttl_ns:
                return
            self._entries.popitem(last=False)
