"""One device, one worker thread: jobs by deadline, stopped when it passes, stuck threads abandoned.

Nothing here knows ONNX: a job is any blocking callable, and what it runs registers how to be stopped with its
`RunHandle`.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from inference.deadline import Cancelled, JobCancelled, RunHandle
from inference.errors import RuntimeStuck
from stream.clock import Clock, MonotonicClock

log = logging.getLogger(__name__)

T = TypeVar("T")
MAX_STUCK = 2


@dataclass(slots=True)
class DeviceStatistics:
    """Counters since the start.

    Attributes:
        done: jobs that ended in time.
        cancelled: jobs stopped while they ran.
        expired: jobs whose deadline passed before they started.
        failed: jobs that raised.
        abandoned: threads given up because their job would not stop.
        stuck: abandoned threads that still have not ended.
        waiting: jobs in the queue now.
        overshoot_max_ns: longest time from a deadline to the device being free again.
        overshoot_sum_ns: of all these times.
    """

    done: int = 0
    cancelled: int = 0
    expired: int = 0
    failed: int = 0
    abandoned: int = 0
    stuck: int = 0
    waiting: int = 0
    overshoot_max_ns: int = 0
    overshoot_sum_ns: int = 0


@dataclass(slots=True, order=True)
class _Job:
    priority: int
    deadline_ns: int
    order: int
    run: Callable[[RunHandle], object] = field(compare=False)
    future: asyncio.Future[Any] = field(compare=False)
    handle: RunHandle = field(compare=False)
    timer: asyncio.TimerHandle | None = field(compare=False, default=None)


class _Thread(threading.Thread):
    """Takes jobs until it is abandoned or the worker closes. Daemon: never blocks the exit."""

    def __init__(self, worker: DeviceWorker, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.abandoned = False
        self._worker = worker

    def run(self) -> None:
        while (job := self._worker._next(self)) is not None:
            result: object = None
            error: BaseException | None = None
            try:
                result = job.run(job.handle)
            except BaseException as raised:  # handed to the caller, whatever it is
                error = raised
            self._worker._post(self._worker._finished, self, job, result, error)
            del job, result, error
        self._worker._post(self._worker._ended, self)


class DeviceWorker:
    """Runs blocking jobs on one thread. All methods on the event loop it is first used on.

    A job whose deadline passes is told to stop; one that has not stopped `grace_ms` later loses its thread: a
    node that hangs cannot be killed within a process. At most two threads are given up like this.

    Args:
        name: for logs and thread names.
        grace_ms: how long a cancelled job may take to stop.
        clock: what deadlines are measured with.
    """

    def __init__(self, name: str = "device", *, grace_ms: float = 1000.0, clock: Clock | None = None) -> None:
        self.name = name
        self._grace_s = grace_ms / 1e3
        self._clock = clock or MonotonicClock()
        self._condition = threading.Condition()
        self._queue: list[_Job] = []
        self._order = itertools.count()
        self._stats = DeviceStatistics()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: _Thread | None = None
        self._running: _Job | None = None
        self._closing = False
        self._idle: asyncio.Event = asyncio.Event()

    def statistics(self) -> DeviceStatistics:
        """A copy of the counters."""
        with self._condition:
            return replace(self._stats, waiting=len(self._queue))

    async def run(
        self, job: Callable[[RunHandle], T], deadline_ns: int, *, priority: int = 0
    ) -> T | Cancelled:
        """Run `job` on the device's thread and return what it returns.

        Args:
            job: blocking; gets the handle it must register its stages with.
            deadline_ns: `Clock.now_ns` after which it is stopped, or dropped if it has not started.
            priority: lower runs first; equal by deadline, the earliest first, whoever asked.

        Returns:
            The job's result, or `Cancelled`.

        Raises:
            RuntimeStuck: too many threads are stuck in jobs that would not stop.
            Exception: whatever `job` raised.
        """
        future = self.submit(job, deadline_ns, priority=priority)
        return await future

    def submit(
        self, job: Callable[[RunHandle], T], deadline_ns: int, *, priority: int = 0
    ) -> asyncio.Future[T | Cancelled]:
        """As `run`, without waiting. Cancelling the future stops the job."""
        if self._closing:
            raise RuntimeStuck(f"{self.name}: closed", code="runtime-closed", retryable=False)
        if self._stats.stuck > MAX_STUCK:
            raise RuntimeStuck(self._stuck_text())
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[T | Cancelled] = loop.create_future()
        handle = RunHandle(deadline_ns, self._clock)
        entry = _Job(priority, deadline_ns, next(self._order), job, future, handle)
        delay_s = (deadline_ns - self._clock.now_ns()) / 1e9
        if delay_s <= 0:
            self._stats.expired += 1
            self._resolve(entry, Cancelled(started=False))
            return future
        entry.timer = loop.call_later(delay_s, self._expire, entry)
        future.add_done_callback(lambda done: self._forsaken(entry) if done.cancelled() else None)
        with self._condition:
            heapq.heappush(self._queue, entry)
            self._condition.notify()
        if self._thread is None:
            self._start_thread()
        return future

    async def close(self) -> None:
        """Drop what waits, stop what runs, end the thread (or abandon it after the grace)."""
        self._closing = True
        with self._condition:
            waiting, self._queue = self._queue, []
            running = self._running
            self._condition.notify_all()
        for entry in waiting:
            self._resolve(entry, Cancelled(started=False))
        if running is not None:
            running.handle.cancel()
        if self._thread is not None:
            try:
                await asyncio.wait_for(self._idle.wait(), self._grace_s)
            except TimeoutError:
                log.warning("device thread did not end, abandoned", extra={"device": self.name})
            if running is not None:
                self._resolve(running, Cancelled(stuck=True))

    # ---- called by the thread ------------------------------------------------------------------------------

    def _next(self, thread: _Thread) -> _Job | None:
        """The next job for `thread`, waiting for one; None when it shall end."""
        with self._condition:
            while True:
                if thread.abandoned or self._closing:
                    return None
                if self._queue:
                    self._running = heapq.heappop(self._queue)
                    return self._running
                self._condition.wait()

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed: nobody is left to tell
            return

    # ---- on the event loop ---------------------------------------------------------------------------------

    def _start_thread(self) -> None:
        name = f"{self.name}-{self._stats.abandoned}"
        self._thread = _Thread(self, name)
        self._thread.start()

    def _finished(self, thread: _Thread, entry: _Job, result: object, error: BaseException | None) -> None:
        if thread.abandoned:
            return
        if self._running is entry:
            self._running = None
        if error is None:
            self._stats.done += not entry.future.done()
            self._resolve(entry, result)
        elif isinstance(error, JobCancelled):
            self._stats.cancelled += 1
            self._resolve(entry, Cancelled(self._overshot(entry)))
        else:
            self._stats.failed += 1
            self._resolve(entry, error)

    def _ended(self, thread: _Thread) -> None:
        if thread.abandoned:
            self._stats.stuck -= 1
            log.info("an abandoned device thread ended", extra={"device": self.name})
        else:
            self._idle.set()

    def _expire(self, entry: _Job) -> None:
        """The deadline passed: drop a job that waits, stop one that runs."""
        with self._condition:
            waiting = entry in self._queue
            if waiting:
                self._queue.remove(entry)
                heapq.heapify(self._queue)
        if waiting:
            self._stats.expired += 1
            self._resolve(entry, Cancelled(started=False))
            return
        self._stop(entry)

    def _stop(self, entry: _Job) -> None:
        entry.handle.cancel()
        assert self._loop is not None
        entry.timer = self._loop.call_later(self._grace_s, self._give_up, entry)

    def _forsaken(self, entry: _Job) -> None:
        """The caller was cancelled: nobody wants the result."""
        if entry.timer is not None:
            entry.timer.cancel()
        with self._condition:
            if entry in self._queue:
                self._queue.remove(entry)
                heapq.heapify(self._queue)
                return
        if self._running is entry:
            self._stop(entry)

    def _give_up(self, entry: _Job) -> None:
        """The grace passed and the job still runs: leave it its thread and go on with a new one."""
        if self._running is not entry or self._thread is None:
            return
        self._running = None
        with self._condition:
            self._thread.abandoned = True
            self._stats.abandoned += 1
            self._stats.stuck += 1
        overshoot = self._overshot(entry)
        log.error("a run would not stop; its thread was abandoned", extra={"device": self.name})
        if self._stats.stuck <= MAX_STUCK:
            self._resolve(entry, Cancelled(overshoot, stuck=True))
            self._start_thread()
            return
        self._thread = None
        with self._condition:
            waiting, self._queue = self._queue, []
        for dropped in [entry, *waiting]:
            self._resolve(dropped, RuntimeStuck(self._stuck_text()))

    def _overshot(self, entry: _Job) -> int:
        """How long after its deadline a job gave the device back; counted."""
        overshoot = max(0, self._clock.now_ns() - entry.deadline_ns)
        self._stats.overshoot_sum_ns += overshoot
        self._stats.overshoot_max_ns = max(self._stats.overshoot_max_ns, overshoot)
        return overshoot

    def _stuck_text(self) -> str:
        return (
            f"{self.name}: {self._stats.stuck} runs neither ended nor could be stopped, at most {MAX_STUCK} "
            "are tolerated; restart the process, and check the model with `vitrine models check`"
        )

    def _resolve(self, entry: _Job, outcome: object) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        if entry.future.done():
            return
        if isinstance(outcome, BaseException):
            entry.future.set_exception(outcome)
        else:
            entry.future.set_result(outcome)
