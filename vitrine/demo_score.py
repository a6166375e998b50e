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
    first_identified: int | None = None


@dataclass(slots=True)
class ShowScore:
    """Compares hotspots with the truth, frame by frame.

    A product counts as *visible* when at least `min_visibility` of it can be seen; as *located* when a
    hotspot overlaps it with IoU >= `min_iou`; as *identified* when that hotspot names it. A hotspot is
    *right* when it names the product under it, *wrong* when it names another (or the object is not in the
    catalogue), *loose* when nothing is under it.

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
        right = wrong = loose = unknown_labelled = 0
        for number in sorted(self._seen):
            if number >= len(self.truth):
                continue
            objects, spots = self.truth[number], self._seen[number].hotspots
            for item in objects:
                if item.product_id and item.visibility >= self.min_visibility:
                    self._score(products.setdefault(item.product_id, ProductScore()), number, item, spots)
            for spot in spots:
                if not spot.product_id:
                    continue
                under = self._under(spot, objects)
                if under is None:
                    loose += 1
                elif under.product_id == spot.product_id:
                    right += 1
                else:
                    wrong += 1
                    unknown_labelled += under.product_id == ""
        visible = sum(p.visible for p in products.values())
        named = right + wrong + loose
        return {
            "frames": len(self._seen),
            "products": len({o.product_id for frame in self.truth for o in frame if o.product_id}),
            "products_identified": sum(p.identified >= 3 for p in products.values()),
            "located": _share(sum(p.located for p in products.values()), visible),
            "identified": _share(sum(p.identified for p in products.values()), visible),
            "right": _share(right, named),
            "wrong": _share(wrong, named),
            "loose": _share(loose, named),
            "not_in_catalogue_but_named": unknown_labelled,
            "by_product": {
                name: {
                    "visible": p.visible,
                    "located": _share(p.located, p.visible),
                    "identified": _share(p.identified, p.visible),
                    "first_identified_frame": p.first_identified,
                }
                for name, p in sorted(products.items())
            },
        }

    def _score(self, score: ProductScore, number: int, item: TrueObject, spots: Sequence[Hotspot]) -> None:
        score.visible += 1
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
