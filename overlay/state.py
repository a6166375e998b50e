"""A stream's overlay state: the author writes it, replicas follow it.

State changes by events alone, in order of `seq`, through one pure function: `fold`. Every event sets absolute
values, so replaying the end of the log onto a later state ends in that same state. Positions stand beside it:
full state, latest wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from msgspec.structs import replace

from inference.types import MatchState
from overlay.errors import CatalogError
from overlay.messages import (
    COORD,
    EXACT,
    SIMILAR,
    UNSURE,
    VERSION,
    AvailabilityEvent,
    Card,
    EndedEvent,
    Epoch,
    Event,
    EventBody,
    HideEvent,
    LatencyEvent,
    LiveEvent,
    PinEvent,
    Positions,
    ProductsEvent,
    Sample,
    Snapshot,
    Spot,
)
from overlay.samples import is_newer
from overlay.types import Hotspot, HotspotFrame, ShowList
from stream.types import MediaTime, StreamId

MAX_PID = 0xFFFF
_EPOCHS_KEPT = 8
_STATES = {MatchState.EXACT: EXACT, MatchState.SIMILAR: SIMILAR, MatchState.UNSURE: UNSURE}


def assign_pids(known: Mapping[str, int], product_ids: Iterable[str]) -> dict[str, int]:
    """16-bit numbers for products: `known` ones keep theirs, new ones get the next, none is ever given twice.

    Raises:
        CatalogError: more than 65535 different products in one stream.
    """
    pids = dict(known)
    following = max(pids.values(), default=0) + 1
    for product_id in product_ids:
        if product_id not in pids:
            if following > MAX_PID:
                raise CatalogError(
                    f"got more than {MAX_PID} different products in one stream, expected fewer; restart the "
                    "stream with a smaller list",
                    code="too-many-products",
                    http_status=422,
                )
            pids[product_id] = following
            following += 1
    return pids


def fold(state: Snapshot, event: Event) -> Snapshot:
    """The state after `event`. Does not look at positions."""
    return replace(_fold_body(state, event.ev), seq=event.seq)


def _fold_body(state: Snapshot, body: EventBody) -> Snapshot:
    match body:
        case ProductsEvent(products):
            pids = {card.pid for card in products}
            return replace(
                state,
                products=products,
                pinned=tuple(pid for pid in state.pinned if pid in pids),
                hidden=tuple(pid for pid in state.hidden if pid in pids),
            )
        case PinEvent(pid, on):
            return replace(state, pinned=_toggled(state.pinned, pid, on))
        case HideEvent(pid, on):
            return replace(state, hidden=_toggled(state.hidden, pid, on))
        case AvailabilityEvent(pid, availability, price):
            return replace(
                state,
                products=tuple(
                    replace(card, availability=availability, price=price or card.price)
                    if card.pid == pid
                    else card
                    for card in state.products
                ),
            )
        case LiveEvent(epoch, offset, latency_ms):
            others = [known for known in state.epochs if known.epoch != epoch]
            epochs = (*others, Epoch(epoch, offset))[-_EPOCHS_KEPT:]
            return replace(state, live=True, epochs=epochs, latency_ms=latency_ms)
        case LatencyEvent(latency_ms):
            return replace(state, latency_ms=latency_ms)
        case EndedEvent():
            return replace(state, live=False)
        case _:
            assert_never(body)


def _toggled(pids: tuple[int, ...], pid: int, on: bool) -> tuple[int, ...]:
    rest = tuple(other for other in pids if other != pid)
    if on:
        return pids if pid in pids else (*rest, pid)
    return rest


def _empty(stream: StreamId, log_id: str) -> Snapshot:
    return Snapshot(v=VERSION, stream=stream, log=log_id, seq=0, live=False, latency_ms=0)


def _spot(hotspot: Hotspot) -> Spot:
    x0, y0, x1, y1 = (min(COORD, max(0, round(value * COORD))) for value in hotspot.box)
    return Spot(hotspot.id, hotspot.pid, _STATES[hotspot.state], int(hotspot.pinned), x0, y0, x1, y1)


class OverlayAuthor:
    """The one writer of a stream's overlay. Methods that change nothing return None.

    Args:
        stream: whose overlay.
        log_id: names this log, 1..64 characters, different for every author that ever lived.
        start: state of another author, who is gone, to go on from; its log goes on as well.
    """

    def __init__(self, stream: StreamId, log_id: str, start: Snapshot | None = None) -> None:
        self.stream = stream
        self._state = _empty(stream, log_id) if start is None else replace(start, pos=None, recovered=False)
        self._pids: dict[str, int] = {card.id: card.pid for card in self._state.products}
        self._measured: Sample | None = None
        self._predicted: Sample | None = None
        self._shown: ShowList | None = None  # asked for with every frame, changed by events only

    # ---- events --------------------------------------------------------------------------------------------

    def pids_for(self, product_ids: Iterable[str]) -> dict[str, int]:
        """Numbers of these products in this stream; kept for as long as the author lives."""
        wanted = list(product_ids)
        self._pids = assign_pids(self._pids, wanted)
        return {product_id: self._pids[product_id] for product_id in wanted}

    def pid_of(self, product_id: str) -> int:
        """Number of a product of the current show.

        Raises:
            CatalogError: the show does not have it.
        """
        for card in self._state.products:
            if card.id == product_id:
                return card.pid
        raise CatalogError(
            f"product {product_id[:60]!r} is not in this show; add it to the show's list first",
            code="product-unknown",
        )

    def set_products(self, cards: Iterable[Card]) -> Event | None:
        """Replace the show's list. Pins and vetoes of products that stay are kept.

        Raises:
            CatalogError: two cards share an id or a number.
        """
        products = tuple(cards)
        if len({c.id for c in products}) < len(products) or len({c.pid for c in products}) < len(products):
            raise CatalogError(
                "got two cards with the same product id or pid, expected each once",
                code="product-twice",
                http_status=422,
            )
        self._pids.update((card.id, card.pid) for card in products)
        return self._author(ProductsEvent(products))

    def pin(self, pid: int, on: bool) -> Event | None:
        """The host pins or releases a product of the show (unknown numbers are ignored)."""
        return self._author(PinEvent(pid, on)) if self._has(pid) else None

    def hide(self, pid: int, on: bool) -> Event | None:
        """The host hides a product's hotspots, or shows them again (unknown numbers are ignored)."""
        return self._author(HideEvent(pid, on)) if self._has(pid) else None

    def availability(self, pid: int, availability: str, price: str = "") -> Event | None:
        """Stock or price changed; an empty price means it did not change."""
        return self._author(AvailabilityEvent(pid, availability, price))

    def live(self, epoch: int, offset: int, latency_ms: int) -> Event | None:
        """A publisher connection delivers. `offset`: see `LiveEvent`."""
        if all(known.epoch != epoch for known in self._state.epochs):
            self._measured = self._predicted = None
        return self._author(LiveEvent(epoch, offset, latency_ms))

    def latency(self, latency_ms: int) -> Event | None:
        """Viewers are to hold their video back by this much."""
        return self._author(LatencyEvent(latency_ms))

    def ended(self, reason: str) -> Event | None:
        """The publisher went away. Positions go with it, products stay."""
        self._measured = self._predicted = None
        return self._author(EndedEvent(reason))

    def _has(self, pid: int) -> bool:
        return any(card.pid == pid for card in self._state.products)

    def _author(self, body: EventBody) -> Event | None:
        changed = _fold_body(self._state, body)
        if changed == self._state:
            return None
        event = Event(self._state.seq + 1, body)
        self._state = replace(changed, seq=event.seq)
        self._shown = None
        return event

    # ---- positions -----------------------------------------------------------------------------------------

    def positions(self, frame: HotspotFrame) -> Positions | None:
        """Newest measured sample and, if newer, the newest predicted one, after taking in `frame`.

        None when `frame` is older than what was sent of its kind, of an earlier epoch, or nobody publishes.
        A detection that took long is older than predictions already sent and is sent all the same: viewers
        who hold their video back have not shown that frame yet.
        """
        current = self._state.epochs[-1].epoch if self._state.live else None
        if frame.time.epoch != current:
            return None
        sample = Sample(
            frame.time.epoch, frame.time.rtp, int(frame.measured), tuple(_spot(h) for h in frame.hotspots)
        )
        if self._measured is not None and not _follows(sample, self._measured):
            return None
        if frame.measured:
            self._measured = sample
        elif self._predicted is not None and not _follows(sample, self._predicted):
            return None
        else:
            self._predicted = sample
        return self._positions()

    def _positions(self) -> Positions:
        measured, predicted = self._measured, self._predicted
        if predicted is not None and measured is not None and not _follows(predicted, measured):
            predicted = None
        return Positions(tuple(sample for sample in (measured, predicted) if sample is not None))

    # ---- views ---------------------------------------------------------------------------------------------

    def shown(self) -> ShowList:
        """What the host lets be shown; `Consent.limit` cuts it down further."""
        if self._shown is None:
            ids = {card.pid: card.id for card in self._state.products}
            self._shown = ShowList(
                pids={product_id: pid for pid, product_id in ids.items()},
                pinned=frozenset(ids[pid] for pid in self._state.pinned),
                hidden=frozenset(ids[pid] for pid in self._state.hidden),
            )
        return self._shown

    @property
    def epoch(self) -> int:
        """Number of the newest publisher connection that was told of; 0 before the first."""
        return max((known.epoch for known in self._state.epochs), default=0)

    def snapshot(self) -> Snapshot:
        """Everything, as a viewer who arrives now needs it."""
        return replace(self._state, pos=self._positions())


def _follows(sample: Sample, other: Sample) -> bool:
    return is_newer(MediaTime(sample.epoch, sample.rtp), MediaTime(other.epoch, other.rtp))
