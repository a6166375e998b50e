"""Who may do what: one static key per role, and short-lived signed tokens (JWT, RFC 7519, HS256).

A refusal never tells which part of a credential was wrong. Failures are limited per peer, so that keys cannot
be guessed at speed.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

import jwt
import msgspec

from stream.clock import Clock, MonotonicClock
from stream.types import StreamId
from vitrine.errors import AuthError
from vitrine.keys import Keys

AUDIENCE: Final = "vitrine"
ALGORITHM: Final = "HS256"
ALL_STREAMS: Final = "*"
MAX_BEARER: Final = 2048
MAX_TTL_S: Final = 86_400
LEEWAY_S: Final = 2
"""Clocks of two nodes may differ by so much."""


class Role(StrEnum):
    """What a credential is for. Every other implies `VIEW`; `HOST` implies `PUBLISH`: hosts go live."""

    PUBLISH = "publish"
    HOST = "host"
    OPERATOR = "operator"
    VIEW = "view"


_IMPLIED: Final = {Role.HOST: (Role.PUBLISH,)}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking.

    Attributes:
        role: what the credential is for.
        stream: the only stream it is good for; None means all.
        subject: token id (``jti``), ``"key"`` for a static key, ``"anonymous"`` for a viewer without a token.
    """

    role: Role
    stream: StreamId | None
    subject: str


class _Claims(msgspec.Struct, frozen=True):
    """Claims of our tokens; others are ignored."""

    aud: str
    exp: int
    iat: int
    jti: str
    role: Role
    stream: str


class FailureLimiter:
    """Token bucket of failures per peer ([C]).

    Args:
        burst: failures a peer may make at once.
        per_s: failures forgiven per second.
        peers: peers remembered; the least recent is forgotten first.
    """

    def __init__(self, burst: int = 20, per_s: float = 1.0, peers: int = 10_000) -> None:
        self._burst, self._per_ns, self._peers = float(burst), per_s / 1e9, peers
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def _level(self, peer: str, now_ns: int) -> float:
        level, since_ns = self._failures.get(peer, (0.0, now_ns))
        return max(0.0, level - (now_ns - since_ns) * self._per_ns)

    def blocked(self, peer: str, now_ns: int) -> bool:
        """Whether `peer` has to wait before it may try again."""
        return self._level(peer, now_ns) > self._burst - 1.0

    def failed(self, peer: str, now_ns: int) -> None:
        """Count one failure."""
        self._failures[peer] = (self._level(peer, now_ns) + 1.0, now_ns)
        self._failures.move_to_end(peer)
        if len(self._failures) > self._peers:
            self._failures.popitem(last=False)

    def __len__(self) -> int:
        return len(self._failures)


class Authenticator:
    """Checks credentials and makes tokens.

    Args:
        keys: the static keys and the signing secret.
        viewer_tokens: viewers need a token; otherwise a request without a credential may view.
        clock: monotonic, for the failure limit.
        wall_s: seconds since the Unix epoch, for tokens.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        viewer_tokens: bool = False,
        clock: Clock | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.limiter = FailureLimiter()
        self._viewer_tokens = viewer_tokens
        self._clock = clock or MonotonicClock()
        self._wall_s = wall_s
        self._secret = keys.secret.reveal()
        self._static = (
            (Role.PUBLISH, keys.publish.reveal().encode()),
            (Role.HOST, keys.host.reveal().encode()),
            (Role.OPERATOR, keys.operator.reveal().encode()),
        )

    def check(self, bearer: str | None, role: Role, stream: StreamId | None, *, peer: str = "") -> Principal:
        """Who holds `bearer`, if that allows `role` on `stream` (None: not about one stream).

        Args:
            bearer: the credential alone, or a whole ``Authorization`` value ("Bearer ...").
            role: what is asked for.
            stream: which stream it concerns.
            peer: address the request came from, for the failure limit; empty where it is not known: no limit.

        Raises:
            AuthError: 401 none or not valid, 403 valid but for something else, 429 too many failures.
        """
        text = _strip_scheme(bearer)
        if not text and role is Role.VIEW and not self._viewer_tokens:
            return Principal(Role.VIEW, stream, "anonymous")
        now_ns = self._clock.now_ns()
        if peer and self.limiter.blocked(peer, now_ns):
            raise AuthError(
                "too many refused credentials from this address; wait a few seconds and try again",
                code="auth-too-many",
                retryable=True,
                http_status=429,
            )
        principal = self._identify(text) if text else None
        if principal is None:
            if text and peer:
                self.limiter.failed(peer, now_ns)
            raise AuthError(
                "a valid credential is needed: send 'Authorization: Bearer KEY' with the key of this role",
                code="auth-required",
            )
        if role not in (principal.role, Role.VIEW, *_IMPLIED.get(principal.role, ())):
            raise _forbidden()
        if principal.stream is not None and principal.stream != stream:
            raise _forbidden()
        return principal

    def mint(self, role: Role, stream: StreamId | None, ttl_s: int = 60) -> str:
        """A token for `role` on `stream` (None: all streams), good for `ttl_s` seconds from now.

        Raises:
            ValueError: `ttl_s` outside 1..86400.
        """
        if not 1 <= ttl_s <= MAX_TTL_S:
            raise ValueError(f"ttl_s: got {ttl_s}, expected 1..{MAX_TTL_S}")
        now = int(self._wall_s())
        claims = {
            "aud": AUDIENCE,
            "exp": now + ttl_s,
            "iat": now,
            "jti": secrets.token_urlsafe(9),
            "role": role.value,
            "stream": stream or ALL_STREAMS,
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def _identify(self, text: str) -> Principal | None:
        """Who holds `text`; None when nobody. Every static key is compared, in constant time."""
        data = text.encode("utf-8", "surrogateescape")
        if len(data) > MAX_BEARER:
            return None
        found: Principal | None = None
        for role, key in self._static:
            if hmac.compare_digest(data, key) and found is None:
                found = Principal(role, None, "key")
        return found or self._verify(text)

    def _verify(self, token: str) -> Principal | None:
        try:
            raw = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                options={
                    "require": ["aud", "exp", "iat", "jti", "role", "stream"],
                    "verify_exp": False,  # checked below, against the clock passed in
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            claims = msgspec.convert(raw, _Claims)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError):
            return None
        now = self._wall_s()
        if not claims.iat - LEEWAY_S <= now < claims.exp + LEEWAY_S or claims.exp - claims.iat > MAX_TTL_S:
            return None
        stream = None if claims.stream == ALL_STREAMS else StreamId(claims.stream)
        return Principal(claims.role, stream, claims.jti)


def _strip_scheme(bearer: str | None) -> str:
    text = (bearer or "").strip()
    scheme, _, rest = text.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else text


def _forbidden() -> AuthError:
    return AuthError("this credential does not allow that", code="auth-forbidden", http_status=403)


def origin_allowed(origin: str | None, host: str | None, allowed: Iterable[str]) -> bool:
    """Whether a page of `origin` may open a websocket or write through the API ([C]).

    Browsers always send ``Origin`` with a websocket handshake (RFC 6455, section 10.2). Without one the peer
    is not a browser and carries nobody's cookies: allowed. The same origin is allowed, whatever scheme a
    proxy in front speaks; any other must be in `allowed`, exactly.

    Args:
        origin: the request's ``Origin`` header.
        host: the request's ``Host`` header.
        allowed: origins such as ``"https://shop.example"``.
    """
    if origin is None:
        return True
    wanted = _origin_key(origin)
    if wanted is None:
        return False
    scheme, netloc = wanted
    if host is not None and netloc == _without_default_port(scheme, host.lower()):
        return True
    return any(_origin_key(entry) == wanted for entry in allowed)


def _origin_key(origin: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(origin.strip().rstrip("/"))
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        return None
    if parts.path or parts.query or parts.fragment:
        return None
    return parts.scheme, _without_default_port(parts.scheme, parts.netloc.lower())


def _without_default_port(scheme: str, netloc: str) -> str:
    return netloc.removesuffix(":443" if scheme == "https" else ":80")
