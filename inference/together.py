"""Several inputs of one model as one, its outputs apart again, and whether that pays here."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.embedder import batch_that_pays
from inference.errors import ModelError
from inference.runtime import OrtModel, RunOk, zeros

Arrays = dict[str, NDArray[np.generic]]

MOST = 4
"""Pictures in one run."""


def together(feeds: Sequence[Arrays]) -> Arrays:
    """Inputs of one picture each, (1, ...), as one of all, (n, ...)."""
    if len(feeds) == 1:
        return feeds[0]
    return {name: np.concatenate([one[name] for one in feeds]) for name in feeds[0]}


def split(outputs: Arrays, count: int, path: str) -> list[Arrays]:
    """Outputs (n, ...) of `count` pictures as those of one each, (1, ...).

    Raises:
        ModelError: an output has another number of rows.
    """
    if count == 1:
        return [outputs]
    wrong = [f"{name} {array.shape}" for name, array in outputs.items() if len(array) != count]
    if wrong:
        raise ModelError(f"{path}: got {', '.join(wrong)}, expected {count} pictures' outputs each")
    return [{name: array[at : at + 1] for name, array in outputs.items()} for at in range(count)]


def most_that_pays(model: OrtModel) -> int:
    """`MOST` where so many pictures in one run are clearly cheaper than one by one, else 1. Blocking.

    Only a model exported for any number of pictures can: where the number is fixed its graph relies on it.
    """
    if any(not tensor.shape or tensor.shape[0] is not None for tensor in model.info.inputs):
        return 1
    took_ns = {1: 0, MOST: 0}
    for count in (MOST, 1, MOST, 1, MOST, 1):  # in turns: a busy moment shall not decide
        feeds = {tensor.name: zeros(tensor, model.info.path, count) for tensor in model.info.inputs}
        began_ns = time.perf_counter_ns()
        outcome = model.run(feeds)
        spent_ns = time.perf_counter_ns() - began_ns
        if not isinstance(outcome, RunOk) or any(len(out) != count for out in outcome.outputs.values()):
            return 1
        took_ns[count] = min(took_ns[count] or spent_ns, spent_ns)
    return batch_that_pays(took_ns[1], took_ns[MOST], MOST)
