"""What the engine showed against what was there: the demo's measured accuracy ([C], no clock)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from overlay.types import Hotspot, HotspotFrame


class TrueObject(Protocol):
    """One object of the ground truth in one frame."""

    @property
    def product_id(self) -> str:
        """Catalogue id, ``""`` for an object that is not in the catalogue."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0 y0 x1 y1, 0..1 of the picture."""

    @property
    def visibility(self) -> float:
        """Share of the object that is not covered or out of the picture, 0..1."""


def iou(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes x0 y0 x1 y1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


@dataclass(slots=True)
class ProductScore:
    """One product over the show: frames in which it was visible, located, and named rightly."""

    visible: int = 0
    located: int = 0
    identified: int = 0
    first_visible: int | None = None
    first_identified: int | None = None


@dataclass(slots=True)
class Named:
    """Hotspots that name a product, by what was under them, counted frame by frame.

    Attributes:
        unknown: of the wrong ones, those on an object that is not in the catalogue.
        mistaken: hotspots with a wrong name, each once: its id and the name.
        strangers: of these, those on an object that is not in the catalogue.
    """

    right: int = 0
    wrong: int = 0
    loose: int = 0
    unknown: int = 0
    mistaken: set[tuple[int, str]] = field(default_factory=set)
    strangers: set[tuple[int, str]] = field(default_factory=set)

    def count(self, spot: Hotspot, under: TrueObject | None) -> None:
        """One hotspot in one frame."""
        if under is None:
            self.loose += 1
        elif under.product_id == spot.product_id:
            self.right += 1
        else:
            self.wrong += 1
            self.mistaken.add((spot.id, spot.product_id))
            if not under.product_id:
                self.unknown += 1
                self.strangers.add((spot.id, spot.product_id))


@dataclass(slots=True)
class ShowScore:
    """Compares hotspots with the truth, frame by frame.

    A product counts as *visible* when at least `min_visibility` of it can be seen; as *located* when a
    hotspot overlaps it with IoU >= `min_iou`; as *identified* when that hotspot names it. A hotspot is
    *right* when it names the product under it, *wrong* when it names another (or the object is not in the
    catalogue), *loose* when nothing is under it. What a viewer notices is not frames but hotspots: a wrong
    identity is one hotspot with one wrong name, however long it stands.

    Args:
        truth: objects by frame of the show.
    """

    truth: Sequence[Sequence[TrueObject]]
    min_visibility: float = 0.5
    min_iou: float = 0.5
    _seen: dict[int, HotspotFrame] = field(default_factory=dict)

    def add(self, frame: int, shown: HotspotFrame) -> None:
        """What was sent for frame `frame` of the show; a measured overlay replaces a predicted one."""
        before = self._seen.get(frame)
        if before is None or shown.measured or not before.measured:
            self._seen[frame] = shown

    def summary(self) -> dict[str, object]:
        """Shares are 0..1 over all frames that were sent."""
        products: dict[str, ProductScore] = {}
        named, unknown_frames = Named(), 0
        for number in sorted(self._seen):
            if number >= len(self.truth):
                continue
            objects, spots = self.truth[number], self._seen[number].hotspots
            seen = [item for item in objects if item.visibility >= self.min_visibility]
            for item in seen:
                if item.product_id:
                    self._score(products.setdefault(item.product_id, ProductScore()), number, item, spots)
            unknown_frames += any(not item.product_id for item in seen)
            for spot in spots:
                if spot.product_id:
                    named.count(spot, self._under(spot, objects))
        visible = sum(p.visible for p in products.values())
        every = named.right + named.wrong + named.loose
        return {
            "frames": len(self._seen),
            "products": len({o.product_id for frame in self.truth for o in frame if o.product_id}),
            "products_identified": sum(p.identified >= 3 for p in products.values()),
            "located": _share(sum(p.located for p in products.values()), visible),
            "identified": _share(sum(p.identified for p in products.values()), visible),
            "right": _share(named.right, every),
            "wrong": _share(named.wrong, every),
            "loose": _share(named.loose, every),
            "wrong_identities": len(named.mistaken),
            "not_in_catalogue_visible": unknown_frames,
            "not_in_catalogue_but_named": named.unknown,
            "not_in_catalogue_hotspots": len(named.strangers),
            "by_product": {
                name: {
                    "visible": p.visible,
                    "located": _share(p.located, p.visible),
                    "identified": _share(p.identified, p.visible),
                    "first_visible_frame": p.first_visible,
                    "first_identified_frame": p.first_identified,
                }
                for name, p in sorted(products.items())
            },
        }

    def _score(self, score: ProductScore, number: int, item: TrueObject, spots: Sequence[Hotspot]) -> None:
        score.visible += 1
        if score.first_visible is None:
            score.first_visible = number
        near = [spot for spot in spots if iou(spot.box, item.box) >= self.min_iou]
        score.located += bool(near)
        if any(spot.product_id == item.product_id for spot in near):
            score.identified += 1
            if score.first_identified is None:
                score.first_identified = number

    def _under(self, spot: Hotspot, objects: Sequence[TrueObject]) -> TrueObject | None:
        best = max(objects, key=lambda item: iou(spot.box, item.box), default=None)
        return best if best is not None and iou(spot.box, best.box) >= 0.3 else None


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
