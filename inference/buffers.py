"""Memory that is filled once per frame, used again as soon as nobody refers to what was made of it.

An array of a megabyte or more comes from the system page by page, and every page has to be zeroed and mapped
before it can be written: half of the time that filling it takes. Who gets an array here owns it like any
other: it is handed out again only when it, and every view of it, is gone.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import cast

import numpy as np
from numpy.typing import NDArray

KEPT = 6
"""Arrays kept per thread; those longest unused are forgotten first."""


class _Block:
    """The memory of one array, and who has it now."""

    def __init__(self, array: NDArray[np.generic]) -> None:
        self._memory = array.data.cast("B")
        self._dtype, self._shape = array.dtype, array.shape
        self._lent: weakref.ref[NDArray[np.generic]] | None = None

    def lend(self) -> NDArray[np.generic] | None:
        """The array, unless somebody still has it or a view of it.

        Every view of an array over foreign memory refers to that array, which therefore lives as long as they
        do. (`frombuffer`, because ``ndarray(buffer=...)`` looks through the memoryview at what is behind it.)
        """
        if self._lent is not None and self._lent() is not None:
            return None
        whole = np.frombuffer(self._memory, self._dtype)
        self._lent = weakref.ref(whole)
        return whole.reshape(self._shape)


class Buffers:
    """Arrays by key, kept per thread: two threads never share one. Thread-safe.

    A thread that was given up in the middle of a run keeps its own, and what it holds is never lent again.
    """

    def __init__(self) -> None:
        self._local = threading.local()

    def take(self, key: Hashable, make: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
        """An array that nobody else has, as `make` made it or as its last owner left it.

        Args:
            key: arrays of one key are alike.
            make: makes a new one, contiguous, where there is none to use again.
        """
        kept = cast("OrderedDict[Hashable, _Block]", self._local.__dict__.setdefault("kept", OrderedDict()))
        block = kept.pop(key, None)
        array = None if block is None else block.lend()
        if block is None or array is None:
            block = _Block(make())
            array = block.lend()
            assert array is not None
        kept[key] = block
        if len(kept) > KEPT:
            kept.popitem(last=False)
        return array
