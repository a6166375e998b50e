"""What is written of a tagged recording: the WebVTT track, chapters, and the same as JSON. Pure.

Times are media times, by the clock that players name the file's frames by (`Recording.start_ns`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from overlay.messages import Card
from overlay.types import Hotspot
from stream.types import RTP_CLOCK_HZ
from vitrine.tagging.frames import MS, Tags

VERSION: Final = 2
GONE_NS: Final = 3_000_000_000
"""A product that is away for no longer has not left."""
TOGETHER_NS: Final = 2_000_000_000
"""Products that come within this share a chapter."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the video that begins when a product comes into it.

    Attributes:
        start_ns: when the first of its products comes.
        end_ns: when the next chapter begins, or the last product of this one has gone.
        products: catalogue ids, in order of coming.
    """

    start_ns: int
    end_ns: int
    products: tuple[str, ...]


def appearances(tags: Tags) -> dict[str, tuple[tuple[int, int], ...]]:
    """When each product is in the picture, (from, to) in nanoseconds; short absences are bridged."""
    found: dict[str, list[tuple[int, int]]] = {}
    for cue in tags.cues:
        for product in {spot.product_id for spot in cue.hotspots if spot.product_id}:
            spans = found.setdefault(product, [])
            if spans and cue.start_ns - spans[-1][1] <= GONE_NS:
                spans[-1] = (spans[-1][0], cue.end_ns)
            else:
                spans.append((cue.start_ns, cue.end_ns))
    return {product: tuple(spans) for product, spans in found.items()}


def chapters(shown: Mapping[str, Sequence[tuple[int, int]]]) -> tuple[Chapter, ...]:
    """One chapter for each time a product comes, none overlapping: what WebVTT chapters have to be."""
    comings = sorted((start, product, end) for product, spans in shown.items() for start, end in spans)
    found: list[Chapter] = []
    for start, product, end in comings:
        last = found[-1] if found else None
        if last is not None and start - last.start_ns <= TOGETHER_NS:
            names = last.products if product in last.products else (*last.products, product)
            found[-1] = Chapter(last.start_ns, max(last.end_ns, end), names)
            continue
        if last is not None and last.end_ns > start:
            found[-1] = Chapter(last.start_ns, start, last.products)
        found.append(Chapter(start, end, (product,)))
    return tuple(found)


def to_webvtt(tags: Tags, cards: Sequence[Card]) -> str:
    """A metadata track (https://www.w3.org/TR/webvtt1/): JSON in every cue.

    The first cue, ``products``, lasts as long as the video: ``{"version", "pts", "products": [...]}``,
    each with ``shown``, the [from, to] in milliseconds when it is in the picture. Every other holds
    ``{"pts", "hotspots": [{"id", "product", "state", "box": [x0, y0, x1, y1]}]}``: pts in ticks of 90 kHz
    (cue times are only good to a millisecond), boxes 0..1 of the picture.
    """
    head = {"version": VERSION, "pts": _ticks(tags.start_ns), "products": _products(tags, cards)}
    blocks = ["WEBVTT", _cue("products", tags.start_ns, tags.end_ns, head)]
    for number, cue in enumerate(tags.cues, 1):
        body = {"pts": _ticks(cue.start_ns), "hotspots": [_spot_json(spot) for spot in cue.hotspots]}
        blocks.append(_cue(str(number), cue.start_ns, cue.end_ns, body))
    return "\n\n".join(blocks) + "\n"


def to_chapters(parts: Iterable[Chapter], titles: Mapping[str, str]) -> str:
    """A chapter track: WebVTT, the titles of a chapter's products as its text."""
    blocks = ["WEBVTT"]
    for number, part in enumerate(parts, 1):
        words = _plain(heading(part, titles))
        blocks.append(f"{number}\n{_span(part.start_ns, part.end_ns)}\n{words}")
    return "\n\n".join(blocks) + "\n"


def heading(part: Chapter, titles: Mapping[str, str], most: int = 3) -> str:
    """A chapter's title: its first products by name, and how many more there are."""
    names = [titles.get(product, product) for product in part.products]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def to_json(tags: Tags, cards: Sequence[Card]) -> dict[str, object]:
    """The same by hotspot: for each, what it shows and its box over time (``[ms, x0, y0, x1, y1]``)."""
    found: dict[int, dict[str, object]] = {}
    paths: dict[int, list[list[float]]] = {}
    titles = {card.id: card.title for card in cards}
    for cue in tags.cues:
        for spot in cue.hotspots:
            entry = found.setdefault(spot.id, {"id": spot.id, "start_ms": cue.start_ns // MS})
            entry |= {"product_id": spot.product_id, "title": titles.get(spot.product_id, "")}
            entry |= {"state": spot.state.value, "end_ms": cue.end_ns // MS}
            paths.setdefault(spot.id, []).append([cue.start_ns // MS, *_box(spot)])
    return {
        "version": VERSION,
        "start_ms": tags.start_ns // MS,
        "duration_ms": (tags.end_ns - tags.start_ns) // MS,
        "frames": tags.frames,
        "detected": tags.detected,
        "took_ms": tags.took_ns // MS,
        "times_real_time": round((tags.end_ns - tags.start_ns) / tags.took_ns, 2) if tags.took_ns else 0.0,
        "products": _products(tags, cards),
        "chapters": [
            {"start_ms": part.start_ns // MS, "end_ms": part.end_ns // MS, "products": list(part.products)}
            for part in chapters(appearances(tags))
        ],
        "hotspots": [entry | {"boxes": paths[number]} for number, entry in sorted(found.items())],
    }


def _products(tags: Tags, cards: Sequence[Card]) -> list[dict[str, object]]:
    """Of the products that are in the video: what a page needs, and when they are in the picture."""
    shown = appearances(tags)
    products = []
    for card in cards:
        if card.id in shown:
            facts: dict[str, object] = msgspec.to_builtins(card)
            del facts["pid"]  # a number of a live stream
            spans = [[start // MS, end // MS] for start, end in shown[card.id]]
            products.append({name: fact for name, fact in facts.items() if fact} | {"shown": spans})
    return sorted(products, key=lambda product: shown[str(product["id"])][0])


def _spot_json(spot: Hotspot) -> dict[str, object]:
    return {"id": spot.id, "product": spot.product_id, "state": spot.state.value, "box": _box(spot)}


def _box(spot: Hotspot) -> list[float]:
    return [round(float(edge), 4) for edge in spot.box]


def _ticks(at_ns: int) -> int:
    """Rounded, as a player's seconds are when they are made ticks."""
    return (at_ns * RTP_CLOCK_HZ + 500_000_000) // 1_000_000_000


def _cue(name: str, start_ns: int, end_ns: int, body: object) -> str:
    """JSON on one line without ``-->``, which would end the cue."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).replace(">", "\\u003e")
    return f"{name}\n{_span(start_ns, end_ns)}\n{text}"


def _span(start_ns: int, end_ns: int) -> str:
    return f"{_timestamp(start_ns)} --> {_timestamp(end_ns)}"


def _timestamp(at_ns: int) -> str:
    seconds, ms = divmod(at_ns // MS, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{ms:03d}"


def _plain(text: str) -> str:
    """Cue text on one line (WebVTT, 4.2: ``&``, ``<`` and ``>`` are escaped)."""
    words = " ".join(text.split())
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
