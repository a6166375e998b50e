"""What a model file is, in words and numbers: for ``vitrine models check``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.attributes import AttributeModel
from inference.detection import DetectorSettings, LoadedDetector, load_detector
from inference.detectors.base import FAMILY_KEY, Family
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
    """Load and run a model once, as a detector, an embedder or a model of attributes. Blocking.

    Returns:
        JSON-ready: path, sha256, kind (``"detector"``, ``"embedder"`` or ``"attributes"``), provider, inputs,
        outputs, and
        for a detector family, picture (what its input is filled with), names, persons and ignored (of those),
        rungs (width, height, warm_ms and that of each size that stands for it) and ladder (how its rungs came
        about), for an embedder dim, size, warm_ms and calibration, for attributes size, warm_ms and the
        labels of each.

    Raises:
        ModelError: unreadable, or neither a detector of a known family nor an embedder nor of attributes.
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
    alone = len(model.info.inputs) == len(model.info.outputs) == 1
    if (alone and len(model.info.outputs[0].shape) == 2) or model.info.metadata.get(FAMILY_KEY) == "embedder":
        return facts | _embedder(model)
    if model.info.metadata.get(FAMILY_KEY) == "attributes":
        return facts | _attributes(model)
    loaded = load_detector(path, rungs=rungs, settings=settings)
    return facts | {
        "kind": "detector",
        "family": loaded.detector.family,
        "picture": _picture(loaded),
        "names": list(loaded.detector.names),
        **_roles(loaded),
        "ladder": _ladder(loaded, asked=rungs is not None),
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


def _picture(loaded: LoadedDetector) -> str:
    detector = loaded.detector
    if not isinstance(detector, Family):
        return "as the family sees fit"
    wanted = detector.picture
    place = {"stretch": "stretched", "centred": "centred and padded", "top-left": "top left and padded"}
    words = f"{wanted.order.upper()}, {place[wanted.place]}"
    if set(wanted.std) == {255.0} and not any(wanted.mean):
        return f"{words}, values 0..1"
    if set(wanted.std) == {1.0} and not any(wanted.mean):
        return f"{words}, values 0..255"
    return f"{words}, values less {wanted.mean} over {wanted.std}"


def _roles(loaded: LoadedDetector) -> dict[str, list[str]]:
    roles = loaded.classes.roles if loaded.classes else {}
    return {
        "persons": [name for name, role in roles.items() if role == "person"],
        "ignored": [name for name, role in roles.items() if role == "ignore"],
    }


def _ladder(loaded: LoadedDetector, *, asked: bool) -> str:
    if loaded.one_size:
        return f"one size: {loaded.one_size}"
    if asked:
        return "as asked for"
    return "from one file" if len(loaded.rungs) > 1 else "one size: the size is baked into the graph"


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


def _attributes(model: OrtModel) -> dict[str, object]:
    tagger = AttributeModel(model)
    return {
        "kind": "attributes",
        "size": tagger.size,
        "warm_ms": round(model.warm_up() / 1e6, 2),
        **{name: list(head.labels) for name, head in tagger.heads.items()},
    }
