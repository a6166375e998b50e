"""The HTTP side of the one port: pages, API, and how errors and headers look everywhere."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from stream.errors import EngineError
from stream.whip import CORS

log = logging.getLogger(__name__)

WEB = Path(__file__).resolve().parent.parent / "overlay" / "web"
MAX_BODY_BYTES = 256 * 1024

CSP = (
    "default-src 'self'; img-src 'self' https: data: blob:; media-src 'self' blob:; "
    "connect-src 'self' ws: wss:; style-src 'self'; script-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'"
)


def admitting(origin: str) -> str:
    """The policy of a page that plays video from `origin` too (or from a scheme such as ``https:``)."""
    if not origin:
        return CSP
    policy = CSP.replace("connect-src 'self'", f"connect-src 'self' {origin}")
    return policy.replace("media-src 'self'", f"media-src 'self' {origin}")


_SECURITY_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
}
_PAGES = {
    "/": "index.html",
    "/host/{stream}": "host.html",
    "/operator": "operator.html",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def error_response(
    code: str, message: str, status: int, headers: dict[str, str] | None = None
) -> web.Response:
    """The one shape of every error: ``{"code", "message"}``."""
    return web.json_response({"code": code, "message": message}, status=status, headers=headers)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Map `EngineError` to its status, aiohttp's own errors to JSON, and anything else to a bare 500."""
    try:
        return await handler(request)
    except EngineError as error:
        headers = {"Retry-After": "2"} if error.http_status == 503 or error.retryable else None
        if error.http_status == 401:
            headers = {"WWW-Authenticate": "Bearer"}
        return error_response(error.code, str(error), error.http_status, headers)
    except web.HTTPRequestEntityTooLarge as error:
        return error_response(
            "body-too-large", f"body too large, expected at most {MAX_BODY_BYTES} bytes", error.status
        )
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kept = {k: v for k, v in error.headers.items() if k in {"Allow", "Retry-After"}}
        return error_response(f"http-{error.status}", error.text or error.reason, error.status, kept)
    except Exception:
        log.exception("request failed", extra={"method": request.method, "path": request.path})
        return error_response("internal", "the server failed to answer; its log says why", 500)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path.startswith(("/whip/", "/whep/")):  # also on refusals that never reached the endpoint
        for name, value in CORS:
            response.headers.setdefault(name, value)


def _page(path: Path) -> Handler:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})

    return page


def static_file(name: str) -> Handler:
    """Serves the pages' own files by the path in the route's variable `name`."""

    async def static(request: web.Request) -> web.StreamResponse:
        path = (WEB / request.match_info[name]).resolve()
        if not path.is_relative_to(WEB) or not path.is_file():
            raise web.HTTPNotFound(text=f"no such file: {request.path}")
        headers = {"Cache-Control": "no-cache", "Access-Control-Allow-Origin": "*"}
        return web.FileResponse(path, headers=headers)

    return static


def build_app(
    routes: Iterable[web.RouteDef], middlewares: Iterable[Middleware] = (), *, pages: bool = True
) -> web.Application:
    """The aiohttp application: `routes`, and `pages` with their static files.

    `vitrine-overlay.js` may be loaded by other sites (it is meant to be embedded); the rest is same-origin.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[errors_as_json, *middlewares])
    app.on_response_prepare.append(_add_headers)
    app.add_routes(routes)
    if pages:
        app.add_routes([web.get(path, _page(WEB / file)) for path, file in _PAGES.items()])
        app.add_routes([web.get("/static/{name:.+}", static_file("name"))])
    return app
