"""A stand-in for the whole server, to look at the pages with: it speaks docs/protocol.md.

It plays a clip (or two drawn cards) over WebRTC, so that every frame's timestamp is known, and sends the true
boxes over the websocket with a delay. ``python -m tests.web.mock`` prints its address. Not production code.

``POST /mock/{action}`` makes things happen: ``end``, ``live``, ``drop`` (close the sockets), ``garbage``
(send nonsense), ``sold-out``, ``problems``.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import WSMsgType, web
from PIL import Image, ImageDraw

from tests.web.figures import PRODUCTS, SOURCE, fleet_figures, operator_figures
from tests.web.media import BASE, FRAME_TICKS, OFFSET, Media, fix_origin
from tests.web.show import Json, Show

WEB = Path(__file__).resolve().parents[2] / "overlay" / "web"
CLIP = Path(__file__).resolve().parents[3] / "shared" / "data" / "clips" / "dev" / "sam2_coffee.mp4"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HOST_KEY = "host-key"
OPERATOR_KEY = "operator-key"


class Server:
    """State and routes."""

    def __init__(self, show: Show, delay_ms: int, every: int, hold_ms: int) -> None:
        self.show = show
        self.media = Media(show, self.frame_left)
        self.delay_ms = delay_ms
        self.hold_ms = hold_ms
        self.every = every
        self.live = True
        self.seq = 0
        self.events: list[Json] = []
        self.products = [dict(card) for card in PRODUCTS]
        self.pinned: set[int] = set()
        self.hidden: set[int] = set()
        self.sockets: set[web.WebSocketResponse] = set()
        self.received: deque[Json] = deque(maxlen=500)
        self.tasks: set[asyncio.Task[None]] = set()
        self.problems: list[str] = []
        self.began = time.monotonic()

    # ---- overlay

    def frame_left(self, number: int) -> bool:
        """A frame is due: whether to send it. Boxes of every n-th follow after the delay."""
        if self.live and number % self.every == 0:
            task = asyncio.create_task(self.send_boxes(number))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return self.live

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
            "t": "snap",
            "v": 1,
            "stream": "demo",
            "log": "mock",
            "seq": self.seq,
            "live": self.live,
            "latency_ms": self.hold_ms,
            "epochs": [[1, OFFSET]],
            "products": self.products,
            "pinned": sorted(self.pinned),
            "hidden": sorted(self.hidden),
            "pos": {"t": "pos", "s": []},
            "recovered": False,
        }

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """``GET /ws/{stream}``."""
        socket = web.WebSocketResponse(protocols=("vitrine.json.1",))
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
        state = "similar" if pid == 2 and "h" in tap else "exact"
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
        return self.created(request, *await self.media.play_to(await request.text()))

    async def whip(self, request: web.Request) -> web.Response:
        """``POST /whip/{stream}``: takes anything with the right key, looks at nothing."""
        if request.headers.get("Authorization") != f"Bearer {HOST_KEY}":
            body = {"code": "key-refused", "message": "got no publish key, expected Bearer"}
            return web.json_response(body, status=401)
        session, answer = await self.media.take_from(await request.text())
        if not self.live:
            await self.go_live()
        return self.created(request, session, answer)

    @staticmethod
    def created(request: web.Request, session: str, answer: str) -> web.Response:
        """201 with the answer."""
        headers = {"Location": f"{request.path}/{session}"}
        return web.Response(status=201, text=answer, content_type="application/sdp", headers=headers)

    async def end_session(self, request: web.Request) -> web.Response:
        """``DELETE`` of a session."""
        self.received.append({"t": "delete", "kind": request.match_info["kind"]})
        await self.media.close(request.match_info["session"])
        return web.Response()

    async def go_live(self) -> None:
        """As if a host had come."""
        self.live = True
        await self.event({"k": "live", "epoch": 1, "offset": OFFSET, "latency_ms": self.hold_ms})

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
        body = {
            "id": request.match_info["stream"],
            "live": self.live,
            "viewers": len(self.sockets),
            "products": self.products,
            "pinned": [names[pid] for pid in self.pinned],
            "hidden": [names[pid] for pid in self.hidden],
            "source": SOURCE if self.live else None,
        }
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

    async def fleet(self, request: web.Request) -> web.Response:
        """``GET /api/fleet``: a process that is alone, until the page's act makes it one of several."""
        return web.json_response(fleet_figures(bool(self.problems)))

    async def seen(self, request: web.Request) -> web.Response:
        """``GET .../seen``: the two cards, one sure and one not; ``.../taught``: nothing."""
        if request.path.endswith("/taught"):
            return web.json_response({"products": []})
        known = {"id": 7, "product_id": self.products[0]["id"], "title": self.products[0]["title"]}
        sure = {"state": "exact", "reason": "seen from 6 views, 0.30 ahead of the next", "next": "Jar"}
        other = {"id": 8, "product_id": "", "title": "", "state": "unsure", "reason": "nothing is near"}
        return web.json_response({"objects": [known | sure | {"shown": True}, other | {"shown": False}]})

    async def teach(self, request: web.Request) -> web.Response:
        """``POST .../teach``: what was said is among what was received."""
        self.received.append({"t": "teach", **await request.json()})
        return web.json_response({"remembered": 4})

    async def operator(self, request: web.Request) -> web.Response:
        """``GET /api/operator``, with figures that move."""
        if request.headers.get("Authorization") != f"Bearer {OPERATOR_KEY}":
            return web.json_response({"code": "key-refused", "message": "got no operator key"}, status=401)
        return web.json_response(
            operator_figures(time.monotonic() - self.began, self.live, len(self.sockets), self.problems)
        )

    async def act(self, request: web.Request) -> web.Response:
        """``POST /mock/{action}``; ``GET`` returns what viewers sent."""
        match request.match_info["action"]:
            case "received":
                return web.json_response(list(self.received))
            case "end":
                self.live = False
                await self.event({"k": "ended", "reason": "publisher left"})
                await self.media.close_all()
            case "live":
                await self.go_live()
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
                    "demo: 3.1 % of frames missed the 60 ms budget; the detector takes 48 ms at p95"
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
            player = asyncio.create_task(self.media.play())
            yield
            player.cancel()
            await self.media.close_all()

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
        app.router.add_get("/api/streams/{stream}/seen", self.seen)
        app.router.add_get("/api/streams/{stream}/taught", self.seen)
        app.router.add_post("/api/streams/{stream}/teach", self.teach)
        app.router.add_get("/api/operator", self.operator)
        app.router.add_get("/api/fleet", self.fleet)
        app.router.add_get("/images/{product}/{n}", self.image)
        app.router.add_route("*", "/mock/{action}", self.act)
        return app


async def serve(port: int, server: Server) -> None:
    """Until cancelled; prints the address once it answers."""
    fix_origin()
    runner = web.AppRunner(server.app())
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
    parser.add_argument("--hold-ms", type=int, default=180, help="latency_ms told to viewers")
    parser.add_argument("--every", type=int, default=2, help="measured boxes for every n-th frame")
    parser.add_argument("--drawn", action="store_true", help="two moving cards instead of the clip")
    parser.add_argument("--speed", type=int, default=12, help="of the cards, pixels of 1280 a frame")
    arguments = parser.parse_args()
    show = Show(None if arguments.drawn else CLIP, arguments.speed)
    server = Server(show, arguments.delay_ms, arguments.every, arguments.hold_ms)
    asyncio.run(serve(arguments.port, server))


if __name__ == "__main__":
    main()
