"""The plain loop: aiortc as its documentation shows it, detector in a thread, boxes to a websocket."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.peers import handler
from benchmarks.peers.arrivals import Arrivals

OPTIONS = handler.arguments()
ARRIVALS = Arrivals(OPTIONS.trace)

from aiohttp import WSMsgType, web  # noqa: E402
from aiortc import RTCPeerConnection, RTCSessionDescription  # noqa: E402
from aiortc.mediastreams import MediaStreamError  # noqa: E402

connections: set[RTCPeerConnection] = set()
viewers: set[web.WebSocketResponse] = set()
tasks: set[asyncio.Task[None]] = set()


async def consume(track: Any, detect: handler.Handler) -> None:
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        began = time.monotonic_ns()
        boxes = await asyncio.to_thread(work, frame, detect)
        for viewer in list(viewers):
            await viewer.send_json({"pts": frame.pts, "boxes": boxes})
        ARRIVALS.answered(frame.pts, began, boxes)


def work(frame: Any, detect: handler.Handler) -> list[list[float]]:
    scale = min(416 / frame.width, 416 / frame.height)
    small = frame.reformat(width=int(frame.width * scale), height=int(frame.height * scale), format="bgr24")
    boxes: list[list[float]] = detect(small.to_ndarray())
    return boxes


async def whip(request: web.Request) -> web.Response:
    connection = RTCPeerConnection()
    connections.add(connection)
    detect = handler.make(OPTIONS)

    @connection.on("track")
    def track(track: Any) -> None:
        if track.kind == "video":
            tasks.add(asyncio.get_running_loop().create_task(consume(track, detect)))

    await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
    await connection.setLocalDescription(await connection.createAnswer())
    return web.Response(
        status=201,
        content_type="application/sdp",
        text=connection.localDescription.sdp,
        headers={"Location": "/whip/1"},
    )


async def delete(request: web.Request) -> web.Response:
    return web.Response()


async def websocket(request: web.Request) -> web.WebSocketResponse:
    viewer = web.WebSocketResponse()
    await viewer.prepare(request)
    viewers.add(viewer)
    async for message in viewer:
        if message.type is WSMsgType.ERROR:
            break
    viewers.discard(viewer)
    return viewer


async def count(request: web.Request) -> web.Response:
    return web.json_response({"in": ARRIVALS.seen})


def main() -> None:
    from aioice import ice

    ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    ice.CONSENT_FAILURES = 1_000_000  # the publisher answers no consent checks; stock cuts it off after 30 s
    app = web.Application()
    app.router.add_post("/whip/bench", whip)
    app.router.add_delete("/whip/1", delete)
    app.router.add_get("/ws/bench", websocket)
    app.router.add_get("/count", count)
    web.run_app(
        app,
        host="127.0.0.1",
        port=OPTIONS.port,
        print=lambda *_: print(f"ready http://127.0.0.1:{OPTIONS.port}", flush=True),
    )


if __name__ == "__main__":
    main()
