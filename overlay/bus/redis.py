"""The bus over Redis (7 or newer; one server, one watched by Sentinel, or a cluster).

Per stream, in one hash slot: a hash with the snapshot, a stream with the newest events, a sharded channel and
the lease. One script checks the fence, stores the snapshot, appends the event and publishes it, so no reader
ever sees one without the other. Subscribers are woken by the channel, check that events are contiguous and
read what they missed from the stream; a look at the log every second finds what a lost message would have
told. A channel that stays silent although the stream lives (authors make themselves heard every two seconds)
belongs to a server that is cut off or no longer the primary: it is subscribed to anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from redis.asyncio.client import PubSub

from overlay.bus.base import TAIL, BusItem, EventItem, PositionsItem, SnapshotItem
from overlay.bus.redis_link import FAILURES, KEEP_MS, RETRY_S, TIMEOUT_S, RedisLink
from overlay.bus.scripts import FORGET, LOAD, POSITIONS, PUBLISH
from overlay.errors import BusError, FencedError, GapError
from overlay.messages import Event, Positions, Snapshot, encode
from stream.types import StreamId

log = logging.getLogger(__name__)

_POLL_S = 1.0
_AT_ONCE_S = 0.05
_DEAF_S = 5.0
"""A live stream that is not heard of for so long is subscribed to anew."""

_event_decoder = msgspec.json.Decoder(Event)
_positions_decoder = msgspec.json.Decoder(Positions)
_snapshot_decoder = msgspec.json.Decoder(Snapshot)


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """A stream's keys; the braces put them into one slot of a cluster."""

    state: str
    log: str
    channel: str
    lease: str
    viewers: str

    @staticmethod
    def of(stream: StreamId) -> StreamKeys:
        """The keys of `stream`."""
        base = f"vitrine:{{{stream}}}"
        return StreamKeys(*(f"{base}:{name}" for name in ("state", "log", "live", "lease", "viewers")))


@dataclass(frozen=True, slots=True)
class Held:
    """What Redis holds of a stream, as one look found it.

    Attributes:
        log: name of the log.
        live: a publisher delivers.
        news: the snapshot and the events after those asked for; None when there is nothing new.
    """

    log: str
    live: bool
    news: SnapshotItem | None


class RedisBus:
    """A `Bus` over Redis. Event loop only.

    Args:
        link: the way to Redis, or its address (see `RedisLink`).

    Attributes:
        positions_lost: positions that were overwritten, fenced off or could not be sent.
    """

    def __init__(self, link: RedisLink | str) -> None:
        self.positions_lost = 0
        self.link = RedisLink(link) if isinstance(link, str) else link
        self._slots: dict[StreamId, tuple[PositionsItem, int]] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    # ---- authors -------------------------------------------------------------------------------------------

    def post_positions(self, stream: StreamId, item: PositionsItem, fence: int = 0) -> None:
        """See `Bus`. What the writer has not sent yet is overwritten."""
        if stream in self._slots:
            self.positions_lost += 1
        self._slots[stream] = item, fence
        self._wake.set()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while not self._closing:  # a cancellation may be lost inside the client
            await self._wake.wait()
            self._wake.clear()
            for stream in list(self._slots):
                item, fence = self._slots.pop(stream)
                keys = StreamKeys.of(stream)
                try:
                    sent = await self.link.run(
                        POSITIONS, (keys.channel, keys.lease), b"p" + item.encoded, fence
                    )
                    self.positions_lost += 1 - int(sent)
                except BusError as error:
                    if self.positions_lost == 0:
                        log.warning("positions cannot be sent", extra={"reason": str(error)})
                    self.positions_lost += 1
                    await asyncio.sleep(RETRY_S[1])

    async def publish(
        self, stream: StreamId, event: Event | None, snapshot: Snapshot, fence: int = 0
    ) -> None:
        """See `Bus`."""
        keys = StreamKeys.of(stream)
        seq = event.seq if event is not None else snapshot.seq
        outcome, number, *rest = await self.link.run(
            PUBLISH,
            (keys.state, keys.log, keys.channel, keys.lease),
            snapshot.log,
            seq,
            encode(snapshot),
            encode(event) if event is not None else b"",
            TAIL,
            fence,
            KEEP_MS,
            int(snapshot.live),
        )
        if outcome == 1:
            raise GapError(seq, int(number))
        if outcome == 2:
            node = rest[0].decode() or "nobody"
            raise FencedError(f"lease {fence} of this stream was followed by {int(number)}, held by {node}")

    async def forget(self, stream: StreamId) -> None:
        """See `Bus`."""
        keys = StreamKeys.of(stream)
        await self.link.run(FORGET, (keys.state, keys.log))

    # ---- gateways ------------------------------------------------------------------------------------------

    async def subscribe(self, stream: StreamId) -> RedisSubscription:
        """See `Bus`."""
        subscription = RedisSubscription(self, stream)
        try:
            await subscription.connect()
        except FAILURES as error:
            await subscription.close()
            raise BusError(f"the bus is unreachable: {error}") from None
        return subscription

    async def read(self, stream: StreamId) -> SnapshotItem | None:
        """See `Bus`."""
        held = await self.load(stream)
        return None if held is None else held.news

    async def load(self, stream: StreamId, name: str = "", seq: int = 0) -> Held | None:
        """Look at a stream: of one moment, and only what a reader of log `name` up to `seq` does not have.

        Raises:
            BusError: unreachable.
        """
        keys = StreamKeys.of(stream)
        held = await self.link.run(LOAD, (keys.state, keys.log), name, seq)
        if not held:
            return None
        news = None
        if len(held) > 2:
            events = tuple(_event_decoder.decode(entry) for entry in held[3])
            news = SnapshotItem(_snapshot_decoder.decode(held[2]), events)
        return Held(held[0].decode(), held[1] == b"1", news)

    async def close(self) -> None:
        """See `Bus`."""
        self._closing = True
        self._wake.set()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self.link.close()


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
        self._heard_at = 0.0
        self._failures = 0

    async def connect(self) -> None:
        """Listen first, then read the state: nothing can fall between the two."""
        await self._drop()
        self._pubsub = await self._bus.link.pubsub()
        await self._pubsub.ssubscribe(StreamKeys.of(self._stream).channel)
        async with asyncio.timeout(TIMEOUT_S):
            while (message := await self._message(TIMEOUT_S)) is None or message["type"] != "ssubscribe":
                pass
        self._heard_at = asyncio.get_running_loop().time()
        await self._repair()

    async def next(self) -> BusItem:
        """See `Subscription`."""
        while not self._ready:
            try:
                if self._pubsub is None:
                    await self.connect()
                await self._listen()
                self._failures = 0
            except (BusError, *FAILURES) as error:
                if self._failures == 0:
                    log.warning("bus lost, trying again", extra={"reason": str(error)})
                await self._drop()
                await asyncio.sleep(RETRY_S[min(self._failures, len(RETRY_S) - 1)])
                self._failures += 1
        return self._ready.popleft()

    async def close(self) -> None:
        """See `Subscription`."""
        await self._drop()

    async def _listen(self) -> None:
        """Take one message, or look at the log when that is due; begin anew when the channel is deaf."""
        loop = asyncio.get_running_loop()
        message = await self._message(max(_AT_ONCE_S, self._poll_at - loop.time()))
        if message is not None and message["type"] == "smessage":
            self._heard_at = loop.time()
            await self._take(message["data"])
        if loop.time() < self._poll_at:
            return
        live = await self._repair()
        silent_s = loop.time() - self._heard_at
        if silent_s > (_DEAF_S if live and not self._ready else 2 * _POLL_S) and (live or self._ready):
            log.warning("channel is deaf, subscribing anew", extra={"stream": self._stream})
            await self._drop()

    async def _take(self, data: bytes) -> None:
        kind, body = data[:1], data[1:]
        if kind == b"k":
            return
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

    async def _repair(self) -> bool:
        """Read what was missed: the events where the log still has them all, else a fresh start.

        Returns whether the stream is live. An older state of the same log is no news: Redis was restored from
        a copy, or a replica that was behind took over, and the author will bring it up.
        """
        self._poll_at = asyncio.get_running_loop().time() + _POLL_S
        held = await self._bus.load(self._stream, self._log, self._seq)
        if held is None or held.news is None:
            return held is not None and held.live
        snapshot, events = held.news.snapshot, held.news.tail
        if held.log != self._log:
            self._ready.append(held.news)
        elif snapshot.seq <= self._seq:
            return held.live
        elif events and events[0].seq == self._seq + 1:
            self._ready.extend(EventItem(event, encode(event)) for event in events)
        else:
            whole = await self._bus.load(self._stream)
            if whole is None or whole.news is None:
                return held.live
            held, snapshot = whole, whole.news.snapshot
            self._ready.append(whole.news)
        self._log, self._seq = held.log, snapshot.seq
        return held.live

    async def _message(self, timeout_s: float) -> dict[str, Any] | None:
        assert self._pubsub is not None
        get = getattr(self._pubsub, "get_sharded_message", self._pubsub.get_message)
        return cast("dict[str, Any] | None", await get(timeout=timeout_s))

    async def _drop(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(*FAILURES):
                await pubsub.aclose()  # type: ignore[no-untyped-call]
