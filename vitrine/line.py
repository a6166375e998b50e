"""One thread for work that somebody waits for, and not too much of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from vitrine.errors import Busy

T = TypeVar("T")


class Line:
    """Work in order of arrival, on one thread. Event loop only; `close` when done.

    Args:
        name: of the thread, and in the words of a refusal.
        most: pieces of work that may wait or run.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._pool = ThreadPoolExecutor(1, name)
        self._waiting = 0

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Queue `work`.

        Raises:
            Busy: too much waits.
        """
        if self._waiting >= self._most:
            raise Busy(f"search: {self._waiting} {self._name} wait already; try again in a moment")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._done)
        return future

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, future: asyncio.Future[T]) -> None:
        self._waiting -= 1
