"""The one public port: reads a connection's first request head, then hands the connection to whom it belongs.

A websocket upgrade under ``/ws/`` goes to the gateway's own protocol, everything else to aiohttp's handler,
with the bytes read so far. Proxies that reuse connections send upgrades down one that aiohttp already owns:
route ``/ws/...`` in aiohttp to `late_upgrade`, which hands those over too (nginx with upstream keep-alive:
every upgrade arrives that way).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import weakref
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from vitrine.errors import FrontError

log = logging.getLogger(__name__)

ProtocolFactory = Callable[[], asyncio.Protocol]

HEAD_END: Final = b"\r\n\r\n"
MAX_HEAD_BYTES: Final = 16_384
HEAD_TIMEOUT_S: Final = 5.0
IDLE_TIMEOUT_S: Final = 60.0
"""For a connection that has sent nothing: browsers open some ahead of need."""
MAX_WAITING: Final = 2048
WEBSOCKET_PATH: Final = b"/ws/"


def is_websocket_upgrade(head: bytes, path: bytes = WEBSOCKET_PATH) -> bool:
    """Whether a complete request head asks to upgrade to a websocket below `path` (RFC 6455, section 4.1)."""
    request, _, fields = head.partition(b"\r\n")
    if not request.startswith(b"GET " + path):
        return False
    for line in fields.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"upgrade":
            return b"websocket" in (token.strip().lower() for token in value.split(b","))
    return False


class _HeadReader(asyncio.Protocol):
    """Owns a connection until its first head is complete."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._front.admit(transport, self):
            transport.abort()
            return
        self._wait(self._front.idle_timeout_s)

    def _wait(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._too_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self._buffer:
            self._refuse(b"408 Request Timeout", b"request head not complete in time")
        elif self._transport is not None:
            self._transport.close()

    def _refuse(self, status: bytes, words: bytes) -> None:
        transport, self._transport = self._transport, None
        if transport is None:
            return
        self._stop_timer()
        transport.write(
            b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            b"Content-Length: " + str(len(words)).encode() + HEAD_END + words
        )
        transport.close()

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        if not self._buffer:
            self._wait(self._front.head_timeout_s)
            if data[0] == 0x16:  # a TLS ClientHello (RFC 8446, section 5.1) on a port without TLS
                self._refuse(b"400 Bad Request", b"this port speaks plain http, not https")
                return
        searched = max(0, len(self._buffer) - len(HEAD_END))
        self._buffer += data
        end = self._buffer.find(HEAD_END, searched)
        if end < 0 and len(self._buffer) <= MAX_HEAD_BYTES:
            return
        if not 0 <= end <= MAX_HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large", b"request head too large, expected 16 KiB")
            return
        self._hand_over(bytes(self._buffer), end)

    def _hand_over(self, data: bytes, end: int) -> None:
        transport, self._transport = self._transport, None
        assert transport is not None
        self._stop_timer()
        self._front.waiting.discard(self)
        if is_websocket_upgrade(data[:end]):
            protocol = self._front.websocket()
        else:
            protocol = self._front.http()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._stop_timer()
        self._front.waiting.discard(self)

    def close(self) -> None:
        """Drop the connection: the engine is stopping."""
        if self._transport is not None:
            self._transport.close()


class Front:
    """The listening socket and the connections that came through it.

    Args:
        http: makes the protocol of ordinary requests (``AppRunner.server``).
        websocket: makes the gateway's protocol; it gets the complete request head as its first data.
        head_timeout_s: from a head's first byte to its last.
        idle_timeout_s: until the first byte.
        max_waiting: connections with unfinished heads; further ones are dropped and counted.

    Attributes:
        refused: connections dropped because too many were waiting.
    """

    def __init__(
        self,
        http: ProtocolFactory,
        websocket: ProtocolFactory,
        *,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.http = http
        self.websocket = websocket
        self.head_timeout_s = head_timeout_s
        self.idle_timeout_s = idle_timeout_s
        self.waiting: set[asyncio.Protocol] = set()
        self.refused = 0
        self._max_waiting = max_waiting
        self._server: asyncio.Server | None = None
        self._transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def start(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, *, reuse_port: bool = False
    ) -> tuple[int, ...]:
        """Listen; returns the ports, which matters with port 0. `reuse_port`: with other processes.

        Raises:
            FrontError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _HeadReader(self),
                host,
                port,
                ssl=tls,
                backlog=1024,
                reuse_address=True,
                reuse_port=reuse_port or None,
            )
        except OSError as error:
            raise FrontError(
                f"cannot listen on {host} port {port}: {error.strerror or error}. Stop the program that "
                "uses it, or choose another with --port (0 takes any free one).",
                code="front-bind",
            ) from None
        return tuple(int(sock.getsockname()[1]) for sock in self._server.sockets)

    def admit(self, transport: asyncio.Transport, reader: _HeadReader) -> bool:
        """Take note of a new connection; False when too many wait with unfinished heads."""
        if len(self.waiting) >= self._max_waiting:
            self.refused += 1
            return False
        self.waiting.add(reader)
        self._transports.add(transport)
        return True

    @property
    def connections(self) -> int:
        """Connections open now, of either kind."""
        return sum(not transport.is_closing() for transport in self._transports)

    async def stop_accepting(self) -> None:
        """First half of a shutdown: no new connections, unfinished heads are dropped."""
        if self._server is not None:
            self._server.close()
        for reader in list(self.waiting):
            if isinstance(reader, _HeadReader):
                reader.close()

    async def close(self, timeout_s: float = 1.0) -> None:
        """Second half: close what is still open, of either kind; abort what is not gone by `timeout_s`."""
        await self.stop_accepting()
        for transport in list(self._transports):
            transport.close()
        for _ in range(max(1, int(timeout_s / 0.02))):
            if not self._alive():
                break
            await asyncio.sleep(0.02)
        for transport in self._alive():
            transport.abort()
        await asyncio.sleep(0)

    def _alive(self) -> list[asyncio.Transport]:
        return [t for t in list(self._transports) if not t.is_closing() or t.get_write_buffer_size()]


class _LateUpgrade(asyncio.Protocol):
    """Passes a connection taken over from aiohttp on to the gateway and says when it is gone."""

    def __init__(self, inner: asyncio.Protocol) -> None:
        self.inner = inner
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.inner.connection_lost(exc)
        if not self.lost.done():
            self.lost.set_result(exc)


def late_upgrade(websocket: ProtocolFactory) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An aiohttp handler for ``GET /ws/{stream}`` on a connection that aiohttp already owns.

    It ends, by cancelling its own request, when the websocket is gone. A request that is no upgrade gets 426.
    """

    async def handler(request: web.Request) -> web.StreamResponse:
        head = b"%s %s HTTP/1.1\r\n" % (request.method.encode(), request.raw_path.encode())
        head += b"".join(b"%s: %s\r\n" % field for field in request.raw_headers) + b"\r\n"
        transport, owner = request.transport, request.protocol
        if not is_websocket_upgrade(head) or not isinstance(transport, asyncio.Transport):
            return web.Response(
                status=426, headers={"Upgrade": "websocket"}, text="expected a websocket upgrade"
            )
        tail: bytes = owner._message_tail or b""  # bytes after the head; aiohttp keeps them for upgrades
        protocol = _LateUpgrade(websocket())
        transport.set_protocol(protocol)
        transport.resume_reading()
        protocol.connection_made(transport)
        protocol.data_received(head + tail)
        try:
            error = await asyncio.shield(protocol.lost)
        except asyncio.CancelledError:  # aiohttp is shutting down
            transport.close()
            raise
        owner.connection_lost(error)
        raise asyncio.CancelledError

    return handler
