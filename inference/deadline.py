"""Stopping a blocking job at its deadline: the job's side and the outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from stream.clock import Clock, MonotonicClock


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A job did not make its deadline.

    Attributes:
        overshoot_ns: how long after the deadline the device was free again; 0 where it never started.
        started: it had begun; otherwise it was dropped from the queue.
        stuck: it would not stop, and its thread was abandoned.
    """

    overshoot_ns: int = 0
    started: bool = True
    stuck: bool = False


class JobCancelled(Exception):
    """Raised inside a job by `RunHandle.check` once its deadline has passed; ends as `Cancelled`."""


class RunHandle:
    """A job's side of its deadline. Thread-safe.

    Args:
        deadline_ns: `check` also looks at the clock, so that a job stops in time when the event loop, whose
            timer cancels it, is late itself; None: only `cancel` stops it.
        clock: what the deadline is measured with.
    """

    def __init__(self, deadline_ns: int | None = None, clock: Clock | None = None) -> None:
        self._deadline_ns = deadline_ns
        self._clock = clock or MonotonicClock()
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """The deadline has passed, or the caller went away."""
        return self._cancelled

    def check(self) -> None:
        """Call between the stages of a job.

        Raises:
            JobCancelled: the deadline has passed.
        """
        late = self._deadline_ns is not None and self._clock.now_ns() > self._deadline_ns
        if self._cancelled or late:
            raise JobCancelled

    def stoppable(self, stop: Callable[[], None] | None) -> None:
        """What `cancel` shall call from now on to stop the running stage (None: nothing can).

        Raises:
            JobCancelled: it is cancelled already; `stop` was not called.
        """
        with self._lock:
            if stop is not None:
                self.check()
            self._stop = stop

    def cancel(self) -> None:
        """Stop the job: the running stage if it can be stopped, else at the next `check`."""
        with self._lock:
            self._cancelled = True
            if self._stop is not None:
                self._stop()
