"""Vectors to a file of them, in little memory. The graph is built in `inference.index`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from inference.errors import ProductIndexError
from inference.manifest import replace_file

Floats = NDArray[np.float32]
Items = Iterable[tuple[str, Floats]]

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a graph has come, as its checkpoint says.

    Attributes:
        vectors: name of the file of vectors it is made of.
        rows: of it that are in the graph.
        seconds: building took so far.
    """

    vectors: str
    rows: int
    seconds: float


def write_vectors(path: Path, items: Items, dim: int) -> list[str]:
    """Write the unit vectors of `items` as a ``.npy`` of float32 (n, dim); returns the product of each row.

    Raises:
        ProductIndexError: a vector has another length, or is not finite or zero.
    """
    products: list[str] = []
    with path.open("wb") as file:
        file.write(_header(0, dim))
        for batch in batches(items):
            products += [product for product, _ in batch]
            file.write(unit_rows(batch, dim).tobytes())
        file.seek(0)
        file.write(_header(len(products), dim))
    return products


def read_progress(path: Path) -> Progress:
    """A checkpoint; nothing done where there is none that can be read."""
    try:
        raw = json.loads(path.read_bytes())
        return Progress(str(raw["vectors"]), int(raw["rows"]), float(raw["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Progress("", 0, 0.0)


def write_progress(path: Path, progress: Progress) -> None:
    """Replace a checkpoint."""
    said = {"vectors": progress.vectors, "rows": progress.rows, "seconds": round(progress.seconds, 3)}
    replace_file(path, json.dumps(said).encode())


def probes(vectors: Floats, count: int = 200) -> Floats:
    """Queries as a camera would make them of `vectors`: some rows, moved the way rows differ. Seeded."""
    rng = np.random.default_rng(1)
    some, one, other = (vectors[np.sort(rng.integers(len(vectors), size=count))] for _ in range(3))
    moved = some + 0.6 * (one[rng.permutation(count)] - other)
    unit: Floats = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    return unit


def batches(items: Items) -> Iterator[list[tuple[str, Floats]]]:
    """`items` in lists of some thousand."""
    left = iter(items)
    while batch := list(islice(left, _BATCH)):
        yield batch


def unit_rows(batch: list[tuple[str, Floats]], dim: int) -> Floats:
    """The vectors of `batch` made unit, float32 (n, dim).

    Raises:
        ProductIndexError: one has another length, or is not finite or zero.
    """
    for product, vector in batch:
        if vector.shape != (dim,):
            raise _refused(product, vector, dim)
    rows = np.stack([vector for _, vector in batch]).astype(np.float32, copy=False)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] < 1e-9))
    if len(bad):
        product, vector = batch[int(bad[0])]
        raise _refused(product, vector, dim)
    lengths[np.abs(lengths - 1.0) < 1e-6] = 1.0  # what is unit already stays as it is, to the bit
    return np.ascontiguousarray(rows / lengths, np.float32)


def _refused(product: str, vector: Floats, dim: int) -> ProductIndexError:
    return ProductIndexError(
        f"product {product!r}: got a vector {vector.shape} of length {float(np.linalg.norm(vector)):.3g}, "
        f"expected ({dim},), finite and not zero"
    )


def _header(rows: int, dim: int) -> bytes:
    """Of a .npy file (numpy.lib.format); NumPy leaves room in it for the number of rows to grow."""
    buffer = io.BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)})
    return buffer.getvalue()
