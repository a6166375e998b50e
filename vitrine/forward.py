"""Hands a request on to the node that it belongs to.

Programs that publish (OBS, encoders) are redirected with 307 (RFC 9725, section 4.5). Requests of web pages
are passed on to that node by this one: a browser drops `Authorization` when it is redirected to another
origin (Fetch standard, "HTTP-redirect fetch"), and pages may only connect to where they came from anyway.
Only signalling passes through here; media flows between the peer and that node.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
from aiohttp import web

from vitrine.auth import Authenticator, Role
from vitrine.errors import AuthError
from vitrine.fleet import Elsewhere
from vitrine.studio.nodes import Node

HOP: Final = "Vitrine-Via"
"""Set on what was passed on once: it is not passed on again. Holds a token that only nodes can make."""
_HOP_S: Final = 30
BODY: Final = web.RequestKey("body", bytes)
"""Where a handler that read the body itself leaves it in the request."""
_TIMEOUT_S: Final = 10.0
_DOWN: Final = ("Authorization", "Content-Type", "If-Match", "Accept")
_UP: Final = (
    "Content-Type",
    "Location",
    "ETag",
    "Link",
    "Retry-After",
    "Accept-Patch",
    "Accept-Post",
    "Allow",
    "Cache-Control",
    "WWW-Authenticate",
    "X-Vitrine-Epoch",
    "X-Vitrine-Rtp",
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def from_node(request: web.Request, auth: Authenticator) -> bool:
    """Another node passed `request` on: what a single asker may do was looked at there."""
    try:
        return HOP in request.headers and bool(auth.check(request.headers[HOP], Role.OPERATOR, None))
    except AuthError:
        return False


class Forward:
    """Middleware for what handlers say is `Elsewhere`. Close it at the end.

    Args:
        auth: signs what is passed on.
    """

    def __init__(self, auth: Authenticator) -> None:
        self._auth = auth
        self._session: aiohttp.ClientSession | None = None

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Run `handler`; carry out where it points."""
        try:
            return await handler(request)
        except Elsewhere as elsewhere:
            node = elsewhere.node
            if HOP in request.headers:
                raise
            if "Origin" in request.headers or request.method in ("GET", "HEAD"):
                return await self._pass_on(request, node)
            told = {"code": elsewhere.code, "message": str(elsewhere)}
            location = node.record.public.rstrip("/") + request.path_qs
            return web.json_response(told, status=307, headers={"Location": location})

    async def close(self) -> None:
        """Close the connections to other nodes."""
        if self._session is not None:
            await self._session.close()

    async def _pass_on(self, request: web.Request, node: Node) -> web.Response:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S, connect=2.0)
            self._session = aiohttp.ClientSession(timeout=timeout)
        body = request.get(BODY)
        headers = {name: request.headers[name] for name in _DOWN if name in request.headers}
        url = node.record.address.rstrip("/") + request.path_qs
        try:
            async with self._session.request(
                request.method,
                url,
                data=await request.read() if body is None else body,
                headers={**headers, HOP: self._auth.mint(Role.OPERATOR, None, _HOP_S)},
                allow_redirects=False,
            ) as reply:
                kept = {name: reply.headers[name] for name in _UP if name in reply.headers}
                return web.Response(status=reply.status, body=await reply.read(), headers=kept)
        except (TimeoutError, aiohttp.ClientError, OSError):
            told = {"code": "node-silent", "message": f"node {node.name} does not answer; try again soon"}
            return web.json_response(told, status=503, headers={"Retry-After": "1"})
