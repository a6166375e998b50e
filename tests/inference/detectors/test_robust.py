"""Damaged models and outputs end in a `ModelError` or in sound detections, never in a crash."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.detectors.base import family_class, make_detector
from inference.errors import ModelError
from inference.model import ModelInfo, TensorInfo
from inference.types import Detections, Rung
from tests.inference.detectors.cases import CASES, SIZE, Case
from tests.inference.models import painted

FRAME = painted(64, 48, (0, 0, 8, 8))
NAMES = ("['a']", "{0: 'x', 1: 'y'}", str(list("abc") * 40), "{0: 'a', 'b': 1}")


def damaged_tensor(rng: random.Random, tensor: TensorInfo) -> TensorInfo:
    shape = list(tensor.shape)
    if shape and rng.random() < 0.5:
        shape[rng.randrange(len(shape))] = rng.choice([None, 1, 2, 3, 4, 6, 85, 300])
    kinds = [tensor.dtype] * 6 + ["tensor(float16)", "tensor(int64)", "tensor(uint8)"]
    return replace(tensor, shape=tuple(shape), dtype=rng.choice(kinds))


def damaged_info(rng: random.Random, case: Case) -> ModelInfo:
    inputs = (damaged_tensor(rng, each) if rng.random() < 0.2 else each for each in case.info.inputs)
    outputs = (damaged_tensor(rng, each) if rng.random() < 0.3 else each for each in case.info.outputs)
    names = {"names": rng.choice(NAMES)} if rng.random() < 0.2 else {}
    return replace(
        case.info, inputs=tuple(inputs), outputs=tuple(outputs), metadata={**case.info.metadata, **names}
    )


def damaged_array(rng: random.Random, value: NDArray[np.generic]) -> NDArray[np.generic]:
    way = rng.random()
    if way < 0.2:
        return value[tuple(slice(0, rng.choice([None, 0, 1, 3])) for _ in value.shape)]
    if way < 0.3:
        return value.astype(rng.choice([np.float16, np.float64, np.int32, np.bool_]))
    if way < 0.5 and value.dtype.kind == "f":
        return value + np.array(rng.choice([np.nan, np.inf, -np.inf, 1e30, -1e30, 5.0]), value.dtype)
    if way < 0.6:
        noise = np.random.default_rng(1).normal(size=value.shape) * rng.choice([1, 100])
        return noise.astype(value.dtype)
    return value


def keeps_its_promises(found: Detections) -> bool:
    count = len(found)
    return bool(
        found.boxes.shape == (count, 4)
        and found.boxes.dtype == found.scores.dtype == np.float32
        and np.isfinite(found.boxes).all()
        and (found.boxes >= 0).all()
        and (found.boxes <= 1).all()
        and (found.scores > 0).all()
        and (found.scores <= 1).all()
        and (found.labels >= 0).all()
        and (found.labels < len(found.names)).all()
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", sorted(CASES))
def test_damage_is_an_error_or_harmless(name: str) -> None:
    rng, case = random.Random(name), CASES[name]()
    made = decoded = 0
    for _ in range(150):
        described = damaged_info(rng, case)
        try:
            detector = make_detector(described) if rng.random() < 0.5 else family_class(name)(described)
        except ModelError:
            continue
        made += 1
        try:
            feeds, letterbox = detector.preprocess(FRAME, Rung(SIZE, SIZE))
            outputs = {key: damaged_array(rng, value) for key, value in case.outputs.items()}
            found = detector.decode(outputs, letterbox, FRAME, 0.1)
        except ModelError:
            continue
        decoded += 1
        assert set(feeds) == {tensor.name for tensor in described.inputs}
        assert keeps_its_promises(found)
    assert made > decoded > 10, "the damage should leave some models usable"
