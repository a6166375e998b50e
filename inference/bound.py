"""Runs over memory of the device whose addresses never change: IOBinding. Knows no ONNX Runtime by name.

CUDA graphs record addresses, so everything a recorded run touches has to stay where it was. On the CPU
binding gains nothing: there ONNX Runtime reads the caller's arrays and hands out its own without a copy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
NOT_RECORDED = -1
"""As the id of a graph: run without recording or replaying (ONNX Runtime's ``gpu_graph_id``)."""
_ids = itertools.count(1)


class Value(Protocol):
    """A tensor in memory of the device (`onnxruntime.OrtValue`)."""

    def update_inplace(self, data: Array) -> None:
        """Copy `data` there."""

    def numpy(self) -> Array:
        """Copy it from there."""


class Binding(Protocol):
    """What goes in and out where (`onnxruntime.IOBinding`)."""

    def bind_ortvalue_input(self, name: str, ortvalue: Value) -> None:
        """Read the input from there."""

    def bind_ortvalue_output(self, name: str, ortvalue: Value) -> None:
        """Write the output there."""

    def bind_output(self, name: str, device_type: str = ..., device_id: int = ...) -> None:
        """Write the output to new memory of the device."""

    def get_outputs(self) -> Sequence[Value]:
        """Outputs in the order they were bound."""


class Session(Protocol):
    """What of `onnxruntime.InferenceSession` is used."""

    def io_binding(self) -> Binding:
        """A new binding."""


class BoundRuns:
    """Runs of one session by one thread. Not thread-safe: every thread has its own.

    The first run for a set of input shapes learns the outputs' sizes and is not recorded; every later one
    uses the same memory. Other shapes start anew, under another id, because a recorded graph would go on
    reading the old addresses.

    Args:
        session: whose runs.
        outputs: names, in the order wanted.
        device: where the memory is (``"cuda"``, ``"cpu"``).
        allocate: makes memory there for an array like the given one.
    """

    def __init__(
        self, session: Session, outputs: Sequence[str], device: str, allocate: Callable[[Array, str], Value]
    ) -> None:
        self.session = session
        self._outputs = list(outputs)
        self._device = device
        self._allocate = allocate
        self._binding: Binding | None = None
        self._inputs: dict[str, Value] = {}
        self._results: list[Value] = []
        self._shapes: dict[str, tuple[tuple[int, ...], str]] = {}
        self._id = NOT_RECORDED

    def run(self, feeds: Mapping[str, Array], execute: Callable[[Binding, int], None]) -> list[Array]:
        """Run once.

        Args:
            feeds: inputs by name.
            execute: runs the session with the binding; the number is the id of the graph to record or replay.

        Returns:
            The outputs, owned by the caller.
        """
        shapes = {name: (array.shape, array.dtype.str) for name, array in feeds.items()}
        if self._binding is None or shapes != self._shapes:
            return self._learn(feeds, shapes, execute)
        for name, array in feeds.items():
            self._inputs[name].update_inplace(array)
        execute(self._binding, self._id)
        return [np.array(value.numpy()) for value in self._results]

    def _learn(
        self,
        feeds: Mapping[str, Array],
        shapes: dict[str, tuple[tuple[int, ...], str]],
        execute: Callable[[Binding, int], None],
    ) -> list[Array]:
        self._binding = None  # stays so if this run fails
        binding = self.session.io_binding()
        inputs = {name: self._allocate(array, self._device) for name, array in feeds.items()}
        for name, array in feeds.items():
            inputs[name].update_inplace(array)
            binding.bind_ortvalue_input(name, inputs[name])
        for name in self._outputs:
            binding.bind_output(name, self._device, 0)
        execute(binding, NOT_RECORDED)
        results = list(binding.get_outputs())
        for name, value in zip(self._outputs, results, strict=True):
            binding.bind_ortvalue_output(name, value)
        self._binding, self._inputs, self._results, self._shapes = binding, inputs, results, shapes
        self._id = next(_ids)
        return [np.array(value.numpy()) for value in results]
