"""Random products that are not in the show, for training on more shapes and prints than the show has."""

from __future__ import annotations

import colorsys
import random
from collections.abc import Callable

from training.show import shapes, shoe
from training.show.labels import Print
from training.show.shapes import Part
from training.show.sprites import Request, View
from training.show.views import name

_SYLLABLES = (
    "ba",
    "lo",
    "ven",
    "ka",
    "ri",
    "mo",
    "tes",
    "fal",
    "nu",
    "pe",
    "zor",
    "li",
    "hem",
    "da",
    "quo",
    "sa",
)
_TITLES = (
    "DAILY",
    "Original",
    "FRESH",
    "Reserve",
    "No. 7",
    "PURE",
    "Classic",
    "ultra",
    "SOFT",
    "Organic",
    "Night",
    "SPORT",
)
_LINES = (
    "250 ml",
    "net 500 g",
    "with oat & honey",
    "made slowly",
    "for every day",
    "30 pieces",
    "extra strong",
    "100 % cotton",
)
_MOTIFS = ("leaf", "waves", "sun", "dots", "stripes", "peaks", "rings", "none")


def _hue(rng: random.Random, low: float, high: float, strength: float) -> str:
    r, g, b = colorsys.hls_to_rgb(rng.random(), rng.uniform(low, high), rng.random() * strength)
    return f"#{int(r * 255):02x}{int(g * 255):02x}{int(b * 255):02x}"


def _print(rng: random.Random) -> Print:
    brand = "".join(rng.choice(_SYLLABLES) for _ in range(rng.choice((2, 2, 3))))
    brand = rng.choice((brand.upper(), brand.capitalize(), brand))
    light = rng.random() < 0.6
    base = _hue(rng, 0.15, 0.8, 0.9)
    paper = rng.choice((base, _hue(rng, 0.8, 0.97, 0.7) if light else _hue(rng, 0.1, 0.3, 0.7)))
    dark_paper = sum(int(paper[i : i + 2], 16) for i in (1, 3, 5)) < 380
    ink = _hue(rng, 0.9, 1.0, 0.4) if dark_paper else _hue(rng, 0.03, 0.2, 0.6)
    area = rng.choice((None, (0.0, 0.15, 1.0, 0.85), (0.22, 0.2, 0.78, 0.85), (0.26, 0.3, 0.74, 0.8)))
    if area is None:
        paper = base
        ink = "#f4f4f0" if sum(int(base[i : i + 2], 16) for i in (1, 3, 5)) < 400 else "#1c1c22"
    return Print(
        brand,
        rng.choice(_TITLES),
        rng.choice(_LINES),
        base,
        paper,
        ink,
        _hue(rng, 0.35, 0.6, 1.0),
        rng.choice(_MOTIFS),
        area,
        rng.random() < 0.4,
        True,
        rng.randrange(1 << 30),
        0.16,
    )


def _parts(rng: random.Random, kind: int) -> list[Part]:
    p, cap, f = _print(rng), _hue(rng, 0.05, 0.95, 0.6), rng.uniform
    makers: tuple[Callable[[], list[Part]], ...] = (
        lambda: shapes.dropper(p, f(0.3, 0.45), f(0.8, 1.3), cap),
        lambda: shapes.pump(p, f(0.38, 0.55), f(1.0, 1.6), cap),
        lambda: shapes.tube(p, f(0.25, 0.4), f(1.1, 1.8), cap),
        lambda: shapes.carton(p, f(0.6, 1.4), f(0.3, 0.7), f(0.7, 1.9)),
        lambda: shapes.jar(p, f(0.38, 0.62), f(0.5, 1.2), cap, rng.choice((0.0, 0.9))),
        lambda: shapes.mug(p, f(0.38, 0.5), f(0.8, 1.15)),
        lambda: shapes.can(p, f(0.28, 0.45), f(0.9, 1.6)),
        lambda: shapes.tin(p, f(0.7, 1.2), f(0.5, 0.9), f(0.6, 1.3), cap),
        lambda: shapes.flask(p, f(0.3, 0.42), f(1.3, 2.0), cap),
        lambda: shapes.bag(p, f(1.3, 2.0), f(0.5, 0.8), f(0.9, 1.5), cap),
        lambda: shoe.shoe(p.base, p.accent, "#f2efe8", cap),
    )
    return makers[kind % len(makers)]()


def extra_views(seed: int, count: int = 33) -> list[Request]:
    """`count` random products, six yaws at two elevations each, every kind of shape in turn."""
    requests = []
    for k in range(count):
        rng = random.Random(seed * 1000 + k)
        start = rng.randrange(60)
        views = [View(name(e, start + y), e, start + y) for e in (6, 22) for y in range(0, 360, 60)]
        requests.append(Request(f"extra-{k:02d}", _parts(rng, k), views))
    return requests
