"""The HTTP half of a WHIP or WHEP client: offer, answer, end. For publishers and for who pulls a copy.

WHIP is RFC 9725, WHEP draft-ietf-wish-whep-04. A redirect (307, RFC 9725 section 4.5) is followed with the
same offer; the token goes along to the same host or over TLS only. ICE servers named in `Link` headers (RFC
9725 section 4.6) are returned.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

import aiohttp
from multidict import CIMultiDictProxy

from stream.errors import SourceError
from stream.sdp_text import MAX_SDP_BYTES

SDP_TYPE = "application/sdp"
_TIMEOUT_S = 15.0
_REDIRECTS = 5
_LINK = re.compile(r"<([^>]*)>((?:[^,\"]|\"[^\"]*\")*)")
_PARAMETER = re.compile(r";\s*([\w-]+)\s*=\s*(?:\"([^\"]*)\"|([^\s;,]+))")
_RETRYABLE = {404, 408, 409, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server that the other side names.

    Attributes:
        url: ``stun:host:port``, ``turn:host:port?transport=udp``.
        username: of TURN, ``""`` for none.
        credential: of TURN, ``""`` for none.
    """

    url: str
    username: str = ""
    credential: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back for an offer.

    Attributes:
        sdp: the answer; an offer of the other side's own if `counter`.
        resource: absolute address of the session, ``""`` when none was named.
        counter: the offer was not acceptable (406) and `sdp` is to be answered with `Signalling.answer`.
        ice_servers: named in `Link` headers.
    """

    sdp: str
    resource: str
    counter: bool = False
    ice_servers: tuple[IceServer, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A WHIP or WHEP endpoint.

    Attributes:
        url: http or https address.
        token: bearer token, ``""`` for none.
    """

    url: str
    token: str = ""

    @classmethod
    def parse(cls, address: str) -> Endpoint:
        """Of `whip://TOKEN@host/path` (http) or `whips://` (https), and the same with `whep`; also http(s).

        Raises:
            SourceError: another scheme, or no host.
        """
        parts = urlsplit(address)
        scheme = {"whip": "http", "whep": "http", "whips": "https", "wheps": "https"}.get(
            parts.scheme.lower(), parts.scheme.lower()
        )
        if scheme not in ("http", "https") or not parts.hostname:
            raise SourceError(
                f"endpoint: got {_shown(parts)!r}, expected an address such as whips://TOKEN@host/path",
                code="endpoint-address",
            )
        netloc = parts.netloc.rpartition("@")[2]
        url = urlunsplit((scheme, netloc, parts.path, parts.query, ""))
        return cls(url, unquote(parts.username or ""))

    @property
    def host(self) -> str:
        """For messages."""
        return urlsplit(self.url).hostname or ""

    @property
    def on_this_machine(self) -> bool:
        """Media need not leave 127.0.0.1."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Signalling:
    """An async context manager around one HTTP connection pool.

    Args:
        what: ``"WHIP"`` or ``"WHEP"``, for messages and error codes.
        endpoint: where offers go.
    """

    def __init__(self, what: str, endpoint: Endpoint) -> None:
        self._what = what
        self._endpoint = endpoint
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))

    async def __aenter__(self) -> Signalling:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def offer(self, sdp: str) -> Answered:
        """Send an offer.

        Raises:
            SourceError: unreachable or refused; `retryable` says whether it may work later.
        """
        url, headers = self._endpoint.url, {"Content-Type": SDP_TYPE, "Accept": SDP_TYPE}
        for _ in range(_REDIRECTS + 1):
            status, reply_headers, text = await self._send("POST", url, sdp, headers)
            if status not in (307, 308):
                return self._answered(url, status, reply_headers, text)
            url = self._redirected(url, reply_headers.get("Location", ""))
        raise self._error("redirects", f"got more than {_REDIRECTS} redirects, expected an answer")

    async def answer(self, resource: str, sdp: str) -> None:
        """Answer a counter-offer (draft-ietf-wish-whep-04, section 4.3.2).

        Raises:
            SourceError: unreachable or refused.
        """
        status, _, text = await self._send("PATCH", resource, sdp, {"Content-Type": SDP_TYPE})
        if status not in (200, 204):
            raise self._error(
                "refused", f"got {status} {text[:200]} for the answer to its counter-offer, expected 204"
            )

    async def delete(self, resource: str) -> None:
        """End the session; whether that worked is of no interest."""
        if not resource:
            return
        try:
            await self._send("DELETE", resource, None, {})
        except SourceError:
            pass  # the server is gone, or has ended the session already

    def _redirected(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(target)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
            raise self._error("redirects", f"got a redirect to {_shown(new)!r}, expected https")
        return target

    def _answered(self, url: str, status: int, headers: CIMultiDictProxy[str], text: str) -> Answered:
        location = headers.get("Location")
        resource = urljoin(url, location) if location else ""
        is_sdp = headers.get("Content-Type", "").partition(";")[0].strip().lower() == SDP_TYPE
        if status == 201:
            return Answered(text, resource, False, ice_servers(headers.getall("Link", ())))
        if status == 406 and is_sdp and resource:
            return Answered(text, resource, True, ice_servers(headers.getall("Link", ())))
        raise self._error(
            "refused", f"got {status} {text[:200]}, expected 201", retryable=status in _RETRYABLE
        )

    async def _send(
        self, method: str, url: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, CIMultiDictProxy[str], str]:
        if self._endpoint.token and self._may_have_token(url):
            headers = {**headers, "Authorization": f"Bearer {self._endpoint.token}"}
        try:
            async with self._http.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as reply:
                raw = await reply.content.read(MAX_SDP_BYTES)
                return reply.status, reply.headers, raw.decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._error(
                "unreachable",
                f"{error or 'timeout'}; is the address right and the server running?",
                retryable=True,
            ) from error

    def _may_have_token(self, url: str) -> bool:
        ours, theirs = urlsplit(self._endpoint.url), urlsplit(url)
        return theirs.scheme == "https" or theirs.netloc == ours.netloc

    def _error(self, code: str, message: str, *, retryable: bool = False) -> SourceError:
        return SourceError(
            f"{self._what} endpoint {self._endpoint.host}: {message}",
            code=f"{self._what.lower()}-{code}",
            retryable=retryable,
        )


def ice_servers(links: Iterable[str]) -> tuple[IceServer, ...]:
    """The ICE servers among `Link` header values: ``<turn:host>; rel="ice-server"; username="u"``."""
    found = []
    for value in links:
        for link in _LINK.finditer(value):
            parameters = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(link[2])}
            if parameters.get("rel") == "ice-server":
                found.append(
                    IceServer(link[1], parameters.get("username", ""), parameters.get("credential", ""))
                )
    return tuple(found)


def _shown(parts: SplitResult) -> str:
    """An address without what may be secret."""
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
