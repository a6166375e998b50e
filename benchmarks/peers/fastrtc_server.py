"""FastRTC with a video handler. WHIP is put in front of its own offer endpoint; the rest is as it comes.

Its video handler runs on the event loop, which stands still meanwhile: packets that arrive then are stamped
when the loop comes round to them, so the age reported here is too low by up to one handler's time.
"""

# mypy: ignore-errors
# fastrtc and fastapi are installed in this peer's own environment only.

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.peers import handler
from benchmarks.peers.arrivals import Arrivals

OPTIONS = handler.arguments()
ARRIVALS = Arrivals(OPTIONS.trace)

import numpy as np  # noqa: E402
import uvicorn  # noqa: E402
from aioice import ice  # noqa: E402
from fastapi import FastAPI, Request, Response  # noqa: E402
from fastrtc import Stream  # noqa: E402
from PIL import Image  # noqa: E402

ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
ice.CONSENT_FAILURES = 1_000_000  # the publisher answers no consent checks; stock cuts it off after 30 s
work = handler.make(OPTIONS)
current: list[Any] = []


class Remembering(asyncio.Queue):  # type: ignore[type-arg]
    """Remembers which frame was taken last, so that the handler's answer can be dated."""

    last: Any = None

    async def get(self) -> Any:
        """Take the next frame."""
        self.last = await super().get()
        return self.last


class NoChannel:
    """FastRTC waits for a data channel; a WHIP publisher has none."""

    def send(self, text: str) -> None:
        """Nobody listens."""


def detect(picture: Any) -> Any:
    began = time.monotonic_ns()
    boxes = work(small(picture) if OPTIONS.model else picture)
    ARRIVALS.answered(current[0].frame_queue.last.pts, began, boxes)
    return picture


def small(picture: Any) -> Any:
    """At most 416 pixels on each side."""
    shrunk = Image.fromarray(picture)
    shrunk.thumbnail((handler.SIDE, handler.SIDE), Image.Resampling.BILINEAR)
    return np.asarray(shrunk)


stream = Stream(handler=detect, modality="video", mode="send-receive")
app = FastAPI()


@app.post("/whip/bench")
async def whip(request: Request) -> Response:
    body = {"sdp": (await request.body()).decode(), "type": "offer", "webrtc_id": "bench"}
    answer = await stream.handle_offer(body, set_outputs=lambda *_: None)
    connection = stream.connections["bench"][0]
    connection.frame_queue = Remembering()
    connection.set_channel(NoChannel())
    connection.set_args([None])
    current[:] = [connection]
    pump.append(asyncio.get_running_loop().create_task(_pump(connection)))
    return Response(answer["sdp"], 201, {"Location": "/whip/1"}, "application/sdp")


pump: list[asyncio.Task[None]] = []


async def _pump(connection: Any) -> None:
    """The publisher asks for no video back, so somebody else has to pull the answers."""
    while True:
        await connection.recv()


@app.delete("/whip/1")
async def delete() -> Response:
    return Response()


@app.get("/count")
async def count() -> dict[str, int]:
    return {"in": ARRIVALS.seen}


class Server(uvicorn.Server):
    """Says when it listens."""

    async def startup(self, sockets: Any = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        print(f"ready http://127.0.0.1:{OPTIONS.port}", flush=True)


if __name__ == "__main__":
    Server(uvicorn.Config(app, host="127.0.0.1", port=OPTIONS.port, log_level="error")).run()
