"""Pictures, feeds and an embedder for catalogue tests."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEADER = "id\ttitle\tlink\timage_link\tprice\tadditional_image_link\n"


def picture(
    color: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (120, 80)
) -> NDArray[np.uint8]:
    """A coloured rectangle in the middle of a white picture (width, height)."""
    image = np.full((size[1], size[0], 3), 255, np.uint8)
    image[size[1] // 4 : size[1] * 3 // 4, size[0] // 4 : size[0] * 3 // 4] = color
    return image


def encoded(image: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def write_feed(folder: Path, *rows: str, name: str = "feed.tsv") -> Path:
    path = folder / name
    path.write_text(HEADER + "".join(row + "\n" for row in rows))
    return path


def row(product_id: str = "a", image: str = "a.png", *, price: str = "1.00 EUR", more: str = "") -> str:
    return f"{product_id}\tTitle {product_id}\thttps://x.example/{product_id}\t{image}\t{price}\t{more}"


class MeanEmbedder:
    """Embeds a crop as its mean colour."""

    size = 24

    def __init__(self, model_hash: str = "mean-1") -> None:
        self.model_hash = model_hash
        self.crops = 0

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert crops.shape[1:] == (self.size, self.size, 3) and crops.dtype == np.uint8
        self.crops += len(crops)
        means = crops.astype(np.float32).mean(axis=(1, 2)) + 1.0
        unit: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return unit
