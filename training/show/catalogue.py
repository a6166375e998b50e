"""The demonstration catalogue: shop photos under another light than the show's, and the product feed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from training.show.picture import load
from training.show.products import PRODUCTS, Product
from training.show.sprites import Request, View
from training.show.views import name

PHOTO = 320
ANGLES: tuple[tuple[int, int], ...] = ((4, -11), (20, 33), (5, 180))


def photo_views() -> list[Request]:
    """Three shop photos of everything that is sold."""
    return [Request(p.id, p.build(), [View(name(e, y), e, y) for e, y in ANGLES]) for p in PRODUCTS if p.sold]


def photo(path: Path, elevation: float) -> Image.Image:
    """A rendered view on soft white with a contact shadow."""
    sprite = load(path, elevation)
    rgba = np.asarray(sprite.image, dtype=np.float32) / 255
    size = rgba.shape[0]
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32) / size
    canvas = np.repeat(
        (0.985 - 0.05 * np.clip(yy - 0.45, 0, 1) - 0.03 * (xx - 0.5) ** 2)[..., None], 3, axis=2
    )
    middle = sprite.origin[0]
    wide = min(sprite.hull[:, 0].max() - middle, middle - sprite.hull[:, 0].min())
    flat = max(0.1, math.sin(math.radians(elevation)))
    d = ((xx * size - middle) / (1.05 * wide)) ** 2 + (
        (yy * size - sprite.origin[1]) / (0.9 * wide * flat + 4)
    ) ** 2
    canvas *= (1 - 0.38 * gaussian_filter(np.clip(1.4 - d, 0, 1), size / 60))[..., None]
    canvas = canvas * (1 - rgba[..., 3:]) + rgba[..., :3]
    picture = Image.fromarray(np.round(np.clip(canvas, 0, 1) * 255).astype(np.uint8))
    return picture.resize((PHOTO, PHOTO), Image.Resampling.LANCZOS)


def row(product: Product) -> dict[str, object]:
    """The product in the names of Google's Merchant feed, pictures as paths relative to the feed file."""
    names = [f"photos/{product.id}-{k}.jpg" for k in range(len(ANGLES))]
    return {
        "id": product.id,
        "title": product.title,
        "description": product.description,
        "link": f"https://shop.example/p/{product.id}",
        "image_link": names[0],
        "additional_image_link": names[1:],
        "availability": "in_stock",
        "price": product.price,
        "brand": product.brand,
        "condition": "new",
        "color": product.color,
        "google_product_category": product.category,
        "seller": product.seller,
        "placement": product.placement,
    }


def write(views: Path, out: Path) -> None:
    """Write photos and products.jsonl to the folder `out`."""
    (out / "photos").mkdir(parents=True, exist_ok=True)
    rows = []
    for product in PRODUCTS:
        if not product.sold:
            continue
        for k, (elevation, yaw) in enumerate(ANGLES):
            picture = photo(views / product.id / f"{name(elevation, yaw)}.png", elevation)
            picture.save(out / "photos" / f"{product.id}-{k}.jpg", quality=88, optimize=True)
        rows.append(json.dumps(row(product), ensure_ascii=False))
    (out / "products.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
