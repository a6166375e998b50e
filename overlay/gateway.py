"""The viewers' gateway: websockets in and out. Decisions are in `session`, `outbox`, `taps` and `replica`.

Handshake and inbound frames go through the sans-I/O protocol of `websockets`; outbound messages are encoded
once and the same bytes are written to every viewer's transport, without compression (which would cost three
to four times the CPU).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import sys
from collections.abc import Sequence
from http import HTTPStatus

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State as WireState
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from overlay.binary import BINARY_SUBPROTOCOL, choose_subprotocol
from overlay.bus.base import Bus
from overlay.edge import (
    Admission,
    Admit,
    GatewaySettings,
    GatewayStatistics,
    OnPositionsSent,
    OnReport,
    OnSeen,
    OnTap,
)
from overlay.frames import PONG, PONG_SIZE, FrameScan
from overlay.hub import Hub, HubHooks
from overlay.messages import MAX_INBOUND_BYTES
from overlay.session import CloseCode
from overlay.viewer import Viewer
from stream.clock import Clock
from stream.types import StreamId

__all__ = ["Admission", "Admit", "Gateway", "GatewaySettings", "GatewayStatistics"]

_PONG_WORDS = struct.Struct("!II").unpack_from
"""Mask and masked payload."""
_READ_BYTES = 4 * 1024
_MAX_UNREAD = 64 * 1024
"""Bytes of pongs and errors that may wait for a viewer who does not read, before it is cut off."""
_REFUSALS = {401: CloseCode.REFUSED, 403: CloseCode.REFUSED, 404: CloseCode.NO_STREAM}

_wire_log = logging.getLogger("overlay.gateway.wire")
_wire_log.setLevel(logging.WARNING)  # it tells of every connection at INFO


class Gateway:
    """Accepts viewers and serves them. Event loop only.

    Args:
        bus: where streams come from; a stream is followed only while it has viewers here.
        clock: monotonic time.
        admit: who may watch what.
        on_tap: answers a resolved tap.
        on_report: viewers' own measurements.
        on_seen: impressions.
        settings: limits.
    """

    def __init__(
        self,
        *,
        bus: Bus,
        clock: Clock,
        admit: Admit,
        on_tap: OnTap,
        on_report: OnReport,
        on_seen: OnSeen,
        settings: GatewaySettings | None = None,
    ) -> None:
        self._hub = Hub(
            bus, clock, HubHooks(admit, on_tap, on_report, on_seen), settings or GatewaySettings()
        )

    @property
    def on_positions_sent(self) -> OnPositionsSent | None:
        """Told when positions of a frame were written to the first viewer of its stream."""
        return self._hub.on_positions_sent

    @on_positions_sent.setter
    def on_positions_sent(self, hook: OnPositionsSent | None) -> None:
        self._hub.on_positions_sent = hook

    def protocol(self) -> asyncio.Protocol:
        """A fresh connection, to be fed `connection_made` and the bytes received, request head included."""
        return ViewerConnection(self._hub)

    def viewers(self, stream: StreamId) -> int:
        """Viewers of a stream on this node."""
        return self._hub.viewers(stream)

    def watched(self) -> dict[StreamId, int]:
        """Viewers on this node of each stream that has any."""
        return self._hub.watched()

    def statistics(self) -> GatewayStatistics:
        """Counts since the start."""
        return self._hub.statistics()

    async def close(self, drain_s: float) -> None:
        """Refuse new viewers, close the present ones with 1001 evenly over `drain_s`, release everything."""
        await self._hub.close(drain_s)


def _select(_protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    chosen = choose_subprotocol([*offered])
    return None if chosen is None else Subprotocol(chosen)


class ViewerConnection(asyncio.Protocol):
    """One viewer's connection: bytes to and from the websocket protocol. The `Wire` of its `Viewer`.

    Attributes:
        clear: see `Wire`.
    """

    __slots__ = (
        "_binary",
        "_descriptor",
        "_fragments",
        "_hub",
        "_open",
        "_paused",
        "_protocol",
        "_scan",
        "_transport",
        "_viewer",
        "clear",
    )

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._protocol = ServerProtocol(
            select_subprotocol=_select, max_size=MAX_INBOUND_BYTES, logger=_wire_log
        )
        self._transport: asyncio.Transport | None = None
        self._viewer: Viewer | None = None
        self._fragments: list[bytes] = []
        self._binary = False
        self._paused = False
        self._open = False
        self._descriptor = -1
        self.clear = False
        self._scan = FrameScan()

    # ---- asyncio.Protocol ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up so that as little as possible waits where it cannot be taken back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        tls = transport.get_extra_info("ssl_object") is not None
        # Not 0 over TLS: that would pause an empty buffer, and nothing would ever resume it.
        transport.set_write_buffer_limits(high=int(tls), low=0)
        if hasattr(transport, "max_size"):
            # asyncio allocates so much for every read, 256 KiB by default: a third of the cost of a pong.
            transport.max_size = _READ_BYTES
        sock = transport.get_extra_info("socket")
        self._descriptor = sock.fileno() if sock is not None and not tls and os.name == "posix" else -1
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sys.platform == "linux":
                low_water = self._hub.settings.not_sent_low_water
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, low_water)

    def data_received(self, data: bytes) -> None:
        """Bytes from the viewer."""
        if self._open:
            data = self._acknowledged(data)
            if not data:
                return
        else:
            self._scan.at_start = data.endswith(b"\r\n\r\n")  # a head, and nothing of a frame behind it
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._handshake(event)
            elif isinstance(event, Frame) and self._viewer is not None:
                self._inbound(event, self._viewer)
        self._set_open(self._viewer is not None and self._protocol.state is WireState.OPEN)
        self._drain()

    def eof_received(self) -> None:
        """The viewer sends no more."""
        self._protocol.receive_eof()
        self._set_open(False)
        self._drain()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._protocol.receive_eof()
        self._transport = None
        self._set_open(False)
        if self._viewer is not None:
            self._viewer.lost()

    def pause_writing(self) -> None:
        """The kernel takes no more."""
        self._paused, self.clear = True, False

    def resume_writing(self) -> None:
        """Everything handed over went to the kernel."""
        self._paused, self.clear = False, self._open
        if self._viewer is not None:
            self._viewer.writable()

    # ---- Wire ----------------------------------------------------------------------------------------------

    def write(self, frames: bytes) -> None:
        """See `Wire`. Straight to the socket where nothing waits: the transport would do the same, dearer."""
        transport = self._transport
        if not self._open or transport is None:
            return
        if not self._paused and self._descriptor >= 0:
            try:
                sent = os.write(self._descriptor, frames)
            except OSError:  # full, or gone: the transport meets the same and knows what to do
                sent = 0
            if sent == len(frames):
                return
            frames = frames[sent:]
        transport.write(frames)

    def shut(self, code: int, reason: str) -> None:
        """See `Wire`."""
        if self._protocol.state is WireState.OPEN:
            self._set_open(False)
            self._protocol.send_close(code, reason[:100])
            self._drain()
        self._abort_later()

    def abort(self) -> None:
        """See `Wire`."""
        if self._transport is not None:
            self._transport.abort()

    # ---- inside --------------------------------------------------------------------------------------------

    def _set_open(self, is_open: bool) -> None:
        self._open, self.clear = is_open, is_open and not self._paused

    def _handshake(self, request: Request) -> None:
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        hub = self._hub
        admitted = (503, "server is draining") if hub.closing else hub.hooks.admit(request.path, headers)
        if isinstance(admitted, tuple) and admitted[0] not in _REFUSALS:
            status, text = admitted
            self._protocol.send_response(self._protocol.reject(HTTPStatus(status), text + "\n"))
            return
        self._protocol.send_response(self._protocol.accept(request))
        self._drain()
        if self._protocol.state is not WireState.OPEN:
            return
        if isinstance(admitted, tuple):
            code = _REFUSALS[admitted[0]]
            hub.closed[int(code)] += 1
            self.shut(code, admitted[1])
            return
        compact = self._protocol.subprotocol == BINARY_SUBPROTOCOL
        self._viewer = Viewer(hub, admitted, self, compact=compact)
        self._set_open(True)
        hub.accepted(self._viewer)

    def _acknowledged(self, data: bytes) -> bytes:
        """Take in the pongs that `data` begins with and return the rest.

        They answer the outbox's markers and are nearly all of what viewers send. Going through the protocol
        they would cost more than the four messages that they acknowledge.
        """
        viewer = self._viewer
        assert viewer is not None
        while self._scan.at_start and data.startswith(PONG) and len(data) >= PONG_SIZE:
            mask, number = _PONG_WORDS(data, 2)
            viewer.marked(mask ^ number)
            if len(data) == PONG_SIZE:
                return b""
            data = data[PONG_SIZE:]
        self._scan.pass_by(data)
        return data

    def _inbound(self, frame: Frame, viewer: Viewer) -> None:
        match frame.opcode:
            case Opcode.PONG:
                viewer.pong(bytes(frame.data))
            case Opcode.PING:
                viewer.ping()
            case Opcode.TEXT | Opcode.BINARY | Opcode.CONT:
                if frame.opcode is not Opcode.CONT:
                    self._binary = frame.opcode is Opcode.BINARY
                self._fragments.append(bytes(frame.data))
                if frame.fin:
                    message = b"".join(self._fragments)
                    self._fragments.clear()
                    if self._binary:
                        viewer.binary()
                    else:
                        viewer.text(message)

    def _drain(self) -> None:
        """Write what the protocol itself has to say: handshake, pongs, close, end of stream."""
        for data in self._protocol.data_to_send():
            if self._transport is None:
                return
            if data:
                self._transport.write(data)
            else:
                self._end(self._transport)
        if self._transport is not None and self._transport.get_write_buffer_size() > _MAX_UNREAD:
            self.abort()

    def _end(self, transport: asyncio.Transport) -> None:
        """No more to send: half-close where that is possible, so that the last bytes are read, then drop."""
        if transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
            self._abort_later()
        else:
            transport.close()

    def _abort_later(self) -> None:
        asyncio.get_running_loop().call_later(self._hub.settings.close_ms / 1000, self.abort)
