"""The JSON API: streams, the host's pins and vetoes, the operator's figures, health, catalogue pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from stream.errors import EngineError
from stream.types import StreamId, stream_id
from vitrine import figures, metrics
from vitrine.auth import Authenticator, Role
from vitrine.fleet import Elsewhere
from vitrine.hub import StreamRuntime
from vitrine.streams import Streams
from vitrine.studio.survey import streams_of, survey

_SAFE = re.compile(r"[0-9]{1,4}")


class Toggle(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``pin`` and ``hide``."""

    product_id: Annotated[str, Meta(min_length=1, max_length=50)]
    on: bool


Body = TypeVar("Body")
_toggle = msgspec.json.Decoder(Toggle)
_EXAMPLE = '{"product_id": "...", "on": true}'


class Api:
    """Routes below ``/api`` and the small ones beside it.

    Args:
        streams: the streams of this node.
        auth: checks keys.
        metrics: for ``/metrics``.
        figures: makes the operator's figures.
        image: path of picture n of a product, None when there is none.
        viewers: viewers of a stream now.
        not_ready: why the engine cannot work (empty when it can).
        open_metrics: ``/metrics`` needs no key (the port is on loopback).
    """

    def __init__(
        self,
        *,
        streams: Streams,
        auth: Authenticator,
        metrics: metrics.Metrics,
        figures: Callable[[], figures.EngineFigures],
        image: Callable[[str, int], Path | None],
        viewers: Callable[[StreamId], int],
        not_ready: Callable[[], str],
        open_metrics: bool,
    ) -> None:
        self._streams, self._auth, self._metrics, self._figures = streams, auth, metrics, figures
        self._image, self._viewers, self._not_ready = image, viewers, not_ready
        self._open_metrics = open_metrics

    def routes(self) -> list[web.RouteDef]:
        """All routes of this module."""
        return [
            web.get("/api/streams", self.streams),
            web.get("/api/streams/{stream}", self.stream),
            web.post("/api/streams/{stream}/pin", self.pin),
            web.post("/api/streams/{stream}/hide", self.hide),
            web.get("/api/operator", self.operator),
            web.get("/api/fleet", self.fleet),
            web.get("/images/{product}/{n}", self.picture),
            web.get("/metrics", self.prometheus),
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
        ]

    # ---- streams -------------------------------------------------------------------------------------------

    async def streams(self, request: web.Request) -> web.Response:
        """All streams, on whatever node, for anybody."""
        listed: dict[str, dict[str, object]] = {
            item.stream: {"id": item.stream, "live": item.relay.live, "viewers": self._viewers(item.stream)}
            for item in self._streams.hub
        }
        for found in streams_of(await self._streams.fleet.nodes()):
            listed.setdefault(found.id, {"id": found.id, "live": found.live, "viewers": found.viewers})
        return web.json_response({"streams": list(listed.values())})

    async def stream(self, request: web.Request) -> web.Response:
        """One stream, for its host."""
        runtime = await self._host(request)
        shown = runtime.show.state()
        ids = {card.pid: card.id for card in shown.products}
        body = {
            "id": runtime.stream,
            "live": runtime.relay.live,
            "viewers": self._viewers(runtime.stream),
            "products": shown.products,
            "pinned": [ids[pid] for pid in shown.pinned],
            "hidden": [ids[pid] for pid in shown.hidden],
            "source": runtime.pipeline.info,
        }
        return json_reply(body)

    async def pin(self, request: web.Request) -> web.Response:
        """The host pins or releases a product."""
        runtime = await self._host(request)
        toggle = await read_body(request, _toggle, _EXAMPLE)
        runtime.show.pin(toggle.product_id, toggle.on)
        return web.Response(status=204)

    async def hide(self, request: web.Request) -> web.Response:
        """The host hides a product's hotspots or shows them again."""
        runtime = await self._host(request)
        toggle = await read_body(request, _toggle, _EXAMPLE)
        runtime.show.hide(toggle.product_id, toggle.on)
        return web.Response(status=204)

    async def _host(self, request: web.Request) -> StreamRuntime:
        stream = stream_named(request.match_info["stream"])
        self._check(request, Role.HOST, stream)
        return await self._streams.open(stream)

    def _check(self, request: web.Request, role: Role, stream: StreamId | None) -> None:
        self._auth.check(request.headers.get("Authorization"), role, stream, peer=request.remote or "")

    # ---- the operator --------------------------------------------------------------------------------------

    async def fleet(self, request: web.Request) -> web.Response:
        """All nodes and streams, and what is wrong in words."""
        self._check(request, Role.OPERATOR, None)
        fleet = self._streams.fleet
        found = survey(await fleet.nodes(), fleet.name, figures.hear(await fleet.told()))
        return web.Response(body=msgspec.json.encode(found), content_type="application/json")

    async def operator(self, request: web.Request) -> web.Response:
        """The figures of the operator's page."""
        self._check(request, Role.OPERATOR, None)
        return web.Response(body=figures.encode(self._figures()), content_type="application/json")

    async def prometheus(self, request: web.Request) -> web.Response:
        """Prometheus text."""
        if not self._open_metrics:
            self._check(request, Role.OPERATOR, None)
        return web.Response(body=self._metrics.prometheus(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def healthz(self, request: web.Request) -> web.Response:
        """The event loop answers."""
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """Models, catalogue and bus are there."""
        reason = self._not_ready()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    # ---- pictures ------------------------------------------------------------------------------------------

    async def picture(self, request: web.Request) -> web.StreamResponse:
        """Picture n of a product."""
        number = request.match_info["n"]
        path = None
        if _SAFE.fullmatch(number):
            path = self._image(request.match_info["product"], int(number))
        if path is None and (node := await self._streams.fleet.catalogue()) is not None:
            raise Elsewhere(node)
        if path is None:
            raise EngineError("no such picture", code="no-picture", http_status=404)
        headers = {"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}
        return web.FileResponse(path, headers=headers)


def stream_named(text: str) -> StreamId:
    """A stream's name in an address.

    Raises:
        EngineError: it is none (400).
    """
    try:
        return stream_id(text)
    except ValueError as error:
        raise EngineError(str(error), code="stream-name", http_status=400) from None


async def read_body(request: web.Request, decoder: msgspec.json.Decoder[Body], example: str) -> Body:
    """A request's JSON body.

    Raises:
        EngineError: it is not what `example` shows (400).
    """
    try:
        return decoder.decode(await request.read())
    except msgspec.DecodeError as error:
        raise EngineError(f"body: {error}; expected {example}", code="body", http_status=400) from None


def json_reply(body: object) -> web.Response:
    """Anything msgspec encodes, as JSON."""
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
