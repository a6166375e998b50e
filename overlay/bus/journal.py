"""The journal: what every node shall hear once, in one order, however late it comes.

What every implementation guarantees, and `tests/overlay/bus/test_journal.py` checks:

- **Order**: all readers see the same entries in the same order. An entry whose outcome is not known may be
  appended again: readers tell repetitions apart by what it says.
- **A log** has a name. Where everything was lost (or is new) the next entry begins another log; a reader who
  asks by the old name is given all of the new one.
- **The newest** `KEPT` entries stay, however long nobody reads or writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

KEPT: Final = 2_000
PAGE: Final = 50
"""Entries read at once."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries.

    Attributes:
        log: name of the log; empty while nothing was written.
        entries: (place, entry), oldest first, at most `PAGE`.
    """

    log: str
    entries: tuple[tuple[str, bytes], ...] = ()


class Journal(Protocol):
    """Written and read by all nodes. Every method may raise `BusError` (retryable): unreachable."""

    async def append(self, entry: bytes) -> None:
        """Write one entry behind the others."""

    async def read(self, log: str, after: str) -> Page:
        """What follows the place `after` in `log`; from the beginning where the log is another one by now."""


class MemoryJournal:
    """A `Journal` within one process."""

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._gone = 0

    async def append(self, entry: bytes) -> None:
        """See `Journal`."""
        self._entries.append(entry)
        more = len(self._entries) - KEPT
        if more > 0:
            del self._entries[:more]
            self._gone += more

    async def read(self, log: str, after: str) -> Page:
        """See `Journal`."""
        if not self._entries:
            return Page("")
        start = max(0, int(after or 0) - self._gone) if log == "memory" else 0
        found = self._entries[start : start + PAGE]
        return Page("memory", tuple((str(self._gone + start + n), e) for n, e in enumerate(found, 1)))
