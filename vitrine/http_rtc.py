"""WHIP and WHEP over aiohttp: carries out what `stream.whip` decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from stream import whip
from stream.errors import EngineError
from stream.sdp_text import MAX_SDP_BYTES
from stream.session import Session
from stream.types import StreamId, stream_id
from vitrine.auth import Authenticator, Role
from vitrine.errors import UnknownStream
from vitrine.fleet import Elsewhere
from vitrine.forward import BODY
from vitrine.streams import Streams

MAX_SESSION_ID = 64


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the two protocols: whose credential it takes, how a session is made, where open ones are."""

    prefix: str
    role: Role
    accept: Callable[[StreamId, str, bool], Awaitable[Session]]
    sessions: Callable[[StreamId], Mapping[str, Session]]


class RtcEndpoints:
    """Routes of ``/whip/{stream}`` and ``/whep/{stream}`` and of their sessions."""

    def __init__(self, streams: Streams, auth: Authenticator) -> None:
        hub = streams.hub
        self._auth = auth
        self._streams = streams
        self._whip = _Kind(
            "/whip",
            Role.PUBLISH,
            lambda stream, offer, force: streams.publish(stream, offer, force=force),
            lambda stream: hub.get(stream).ingests,
        )
        self._whep = _Kind(
            "/whep",
            Role.VIEW,
            lambda stream, offer, _: streams.play(stream, offer),
            lambda stream: hub.get(stream).playbacks,
        )

    def routes(self) -> list[web.RouteDef]:
        """All methods go to the table in `stream.whip`, which also answers the ones it does not know."""
        found: list[web.RouteDef] = []
        for kind in (self._whip, self._whep):
            found.append(web.route("*", f"{kind.prefix}/{{stream}}", self._endpoint(kind)))
            found.append(web.route("*", f"{kind.prefix}/{{stream}}/{{session}}", self._session(kind)))
        return found

    def _endpoint(self, kind: _Kind) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            stream = _stream_of(request)
            self._authorise(request, kind, stream)
            decision = whip.decide(whip.Resource.ENDPOINT, await _read(request))
            if isinstance(decision, whip.Reply):
                return _response(decision)
            try:
                session = await kind.accept(stream, decision.text, request.query.get("force") == "1")
            except Elsewhere:
                raise
            except EngineError as error:
                return _response(whip.refused(error))
            location = f"{kind.prefix}/{stream}/{session.id}"
            return _response(whip.accepted(session.answer, location, whip.entity_tag(session.id)))

        return handle

    def _session(self, kind: _Kind) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            stream = _stream_of(request)
            self._authorise(request, kind, stream)
            session = self._find(kind, stream, request.match_info["session"])
            read = await _read(request)
            if session is None and request.method != "OPTIONS":
                await self._streams.require(stream)
            resource = whip.Resource.GONE if session is None else whip.Resource.SESSION
            etag = None if session is None else whip.entity_tag(session.id)
            decision = whip.decide(resource, read, etag)
            if isinstance(decision, whip.Reply) or session is None:
                return _response(decision if isinstance(decision, whip.Reply) else whip.done(decision.act))
            try:
                if decision.act is whip.Act.TRICKLE:
                    await session.trickle(decision.text)
                else:
                    await session.close("bye")
            except EngineError as error:
                return _response(whip.refused(error))
            return _response(whip.done(decision.act))

        return handle

    def _authorise(self, request: web.Request, kind: _Kind, stream: StreamId) -> None:
        if request.method != "OPTIONS":
            bearer = request.headers.get("Authorization")
            self._auth.check(bearer, kind.role, stream, peer=request.remote or "")

    @staticmethod
    def _find(kind: _Kind, stream: StreamId, session: str) -> Session | None:
        try:
            return kind.sessions(stream).get(session[:MAX_SESSION_ID])
        except UnknownStream:
            return None


def _stream_of(request: web.Request) -> StreamId:
    try:
        return stream_id(request.match_info["stream"])
    except ValueError as error:
        raise EngineError(str(error), code="stream-name", http_status=400) from None


async def _read(request: web.Request) -> whip.Request:
    body = bytearray()
    while len(body) <= MAX_SDP_BYTES and (chunk := await request.content.readany()):
        body += chunk
    request[BODY] = bytes(body)
    return whip.Request(
        request.method, request.headers.get("Content-Type"), bytes(body), request.headers.get("If-Match")
    )


def _response(reply: whip.Reply) -> web.Response:
    response = web.Response(status=reply.status, body=reply.body.encode() or None)
    for name, value in reply.headers:
        response.headers.add(name, value)
    return response
