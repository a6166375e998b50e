"""Replays: recorded videos with their hotspots, as `vitrine tag --publish` left them in the data folder.

Who may watch a stream may watch the replay of that name: with ``auth.viewer_tokens`` its video, track and
pictures want a token (``Authorization``, or ``?token=`` where a browser sends no header); the page itself
holds nothing and is for anybody.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from overlay.messages import Card
from stream.errors import EngineError
from stream.types import StreamId, stream_id
from vitrine.auth import Authenticator, Role
from vitrine.http import WEB, admitting, static_file
from vitrine.http_api import json_reply
from vitrine.tagging.page import CARDS, FACTS, MANIFEST, PAGE
from vitrine.tagging.plan import REPLAYS

_CSP: Final = admitting("https:")
"""A replay may come from a CDN: media and playlists of other addresses, over https."""


class Replays:
    """Routes below ``/replay`` and the list of them.

    Args:
        data_dir: the server's.
        auth: who may watch.
        cards: what viewers are shown of these products now, as far as the catalogue has them. Blocking.
    """

    def __init__(
        self, data_dir: Path, auth: Authenticator, cards: Callable[[Sequence[str]], Sequence[Card]]
    ) -> None:
        self._folder = data_dir / REPLAYS
        self._auth, self._cards = auth, cards

    def routes(self) -> list[web.RouteDef]:
        """All routes of this module."""
        return [
            web.get("/api/replays", self.replays),
            web.get("/replay/{name}", self.redirect),
            web.get("/replay/{name}/", self.page),
            web.get("/replay/{name}/static/{file:.+}", static_file("file")),
            web.get(f"/replay/{{name}}/{CARDS}", self.cards),
            web.get("/replay/{name}/{file:.+}", self.file),
        ]

    async def replays(self, request: web.Request) -> web.Response:
        """The replays there are, newest first; for anybody, as the list of streams is."""
        return web.json_response({"replays": await asyncio.to_thread(self._list)})

    async def redirect(self, request: web.Request) -> web.Response:
        """What the page needs lies below it."""
        raise web.HTTPPermanentRedirect(f"/replay/{_name(request)}/")

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page, the same for all."""
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": _CSP}
        return web.FileResponse(WEB / PAGE, headers=headers)

    async def cards(self, request: web.Request) -> web.Response:
        """A replay's products as they are now; those that are gone from the catalogue are left out."""
        path = await self._file(request, FACTS)
        cards = await asyncio.to_thread(lambda: self._cards(_products(path)))
        return json_reply({"cards": cards})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file of a replay: video (with ranges), track, pictures."""
        path = await self._file(request, request.match_info["file"])
        return web.FileResponse(path, headers={"Cache-Control": "private, no-cache"})

    async def _file(self, request: web.Request, file: str) -> Path:
        """Where a file of the replay asked for lies, if whoever asks may watch it."""
        name = _name(request)
        bearer = request.headers.get("Authorization") or request.query.get("token")
        self._auth.check(bearer, Role.VIEW, name, peer=request.remote or "")
        folder = (self._folder / name).resolve()
        path = (folder / file).resolve()
        if not path.is_relative_to(folder) or not await asyncio.to_thread(path.is_file):
            raise EngineError("no such replay, or no such file of it", code="replay-unknown", http_status=404)
        return path

    def _list(self) -> list[dict[str, str]]:
        manifests = [path for path in self._folder.glob(f"*/{MANIFEST}") if path.is_file()]
        manifests.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        return [{"name": path.parent.name, "title": _title(path)} for path in manifests]


def _title(manifest: Path) -> str:
    try:
        return str(json.loads(manifest.read_bytes())["title"])
    except (OSError, ValueError, KeyError, TypeError):
        return manifest.parent.name


def _products(facts: Path) -> list[str]:
    """Which products a replay shows."""
    try:
        return [str(product["id"]) for product in json.loads(facts.read_bytes())["products"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise EngineError(
            "this replay's facts cannot be read; tag the video again with --again",
            code="replay-damaged",
            http_status=500,
        ) from None


def _name(request: web.Request) -> StreamId:
    try:
        return stream_id(request.match_info["name"])
    except ValueError as error:
        raise EngineError(str(error), code="replay-name", http_status=400) from None
