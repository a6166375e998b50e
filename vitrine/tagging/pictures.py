"""Poster and contact sheet of a tagged recording: which moments, and the hotspots drawn on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inference.types import MatchState
from overlay.types import Hotspot
from vitrine.tagging.frames import MS, Cue, Tags
from vitrine.tagging.track import Chapter, appearances, chapters

SHEET_PICTURES: Final = 24
_COLUMNS: Final = 4
_SPREAD: Final = 8
"""Pictures of a sheet when nothing was found."""
_CELL: Final = 400
_GAP: Final = 16
_CAPTION: Final = 30
_LOOK_NS: Final = 4_000_000_000
"""A chapter's picture is taken within this from its beginning."""
_SCALE: Final = 2
"""Marks are drawn this much larger and scaled down, for smooth edges."""
_GROUND, _INK, _SOFT = (13, 15, 18), (236, 238, 241), (166, 174, 187)

Picture = NDArray[np.uint8]


def poster_cue(tags: Tags) -> Cue | None:
    """The moment with the most products in the picture, the larger the better; None without any."""
    return max(tags.cues, key=_worth, default=None)


def sheet_cues(tags: Tags) -> list[Cue]:
    """Moments of a contact sheet: one of each chapter, evenly chosen where those are too many.

    Of a video without hotspots: moments spread over it, without hotspots.
    """
    parts = chapters(appearances(tags))
    if not parts:
        step = (tags.end_ns - tags.start_ns) // (_SPREAD + 1)
        moments = [tags.start_ns + step * (n + 1) for n in range(_SPREAD)]
        return [Cue(at, at + MS, ()) for at in moments] if step else []
    if len(parts) > SHEET_PICTURES:
        chosen = np.linspace(0, len(parts) - 1, SHEET_PICTURES).round().astype(int)
        parts = tuple(parts[index] for index in chosen)
    return [_best(tags, part) for part in parts]


def _best(tags: Tags, part: Chapter) -> Cue:
    """The cue of a chapter's first seconds that shows its products largest."""
    until = min(part.end_ns, part.start_ns + _LOOK_NS)
    cues = [cue for cue in tags.cues if part.start_ns <= cue.start_ns < until]
    return max(cues, key=lambda cue: sum(_area(s) for s in cue.hotspots if s.product_id in part.products))


def _worth(cue: Cue) -> tuple[int, float]:
    sure = len({spot.product_id for spot in cue.hotspots if spot.state is MatchState.EXACT})
    return sure, sum(_area(spot) for spot in cue.hotspots)


def _area(spot: Hotspot) -> float:
    return float((spot.box.x1 - spot.box.x0) * (spot.box.y1 - spot.box.y0))


def marked(
    picture: Picture, hotspots: Sequence[Hotspot], titles: Mapping[str, str] | None = None
) -> Image.Image:
    """`picture` with a pin and brackets on every hotspot, as a viewer's page draws them.

    Args:
        picture: RGB uint8 (height, width, 3).
        hotspots: at that moment.
        titles: names by catalogue id, for labels; None draws larger pins without labels.
    """
    image = Image.fromarray(picture)
    if not hotspots:
        return image
    size = (image.width * _SCALE, image.height * _SCALE)
    layer = Image.new("RGBA", size)
    draw = ImageDraw.Draw(layer)
    unit = _SCALE * max(1.0, min(image.size) / (420 if titles else 260))
    ordered = sorted(hotspots, key=_area, reverse=True)
    boxes = [tuple(edge * size[axis % 2] for axis, edge in enumerate(spot.box)) for spot in ordered]
    pins = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in boxes]
    for box, pin in zip(boxes, pins, strict=True):
        _brackets(draw, box, unit)
        _pin(draw, pin, unit)
    if titles is not None:
        names = [_words(spot, titles) for spot in ordered]
        _labels(draw, list(zip(pins, names, strict=True)), size, unit)
    layer = layer.resize(image.size, Image.Resampling.LANCZOS)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def _words(spot: Hotspot, titles: Mapping[str, str]) -> str:
    title = titles.get(spot.product_id, spot.product_id)
    title = title if len(title) <= 36 else title[:35].rstrip() + "…"
    return f"Similar: {title}" if title and spot.state is MatchState.SIMILAR else title


def _brackets(draw: ImageDraw.ImageDraw, box: tuple[float, ...], unit: float) -> None:
    x0, y0, x1, y1 = box
    arm = min(18 * unit, (x1 - x0) / 3, (y1 - y0) / 3)
    corners = ((x0, y0, arm, arm), (x1, y0, -arm, arm), (x1, y1, -arm, -arm), (x0, y1, arm, -arm))
    for colour, width in (((0, 0, 0, 115), 4), ((255, 255, 255, 255), 2)):
        for x, y, dx, dy in corners:
            points = [(x + dx, y), (x, y), (x, y + dy)]
            draw.line(points, fill=colour, width=round(width * unit), joint="curve")


def _pin(draw: ImageDraw.ImageDraw, at: tuple[float, float], unit: float) -> None:
    x, y = at
    for radius, colour in ((11, (255, 255, 255, 240)), (9.5, (70, 72, 76, 255)), (4.5, (255, 255, 255, 255))):
        r = radius * unit
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _labels(
    draw: ImageDraw.ImageDraw,
    items: Sequence[tuple[tuple[float, float], str]],
    size: tuple[int, int],
    unit: float,
) -> None:
    """Names beside their pins: below, above, right or left, whichever covers nothing; else none."""
    font = ImageFont.load_default(13 * unit)
    gap, pin = 16 * unit, 12 * unit
    taken = [(x - pin, y - pin, x + pin, y + pin) for (x, y), _ in items]
    for index, ((x, y), words) in enumerate(items):
        left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
        width, height = right - left + 22 * unit, bottom - top + 12 * unit
        middle = min(max(2.0, x - width / 2), max(2.0, size[0] - width - 2))
        places = (
            (middle, y + gap),
            (middle, y - gap - height),
            (x + gap, y - height / 2),
            (x - gap - width, y - height / 2),
        )
        for at_x, at_y in places if words else ():
            pill = (at_x, at_y, at_x + width, at_y + height)
            others = (box for number, box in enumerate(taken) if number != index)
            if (
                min(pill[:2]) >= 0
                and pill[2] <= size[0]
                and pill[3] <= size[1]
                and not any(_meet(pill, box) for box in others)
            ):
                taken.append(pill)
                draw.rounded_rectangle(pill, height / 2, fill=(21, 23, 27, 220))
                corner = (at_x + 11 * unit - left, at_y + 6 * unit - top)
                draw.text(corner, words, font=font, fill=(255, 255, 255, 255))
                break


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def contact_sheet(
    pictures: Sequence[Image.Image], captions: Sequence[str], heading: str = ""
) -> Image.Image | None:
    """Pictures in rows of four, each with its caption below; None without any."""
    if not pictures:
        return None
    height = round(_CELL * pictures[0].height / pictures[0].width)
    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    top = 52 if heading else _GAP
    cell = (_CELL + _GAP, height + _CAPTION + _GAP)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, top + rows * cell[1]), _GROUND)
    draw = ImageDraw.Draw(sheet)
    if heading:
        draw.text((_GAP, 14), heading, font=ImageFont.load_default(22), fill=_INK)
    font = ImageFont.load_default(15)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = _GAP + index % columns * cell[0], top + index // columns * cell[1]
        sheet.paste(picture.resize((_CELL, height), Image.Resampling.LANCZOS), (x, y))
        moment, _, names = caption.partition(" ")
        draw.text((x, y + height + 6), moment, font=font, fill=_SOFT)
        beside = x + draw.textlength(moment, font=font) + 8
        draw.text(
            (beside, y + height + 6), _fitting(draw, names, font, x + _CELL - beside), font=font, fill=_INK
        )
    return sheet


def _fitting(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float
) -> str:
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "…", font=font) > width:
        text = text[:-1].rstrip()
    return text + "…"


def moment(at_ns: int) -> str:
    """A time for people: ``02:14``, and ``1:02:14`` from an hour on."""
    minutes, seconds = divmod(at_ns // 1_000_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"
