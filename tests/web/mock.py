"""A stand-in for the whole server, for looking at the pages: it speaks docs/wire-protocol.md and knows the truth.

It plays a clip (or, without one, two moving cards) over WebRTC, so that every frame's timestamp is known, and sends the
true boxes over the websocket with a delay. ``python -m tests.web.mock`` prints its address. Not production code.

``POST /mock/{action}`` makes things happen: ``end``, ``live``, ``drop`` (close the sockets), ``garbage`` (send nonsense),
``sold-out``, ``problems``.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import math
import random
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiortc.rtcrtpsender
import av
import numpy as np
from aiohttp import WSMsgType, web
from aiortc import RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from PIL import Image, ImageDraw

WEB = Path(__file__).resolve().parents[2] / "overlay" / "web"
CLIP = Path(__file__).resolve().parents[3] / "shared" / "data" / "clips" / "dev" / "sam2_coffee.mp4"
ORIGIN = 0x12345678
"""Where the senders' RTP timestamps start, so that the viewers' clock is known."""
BASE = 2**32 - 900_000
"""The pretended publisher's clock at pts 0: wraps ten seconds into the show."""
FRAME_TICKS = 3000
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HOST_KEY = "host-key"
OPERATOR_KEY = "operator-key"

Spot = list[int]
Json = dict[str, Any]

PRODUCTS: list[Json] = [
    {
        "pid": 1, "id": "mug-01", "title": "Stoneware mug, white", "price": "18.00 EUR", "link": "https://shop.example/mug",
        "image": "/images/mug-01/0", "seller": "Studio North", "brand": "North Ceramics",
        "description": "Thrown by hand, holds 300 ml, dishwasher safe.",
    },
    {
        "pid": 2, "id": "kettle-01", "title": "Gooseneck kettle, brushed steel", "price": "89.00 EUR",
        "sale_price": "74.90 EUR", "link": "https://shop.example/kettle", "image": "/images/kettle-01/0",
        "seller": "Brew & Co", "third_party": True, "label": "Paid placement by Brew & Co",
        "description": "1.0 litre, temperature hold, with thermometer in the lid.",
    },
    {
        "pid": 3, "id": "beans-01", "title": "House espresso, 250 g, a rather long title that has to be shortened somewhere",
        "price": "9.50 EUR", "link": "https://shop.example/beans", "image": "/images/beans-01/0", "seller": "Studio North",
    },
    {
        "pid": 4, "id": "filter-01", "title": "Paper filters <b>100</b>", "price": "4.20 EUR", "link": "javascript:alert(1)",
        "image": "/images/none/0", "seller": "Studio North", "availability": "out_of_stock",
    },
]  # fmt: skip


class Show:
    """Frames and true boxes by frame number; loops."""

    def __init__(self, clip: Path | None) -> None:
        self.clip = clip if clip and clip.exists() else None
        self.truth: dict[str, list[Json]] = {}
        self.length = 300
        if self.clip:
            told = json.loads(self.clip.with_suffix(".gt.json").read_text())
            self.truth, self.length = told["frames"], told["n_frames"]

    def spots(self, number: int) -> list[Spot]:
        """The true boxes of a frame as wire spots."""
        if not self.clip:
            x, y = self.place(number)
            return [self._spot(1, x, y, 160, 120), self._spot(2, 1280 - x - 200, 420, 200, 200)]
        found = self.truth.get(str(number % self.length), [])
        return [self._spot(1 if o["id"] == "mug" else 2, *o["bbox"]) for o in found]

    @staticmethod
    def place(number: int) -> tuple[float, float]:
        """Top left of the first card, 1280 x 720 pixels."""
        return 560 + 520 * math.sin(number / 40), 200 + 120 * math.cos(number / 25)

    @staticmethod
    def _spot(pid: int, x: float, y: float, w: float, h: float) -> Spot:
        box = [x / 1280, y / 720, (x + w) / 1280, (y + h) / 720]
        return [pid + 6, pid, 0 if pid == 1 else 1, 0, *(min(10_000, max(0, round(v * 10_000))) for v in box)]

    def frames(self) -> Iterator[av.VideoFrame]:
        """Pictures of 960 x 540, without end."""
        number = 0
        while True:
            if self.clip:
                with av.open(str(self.clip)) as container:
                    for frame in container.decode(video=0):
                        yield frame.reformat(960, 540, "yuv420p")
                continue
            picture = np.full((540, 960, 3), (38, 42, 50), np.uint8)
            for _, pid, _, _, x0, y0, x1, y1 in self.spots(number):
                rows = slice(y0 * 540 // 10_000, y1 * 540 // 10_000)
                picture[rows, x0 * 960 // 10_000 : x1 * 960 // 10_000] = (
                    (70, 160, 220) if pid == 1 else (210, 140, 80)
                )
            yield av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            number += 1


class Track(VideoStreamTrack):
    """One viewer's copy of the show; every viewer starts at frame 0 of its own clock's choosing."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.frames = server.show.frames()
        self.number = -1
        self.began = 0.0

    async def recv(self) -> av.VideoFrame:  
        """The next frame, when it is due."""
        if self.number < 0:
            self.began = time.monotonic()
        self.number += 1
        await asyncio.sleep(max(0.0, self.began + self.number / 30 - time.monotonic()))
        frame = next(self.frames)
        frame.pts = self.number * FRAME_TICKS
        frame.time_base = Fraction(1, 90_000)
        self.server.captured(self.number)
        return frame


class Server:
    """State and routes."""

    def __init__(self, clip: Path | None, delay_ms: int, every: int) -> None:
        self.show = Show(clip)
        self.delay_ms = delay_ms
        self.every = every
        self.live = True
        self.seq = 0
        self.events: list[Json] = []
        self.products = [dict(card) for card in PRODUCTS]
        self.pinned: set[int] = set()
        self.hidden: set[int] = set()
        self.sockets: set[web.WebSocketResponse] = set()
        self.peers: set[RTCPeerConnection] = set()
        self.received: deque[Json] = deque(maxlen=500)
        self.tasks: set[asyncio.Task[None]] = set()
        self.problems: list[str] = []
        self.began = time.monotonic()

    # ---- overlay

    def captured(self, number: int) -> None:
        """A frame left for a viewer: its boxes follow after the delay, for every n-th frame."""
        if number % self.every == 0 and self.live:
            self.keep(asyncio.create_task(self.send_boxes(number)))

    def keep(self, task: asyncio.Task[None]) -> None:
        """Holds a task until it is done."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def send_boxes(self, number: int) -> None:
        """One measured sample to every socket."""
        await asyncio.sleep(self.delay_ms / 1000)
        key = (BASE + number * FRAME_TICKS) % 2**32
        await self.broadcast({"t": "pos", "s": [[1, key, 1, self.show.spots(number)]]})

    async def broadcast(self, message: Json | str) -> None:
        """To all sockets, broken ones included."""
        text = message if isinstance(message, str) else json.dumps(message)
        for socket in list(self.sockets):
            if not socket.closed:
                await socket.send_str(text)

    async def event(self, body: Json) -> None:
        """Appends to the log and sends."""
        self.seq += 1
        entry = {"t": "evt", "seq": self.seq, "ev": body}
        self.events.append(entry)
        await self.broadcast(entry)

    def snapshot(self) -> Json:
        """The first message."""
        return {
            "t": "snap", "v": 1, "stream": "demo", "log": "mock", "seq": self.seq, "live": self.live, "latency_ms": self.delay_ms + 60,
            "epochs": [[1, (ORIGIN - BASE) % 2**32]], "products": self.products, "pinned": sorted(self.pinned),
            "hidden": sorted(self.hidden), "pos": {"t": "pos", "s": []}, "recovered": False,
        }  # fmt: skip

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """``GET /ws/{stream}``."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            body = json.loads(message.data)
            self.received.append(body)
            if body["t"] == "hello":
                resume = body.get("resume")
                known = bool(resume and resume["log"] == "mock" and resume["seq"] <= self.seq)
                await socket.send_json({**self.snapshot(), "recovered": known})
                for entry in self.events[resume["seq"] :] if resume and known else []:
                    await socket.send_json(entry)
                self.sockets.add(socket)
            elif body["t"] == "tap":
                await socket.send_json(self.answer(body))
        self.sockets.discard(socket)
        return socket

    def answer(self, tap: Json) -> Json:
        """The card for a tap."""
        pid = tap.get("pid") or (tap.get("h") or 6) - 6
        card = next((card for card in self.products if card["pid"] == pid), None)
        state = "similar" if pid == 2 and "pid" not in tap else "exact"
        return {
            "t": "card",
            "id": tap["id"],
            "hit": card is not None,
            "state": state,
            "card": card,
            "reason": "",
        }

    # ---- media

    async def whep(self, request: web.Request) -> web.Response:
        """``POST /whep/{stream}``."""
        if not self.live:
            body = {"code": "stream-not-live", "message": "nobody is live"}
            return web.json_response(body, status=409, headers={"Retry-After": "1"})
        peer = RTCPeerConnection()
        self.peers.add(peer)
        peer.addTrack(Track(self))
        return await self.respond(peer, request)

    async def whip(self, request: web.Request) -> web.Response:
        """``POST /whip/{stream}``: takes anything with the right key, looks at nothing."""
        if request.headers.get("Authorization") != f"Bearer {HOST_KEY}":
            body = {"code": "key-refused", "message": "got no publish key, expected Bearer"}
            return web.json_response(body, status=401)
        peer = RTCPeerConnection()
        self.peers.add(peer)

        @peer.on("track")
        def drain(track: Any) -> None:
            async def swallow() -> None:
                while track.readyState == "live":
                    try:
                        await track.recv()
                    except Exception:
                        return

            self.keep(asyncio.create_task(swallow()))

        response = await self.respond(peer, request)
        if not self.live:
            self.live = True
            await self.event(
                {"k": "live", "epoch": 1, "offset": (ORIGIN - BASE) % 2**32, "latency_ms": self.delay_ms + 60}
            )
        return response

    async def respond(self, peer: RTCPeerConnection, request: web.Request) -> web.Response:
        """201 with the answer."""
        await peer.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        headers = {"Location": f"{request.path}/{id(peer)}"}
        sdp = peer.localDescription.sdp
        return web.Response(status=201, text=sdp, content_type="application/sdp", headers=headers)

    async def end_session(self, request: web.Request) -> web.Response:
        """``DELETE`` of a session."""
        for peer in [peer for peer in self.peers if str(id(peer)) == request.match_info["session"]]:
            self.peers.discard(peer)
            await peer.close()
        return web.Response()

    # ---- API

    async def streams(self, _: web.Request) -> web.Response:
        """``GET /api/streams``."""
        rows = [
            {"id": "demo", "live": self.live, "viewers": len(self.sockets)},
            {"id": "evening", "live": False, "viewers": 0},
        ]
        return web.json_response({"streams": rows})

    async def stream(self, request: web.Request) -> web.Response:
        """``GET /api/streams/{stream}``."""
        names = {card["pid"]: card["id"] for card in self.products}
        source = {
            "codec": "H264",
            "width": 1280,
            "height": 720,
            "transcoded": False,
            "has_audio": True,
            "description": "WHIP, Chromium",
        }
        body = {
            "id": request.match_info["stream"], "live": self.live, "viewers": len(self.sockets), "products": self.products,
            "pinned": [names[pid] for pid in self.pinned], "hidden": [names[pid] for pid in self.hidden],
            "source": source if self.live else None,
        }  # fmt: skip
        return web.json_response(body)

    async def toggle(self, request: web.Request) -> web.Response:
        """``POST .../pin`` and ``.../hide``."""
        if request.headers.get("Authorization") != f"Bearer {HOST_KEY}":
            return web.json_response({"code": "key-refused", "message": "got no host key"}, status=401)
        body = await request.json()
        card = next((card for card in self.products if card["id"] == body["product_id"]), None)
        if card is None:
            return web.json_response({"code": "product-unknown", "message": "no such product"}, status=404)
        kind = request.path.rsplit("/", 1)[1]
        chosen = self.pinned if kind == "pin" else self.hidden
        (chosen.add if body["on"] else chosen.discard)(card["pid"])
        await self.event({"k": kind, "pid": card["pid"], "on": body["on"]})
        return web.Response(status=204)

    async def operator(self, request: web.Request) -> web.Response:
        """``GET /api/operator``, with figures that move."""
        if request.headers.get("Authorization") != f"Bearer {OPERATOR_KEY}":
            return web.json_response({"code": "key-refused", "message": "got no operator key"}, status=401)
        return web.json_response(operator_figures(time.monotonic() - self.began, self))

    async def act(self, request: web.Request) -> web.Response:
        """``POST /mock/{action}``; ``GET`` returns what viewers sent."""
        match request.match_info["action"]:
            case "received":
                return web.json_response(list(self.received))
            case "end":
                self.live = False
                await self.event({"k": "ended", "reason": "publisher left"})
                for peer in list(self.peers):
                    await peer.close()
                self.peers.clear()
            case "live":
                self.live = True
                await self.event(
                    {
                        "k": "live",
                        "epoch": 1,
                        "offset": (ORIGIN - BASE) % 2**32,
                        "latency_ms": self.delay_ms + 60,
                    }
                )
            case "drop":
                for socket in list(self.sockets):
                    await socket.close(code=1011)
            case "garbage":
                for text in (
                    "{",
                    "null",
                    "[]",
                    '{"t":"pos"}',
                    '{"t":"pos","s":[[1,2],[null,{},1,[]],7]}',
                    '{"t":"snap"}',
                    '{"t":5}',
                ):
                    await self.broadcast(text)
                    await self.broadcast(
                        {"t": "pos", "s": [[1, BASE, 1, [["a"], [1, 2, 3, 4, 5, 6, 7, None], None]]]}
                    )
            case "sold-out":
                self.products[0]["availability"] = "out_of_stock"
                await self.event({"k": "availability", "pid": 1, "availability": "out_of_stock", "price": ""})
            case "problems":
                self.problems = [
                    "demo: 3.1 % of frames missed the 60 ms budget in the last 10 s; the detector takes 48 ms at p95"
                ]
            case _:
                raise web.HTTPNotFound
        return web.Response()

    # ---- pages

    async def page(self, request: web.Request) -> web.FileResponse:
        """One of the four pages."""
        name = {"watch": "watch", "host": "host", "operator": "operator"}.get(
            request.path.split("/")[1], "index"
        )
        return web.FileResponse(WEB / f"{name}.html")

    async def image(self, request: web.Request) -> web.Response:
        """A drawn catalogue picture; ``none`` has no picture."""
        name = request.match_info["product"]
        if name == "none":
            raise web.HTTPNotFound
        shade = random.Random(name).randrange(360)
        picture = Image.new("RGB", (400, 400), f"hsl({shade}, 22%, 82%)")
        draw = ImageDraw.Draw(picture)
        draw.rounded_rectangle((110, 90, 290, 330), 40, fill=f"hsl({shade}, 30%, 44%)")
        draw.rounded_rectangle((140, 60, 260, 110), 18, fill=f"hsl({shade}, 30%, 30%)")
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG")
        return web.Response(body=buffer.getvalue(), content_type="image/jpeg")

    def app(self) -> web.Application:
        """All routes, with the content security policy the pages must bear."""

        async def secure(_: web.Request, response: web.StreamResponse) -> None:
            response.headers["Content-Security-Policy"] = CSP

        async def life(_: web.Application) -> AsyncIterator[None]:
            yield
            for peer in list(self.peers):
                await peer.close()

        app = web.Application()
        app.on_response_prepare.append(secure)
        app.cleanup_ctx.append(life)
        for path in ("/", "/watch/{stream}", "/host/{stream}", "/operator"):
            app.router.add_get(path, self.page)
        app.router.add_static("/static", WEB)
        app.router.add_get("/ws/{stream}", self.socket)
        app.router.add_post("/whep/{stream}", self.whep)
        app.router.add_post("/whip/{stream}", self.whip)
        app.router.add_delete("/{kind:whip|whep}/{stream}/{session}", self.end_session)
        app.router.add_get("/api/streams", self.streams)
        app.router.add_get("/api/streams/{stream}", self.stream)
        app.router.add_post("/api/streams/{stream}/pin", self.toggle)
        app.router.add_post("/api/streams/{stream}/hide", self.toggle)
        app.router.add_get("/api/operator", self.operator)
        app.router.add_get("/images/{product}/{n}", self.image)
        app.router.add_route("*", "/mock/{action}", self.act)
        return app


STAGE_MS = {
    "receive": 1.2, "queue": 0.8, "pixels": 2.1, "detect": 21.0, "boxes": 0.6, "track": 0.9, "embed": 5.0, "match": 0.4, "publish": 0.5,
}  # fmt: skip


def operator_figures(now_s: float, server: Server) -> Json:
    """Figures as docs/wire-protocol.md has them: calm, with a slow swell and a slow detector now and then."""
    swell = 1 + 0.25 * math.sin(now_s / 9) + 0.1 * math.sin(now_s / 2.3)
    spike = 2.2 if int(now_s) % 40 in (20, 21, 22) else 1.0

    def percentiles(ms: float, slow: float = 1.0) -> dict[str, float]:
        return {
            "p50": round(ms * swell, 2),
            "p95": round(ms * swell * 1.7 * slow, 2),
            "p99": round(ms * swell * 2.3 * slow, 2),
        }

    stages = {name: percentiles(ms, spike if name == "detect" else 1.0) for name, ms in STAGE_MS.items()}
    count = int(now_s * 30)
    live = {
        "id": "demo", "live": server.live, "epoch": 1, "viewers": len(server.sockets),
        "source": {"codec": "H264", "width": 1280, "height": 720, "transcoded": False, "has_audio": True, "description": "WHIP, Chromium"},
        "fps_in": 29.9, "fps_detected": 15.2, "budget_ms": 60,
        "frames": {"in": count, "detected": count // 2, "propagated": count // 2 - 9, "dropped": 9, "cancelled": 2, "failed": 0},
        "drops": {"late": 7, "queue-full": 2}, "budget_misses": 3 + int(now_s / 40), "stages_ms": stages,
        "frame_age_ms": percentiles(31.0, spike), "staleness_ms": percentiles(40.0, spike), "overlay_age_ms": {"p50": 12.0, "p95": 41.0},
        "latency_ms": 120, "problems": server.problems,
        "hotspots": [
            {"id": 7, "product_id": "mug-01", "title": "Stoneware mug, white", "state": "exact", "score": 0.83, "reason": "seen from 6 views"},
            {"id": 8, "product_id": "kettle-01", "title": "Gooseneck kettle", "state": "similar", "score": 0.61, "reason": "two products are close"},
        ],
    }  # fmt: skip
    quiet = {
        "id": "evening",
        "live": False,
        "epoch": 0,
        "viewers": 0,
        "source": None,
        "fps_in": 0,
        "fps_detected": 0,
        "budget_ms": 60,
    }
    return {
        "now_ms": int(time.time() * 1000), "uptime_s": round(now_s, 1), "version": "0.1.0", "model": "vitrine_detect",
        "provider": "CPUExecutionProvider", "problems": server.problems, "streams": [live, quiet],
    }  # fmt: skip


def known_origin() -> int:
    """Stands in for the sender's random32: known where it makes the first RTP timestamp, random where SSRCs."""
    return ORIGIN if sys._getframe(1).f_code.co_name == "_run_rtp" else random.getrandbits(32)


async def serve(port: int, clip: Path | None, delay_ms: int, every: int) -> None:
    """Until cancelled; prints the address once it answers."""
    aiortc.rtcrtpsender.random32 = known_origin
    runner = web.AppRunner(Server(clip, delay_ms, every).app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="A stand-in for the server, to look at the pages.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-ms", type=int, default=60)
    parser.add_argument("--every", type=int, default=2, help="measured boxes for every n-th frame")
    parser.add_argument("--drawn", action="store_true", help="two moving cards instead of the clip")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, None if arguments.drawn else CLIP, arguments.delay_ms, arguments.every))


if __name__ == "__main__":
    main()
