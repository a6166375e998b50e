"""Batches on this machine: worker processes that outlive no batch, and that no video can take down with it.

Not `concurrent.futures`: there one process that dies (a codec that crashes, memory that runs out) ends the
whole batch, and processes whose parent was killed wait for ever. Here each worker has a pipe of its own: its
end tells which video it was, and the parent's end tells the worker.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import msgspec

from vitrine.tagging.job import OnProgress, TagJob, TagReport, TagState
from vitrine.tagging.video import tag_video


class InProcess:
    """Runs jobs one after the other, here."""

    def run(self, jobs: Sequence[TagJob], on_progress: OnProgress) -> Iterator[TagReport]:
        """See `Executor`."""
        for job in jobs:
            yield tag_video(job, partial(on_progress, job.video))


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    job: TagJob | None = None


class ProcessPool:
    """Runs jobs in `workers` processes, each with its share of the cores.

    Args:
        workers: processes; no more are started than there are jobs.
    """

    def __init__(self, workers: int) -> None:
        self._count = workers

    def run(self, jobs: Sequence[TagJob], on_progress: OnProgress) -> Iterator[TagReport]:
        """See `Executor`. Leaving the iterator ends the workers."""
        waiting = deque(_with_threads(job, self._count) for job in jobs)
        workers = [_start() for _ in range(min(self._count, len(jobs)))]
        try:
            for worker in workers:
                _give(worker, waiting)
            while any(worker.job for worker in workers):
                ready = wait([worker.pipe for worker in workers if worker.job])
                for index, worker in enumerate(workers):
                    if worker.pipe not in ready:
                        continue
                    report = _listen(worker, on_progress)
                    if report is None:
                        continue
                    if not worker.process.is_alive() or worker.pipe.closed:
                        workers[index] = worker = _start() if waiting else worker
                    worker.job = None
                    _give(worker, waiting)
                    yield report
        finally:
            for worker in workers:
                _stop(worker)


def _with_threads(job: TagJob, workers: int) -> TagJob:
    """Models take the cores that are there: each process gets its part of them."""
    if job.config.inference.threads:
        return job
    share = max(1, (os.cpu_count() or 1) // workers)
    inference = msgspec.structs.replace(job.config.inference, threads=share)
    return replace(job, config=msgspec.structs.replace(job.config, inference=inference))


def _start() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), name="vitrine-tag", daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _give(worker: _Worker, waiting: deque[TagJob]) -> None:
    if waiting:
        worker.job = waiting.popleft()
        with suppress(OSError):  # it died already, which the next look at its pipe tells
            worker.pipe.send(worker.job)


def _listen(worker: _Worker, on_progress: OnProgress) -> TagReport | None:
    """The report, when that is what the worker sent; a failed one when it has died."""
    assert worker.job is not None
    video = worker.job.video
    try:
        message = worker.pipe.recv()
    except (EOFError, OSError):
        worker.pipe.close()
        worker.process.join(5)
        code = worker.process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return TagReport(video, TagState.FAILED, f"its process ended with {how}; the others go on")
    if isinstance(message, TagReport):
        return message
    on_progress(video, *message)
    return None


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    if worker.job is not None:
        worker.process.terminate()
    worker.process.join(5)
    if worker.process.is_alive():
        worker.process.kill()


def _work(pipe: Connection) -> None:
    """A worker's life: jobs in, progress and reports out, until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair, which then closes the pipe
    while True:
        try:
            job = pipe.recv()
            report = tag_video(job, lambda done, total: pipe.send((done, total)))
            pipe.send(report)
        except (EOFError, OSError):
            return
