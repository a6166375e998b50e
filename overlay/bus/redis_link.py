"""The way to Redis that the bus and the registry share: addresses, scripts, what counts as unreachable."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from overlay.errors import BusError

TIMEOUT_S = 2.0
KEEP_MS = 86_400_000
"""What nobody writes any more is gone after a day."""
RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)
FAILURES = (RedisError, RedisClusterException, OSError, TimeoutError, asyncio.IncompleteReadError)


class RedisLink:
    """A pool of connections. Event loop only.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``; ``redis+cluster://`` with any node of a cluster; or
            ``redis+sentinel://[user:password@]host:port[,host:port...]/SERVICE[/DATABASE]``.

    Raises:
        BusError: no such address (not retryable).
    """

    def __init__(self, url: str) -> None:
        options: dict[str, Any] = {
            "socket_timeout": TIMEOUT_S,
            "socket_connect_timeout": TIMEOUT_S,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 1),
        }
        self._sentinel: Sentinel | None = None
        try:
            if url.startswith("redis+sentinel://"):
                self._client: Redis | RedisCluster = self._watched(urlsplit(url), options)
            elif url.startswith("redis+cluster://"):
                plain = url.replace("redis+cluster://", "redis://", 1)
                self._client = RedisCluster.from_url(plain, **options)
            else:
                self._client = Redis.from_url(url, **options)
        except ValueError as error:
            raise BusError(f"bus address: {error}", code="bus-address", retryable=False) from None
        self._shas: dict[str, str] = {}

    def _watched(self, parts: SplitResult, options: dict[str, Any]) -> Redis:
        """A client that asks the sentinels where the primary is, every time it connects."""
        _, _, hosts = parts.netloc.rpartition("@")
        service, _, database = parts.path.strip("/").partition("/")
        places = [host.rpartition(":") for host in hosts.split(",")]
        if not service or not all(name and port.isdigit() for name, _, port in places):
            raise ValueError("expected redis+sentinel://host:port[,host:port]/service[/database]")
        login: dict[str, Any] = {"username": parts.username and unquote(parts.username)}
        login["password"] = parts.password and unquote(parts.password)
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
            [(name, int(port)) for name, _, port in places],
            sentinel_kwargs={"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S},
            **options,
        )
        return cast(Redis, self._sentinel.master_for(service, db=int(database or 0), **login))

    async def run(self, script: str, keys: tuple[str, ...], *args: object) -> Any:
        """Run a script, by its hash where Redis knows it already.

        Raises:
            BusError: unreachable; whether it ran is not known.
        """
        sha = self._shas.get(script)
        if sha is None:
            sha = self._shas[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        values = (*keys, *cast(tuple[str, ...], args))
        try:
            try:
                return await cast(Any, self._client.evalsha(sha, len(keys), *values))
            except NoScriptError:
                return await cast(Any, self._client.eval(script, len(keys), *values))
        except FAILURES as error:
            raise BusError(f"the bus is unreachable: {error}") from None

    async def pubsub(self) -> PubSub:
        """A connection of its own for one subscription."""
        if isinstance(self._client, RedisCluster):
            await self._client.initialize()
        return self._client.pubsub()

    async def close(self) -> None:
        """Close all connections."""
        with contextlib.suppress(*FAILURES):
            await self._client.aclose()
        for sentinel in self._sentinel.sentinels if self._sentinel else ():
            with contextlib.suppress(*FAILURES):
                await sentinel.aclose()
