"""What a model file is, in words and numbers: for ``vitrine models check``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.detection import DetectorSettings, load_detector
from inference.detectors.base import FAMILY_KEY
from inference.embedder import OnnxEmbedder
from inference.errors import ModelError
from inference.runtime import OrtModel
from inference.types import Rung


def describe_model(
    path: str | Path,
    *,
    rungs: Sequence[Rung] | None = None,
    settings: DetectorSettings | None = None,
) -> dict[str, object]:
    """Load and run a model once, as a detector or else as an embedder. Blocking.

    Returns:
        JSON-ready: path, sha256, kind (``"detector"`` or ``"embedder"``), provider, inputs, outputs, and
        for a detector family, names and rungs (width, height, warm_ms and that of each size that stands
        for it), for an embedder dim, size, warm_ms and calibration.

    Raises:
        ModelError: unreadable, or neither a detector of a known family nor an embedder.
    """
    settings = settings or DetectorSettings()
    model = OrtModel(path, settings.runtime)
    facts: dict[str, object] = {
        "path": str(path),
        "sha256": model.info.sha256,
        "provider": model.provider,
        "inputs": [str(tensor) for tensor in model.info.inputs],
        "outputs": [str(tensor) for tensor in model.info.outputs],
    }
    flat = len(model.info.outputs) == 1 and len(model.info.outputs[0].shape) == 2
    if flat or model.info.metadata.get(FAMILY_KEY) == "embedder":
        return facts | _embedder(model)
    loaded = load_detector(path, rungs=rungs, settings=settings)
    return facts | {
        "kind": "detector",
        "family": loaded.detector.family,
        "names": list(loaded.detector.names),
        "rungs": [
            {
                "width": rung.width,
                "height": rung.height,
                "warm_ms": round(loaded.warm_ns[rung] / 1e6, 2),
                "sizes": {f"{s.width}x{s.height}": round(loaded.warm_ns[s] / 1e6, 2) for s in sizes},
            }
            for rung, sizes in loaded.shapes.items()
        ],
    }


def _embedder(model: OrtModel) -> dict[str, object]:
    try:
        embedder = OnnxEmbedder(model)
    except ModelError as error:
        raise ModelError(f"neither a detector nor an embedder: {error}") from error
    thresholds = embedder.calibration
    return {
        "kind": "embedder",
        "dim": embedder.dim,
        "size": embedder.size,
        "warm_ms": round(model.warm_up() / 1e6, 2),
        "calibration": {
            "exact": thresholds.exact,
            "similar": thresholds.similar,
            "margin": thresholds.margin,
        },
    }
