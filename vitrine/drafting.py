"""Drafts for a whole catalogue: its pictures through the attribute model, and decisions into its store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.attributes import Attribute, AttributeModel
from overlay.catalog.drafts import Draft, Guess, Look, Tagger, propose
from overlay.catalog.pictures import PictureError, PictureLimits, decode_picture, product_box
from overlay.catalog.store import CatalogStore
from overlay.types import Product

MARGIN: Final = 0.1
"""Of the product's box, left around it: `inference.colours` takes what lies along the border for surroundings
(cut tightly, a turquoise tube on white was named white, a brown bag brown and white)."""


class AttributeTagger:
    """The embedded attribute model as a catalogue's `Tagger`."""

    def __init__(self, model: AttributeModel) -> None:
        self._model = model

    def look(self, picture: NDArray[np.uint8]) -> Look:
        """See `Tagger`; on a plain background the product is cut out first, as it is in a video."""
        box = product_box(picture)
        if box is not None:
            x0, y0, x1, y1 = box
            across, down = round(MARGIN * (x1 - x0)), round(MARGIN * (y1 - y0))
            top, left = max(0, y0 - down), max(0, x0 - across)
            picture = np.ascontiguousarray(picture[top : y1 + down, left : x1 + across])
        seen = self._model.tag(picture)
        colours = tuple((colour.name, colour.share, colour.confidence) for colour in seen.colours)
        return Look(_guess(seen.category), _guess(seen.pattern), _guess(seen.packaging), colours)


def _guess(attribute: Attribute) -> Guess:
    return Guess(attribute.value, attribute.confidence)


def draft_catalogue(
    store: CatalogStore,
    tagger: Tagger,
    *,
    wanted: Collection[str] = (),
    least: float = 0.0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Draft]:
    """Proposals for every product, product by product. Blocking.

    Args:
        store: the catalogue.
        tagger: looks at its pictures.
        wanted: ids to look at only; empty for all.
        least: confidence below which nothing is proposed.
        report: told of (products done, in all).

    Raises:
        CatalogError: the catalogue cannot be read.
        ModelError: the model does not run.
    """
    listed = store.list()
    groups: dict[str, list[Product]] = {}
    for product in listed:
        groups.setdefault(product.item_group_id, []).append(product)
    products = [product for product in listed if not wanted or product.id in wanted]
    for done, product in enumerate(products, 1):
        looks = [tagger.look(picture) for picture in _pictures(store, product.id)]
        group = groups[product.item_group_id] if product.item_group_id else []
        relatives = [one for one in group if one.id != product.id]
        yield from (draft for draft in propose(product, looks, relatives) if draft.confidence >= least)
        report(done, len(products))


def _pictures(store: CatalogStore, product_id: str) -> Iterator[NDArray[np.uint8]]:
    for number in count():
        path = store.picture_path(product_id, number)
        if path is None:
            return
        try:
            yield decode_picture(path.read_bytes(), PictureLimits())
        except (OSError, PictureError):
            continue  # a file that was damaged since its import says nothing of the product
