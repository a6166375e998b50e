"""Many callers, one worker at a time: what waits for the same thing is done in one go.

Threads that search side by side on few cores share time slices, so that the slowest of 16 takes ten times
what its turn would. Here one of the waiting threads works for all (combining, Hendler et al., SPAA 2010); the
others sleep, and wait for the run under way and their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Found = tuple[NDArray[np.intp], Floats]
"""Rows intp (n, k) and their cosines float32 (n, k), in no promised order."""
Key = TypeVar("Key")

_MOST = 256
"""Vectors in one go."""


@dataclass(slots=True, eq=False)
class _Job(Generic[Key]):
    key: Key
    vectors: Floats
    k: int
    awake: threading.Event = field(default_factory=threading.Event)
    found: Found | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.found is not None or self.error is not None


class Lane(Generic[Key]):
    """Combines calls. Safe from any thread; callers are served in order of arrival, key by key.

    Args:
        work: (key, vectors (n, dim), k) to what was found for them; never called twice at once.
    """

    def __init__(self, work: Callable[[Key, Floats, int], Found]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._waiting: list[_Job[Key]] = []
        self._busy = False

    def run(self, key: Key, vectors: Floats, k: int) -> Found:
        """What `work` finds for `vectors`; `k` may be exceeded where others asked for more.

        Raises whatever `work` raises.
        """
        job = _Job(key, vectors, k)
        with self._lock:
            self._waiting.append(job)
            leads, self._busy = not self._busy, True
        if not leads:
            job.awake.wait()
        if not job.done:
            self._lead()
        if job.error is not None:
            raise job.error
        assert job.found is not None
        return job.found

    def _lead(self) -> None:
        """Work for the first in line and all that want the same, then hand over."""
        with self._lock:
            group = self._group()
            self._waiting = [job for job in self._waiting if job not in group]
        try:
            rows, cosines = self._work(
                group[0].key,
                group[0].vectors if len(group) == 1 else np.concatenate([job.vectors for job in group]),
                max(job.k for job in group),
            )
            at = 0
            for job in group:
                job.found = rows[at : at + len(job.vectors)], cosines[at : at + len(job.vectors)]
                at += len(job.vectors)
        except BaseException as error:
            for job in group:
                job.error = error
        with self._lock:
            following = self._waiting[0] if self._waiting else None
            self._busy = following is not None
        if following is not None:
            following.awake.set()
        for job in group:
            job.awake.set()

    def _group(self) -> list[_Job[Key]]:
        first, size = self._waiting[0], 0
        group: list[_Job[Key]] = []
        for job in self._waiting:
            size += len(job.vectors)
            if group and size > _MOST:
                break
            if job.key == first.key:
                group.append(job)
        return group
