"""Pictures of several streams in one run, where the warm-up found that this pays.

Each stream's job keeps its own place and deadline in the device's queue. The first that gets there takes
along what waits for the same input, and the others find their answer ready when it is their turn: nobody
waits for company. A run that is stopped at the first one's deadline leaves the others as they were.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from inference.deadline import RunHandle

Part = TypeVar("Part")
Found = TypeVar("Found")


class Batches(Generic[Part, Found]):
    """What waits for one kind of run. Thread-safe.

    Args:
        run: answers several parts at once, in their order.
        most: parts in one run.
    """

    def __init__(self, run: Callable[[Sequence[Part], RunHandle], Sequence[Found]], most: int) -> None:
        self._run = run
        self.most = most
        self._lock = threading.Lock()
        self._waiting: list[Ticket[Part, Found]] = []

    def ticket(self, part: Part) -> Ticket[Part, Found]:
        """A job for `part`; `Ticket.withdraw` it when it is over, however it ended."""
        made = Ticket(part, self)
        with self._lock:
            self._waiting.append(made)
        return made

    def withdraw(self, ticket: Ticket[Part, Found]) -> None:
        """Nobody wants it any more."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)

    def answer(self, ticket: Ticket[Part, Found], handle: RunHandle) -> Found:
        """The answer to `ticket`, with the answers to others that wait. Blocking: on the device's thread.

        Raises whatever `run` raises; the others then try again for themselves.
        """
        with self._lock:
            if ticket.found is not None:
                return ticket.found
            others = [one for one in self._waiting if one is not ticket]
            group = [ticket, *others[: self.most - 1]]
        found = self._run([one.part for one in group], handle)
        with self._lock:
            for one, answer in zip(group, found, strict=True):
                one.found = answer
            self._waiting = [one for one in self._waiting if one not in group]
        return found[0]


class Ticket(Generic[Part, Found]):
    """One job of a batch: call it with its handle on the device's thread.

    Attributes:
        part: what it is about.
        found: the answer, once it is known.
    """

    def __init__(self, part: Part, batches: Batches[Part, Found]) -> None:
        self.part = part
        self.found: Found | None = None
        self._batches = batches

    def __call__(self, handle: RunHandle) -> Found:
        """The answer, worked out now or before."""
        return self._batches.answer(self, handle)

    def withdraw(self) -> None:
        """It is over."""
        self._batches.withdraw(self)
