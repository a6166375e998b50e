"""How common a crop looks, and what a likeness to a product is worth then. Pure.

A milk carton is near some carton of any gallery; a bag is near few things. The same cosine therefore means
less for the one than for the other. An embedder may come with anchors, which stand for what common goods look
like: the nearer a crop is to its nearest anchors, the shorter is the vector it is searched with. The order of
products stays what it was, the level of their scores becomes comparable (score normalisation against a
cohort, T-norm, Auckenthaler et al. 2000, here as a factor).

Metadata ``vitrine.common``: ``{"anchors": base64 of float16 (m, dim), "near": 10, "level": 0.3,
"strength": 2}``.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from inference.errors import ModelError
from inference.model import ModelInfo

Floats = NDArray[np.float32]
LEAST = 0.2
"""Shortest length of a query."""


@dataclass(frozen=True, slots=True, eq=False)
class Common:
    """What common goods look like to one embedder.

    Attributes:
        anchors: unit float32 (m, dim).
        near: how many nearest anchors count.
        level: mean cosine to them up to which a crop is nothing common.
        strength: by how much a query is shortened for each unit of cosine above.
    """

    anchors: Floats
    near: int
    level: float
    strength: float

    def shortened(self, vectors: Floats) -> Floats:
        """Unit vectors (n, dim) as queries: lengths `LEAST` to 1."""
        cosines = vectors @ self.anchors.T
        kept = cosines.shape[1] - self.near
        mean = np.partition(cosines, kept, axis=1)[:, kept:].mean(axis=1, keepdims=True)
        lengths = np.clip(1 - self.strength * (mean - self.level), LEAST, 1.0)
        return cast(Floats, (vectors * lengths).astype(np.float32))

    def metadata(self) -> dict[str, object]:
        """As `common` reads it."""
        text = base64.b64encode(self.anchors.astype("<f2").tobytes()).decode("ascii")
        return {"anchors": text, "near": self.near, "level": self.level, "strength": self.strength}


def common(info: ModelInfo, dim: int) -> Common | None:
    """What metadata ``vitrine.common`` says; None where there is none.

    Raises:
        ModelError: it cannot be read, or is of another dimension.
    """
    value = info.metadata_json("vitrine.common")
    if value is None:
        return None
    try:
        if not isinstance(value, dict):
            raise TypeError("not an object")
        anchors = np.frombuffer(base64.b64decode(value["anchors"], validate=True), "<f2").reshape(-1, dim)
        found = Common(
            anchors.astype(np.float32), int(value["near"]), float(value["level"]), float(value["strength"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{info.path}: metadata vitrine.common: got {str(value)[:80]}, expected anchors (base64 of "
            f"float16 (m, {dim})), near, level and strength"
        ) from error
    if not 0 < found.near <= len(found.anchors) or not np.isfinite(found.anchors).all():
        raise ModelError(
            f"{info.path}: metadata vitrine.common: got near {found.near} of {len(found.anchors)} anchors, "
            "expected 1 to all of them, finite"
        )
    return found
