"""Puts plate, products, shadows and hand together, one picture at a time, and writes down what is where."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from training.show import script
from training.show.camera import FPS, HEIGHT, WIDTH, Spot, Window, project
from training.show.picture import Array, Layer, Sprite, affine, lay, outline, warp
from training.show.products import PRODUCTS
from training.show.stock import Stock
from training.show.views import toward

SHADOW_SCALE = 4
HELD_DEPTH = -100.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Ground truth of an object in a picture. box: x0 y0 x1 y1 in 0..1; visibility 0..1 of its full area."""

    id: str
    object: int
    box: tuple[float, float, float, float]
    visibility: float


@dataclass(slots=True)
class Item:
    """One thing to draw: its layers are computed for a picture. object < 0: a hand."""

    depth: float
    object: int
    sprite: Sprite
    matrix: NDArray[np.float64]
    image: Image.Image | None = None


Ground = list[tuple[Item, Spot, float]]


def _item(stock: Stock, number: int, product: str, t: float, held_at: float) -> Item:
    window = script.window(t)
    pose = script.product_pose(product, t)
    spot = project(pose.x, pose.y, pose.z)
    acts = [act for act in script.ACTS if act.product == product]
    lifted = min(1.0, max(0.0, (pose.z - 0.05) / 0.4)) if acts else 0.0
    sprite, image = stock.view(product, (pose.yaw - toward(pose)) % 360, lifted)
    grips = [act.grip_z for act in acts]
    at, angle = window.to_picture(spot.x, spot.y), math.radians(pose.lean)
    if grips and pose.lean:
        lift = grips[0] * spot.scale * window.zoom
        at = (at[0] - math.sin(angle) * lift, at[1] - (1 - math.cos(angle)) * lift)
    held = any(act.start <= held_at <= act.stop for act in acts)
    return Item(
        HELD_DEPTH if held else pose.y,
        number,
        sprite,
        affine(sprite, at, spot.scale * window.zoom, angle),
        image,
    )


def _hands(stock: Stock, t: float, window: Window) -> list[Item]:
    items = []
    for pose in script.hand_poses(t):
        spot = project(pose.x, pose.y, pose.z)
        at, scale = window.to_picture(spot.x, spot.y), spot.scale * window.zoom
        for layer, shift in (("full", 1.0), ("front", -1.0)) if pose.kind == "grip" else (("full", -2.0),):
            sprite = stock.sprite(stock.hands / pose.kind / f"{layer}.png", 5.0)
            items.append(
                Item(HELD_DEPTH + shift, -1, sprite, affine(sprite, at, scale, math.radians(pose.lean)))
            )
    return items


def _shadows(items: Ground, window: Window) -> Array:
    """How much light is missing on the counter, float32 (HEIGHT, WIDTH) 0..1."""
    w, h = WIDTH // SHADOW_SCALE, HEIGHT // SHADOW_SCALE
    soft, tight = np.zeros((h, w), dtype=np.float32), np.zeros((h, w), dtype=np.float32)
    far = np.zeros((h, w), dtype=np.float32)
    for item, spot, height in items:
        scale = spot.scale * window.zoom
        gx, gy = window.to_picture(spot.x, spot.y)
        k = scale / item.sprite.ppd
        ox, oy = item.sprite.origin
        lean, squash = 0.55, 0.2
        matrix = np.array(
            [[k, -lean * k, gx - k * ox + lean * k * oy], [0, squash * k, gy - squash * k * oy]]
        )
        matrix[0, 2] += 0.45 * height * scale
        matrix[1, 2] -= 0.16 * height * scale
        cast = warp(item.image or item.sprite.image, matrix / SHADOW_SCALE, (w, h))
        if cast is not None:
            target = soft if height < 0.3 else far
            region = target[cast.y : cast.y + cast.rgba.shape[0], cast.x : cast.x + cast.rgba.shape[1]]
            np.maximum(region, cast.rgba[..., 3], out=region)
        if height < 0.4:
            foot = (item.sprite.hull[:, 0].max() - item.sprite.hull[:, 0].min()) / item.sprite.ppd / 2
            yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
            rx, ry = 1.0 * foot * scale / SHADOW_SCALE, 0.36 * foot * scale / SHADOW_SCALE
            d = ((xx - (gx + 2) / SHADOW_SCALE) / rx) ** 2 + ((yy - (gy - 1) / SHADOW_SCALE) / ry) ** 2
            np.maximum(tight, np.clip(1.6 * (1.15 - d), 0, 1) * (1 - height / 0.4), out=tight)
    dark = (
        0.5 * gaussian_filter(soft, 3.2) + 0.22 * gaussian_filter(far, 9) + 0.6 * gaussian_filter(tight, 1.8)
    )
    full = Image.fromarray(np.minimum(dark, 0.85), "F").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.asarray(full, dtype=np.float32)


def _background(stock: Stock, window: Window) -> Array:
    k = 1 / window.zoom
    data = (k, 0, window.x - WIDTH / 2 * k, 0, k, window.y - HEIGHT / 2 * k)
    picture = stock.plate.transform((WIDTH, HEIGHT), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float32) / 255


def _counter_mask(window: Window) -> Array:
    _, back = window.to_picture(0.0, project(0.0, 3.2, 0.0).y)
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    return np.clip((rows - back) / 6, 0, 1)


def arrange(stock: Stock, t: float, held_at: float | None = None) -> tuple[list[Item], Ground]:
    """(what to draw at second t, back to front; the products with the spot below them and their height).

    held_at: the second that decides what counts as held, the same for all instants of a frame.
    """
    window = script.window(t)
    items, ground = [], []
    for number, product in enumerate(PRODUCTS):
        item = _item(stock, number, product.id, t, t if held_at is None else held_at)
        pose = script.product_pose(product.id, t)
        items.append(item)
        ground.append((item, project(pose.x, pose.y, 0.0), pose.z))
    return sorted([*items, *_hands(stock, t, window)], key=lambda item: -item.depth), ground


def spread(items: list[Item]) -> list[Layer | None]:
    """The items' layers."""
    margin = np.array([-4.0, -4.0, 4.0, 4.0])
    return [
        warp(
            item.image or item.sprite.image,
            item.matrix,
            (WIDTH, HEIGHT),
            outline(item.sprite, item.matrix) + margin,
        )
        for item in items
    ]


def _still(stock: Stock, t: float, ground: Ground, layers: list[Layer | None]) -> Array:
    """The plate with shadows and everything the hand does not hold, float32 (HEIGHT, WIDTH, 3)."""
    window = script.window(t)
    canvas = _background(stock, window)
    shade = _shadows(ground, window) * _counter_mask(window)
    canvas *= 1 - shade[..., None] * np.array([0.86, 0.94, 1.0], dtype=np.float32)
    for layer in layers:
        if layer is not None:
            lay(canvas, layer)
    return canvas


def _merge(layers: list[Layer | None]) -> Array:
    """Layers over each other as one premultiplied float32 (HEIGHT, WIDTH, 4)."""
    canvas = np.zeros((HEIGHT, WIDTH, 4), dtype=np.float32)
    for layer in layers:
        if layer is not None:
            h, w = layer.rgba.shape[:2]
            region = canvas[layer.y : layer.y + h, layer.x : layer.x + w]
            region *= 1 - layer.rgba[..., 3:]
            region += layer.rgba
    return canvas


def truth(items: list[Item], layers: list[Layer | None]) -> list[Seen]:
    """What can be seen of each product, from the layers of one instant."""
    light = np.ones((HEIGHT, WIDTH), dtype=np.float32)
    seen = []
    for item, layer in zip(reversed(items), reversed(layers), strict=True):
        if layer is None:
            continue
        alpha = layer.rgba[..., 3]
        region = light[layer.y : layer.y + alpha.shape[0], layer.x : layer.x + alpha.shape[1]]
        visible = float((alpha * region).sum())
        region *= 1 - alpha
        if item.object < 0:
            continue
        full = item.sprite.area * abs(float(np.linalg.det(item.matrix[:, :2])))
        box = np.clip(outline(item.sprite, item.matrix) / np.array([WIDTH, HEIGHT, WIDTH, HEIGHT]), 0, 1)
        share = min(1.0, visible / full)
        if box[2] - box[0] < 0.004 or box[3] - box[1] < 0.004:
            continue
        product = PRODUCTS[item.object]
        x0, y0, x1, y1 = (round(float(v), 4) for v in box)
        seen.append(Seen(product.id if product.sold else "", item.object, (x0, y0, x1, y1), round(share, 2)))
    return sorted(seen, key=lambda s: s.object)


def _panning(t: float) -> bool:
    a, b = script.window(t), script.window(t + 1 / FPS)
    return math.hypot(a.x - b.x, a.y - b.y) > 4.0


def _waving(t: float) -> bool:
    speed = 0.0
    for a, b in zip(script.hand_poses(t), script.hand_poses(t + 1 / FPS), strict=False):
        p, q = project(a.x, a.y, a.z), project(b.x, b.y, b.z)
        speed = max(speed, math.hypot(p.x - q.x, p.y - q.y))
    return speed > 3.0


def _shade_by_hand(canvas: Array, alpha: Array, t: float) -> None:
    heights = [pose.z for pose in script.hand_poses(t)]
    strength = 0.4 * math.exp(-max(0.0, min(heights)) / 0.7)
    small = np.asarray(Image.fromarray(alpha, "F").reduce(SHADOW_SCALE), dtype=np.float32)
    moved = gaussian_filter(np.roll(small, (2, 6), axis=(0, 1)), 5)
    full = Image.fromarray(moved, "F").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    canvas *= 1 - strength * np.asarray(full, dtype=np.float32)[..., None]


def _mean(pictures: list[Array]) -> Array:
    total = pictures[0]
    for picture in pictures[1:]:
        total += picture
    if len(pictures) > 1:
        total *= np.float32(1 / len(pictures))
    return total


def _develop(canvas: Array, gain: float) -> NDArray[np.uint8]:
    """Light times the camera's gain, its bright end rolled off, in 8 bits by a table."""
    light = np.linspace(0, 1, 4096) * gain ** (1 / 2.2)
    curve = np.where(light > 0.85, 0.85 + 0.15 * np.tanh((light - 0.85) / 0.15), light)
    table = np.round(curve * 255).astype(np.uint8)
    return np.asarray(table[(np.clip(canvas, 0, 1) * 4095).astype(np.uint16)])


def frame(stock: Stock, index: int, samples: int = 3) -> tuple[NDArray[np.uint8], list[Seen]]:
    """Picture `index` as uint8 (HEIGHT, WIDTH, 3), shutter half open, and its ground truth at mid shutter."""
    t = index / FPS
    items, ground = arrange(stock, t)
    layers = spread(items)
    split = sum(item.depth > HELD_DEPTH + 5 for item in items)
    stills, groups = [_still(stock, t, ground, layers[:split])], [_merge(layers[split:])]
    hand = split < len(items)
    blurred = _panning(t) or _waving(t)
    for when in (t + ((k + 0.5) / samples - 0.5) * 0.5 / FPS for k in range(samples) if 2 * k + 1 != samples):
        if not blurred:
            break
        others, below = arrange(stock, when, t)
        if _panning(t):
            resting = spread([item for item in others if item.depth > HELD_DEPTH + 5])
            stills.append(_still(stock, when, below, resting))
        if hand:
            groups.append(_merge(spread([item for item in others if item.depth <= HELD_DEPTH + 5])))
    canvas = _mean(stills)
    if hand:
        group = _mean(groups)
        _shade_by_hand(canvas, group[..., 3], t)
        canvas *= 1 - group[..., 3:]
        canvas += group[..., :3]
    return _develop(canvas, script.exposure(t)), truth(items, layers)
