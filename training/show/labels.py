"""Printed surfaces of the show's products, drawn with Pillow.

A texture is an unrolled surface, u across (0.5 = front), v up. Its alpha channel is not transparency: 255
marks paper (matte), 0 bare material (as glossy as the part says).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]


def rgb(value: str) -> Color:
    """Three bytes of "#rrggbb"."""
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


def font(size: int, bold: bool = True, serif: bool = False) -> ImageFont.FreeTypeFont:
    """A font of the free DejaVu family in `size` pixels."""
    name = f"DejaVu{'Serif' if serif else 'Sans'}{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(name, max(8, size))


@dataclass(frozen=True, slots=True)
class Print:
    """What is printed on a product.

    base: colour of the bare material; paper: label colour; ink and accent: print colours, all "#rrggbb".
    motif: one of "leaf", "waves", "sun", "dots", "stripes", "peaks", "rings", "none".
    area: label rectangle in fractions of the texture, x0 y0 x1 y1, y down; None prints on the bare material.
    back: draw a second label with small print and a bar code at the back.
    front: half width of the front panel in fractions of the texture, for prints that go all the way round.
    """

    brand: str
    title: str
    line: str
    base: str
    paper: str
    ink: str
    accent: str
    motif: str = "none"
    area: tuple[float, float, float, float] | None = (0.25, 0.2, 0.75, 0.85)
    serif: bool = False
    back: bool = True
    seed: int = 0
    front: float = 0.2


def _fit(
    draw: ImageDraw.ImageDraw, text: str, width: float, size: int, bold: bool, serif: bool
) -> ImageFont.FreeTypeFont:
    while size > 10 and draw.textlength(text, font=font(size, bold, serif)) > width:
        size = int(size * 0.93)
    return font(size, bold, serif)


def _leaf(draw: ImageDraw.ImageDraw, x: float, y: float, s: float, color: Color) -> None:
    for dx, top in ((-0.55, 0.25), (0.0, 0.0), (0.55, 0.25)):
        cx = x + dx * s
        draw.polygon(
            [
                (x, y + s),
                (cx - 0.22 * s, y + (0.45 + top) * s),
                (cx, y + top * s),
                (cx + 0.22 * s, y + (0.45 + top) * s),
            ],
            fill=color,
        )


def draw_motif(
    draw: ImageDraw.ImageDraw, kind: str, box: tuple[float, float, float, float], colors: tuple[Color, Color]
) -> None:
    """A simple emblem inside a pixel box."""
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    s = min(w, h)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    main, second = colors
    if kind == "leaf":
        _leaf(draw, cx, cy - s / 2, s * 0.95, main)
    elif kind == "sun":
        draw.ellipse((cx - s / 3, cy - s / 3, cx + s / 3, cy + s / 3), fill=main)
        for k in range(12):
            draw.arc(
                (cx - s / 2, cy - s / 2, cx + s / 2, cy + s / 2),
                k * 30,
                k * 30 + 14,
                fill=second,
                width=int(s / 9),
            )
    elif kind == "rings":
        for k, color in ((0.5, main), (0.36, second), (0.2, main)):
            draw.ellipse(
                (cx - s * k, cy - s * k, cx + s * k, cy + s * k), outline=color, width=max(2, int(s / 14))
            )
    elif kind == "waves":
        for k in range(4):
            y = y0 + h * (k + 0.3) / 4
            step = w / 6
            for i in range(6):
                start = (180, 360) if i % 2 else (0, 180)
                draw.arc(
                    (x0 + i * step, y - h / 10, x0 + (i + 1) * step, y + h / 10),
                    *start,
                    fill=(main, second)[k % 2],
                    width=max(3, int(h / 16)),
                )
    elif kind == "peaks":
        draw.polygon([(x0, y1), (x0 + w * 0.33, y0 + h * 0.1), (x0 + w * 0.66, y1)], fill=main)
        draw.polygon([(x0 + w * 0.36, y1), (x0 + w * 0.68, y0 + h * 0.35), (x1, y1)], fill=second)
    elif kind == "dots":
        n = max(3, int(w / s * 4))
        for i in range(n):
            for j in range(4):
                px, py, r = x0 + w * (i + 0.5) / n, y0 + h * (j + 0.5) / 4, s / 13
                draw.ellipse((px - r, py - r, px + r, py + r), fill=(main, second)[(i + j) % 2])
    elif kind == "stripes":
        for k in range(5):
            draw.rectangle((x0, y0 + h * k / 5, x1, y0 + h * (k + 0.5) / 5), fill=(main, second)[k % 2])


def _front(draw: ImageDraw.ImageDraw, p: Print, box: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    ink, accent = rgb(p.ink), rgb(p.accent)
    cx = (x0 + x1) / 2
    draw.rectangle((x0 + w * 0.08, y0 + h * 0.27, x1 - w * 0.08, y0 + h * 0.28), fill=ink)
    f = _fit(draw, p.brand, w * 0.84, int(h * 0.19), True, p.serif)
    draw.text((cx, y0 + h * 0.16), p.brand, font=f, fill=ink, anchor="mm")
    draw_motif(draw, p.motif, (x0 + w * 0.24, y0 + h * 0.33, x1 - w * 0.24, y0 + h * 0.65), (accent, ink))
    f = _fit(draw, p.title, w * 0.86, int(h * 0.11), True, p.serif)
    draw.text((cx, y0 + h * 0.74), p.title, font=f, fill=ink, anchor="mm")
    f = _fit(draw, p.line, w * 0.8, int(h * 0.07), False, p.serif)
    draw.text((cx, y0 + h * 0.84), p.line, font=f, fill=ink, anchor="mm")
    draw.rectangle((x0, y1 - h * 0.08, x1, y1), fill=accent)


def _back(
    draw: ImageDraw.ImageDraw, p: Print, box: tuple[float, float, float, float], rng: random.Random
) -> None:
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    ink = rgb(p.ink)
    f = font(int(h * 0.07), True, p.serif)
    draw.text((x0 + w * 0.08, y0 + h * 0.06), p.title, font=f, fill=ink)
    for k in range(9):
        y = y0 + h * (0.2 + 0.05 * k)
        x = x0 + w * 0.08
        while x < x0 + w * (0.9 if k < 8 else 0.5):
            length = w * rng.uniform(0.03, 0.12)
            draw.rectangle((x, y, min(x + length, x0 + w * 0.92), y + h * 0.018), fill=ink)
            x += length + w * 0.02
    bx0, by0, bx1, by1 = x0 + w * 0.5, y0 + h * 0.7, x0 + w * 0.92, y0 + h * 0.92
    draw.rectangle((bx0, by0, bx1, by1), fill=(250, 250, 250))
    x = bx0 + w * 0.02
    while x < bx1 - w * 0.02:
        bar = rng.choice((2, 3, 5))
        draw.rectangle((x, by0 + h * 0.02, x + bar, by1 - h * 0.04), fill=(20, 20, 20))
        x += bar + rng.choice((3, 4, 6))


def texture(p: Print, aspect: float, width: int = 1536) -> Image.Image:
    """The unrolled surface, RGBA; aspect: height / width of the real surface."""
    height = max(64, int(width * aspect))
    image = Image.new("RGB", (width, height), rgb(p.base))
    mask = Image.new("L", (width, height), 0)
    draw, cover = ImageDraw.Draw(image), ImageDraw.Draw(mask)
    rng = random.Random(p.seed)
    x0, y0, x1, y1 = p.area or (0.22, 0.12, 0.78, 0.9)
    box = (x0 * width, y0 * height, x1 * width, y1 * height)
    half = min(0.42 * (x1 - x0), 0.8 * p.front) * width
    if p.area is not None:
        wrap = x1 - x0 > 0.98
        for shape in (
            [box]
            if wrap or not p.back
            else [box, (0, box[1], half, box[3]), (width - half, box[1], width, box[3])]
        ):
            draw.rounded_rectangle(shape, radius=0 if wrap else width // 80, fill=rgb(p.paper))
            cover.rounded_rectangle(shape, radius=0 if wrap else width // 80, fill=255)
        if wrap:
            draw.rectangle((0, box[3] - (box[3] - box[1]) * 0.08, width, box[3]), fill=rgb(p.accent))
    front_half = min((x1 - x0) / 2, p.front) * width
    front = (width / 2 - front_half, box[1], width / 2 + front_half, box[3])
    _front(draw, p, front)
    if p.back:
        small = Image.new("RGB", (int(2 * half), int(box[3] - box[1])), rgb(p.paper if p.area else p.base))
        _back(ImageDraw.Draw(small), p, (0, 0, small.width, small.height), rng)
        image.paste(small.crop((small.width // 2, 0, small.width, small.height)), (0, int(box[1])))
        image.paste(
            small.crop((0, 0, small.width // 2, small.height)), (width - small.width // 2, int(box[1]))
        )
    image.putalpha(mask)
    return image
