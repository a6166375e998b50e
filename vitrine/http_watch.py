"""The viewer's page, and which video it plays: WHEP of this engine, or the playlist of a CDN."""

from __future__ import annotations

from aiohttp import web

from stream.errors import EngineError
from vitrine.addresses import origin_of
from vitrine.auth import Authenticator, Role
from vitrine.config import Config
from vitrine.http import WEB, admitting
from vitrine.http_api import json_reply, stream_named


class WatchEndpoints:
    """``/watch/{stream}`` and ``/api/streams/{stream}/video``.

    The page is the same for all; its content security policy admits the one host that its playlist is on.

    Args:
        config: names the playlists.
        auth: who may watch.
    """

    def __init__(self, config: Config, auth: Authenticator) -> None:
        self._config, self._auth = config, auth

    def routes(self, *, pages: bool) -> list[web.RouteDef]:
        """All routes of this module; without `pages` the API alone."""
        routes = [web.get("/api/streams/{stream}/video", self.video)]
        return [*routes, web.get("/watch/{stream}", self.page)] if pages else routes

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page. A name that no stream can have gets it too, and is told so there."""
        try:
            playlist = self._config.playlist_of(stream_named(request.match_info["stream"]))
        except EngineError:
            playlist = ""
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": admitting(origin_of(playlist))}
        return web.FileResponse(WEB / "watch.html", headers=headers)

    async def video(self, request: web.Request) -> web.Response:
        """``{"playlist": address}``, or null where viewers watch WHEP."""
        stream = stream_named(request.match_info["stream"])
        bearer = request.headers.get("Authorization")
        self._auth.check(bearer, Role.VIEW, stream, peer=request.remote or "")
        return json_reply({"playlist": self._config.playlist_of(stream) or None})
