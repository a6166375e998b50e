from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.buffers import KEPT, Buffers


def ones() -> NDArray[np.generic]:
    return np.ones((2, 3), np.float32)


def test_a_new_array_is_as_it_was_made() -> None:
    array = Buffers().take("a", ones)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, ones())


def test_an_array_nobody_has_comes_again_as_it_was_left() -> None:
    buffers = Buffers()
    array = buffers.take("a", ones)
    array[0, 0] = 7
    where = array.ctypes.data
    del array
    again = buffers.take("a", ones)
    assert again.ctypes.data == where and again[0, 0] == 7


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array,
        lambda array: array[0],
        lambda array: array[:, 1:].T,
        lambda array: array.T[1:][0],
        lambda array: np.frombuffer(array, np.float32),
        lambda array: memoryview(array),
        lambda array: [array],
    ],
)
def test_an_array_that_somebody_sees_is_not_lent_again(view: object) -> None:
    buffers = Buffers()
    assert callable(view)
    array = buffers.take("a", ones)
    where, held = array.ctypes.data, view(array)
    del array
    gc.collect()
    assert buffers.take("a", ones).ctypes.data != where
    assert held is not None


def test_other_keys_are_other_arrays_and_few_are_kept() -> None:
    buffers = Buffers()
    where = {key: buffers.take(key, ones).ctypes.data for key in range(KEPT)}
    assert len(set(where.values())) == KEPT
    made: list[int] = []

    def counted() -> NDArray[np.generic]:
        made.append(1)
        return ones()

    buffers.take(0, counted)
    assert not made
    buffers.take("one more", counted)  # the oldest is 1 now
    buffers.take(0, counted)
    buffers.take(1, counted)
    assert len(made) == 2


def test_threads_never_share() -> None:
    buffers, together = Buffers(), Barrier(2)

    def work(value: float) -> bool:
        for _ in range(200):
            array = buffers.take("a", ones)
            array[...] = value
            together.wait(10)
            if not (array == value).all():
                return False
            del array
        return True

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, (1.0, 2.0))) == [True, True]
