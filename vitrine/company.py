"""What goes with a product of this shop: rules, colours of its pictures, and what the ledger has seen."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from PIL import Image

from inference.colours import colours
from overlay.catalog.store import CatalogStore
from overlay.compat import Compatibility, Item, Rating, RuleCompatibility, Shade, role_of
from overlay.ledger.sqlite import SqliteLedger
from overlay.types import Availability, Product

log = logging.getLogger(__name__)

LOOKED_AT: Final = 24
"""Products whose colours are looked at for one answer."""
KEPT: Final = 4096
_SIDE: Final = 192


class Company:
    """Finds what goes with a product. Blocking; threads may share it.

    Args:
        store: for the products' pictures.
        ledger: for what was wanted together.
        make: how compatibility is judged, given what was wanted together; a learned model goes here.
    """

    def __init__(
        self,
        store: CatalogStore,
        ledger: SqliteLedger,
        make: Callable[[Mapping[str, float]], Compatibility] = RuleCompatibility,
    ) -> None:
        self._store, self._ledger, self._make = store, ledger, make
        self._items: dict[str, tuple[Product, Item]] = {}
        self._shades: OrderedDict[tuple[str, str], tuple[Shade, ...]] = OrderedDict()

    def of(
        self, product: Product, shown: Mapping[str, Product], hidden: Collection[str] = ()
    ) -> list[tuple[str, Rating]]:
        """Products of `shown` that go with `product`, best first; none that is hidden or sold out."""
        judge = self._make(self._ledger.together(product.id))
        others = [
            self._item(one)
            for one in shown.values()
            if one.id not in hidden and one.availability is not Availability.OUT_OF_STOCK
        ]
        first = zip(others, judge.rate(self._item(product), others), strict=True)
        best = sorted((pair for pair in first if pair[1].score > 0), key=lambda pair: -pair[1].score)
        seen = [self._seen(item, shown[item.product_id]) for item, _ in best[:LOOKED_AT]]
        ratings = judge.rate(self._seen(self._item(product), product), seen)
        rated = [(item.product_id, rating) for item, rating in zip(seen, ratings, strict=True)]
        return sorted((one for one in rated if one[1].score > 0), key=lambda one: (-one[1].score, one[0]))

    def _item(self, product: Product) -> Item:
        """Without colours: those cost a look at the picture."""
        known = self._items.get(product.id)
        if known is None or known[0] is not product:
            item = Item(product.id, role_of(product), product.item_group_id)
            known = self._items[product.id] = (product, item)
        return known[1]

    def _seen(self, item: Item, product: Product) -> Item:
        key = product.id, product.image_link
        shades = self._shades.get(key)
        if shades is None:
            shades = self._shades[key] = self._look(product.id)
            if len(self._shades) > KEPT:
                self._shades.popitem(last=False)
        return replace(item, shades=shades)

    def _look(self, product_id: str) -> tuple[Shade, ...]:
        path = self._store.picture_path(product_id, 0)
        if path is None:
            return ()
        try:
            with Image.open(path) as image:
                image.draft("RGB", (_SIDE, _SIDE))
                image.thumbnail((_SIDE, _SIDE))
                picture = np.asarray(image.convert("RGB"), np.uint8)
        except OSError as error:
            log.warning("catalogue picture not readable", extra={"product": product_id, "reason": str(error)})
            return ()
        return tuple(Shade(colour.lab, colour.share) for colour in colours(picture))
