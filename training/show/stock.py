"""The rendered views of products and hands, loaded, cleaned and turned when first needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from training.show import script
from training.show.camera import ELEVATION
from training.show.picture import Sprite, load, turn
from training.show.views import HELD_ELEVATION, HELD_STEP


@dataclass(slots=True)
class Stock:
    """The rendered views, loaded when first needed."""

    sprites: Path
    hands: Path
    plate: Image.Image
    _views: dict[str, list[tuple[float, float, Path]]] = field(default_factory=dict)
    _loaded: dict[Path, Sprite] = field(default_factory=dict)
    _turned: dict[tuple[Path, int], Image.Image] = field(default_factory=dict)

    def sprite(self, path: Path, elevation: float) -> Sprite:
        """A view, cleaned of render noise once."""
        if path not in self._loaded:
            self._loaded[path] = load(path, elevation)
        return self._loaded[path]

    def view(self, product: str, yaw: float, lifted: float) -> tuple[Sprite, Image.Image]:
        """The product at a yaw: its resting view (lifted 0), its view in the hand (1), or a mixture."""
        if product not in self._views:
            found = [
                (*(float(v) for v in p.stem.split("_")), p)
                for p in sorted((self.sprites / product).glob("[0-9]*.png"))
            ]
            self._views[product] = [(e, y, p) for e, y, p in found]
        low, low_image = (
            self._at(product, yaw, ELEVATION) if lifted < 1 else self._at(product, yaw, HELD_ELEVATION)
        )
        if lifted in (0.0, 1.0):
            return low, low_image
        high, high_image = self._at(product, yaw, HELD_ELEVATION)
        return (low if lifted < 0.5 else high), Image.blend(low_image, high_image, lifted)

    def _at(self, product: str, yaw: float, elevation: float) -> tuple[Sprite, Image.Image]:
        """The two views nearest in yaw, each turned the rest of the way, mixed so that highlights glide."""
        ring = [(y, p) for e, y, p in self._views[product] if e == elevation]
        near = sorted(ring, key=lambda v: abs((v[0] - yaw + 180) % 360 - 180))[:2]
        apart = [round(4 * ((yaw - y + 180) % 360 - 180)) for y, _ in near]
        sprite = self.sprite(near[0][1], elevation)
        if apart[0] == 0 or not any(act.product == product for act in script.ACTS):
            return sprite, sprite.image
        first = self._turn(near[0][1], elevation, apart[0])
        if len(near) < 2 or abs(apart[0]) + abs(apart[1]) > 4 * HELD_STEP:
            return sprite, first
        second = self._turn(near[1][1], elevation, apart[1])
        return sprite, Image.blend(first, second, abs(apart[0]) / (abs(apart[0]) + abs(apart[1])))

    def _turn(self, path: Path, elevation: float, quarters: int) -> Image.Image:
        if (path, quarters) not in self._turned:
            sprite = self.sprite(path, elevation)
            self._turned[path, quarters] = turn(sprite.image, sprite.origin[0], quarters / 4)
        return self._turned[path, quarters]
