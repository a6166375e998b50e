"""Where the embedded weights lie."""

from __future__ import annotations

from pathlib import Path

from inference.errors import ModelError

WEIGHTS = Path(__file__).resolve().parent / "weights"
DETECTOR = "vitrine_detect.onnx"
EMBEDDER = "vitrine_embed.onnx"


def embedded_model(name: str) -> Path:
    """Path of an embedded model: `DETECTOR` or `EMBEDDER`.

    Raises:
        ModelError: the file is not there.
    """
    path = WEIGHTS / name
    if not path.is_file():
        raise ModelError(
            f"{path}: the embedded weights are missing; install the complete package, make them with "
            "`python -m training`, or name your own model"
        )
    return path
