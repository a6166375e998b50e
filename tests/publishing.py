"""A real publisher for tests of a whole server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from stream.publish import Publisher
from stream.sources.synthetic import show_path
from vitrine.app import Server


@asynccontextmanager
async def publishing(server: Server, stream: str, clip: Path | None = None) -> AsyncIterator[None]:
    """`clip`, or the embedded show, published to `server` by WHIP over and over until the block is left."""
    key = server.keys.publish.reveal()
    publisher = Publisher(f"{server.url}/whip/{stream}", key, str(clip or show_path()), loop=True)
    task = asyncio.ensure_future(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
