"""Searching over HTTP: what can be searched, one search, one still. `docs/search.md` has examples."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec
from aiohttp import web

from overlay.errors import MessageError
from overlay.search import MAX_SEARCH_BYTES, decode_search
from overlay.session import Rate, TokenBucket
from stream.clock import Clock
from stream.errors import EngineError
from stream.types import stream_id
from vitrine.auth import Authenticator, Role
from vitrine.config import SearchConfig
from vitrine.errors import Busy, NoMoment
from vitrine.forward import from_node
from vitrine.hub import StreamRuntime
from vitrine.search import Searcher
from vitrine.streams import Streams

STILL_WIDTH: Final = 1280
MOST_MARKS: Final = 120
MOST_ASKERS: Final = 10_000
_U32: Final = 0xFFFF_FFFF


class AskerLimiter:
    """A rate limit per asker; the least recent of many is forgotten first ([C])."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._askers: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, asker: str, now_ns: int) -> bool:
        """Whether `asker` may ask once more now."""
        bucket = self._askers.get(asker)
        if bucket is None:
            bucket = self._askers[asker] = TokenBucket(self._rate, now_ns)
            if len(self._askers) > MOST_ASKERS:
                self._askers.popitem(last=False)
        self._askers.move_to_end(asker)
        return bucket.take(now_ns)


class SearchEndpoints:
    """Routes of ``/api/streams/{stream}/search`` and ``/still``, for viewers."""

    def __init__(
        self,
        streams: Streams,
        auth: Authenticator,
        searcher: Searcher | None,
        config: SearchConfig,
        clock: Clock,
    ) -> None:
        self._streams, self._auth, self._clock = streams, auth, clock
        self._found_by, self._config = searcher, config
        each = config.per_second
        self._limit = AskerLimiter(Rate(each, 3 * each))

    @property
    def _searcher(self) -> Searcher:
        assert self._found_by is not None, "a node without streams finds none to search"
        return self._found_by

    def routes(self) -> list[web.RouteDef]:
        """All routes of this module."""
        return [
            web.get("/api/streams/{stream}/search", self.about),
            web.post("/api/streams/{stream}/search", self.search),
            web.get("/api/streams/{stream}/still", self.still),
        ]

    async def about(self, request: web.Request) -> web.Response:
        """Whether and how far back one can search: keyframes as ``[epoch, rtp, ago_ms]``, oldest first."""
        runtime = await self._runtime(request)
        memory, now_ns = runtime.memory, self._clock.now_ns()
        marks = memory.recorder.marks() if memory is not None else ()
        step = max(1, -(-len(marks) // MOST_MARKS))
        body = {
            "enabled": memory is not None and runtime.show.listed().recognition,
            "keep_ms": self._config.keep_ms,
            "marks": [
                (mark.time.epoch, mark.time.rtp, (now_ns - mark.arrived_ns) // 1_000_000)
                for mark in marks[::-1][::step][::-1]
            ],
        }
        return _json(body)

    async def search(self, request: web.Request) -> web.Response:
        """One search."""
        runtime = await self._runtime(request)
        wanted = decode_search(await _body(request))
        began_ns = self._clock.now_ns()
        answer = await self._searcher.answer(runtime, wanted)
        now_ns = self._clock.now_ns()
        runtime.metrics.stage("search", now_ns - began_ns, now_ns)
        runtime.metrics.event(f"search-{answer.outcome}")
        return _json(answer)

    async def still(self, request: web.Request) -> web.Response:
        """The picture of a moment as JPEG; its exact key stands in the headers."""
        runtime = await self._runtime(request)
        epoch, rtp = (_number(request, name) for name in ("epoch", "rtp"))
        _, moment = await self._searcher.moment(runtime, epoch, rtp)
        data = await self._searcher.moments.jpeg(moment, STILL_WIDTH)
        headers = {
            "Cache-Control": "private, no-store",
            "X-Vitrine-Epoch": str(moment.time.epoch),
            "X-Vitrine-Rtp": str(moment.time.rtp),
        }
        return web.Response(body=data, content_type="image/jpeg", headers=headers)

    async def _runtime(self, request: web.Request) -> StreamRuntime:
        """The stream asked about, if whoever asks may watch it and does not ask too often."""
        try:
            stream = stream_id(request.match_info["stream"])
        except ValueError as error:
            raise EngineError(str(error), code="stream-name", http_status=400) from None
        peer = request.remote or ""
        who = self._auth.check(request.headers.get("Authorization"), Role.VIEW, stream, peer=peer)
        if not from_node(request, self._auth):
            self._count(peer if who.subject in ("anonymous", "key") else who.subject)
        await self._streams.require(stream)
        runtime = self._streams.hub.get(stream)
        if runtime.memory is None and request.method != "GET":
            raise NoMoment("search: this server does not search; set search.enabled", code="search-off")
        return runtime

    def _count(self, asker: str) -> None:
        if not self._limit.take(asker, self._clock.now_ns()):
            raise Busy(
                f"search: more than {self._config.per_second:g} a second; wait a second",
                code="search-too-many",
                http_status=429,
            )


async def _body(request: web.Request) -> bytes:
    """At most one byte more than is allowed is read."""
    body = bytearray()
    while len(body) <= MAX_SEARCH_BYTES and (chunk := await request.content.readany()):
        body += chunk
    return bytes(body)


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "")
    if not text.isascii() or not text.isdigit() or int(text[:11]) > _U32 or len(text) > 10:
        raise MessageError(
            f"{name}: got {text[:20]!r}, expected an unsigned 32-bit number such as {name}=1",
            code="still-invalid",
        )
    return int(text)


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
