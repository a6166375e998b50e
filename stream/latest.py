"""A one-item mailbox: the newest wins, what it displaced is counted."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """The first of the three buffers: between a source and its consumer.

    `put` never waits, so the age of what `get` returns is bounded by one item whatever the consumer does.
    One consumer; event loop only.

    Attributes:
        dropped: items displaced before they were taken.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._item: T | None = None
        self._ready = asyncio.Event()
        self._closed = False

    def put(self, item: T) -> T | None:
        """Offer `item`; returns the item it displaced, if any. Ignored after `close`."""
        if self._closed:
            return None
        displaced, self._item = self._item, item
        if displaced is not None:
            self.dropped += 1
        self._ready.set()
        return displaced

    def peek(self) -> T | None:
        """The waiting item, left in place."""
        return self._item

    async def get(self) -> T | None:
        """Wait for an item and take it. None once closed and empty."""
        await self._ready.wait()
        item, self._item = self._item, None
        if not self._closed:
            self._ready.clear()
        return item

    def close(self) -> None:
        """No more items; a waiting `get` returns what is left, then None."""
        self._closed = True
        self._ready.set()
