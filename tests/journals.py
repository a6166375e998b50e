"""Journals of every kind, for the suites that must hold on each."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from overlay.bus.journal import Journal, MemoryJournal
from overlay.bus.redis_journal import RedisJournal
from overlay.bus.redis_link import RedisLink
from tests.redis_server import RedisServer


@contextlib.asynccontextmanager
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Journal]:
    """The journal that a fixture's parameter names: "memory", or the fixture of a Redis server."""
    if request.param == "memory":
        yield MemoryJournal()
        return
    server: RedisServer = request.getfixturevalue(request.param)
    server.flush()
    link = RedisLink(server.url)
    yield RedisJournal(link, "lessons")
    await link.close()
