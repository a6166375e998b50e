"""From a source's thread to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future

from stream.errors import SourceError

_IN_FLIGHT = 8


class Outlet:
    """Carries calls to the loop: in order, at most a few in flight.

    Args:
        loop: where calls are made.
        finished: told the outcome of the thread.
        live: a source that does not wait: pictures are dropped instead.
        on_late: called on the loop for each dropped picture.

    Attributes:
        stop: set when the thread should end.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        finished: asyncio.Future[None],
        *,
        live: bool,
        on_late: Callable[[], None],
    ) -> None:
        self.stop = threading.Event()
        self._loop = loop
        self._finished = finished
        self._live = live
        self._on_late = on_late
        self._free = threading.BoundedSemaphore(_IN_FLIGHT)

    def post(self, call: Callable[[], None], *, droppable: bool = False) -> None:
        """Have the loop make `call`. A busy loop holds a file up; of a live source it loses pictures."""
        while not self._free.acquire(timeout=0.0 if droppable and self._live else 0.2):
            if droppable and self._live:
                self._soon(self._on_late)
                return
            if self.stop.is_set():
                return
        self._soon(lambda: self._carry_out(call))

    def ask(self, question: Callable[[], int], otherwise: int) -> int:
        """What the loop answers to `question`; `otherwise` when the source is stopped meanwhile."""
        answer: Future[int] = Future()
        self.post(lambda: answer.set_result(question()))
        while not self.stop.is_set():
            with contextlib.suppress(TimeoutError):
                return answer.result(timeout=0.2)
        return otherwise

    def guard(self, run: Callable[[], None]) -> None:
        """The thread's body: `run`, its outcome told to the loop."""
        failure: SourceError | None = None
        try:
            run()
        except SourceError as error:
            failure = error
        except Exception as error:  # whatever ended the thread, its owner must hear of it
            failure = SourceError(f"source: broke off: {error}", code="source-broken", retryable=True)
        self._soon(lambda: self._finish(failure))

    def _finish(self, failure: SourceError | None) -> None:
        if self._finished.done():
            return
        if failure is None:
            self._finished.set_result(None)
        else:
            self._finished.set_exception(failure)

    def _carry_out(self, call: Callable[[], None]) -> None:
        self._free.release()
        if not self.stop.is_set():
            call()

    def _soon(self, call: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(call)
