"""The bus over Redis (7 or newer; a single server or a cluster). Nothing else imports redis.

Per stream, in one hash slot: a hash with the snapshot, a stream with the newest events, a sharded channel.
One script stores the snapshot, appends the event and publishes it, so no reader ever sees one without the
other. Subscribers are woken by the channel, check that events are contiguous and read what they missed from
the stream; a look at the log every second finds what a lost message would have told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from overlay.bus.base import TAIL, BusItem, EventItem, PositionsItem, SnapshotItem
from overlay.bus.scripts import FORGET, LOAD, PUBLISH
from overlay.errors import BusError
from overlay.messages import Event, Positions, Snapshot, encode
from stream.types import StreamId

log = logging.getLogger(__name__)

_POLL_S = 1.0
_TIMEOUT_S = 2.0
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_FAILURES = (RedisError, RedisClusterException, OSError, TimeoutError, asyncio.IncompleteReadError)

_event_decoder = msgspec.json.Decoder(Event)
_positions_decoder = msgspec.json.Decoder(Positions)
_snapshot_decoder = msgspec.json.Decoder(Snapshot)


@dataclass(frozen=True, slots=True)
class _Keys:
    """A stream's keys; the braces put them into one slot of a cluster."""

    state: str
    log: str
    channel: str

    @staticmethod
    def of(stream: StreamId) -> _Keys:
        base = f"vitrine:{{{stream}}}"
        return _Keys(f"{base}:state", f"{base}:log", f"{base}:live")


class RedisBus:
    """A `Bus` over Redis. Event loop only.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, or ``redis+cluster://`` with any node of a cluster.

    Attributes:
        positions_lost: positions that were overwritten or could not be sent.
    """

    def __init__(self, url: str) -> None:
        self.positions_lost = 0
        self._cluster = url.startswith("redis+cluster://")
        retry = Retry(NoBackoff(), 1)
        options: dict[str, Any] = {
            "socket_timeout": _TIMEOUT_S,
            "socket_connect_timeout": _TIMEOUT_S,
            "protocol": 2,
            "retry": retry,
        }
        try:
            self._client: Redis | RedisCluster = (
                RedisCluster.from_url(url.replace("redis+cluster://", "redis://", 1), **options)
                if self._cluster
                else Redis.from_url(url, **options)
            )
        except ValueError as error:
            raise BusError(f"bus address: {error}", code="bus-address", retryable=False) from None
        self._slots: dict[StreamId, PositionsItem] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    # ---- authors -------------------------------------------------------------------------------------------

    def post_positions(self, stream: StreamId, item: PositionsItem) -> None:
        """See `Bus`. What the writer has not sent yet is overwritten."""
        if stream in self._slots:
            self.positions_lost += 1
        self._slots[stream] = item
        self._wake.set()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while not self._closing:  # a cancellation may be lost inside the client
            await self._wake.wait()
            self._wake.clear()
            for stream in list(self._slots):
                item = self._slots.pop(stream)
                try:
                    channel = _Keys.of(stream).channel
                    await self._client.execute_command("SPUBLISH", channel, b"p" + item.encoded)
                except _FAILURES as error:
                    if self.positions_lost == 0:
                        log.warning("positions cannot be sent", extra={"reason": str(error)})
                    self.positions_lost += 1
                    await asyncio.sleep(_RETRY_S[1])

    async def publish(self, stream: StreamId, event: Event | None, snapshot: Snapshot) -> None:
        """See `Bus`."""
        keys = _Keys.of(stream)
        seq = event.seq if event is not None else snapshot.seq
        encoded = encode(event) if event is not None else b""
        last = await self._eval(
            PUBLISH,
            (keys.state, keys.log, keys.channel),
            (snapshot.log, seq, encode(snapshot), encoded, TAIL),
        )
        if int(last) < 0:
            raise BusError(
                f"event {seq} does not follow {-1 - int(last)} in the log of this stream; "
                "publish the missing ones first",
                code="bus-gap",
                retryable=False,
            )

    async def forget(self, stream: StreamId) -> None:
        """See `Bus`."""
        keys = _Keys.of(stream)
        await self._eval(FORGET, (keys.state, keys.log), ())

    # ---- gateways ------------------------------------------------------------------------------------------

    async def subscribe(self, stream: StreamId) -> RedisSubscription:
        """See `Bus`."""
        subscription = RedisSubscription(self, stream)
        try:
            await subscription.connect()
        except _FAILURES as error:
            await subscription.close()
            raise BusError(f"the bus is unreachable: {error}") from None
        return subscription

    async def pubsub(self) -> PubSub:
        """A connection of its own for one subscription."""
        if isinstance(self._client, RedisCluster):
            await self._client.initialize()
        return self._client.pubsub()

    async def load(self, stream: StreamId, after: int) -> tuple[str, Snapshot, tuple[Event, ...]] | None:
        """The log's name, the snapshot, and the held events after `after`, of one moment.

        Raises:
            BusError: unreachable.
        """
        keys = _Keys.of(stream)
        held = await self._eval(LOAD, (keys.state, keys.log), (after + 1,))
        if not held:
            return None
        name, snapshot, events = held
        return (
            name.decode(),
            _snapshot_decoder.decode(snapshot),
            tuple(_event_decoder.decode(entry) for entry in events),
        )

    async def close(self) -> None:
        """See `Bus`."""
        self._closing = True
        self._wake.set()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        with contextlib.suppress(*_FAILURES):
            await self._client.aclose()

    async def _eval(self, script: str, keys: tuple[str, ...], args: tuple[object, ...]) -> Any:
        try:
            answer = self._client.eval(script, len(keys), *keys, *cast(tuple[str, ...], args))
            return await answer
        except _FAILURES as error:
            raise BusError(f"the bus is unreachable: {error}") from None


class RedisSubscription:
    """A `Subscription` that repairs itself."""

    def __init__(self, bus: RedisBus, stream: StreamId) -> None:
        self._bus = bus
        self._stream = stream
        self._pubsub: PubSub | None = None
        self._ready: deque[BusItem] = deque()
        self._log = ""
        self._seq = 0
        self._poll_at = 0.0
        self._failures = 0

    async def connect(self) -> None:
        """Listen first, then read the state: nothing can fall between the two."""
        await self._drop()
        self._pubsub = await self._bus.pubsub()
        await self._pubsub.ssubscribe(_Keys.of(self._stream).channel)
        async with asyncio.timeout(_TIMEOUT_S):
            while (message := await self._message(_TIMEOUT_S)) is None or message["type"] != "ssubscribe":
                pass
        await self._repair()

    async def next(self) -> BusItem:
        """See `Subscription`."""
        while not self._ready:
            try:
                if self._pubsub is None:
                    await self.connect()
                await self._listen()
                self._failures = 0
            except (BusError, *_FAILURES) as error:
                if self._failures == 0:
                    log.warning("bus lost, trying again", extra={"reason": str(error)})
                await self._drop()
                await asyncio.sleep(_RETRY_S[min(self._failures, len(_RETRY_S) - 1)])
                self._failures += 1
        return self._ready.popleft()

    async def close(self) -> None:
        """See `Subscription`."""
        await self._drop()

    async def _listen(self) -> None:
        """Take one message, or look at the log when that is due."""
        wait_s = self._poll_at - asyncio.get_running_loop().time()
        message = await self._message(wait_s) if wait_s > 0 else None
        if message is not None and message["type"] == "smessage":
            await self._take(message["data"])
        elif asyncio.get_running_loop().time() >= self._poll_at:
            await self._repair()

    async def _take(self, data: bytes) -> None:
        kind, body = data[:1], data[1:]
        if kind == b"p":
            self._ready.append(PositionsItem(_positions_decoder.decode(body), body))
            return
        if kind == b"e":
            name, _, encoded = body.partition(b"\n")
            event = _event_decoder.decode(encoded)
            if name.decode() == self._log and event.seq <= self._seq:
                return
            if name.decode() == self._log and event.seq == self._seq + 1:
                self._seq = event.seq
                self._ready.append(EventItem(event, encoded))
                return
        await self._repair()

    async def _repair(self) -> None:
        """Read what was missed: the events where the log still has them all, else a fresh start."""
        self._poll_at = asyncio.get_running_loop().time() + _POLL_S
        known = bool(self._log)
        loaded = await self._bus.load(self._stream, self._seq if known else 0)
        if loaded is None:
            return
        name, snapshot, events = loaded
        if known and name == self._log:
            if snapshot.seq == self._seq:
                return
            if events and events[0].seq == self._seq + 1:
                self._ready.extend(EventItem(event, encode(event)) for event in events)
                self._seq = events[-1].seq
                return
        if known and name != self._log:
            loaded = await self._bus.load(self._stream, 0)
            if loaded is None:
                return
            name, snapshot, events = loaded
        self._log, self._seq = name, snapshot.seq
        self._ready.append(SnapshotItem(snapshot, events))

    async def _message(self, timeout_s: float) -> dict[str, Any] | None:
        assert self._pubsub is not None
        get = getattr(self._pubsub, "get_sharded_message", self._pubsub.get_message)
        return cast("dict[str, Any] | None", await get(timeout=timeout_s))

    async def _drop(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(*_FAILURES):
                await pubsub.aclose()  # type: ignore[no-untyped-call]
