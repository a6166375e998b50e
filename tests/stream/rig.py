"""A sink that remembers, and a small WHIP and WHEP server over aiohttp, as an edge would build it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from stream import whip
from stream.clock import MonotonicClock
from stream.errors import EngineError
from stream.relay import Relay
from stream.types import EncodedFrame, Frame, SourceInfo, StreamId
from stream.webrtc import Ingest, Playback, RtcSettings
from tests.serving import serving
from tests.stream import pages
from tests.stream.media import read_barcode

STREAM = StreamId("show")
_TICK_S = 0.01


@dataclass
class Seen:
    """A delivered frame without its pixels."""

    rtp: int
    epoch: int
    pts_ns: int
    arrived_ns: int
    decoded_ns: int
    delivered_ns: int
    size: tuple[int, int]
    barcode: int | None
    motion: int


@dataclass
class RecordingSink:
    """Remembers everything; hands encoded frames to a relay, if it has one."""

    relay: Relay | None = None
    barcodes: bool = True
    watched: bool = True
    started: list[tuple[int, SourceInfo]] = field(default_factory=list)
    frames: list[Seen] = field(default_factory=list)
    encoded: list[EncodedFrame] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)

    def on_started(self, epoch: int, info: SourceInfo) -> None:
        self.started.append((epoch, info))

    def on_frame(self, frame: Frame) -> None:
        now_ns = MonotonicClock().now_ns()
        pixels = frame.pixels
        code = read_barcode(pixels.scaled(320, 180, "gray")) if self.barcodes else None
        vectors = pixels.motion_vectors()
        self.frames.append(
            Seen(
                frame.time.rtp,
                frame.time.epoch,
                frame.pts_ns,
                frame.arrived_ns,
                frame.decoded_ns,
                now_ns,
                (pixels.width, pixels.height),
                code,
                0 if vectors is None else len(vectors),
            )
        )

    def on_encoded(self, frame: EncodedFrame) -> None:
        self.encoded.append(frame)
        if self.relay is not None:
            self.relay.push(frame)

    def wants_pictures(self) -> bool:
        return self.watched

    def next_epoch(self, epoch: int) -> int:
        return epoch + 1

    def on_dropped(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def on_ended(self, reason: str) -> None:
        self.ended.append(reason)
        if self.relay is not None and self.encoded:
            self.relay.end_epoch(self.encoded[-1].time.epoch)

    def video(self) -> list[EncodedFrame]:
        return [frame for frame in self.encoded if frame.codec != "opus"]

    def audio(self) -> list[EncodedFrame]:
        return [frame for frame in self.encoded if frame.codec == "opus"]


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition on real media; fails the test when it does not come true in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S)


class Server:
    """One stream, any number of publishers one after the other, any number of viewers."""

    def __init__(self, settings: RtcSettings) -> None:
        self.settings = settings
        self.relay = Relay(STREAM)
        self.sinks: list[RecordingSink] = []
        self.ingests: list[Ingest] = []
        self.playbacks: list[Playback] = []
        self.reports: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self.make_sink: Callable[[Relay], RecordingSink] = RecordingSink
        self.url = ""

    @property
    def sink(self) -> RecordingSink:
        return self.sinks[-1]

    @property
    def ingest(self) -> Ingest:
        return self.ingests[-1]

    async def _accept(self, role: str, offer: str) -> Ingest | Playback:
        clock = MonotonicClock()
        if role == "whep":
            playback = await Playback.accept(
                offer=offer, relay=self.relay, settings=self.settings, clock=clock
            )
            self.playbacks.append(playback)
            return playback
        sink = self.make_sink(self.relay)
        ingest = await Ingest.accept(
            offer=offer,
            stream=STREAM,
            epoch=len(self.sinks) + 1,
            sink=sink,
            clock=clock,
            settings=self.settings,
        )
        for old in self.ingests:
            await old.close("replaced")
        self.sinks.append(sink)
        self.ingests.append(ingest)
        self.relay.on_keyframe_request = ingest.request_keyframe
        return ingest

    def _find(self, session_id: str) -> Ingest | Playback | None:
        everyone: list[Ingest | Playback] = [*self.ingests, *self.playbacks]
        return next((s for s in everyone if s.id == session_id), None)

    async def handle(self, request: web.Request) -> web.Response:
        role = request.match_info["role"]
        session = self._find(request.match_info.get("session", ""))
        resource = whip.Resource.ENDPOINT
        if "session" in request.match_info:
            resource = whip.Resource.SESSION if session else whip.Resource.GONE
        decided = whip.decide(
            resource,
            whip.Request(
                request.method,
                request.headers.get("Content-Type"),
                await request.read(),
                request.headers.get("If-Match"),
            ),
            whip.entity_tag(session.id) if session else None,
        )
        if isinstance(decided, whip.Action):
            try:
                decided = await self._act(role, session, decided)
            except EngineError as error:
                decided = whip.refused(error)
        return web.Response(status=decided.status, text=decided.body or None, headers=list(decided.headers))

    async def _act(self, role: str, session: Ingest | Playback | None, action: whip.Action) -> whip.Reply:
        if action.act is whip.Act.ACCEPT:
            made = await self._accept(role, action.text)
            return whip.accepted(made.answer, f"/{role}/show/{made.id}", whip.entity_tag(made.id))
        assert session is not None
        if action.act is whip.Act.TRICKLE:
            await session.trickle(action.text)
        else:
            await session.close("bye")
        return whip.done(action.act)

    async def _page(self, request: web.Request) -> web.Response:
        text = pages.WATCH if request.path == "/watch" else pages.PUBLISH
        return web.Response(text=text, content_type="text/html")

    async def _report(self, request: web.Request) -> web.Response:
        self.reports.put_nowait(await request.json())
        return web.Response()


@asynccontextmanager
async def serve(settings: RtcSettings | None = None) -> AsyncIterator[Server]:
    """A running server on a free port of 127.0.0.1; everything is closed at the end."""
    server = Server(settings or RtcSettings())
    app = web.Application()
    app.router.add_route("*", "/{role:whip|whep}/show", server.handle)
    app.router.add_route("*", "/{role:whip|whep}/show/{session}", server.handle)
    app.router.add_get("/{page:publish|watch}", server._page)
    app.router.add_post("/report", server._report)
    async with serving(app) as server.url:
        try:
            yield server
        finally:
            for session in [*server.ingests, *server.playbacks]:
                await session.close("bye")
