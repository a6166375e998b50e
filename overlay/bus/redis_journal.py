"""The journal in Redis: one stream, and the name of its log beside it."""

from __future__ import annotations

from overlay.bus.journal import KEPT, PAGE, Page
from overlay.bus.redis_link import RedisLink
from overlay.bus.scripts import APPEND, READ


class RedisJournal:
    """A `Journal` over Redis. Event loop only.

    Args:
        link: the way to Redis; shared with the bus, which closes it.
        name: which journal.
    """

    def __init__(self, link: RedisLink, name: str) -> None:
        self._link = link
        base = f"vitrine:{{journal-{name}}}"
        self._keys = f"{base}:log", f"{base}:entries"

    async def append(self, entry: bytes) -> None:
        """See `Journal`."""
        await self._link.run(APPEND, self._keys, entry, KEPT)

    async def read(self, log: str, after: str) -> Page:
        """See `Journal`."""
        name, found = await self._link.run(READ, self._keys, log, after, PAGE)
        return Page(name.decode(), tuple((place.decode(), cells[1]) for place, cells in found))
