"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-03) as a table: (resource state, method) -> reply or action.

Knows nothing of sockets or of any HTTP library: an edge turns its request into a `Request`, asks
`decide`, carries an `Action` out with a WebRTC session, and sends the `Reply` made by `accepted`, `done`
or `refused`.

Supported: trickle ICE. Not supported: ICE restart, answered 422 by the session (RFC 9725 section 4.3.3
lets a session support one of the two). The session's ETag never changes, therefore.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from stream.errors import EngineError
from stream.sdp_text import MAX_SDP_BYTES
from stream.trickle import MAX_FRAGMENT_BYTES

SDP_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
RETRY_AFTER_S = 2

CORS: tuple[tuple[str, str], ...] = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "ETag, Link, Location, Retry-After, Accept-Patch"),
)
_PREFLIGHT: tuple[tuple[str, str], ...] = (
    ("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match"),
    ("Access-Control-Max-Age", "86400"),
)


class Resource(Enum):
    """What a request is addressed to."""

    ENDPOINT = "endpoint"
    """`/whip/{stream}` or `/whep/{stream}`: sessions are made here."""

    SESSION = "session"
    """An open session."""

    GONE = "gone"
    """A session that has ended or never was."""


class Act(Enum):
    """What the edge has to do with a WebRTC session."""

    ACCEPT = "accept"
    TRICKLE = "trickle"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Request:
    """An authorised request.

    Attributes:
        method: upper case.
        content_type: header as received, parameters allowed; None when absent.
        body: whole body. Edges should stop reading beyond `MAX_SDP_BYTES` and pass what they have.
        if_match: `If-Match` header as received, or None.
    """

    method: str
    content_type: str | None = None
    body: bytes = b""
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP reply. CORS headers are included."""

    status: int
    headers: tuple[tuple[str, str], ...] = CORS
    body: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """Do `act` with `text` (the offer or the fragment), then answer with `accepted`, `done` or `refused`."""

    act: Act
    text: str = ""


def decide(resource: Resource, request: Request, etag: str | None = None) -> Reply | Action:
    """What a request means.

    Args:
        resource: what it is addressed to.
        request: the request, already authorised (except OPTIONS, which needs no authorisation).
        etag: the session's entity tag, with quotes; needed for `Resource.SESSION`.
    """
    handler = _TABLE.get((resource, request.method))
    if handler is not None:
        return handler(request, etag)
    if resource is Resource.GONE:
        return _error(404, "session-gone", "session: got an unknown or ended one; start another by POST")
    allowed = ", ".join(method for state, method in _TABLE if state is resource)
    return _error(
        405, "method", f"method: got {request.method[:16]!r}, expected {allowed}", ("Allow", allowed)
    )


def accepted(answer: str, location: str, etag: str, ice_servers: tuple[str, ...] = ()) -> Reply:
    """201 with the answer.

    Args:
        answer: SDP answer.
        location: path of the session.
        etag: entity tag of its ICE session, with quotes.
        ice_servers: complete `Link` values (`<stun:...>; rel="ice-server"`); none by default.
    """
    links = tuple(("Link", link) for link in ice_servers)
    headers = (
        ("Content-Type", SDP_TYPE),
        ("Location", location),
        ("ETag", etag),
        ("Accept-Patch", FRAGMENT_TYPE),
        *links,
    )
    return Reply(201, (*headers, *CORS), answer)


def done(act: Act) -> Reply:
    """Reply to a carried-out `TRICKLE` (204) or `CLOSE` (200)."""
    return Reply(204 if act is Act.TRICKLE else 200)


def refused(error: EngineError) -> Reply:
    """Reply to an action that failed: its status, a JSON body, `Retry-After` where it may help."""
    retry = ("Retry-After", str(RETRY_AFTER_S)) if error.retryable else None
    return _error(error.http_status, error.code, str(error), retry)


def entity_tag(session_id: str) -> str:
    """Strong entity tag of a session's only ICE session."""
    return f'"{session_id[:16]}"'


def _error(status: int, code: str, message: str, header: tuple[str, str] | None = None) -> Reply:
    extra = () if header is None else (header,)
    body = json.dumps({"code": code, "message": message})
    return Reply(status, (("Content-Type", "application/json"), *extra, *CORS), body)


def _text(request: Request, content_type: str, limit: int) -> str | Reply:
    got = (request.content_type or "").partition(";")[0].strip().lower()
    if got != content_type:
        accept = ("Accept-Post" if request.method == "POST" else "Accept-Patch", content_type)
        return _error(415, "content-type", f"content type: got {got[:60]!r}, expected {content_type}", accept)
    if len(request.body) > limit:
        return _error(413, "too-large", f"body: got more than {limit} bytes, expected {content_type}")
    try:
        text = request.body.decode("utf-8")
    except UnicodeDecodeError:
        return _error(400, "not-utf8", "body: got bytes that are not UTF-8, expected text")
    if not text.strip():
        return _error(400, "empty", f"body: got nothing, expected {content_type}")
    return text


def _post(request: Request, etag: str | None) -> Reply | Action:
    text = _text(request, SDP_TYPE, MAX_SDP_BYTES)
    return text if isinstance(text, Reply) else Action(Act.ACCEPT, text)


def _patch(request: Request, etag: str | None) -> Reply | Action:
    text = _text(request, FRAGMENT_TYPE, MAX_FRAGMENT_BYTES)
    if isinstance(text, Reply):
        return text
    if request.if_match is None:
        return _error(
            428, "if-match-missing", "If-Match: got none, expected the session's ETag (RFC 9725 4.3.1)"
        )
    tags = [tag.strip() for tag in request.if_match.split(",")]
    # "*" announces a restart (section 4.3.3), but players send it for trickle too: the fragment decides.
    if "*" not in tags and etag not in tags:
        return _error(
            412, "if-match-stale", f"If-Match: got {request.if_match[:60]!r}, expected the session's ETag"
        )
    return Action(Act.TRICKLE, text)


def _delete(request: Request, etag: str | None) -> Reply | Action:
    return Action(Act.CLOSE)  # If-Match is ignored (section 4.2)


def _get(request: Request, etag: str | None) -> Reply | Action:
    return Reply(204)


def _options_endpoint(request: Request, etag: str | None) -> Reply | Action:
    return _options("POST", ("Accept-Post", SDP_TYPE))


def _options_session(request: Request, etag: str | None) -> Reply | Action:
    return _options("PATCH, DELETE", ("Accept-Patch", FRAGMENT_TYPE))


def _options(methods: str, accept: tuple[str, str]) -> Reply:
    allow = ("Access-Control-Allow-Methods", f"OPTIONS, GET, {methods}")
    return Reply(204, (accept, allow, *_PREFLIGHT, *CORS))


_TABLE: dict[tuple[Resource, str], Callable[[Request, str | None], Reply | Action]] = {
    (Resource.ENDPOINT, "OPTIONS"): _options_endpoint,
    (Resource.ENDPOINT, "GET"): _get,
    (Resource.ENDPOINT, "HEAD"): _get,
    (Resource.ENDPOINT, "POST"): _post,
    (Resource.SESSION, "OPTIONS"): _options_session,
    (Resource.SESSION, "GET"): _get,
    (Resource.SESSION, "HEAD"): _get,
    (Resource.SESSION, "PATCH"): _patch,
    (Resource.SESSION, "DELETE"): _delete,
    (Resource.GONE, "OPTIONS"): _options_session,
}
