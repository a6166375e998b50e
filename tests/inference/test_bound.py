from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from inference.bound import NOT_RECORDED, Array, Binding, BoundRuns, Value


class Memory:
    """Device memory that is an array."""

    def __init__(self, array: Array) -> None:
        self.array = np.zeros_like(array)

    def update_inplace(self, data: Array) -> None:
        assert data.shape == self.array.shape
        self.array[...] = data

    def numpy(self) -> Array:
        return self.array


class Bound:
    """A binding that remembers."""

    def __init__(self) -> None:
        self.inputs: dict[str, Value] = {}
        self.outputs: dict[str, Value] = {}
        self.asked: list[str] = []

    def bind_ortvalue_input(self, name: str, ortvalue: Value) -> None:
        self.inputs[name] = ortvalue

    def bind_ortvalue_output(self, name: str, ortvalue: Value) -> None:
        self.outputs[name] = ortvalue

    def bind_output(self, name: str, device_type: str = "cpu", device_id: int = 0) -> None:
        self.asked.append(f"{name} on {device_type}")

    def get_outputs(self) -> Sequence[Value]:
        return list(self.outputs.values())


class Doubler:
    """A session: y = 2 x. Records like CUDA graphs: a known id replays with the memory of its first run."""

    def __init__(self) -> None:
        self.bindings: list[Bound] = []
        self.ids: list[int] = []
        self.recorded: dict[int, tuple[Value, Value]] = {}
        self.fails = False

    def io_binding(self) -> Binding:
        self.bindings.append(Bound())
        return self.bindings[-1]

    def execute(self, binding: Binding, graph: int) -> None:
        assert isinstance(binding, Bound)
        self.ids.append(graph)
        if self.fails:
            raise RuntimeError("out of memory")
        x = binding.inputs["x"]
        if "y" not in binding.outputs:
            binding.outputs["y"] = Memory(x.numpy())
        source, target = x, binding.outputs["y"]
        if graph != NOT_RECORDED:
            source, target = self.recorded.setdefault(graph, (x, target))
        target.update_inplace(source.numpy() * 2)


def runs_of(session: Doubler) -> BoundRuns:
    return BoundRuns(session, ["y"], "cuda", lambda like, device: Memory(like))


def test_the_first_run_is_not_recorded_and_all_later_ones_are_one_graph() -> None:
    session = Doubler()
    runs = runs_of(session)
    for value in (1.0, 2.0, 3.0):
        (y,) = runs.run({"x": np.full(4, value)}, session.execute)
        np.testing.assert_array_equal(y, np.full(4, 2 * value))
    assert session.ids[0] == NOT_RECORDED
    assert session.ids[1] == session.ids[2] != NOT_RECORDED
    assert len(session.bindings) == 1 and session.bindings[0].asked == ["y on cuda"]


def test_results_stay_when_the_next_run_overwrites_the_memory() -> None:
    session = Doubler()
    runs = runs_of(session)
    held = [runs.run({"x": np.full(2, float(n))}, session.execute)[0] for n in range(4)]
    np.testing.assert_array_equal(held, [[0, 0], [2, 2], [4, 4], [6, 6]])


@pytest.mark.parametrize("other", [np.ones(3), np.ones(2, np.float32)])
def test_other_shapes_and_types_get_other_memory_and_another_graph(other: Array) -> None:
    session = Doubler()
    runs = runs_of(session)
    for _ in range(2):
        runs.run({"x": np.ones(2)}, session.execute)
    for _ in range(2):
        (y,) = runs.run({"x": other}, session.execute)
        np.testing.assert_array_equal(y, 2 * np.ones(len(other)))
    assert session.ids[2] == NOT_RECORDED and len({*session.ids}) == 3


def test_a_failed_first_run_leaves_nothing_behind() -> None:
    session = Doubler()
    runs = runs_of(session)
    session.fails = True
    with pytest.raises(RuntimeError, match="out of memory"):
        runs.run({"x": np.ones(2)}, session.execute)
    session.fails = False
    (y,) = runs.run({"x": np.ones(2)}, session.execute)
    np.testing.assert_array_equal(y, [2, 2])
    assert session.ids == [NOT_RECORDED, NOT_RECORDED]


def test_two_threads_runs_of_one_session_never_share_a_graph() -> None:
    session = Doubler()
    one, other = runs_of(session), runs_of(session)
    for runs in (one, other, one, other):
        runs.run({"x": np.ones(2)}, session.execute)
    assert session.ids[2] != session.ids[3]
