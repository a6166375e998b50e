"""A WHIP endpoint for peers that bring none: one publisher as an aiortc track in, boxes to viewers out."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSMsgType, web
from aioice import ice
from aiortc import RTCPeerConnection, RTCSessionDescription

from benchmarks.peers import handler
from benchmarks.peers.arrivals import Arrivals


class Front:
    """The endpoint of one peer.

    Args:
        options: of the command line.
        consume: given this and the publisher's track; runs until the track ends.

    Attributes:
        options: of the command line.
        dropped: frames that the peer itself says it dropped so far; None where it does not say.
    """

    def __init__(self, options: Namespace, consume: Callable[[Front, Any], Awaitable[None]]) -> None:
        self.options = options
        self.dropped: Callable[[], int | None] = lambda: None
        self._consume = consume
        self._arrivals = Arrivals(options.trace)
        self._connections: set[RTCPeerConnection] = set()
        self._viewers: set[web.WebSocketResponse] = set()
        self._tasks: set[asyncio.Future[None]] = set()

    async def answer(self, pts: int, began_ns: int, boxes: list[list[float]]) -> None:
        """Send the boxes of the frame `pts`, whose handler began at `began_ns`."""
        for viewer in list(self._viewers):
            await viewer.send_json({"pts": pts, "boxes": boxes})
        self._arrivals.answered(pts, began_ns, boxes)

    def serve(self) -> None:
        """Until the process is ended; says ``ready URL``."""
        ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
        ice.CONSENT_FAILURES = 1_000_000  # the publisher answers no consent checks
        app = web.Application()
        app.router.add_post("/whip/bench", self._whip)
        app.router.add_delete("/whip/1", self._delete)
        app.router.add_get("/ws/bench", self._websocket)
        app.router.add_get("/count", self._count)
        port = self.options.port
        ready = f"ready http://127.0.0.1:{port}"
        web.run_app(app, host="127.0.0.1", port=port, print=lambda *_: print(ready, flush=True))

    async def _whip(self, request: web.Request) -> web.Response:
        connection = RTCPeerConnection()
        self._connections.add(connection)

        @connection.on("track")
        def track(track: Any) -> None:
            if track.kind == "video":
                self._tasks.add(asyncio.ensure_future(self._consume(self, track)))

        await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return web.Response(
            status=201,
            content_type="application/sdp",
            text=connection.localDescription.sdp,
            headers={"Location": "/whip/1"},
        )

    async def _delete(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        viewer = web.WebSocketResponse()
        await viewer.prepare(request)
        self._viewers.add(viewer)
        async for message in viewer:
            if message.type is WSMsgType.ERROR:
                break
        self._viewers.discard(viewer)
        return viewer

    async def _count(self, request: web.Request) -> web.Response:
        return web.json_response({"in": self._arrivals.seen, "dropped": self.dropped()})


def shrunk(frame: Any) -> Any:
    """A decoded frame in BGR, uint8 (h, w, 3), scaled to the detector's size in the same pass."""
    scale = min(handler.SIDE / frame.width, handler.SIDE / frame.height)
    width, height = int(frame.width * scale), int(frame.height * scale)
    return frame.reformat(width=width, height=height, format="bgr24").to_ndarray()


def work(frame: Any, detect: handler.Handler) -> list[list[float]]:
    """The boxes of a decoded frame."""
    return detect(shrunk(frame))
