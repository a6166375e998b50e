"""Which products a viewer's filter leaves, as sets that an index remembers."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from overlay.catalog.store import CatalogStore
from overlay.search import Where
from stream.clock import Clock

FRESH_NS: Final = 10_000_000_000
"""A set is used for so long whatever changes; every answer is held against the products as they are."""
KEPT: Final = 16
"""Sets that are kept: as many as an index remembers."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Among which products a search looks.

    Attributes:
        within: what this show may find at all; None for the whole catalogue.
        chosen: of these, what the viewer asked for; None where nothing was chosen.
    """

    within: frozenset[str] | None = None
    chosen: frozenset[str] | None = None

    @property
    def found_in(self) -> frozenset[str] | None:
        """What an answer may name."""
        return self.within if self.chosen is None else self.chosen

    def allows(self, product_id: str) -> bool:
        """Whether the viewer's choice leaves a product."""
        return self.chosen is None or product_id in self.chosen


@dataclass(frozen=True, slots=True)
class _Held:
    products: frozenset[str]
    changes: tuple[int, int]
    made_ns: int


class Chooser:
    """Makes scopes. Blocking: a second for a million products, once after each change; one thread.

    Args:
        store: the catalogue.
        clock: the engine's clock.
    """

    def __init__(self, store: CatalogStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._held: OrderedDict[tuple[Where, frozenset[str] | None], _Held] = OrderedDict()

    def scope(self, where: Where, within: frozenset[str] | None) -> Scope:
        """What `where` leaves of `within`; None stands for the whole catalogue."""
        if not where:
            return Scope(within)
        key, now_ns = (where, within), self._clock.now_ns()
        held = self._held.get(key)
        if held is None or now_ns - held.made_ns >= FRESH_NS:
            changes = self._store.changes()
            products = held.products if held and held.changes == changes else self._products(*key)
            held = self._held[key] = _Held(products, changes, now_ns)
            if len(self._held) > KEPT:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return Scope(within, held.products)

    def _products(self, where: Where, within: frozenset[str] | None) -> frozenset[str]:
        found = self._store.ids(
            sellers=where.sellers,
            availability=where.availability,
            currencies=where.currencies,
            prices=where.prices,
        )
        return found if within is None else found & within
