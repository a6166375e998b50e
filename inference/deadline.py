"""Stopping a blocking job at its deadline: the job's side and the outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


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
    """A job's side of its deadline. Thread-safe."""

    def __init__(self) -> None:
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
        if self._cancelled:
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
