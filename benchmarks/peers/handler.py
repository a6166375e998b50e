"""What the peers do with a picture: YOLOX-Nano through ONNX Runtime, or a wait of a given length."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Handler = Callable[[Any], list[list[float]]]


def arguments() -> argparse.Namespace:
    """The command line every peer understands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--takes-ms", type=float, default=0.0)
    return parser.parse_args()


def make(options: argparse.Namespace) -> Handler:
    """A function from a BGR picture uint8 (h, w, 3) to boxes."""
    return yolox(options.model) if options.model else waiting(options.takes_ms)


def waiting(takes_ms: float) -> Handler:
    """Takes so long and finds nothing."""

    def handle(picture: Any) -> list[list[float]]:
        time.sleep(takes_ms / 1000)
        return []

    return handle


def yolox(path: Path) -> Handler:
    """YOLOX at 416 as its own demo does it: scale to fit, pad with 114, raw outputs, best class."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def handle(picture: Any) -> list[list[float]]:
        height, width = picture.shape[:2]
        planes = np.full((1, 3, 416, 416), 114, np.float32)
        planes[0, :, :height, :width] = picture.transpose(2, 0, 1)
        rows = session.run(None, {name: planes})[0][0]
        scores = rows[:, 4] * rows[:, 5:].max(axis=1)
        best = scores.argsort()[::-1][:20]
        return [[float(value) for value in rows[i, :4]] for i in best if scores[i] > 0.35]

    return handle
