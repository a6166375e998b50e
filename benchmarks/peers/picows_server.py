"""Fan-out with picows, run with the peer's own interpreter: see `benchmarks.fanout`."""

# mypy: ignore-errors
# picows is installed in this peer's own environment only.

from __future__ import annotations

import asyncio

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from benchmarks.fanout_parts.serving import BACKLOG, message, obey, raise_limits

viewers: dict[WSTransport, None] = {}


class Viewer(WSListener):
    """Keeps its transport among the viewers."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """One more."""
        viewers[transport] = None

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """One less."""
        viewers.pop(transport, None)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Only a close means anything."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


def publish(rtp: int) -> None:
    payload = message(rtp)
    for transport in viewers:
        transport.send(WSMsgType.TEXT, payload)


async def main() -> None:
    server = await ws_create_server(lambda request: Viewer(), "127.0.0.1", 0, backlog=BACKLOG)
    await obey(server.sockets[0].getsockname()[1], publish)


if __name__ == "__main__":
    raise_limits()
    asyncio.run(main())
