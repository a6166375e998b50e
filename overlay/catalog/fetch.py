"""Gets pictures and feeds: from the feed's folder or over http.

A feed is somebody else's text. An address in it that leads to this machine or its private network is refused,
also when it is reached by a redirect or by a name that resolves there.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from overlay.policy import ShopPolicy

_HOPS = 4
_REDIRECTS = (301, 302, 303, 307, 308)
_ANY = ShopPolicy()


class FetchError(Exception):
    """Something cannot be got; the message says why and how to fix it."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What may be fetched.

    Attributes:
        max_bytes: of one answer or file.
        timeout_s: for one address, redirects included.
        private_networks: addresses of this machine and of private networks are allowed.
        concurrency: fetched at once.
    """

    max_bytes: int = 20 * 1024 * 1024
    timeout_s: float = 10.0
    private_networks: bool = False
    concurrency: int = 8


def is_public(address: str) -> bool:
    """`address` (a literal IPv4 or IPv6 address) is one of the public internet."""
    parsed = ipaddress.ip_address(address.split("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None)
    return parsed.is_global and not parsed.is_multicast and (mapped is None or is_public(str(mapped)))


class PublicResolver(AbstractResolver):
    """Resolves names, to public addresses only. The connection is made to what was checked."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of `host`.

        Raises:
            OSError: there are none, or none that are public.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        public = [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, proto, _, address in found
            if is_public(str(address[0]))
        ]
        if not public:
            raise OSError(None, f"{host} is in a private network")
        return public

    async def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was got.

    Attributes:
        data: the content; None where it is as it was.
        tag: how to ask next time whether it changed; empty where nothing tells.
    """

    data: bytes | None
    tag: str


class Fetcher:
    """Fetches files and addresses. Use as an async context manager."""

    def __init__(self, limits: FetchLimits | None = None) -> None:
        self._limits = limits or FetchLimits()
        self._gate = asyncio.Semaphore(self._limits.concurrency)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, link: str, folder: Path | None) -> bytes:
        """Content of `link`: an http(s) address, or a path relative to `folder`.

        Raises:
            FetchError: missing, refused, too big, too slow.
        """
        answer = await self.get_if_changed(link, folder, "")
        assert answer.data is not None, "without a tag everything is new"
        return answer.data

    async def get_if_changed(self, link: str, folder: Path | None, tag: str) -> Answer:
        """Content of `link`, unless it is what `tag` (of an earlier answer) stands for (RFC 9110, 13).

        Raises:
            FetchError: as `get`.
        """
        async with self._gate:
            if "://" in link:
                try:
                    async with asyncio.timeout(self._limits.timeout_s):
                        return await self._http(link, tag)
                except TimeoutError:
                    raise FetchError(f"no complete answer within {self._limits.timeout_s:g} s") from None
                except (aiohttp.ClientError, OSError, ValueError) as error:
                    raise FetchError(f"cannot be fetched: {error or type(error).__name__}") from None
            return await asyncio.to_thread(self._file, link, folder, tag)

    def _file(self, link: str, folder: Path | None, tag: str) -> Answer:
        if folder is None:
            raise FetchError(f"got the path {link[:80]!r}, expected an address as the feed's own")
        path = (folder / link).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise FetchError(f"{link[:80]!r} leads out of the feed's folder; put the file inside it")
        try:
            if path.exists() and not path.is_file():
                raise FetchError(f"{link[:80]!r} is not a file; name a picture file")
            facts = path.stat()
            if facts.st_size > self._limits.max_bytes:
                raise FetchError(f"more than {self._limits.max_bytes} bytes; make it smaller")
            fresh = f"file {facts.st_mtime_ns} {facts.st_size}"
            return Answer(None if tag == fresh else path.read_bytes(), fresh)
        except OSError as error:
            raise FetchError(f"{link[:80]!r} cannot be read: {error.strerror}") from None

    async def _http(self, link: str, tag: str) -> Answer:
        for _ in range(_HOPS):
            self._check(link)
            asked = {"If-None-Match": tag[5:]} if tag.startswith("etag ") else {}
            if tag.startswith("date "):
                asked = {"If-Modified-Since": tag[5:]}
            async with self._client().get(link, allow_redirects=False, headers=asked) as response:
                if response.status in _REDIRECTS and "Location" in response.headers:
                    link = urljoin(link, response.headers["Location"])
                    continue
                if response.status == 304 and asked:
                    return Answer(None, tag)
                if response.status != 200:
                    raise FetchError(f"got HTTP status {response.status}, expected 200")
                return Answer(await self._body(response), _tag(response))
        raise FetchError(f"more than {_HOPS - 1} redirects")

    def _check(self, link: str) -> None:
        if not _ANY.link(link):
            raise FetchError(f"got {link[:80]!r}, expected an http or https address")
        if self._limits.private_networks:
            return
        host = URL(link).host or ""
        try:
            public = is_public(host)  # a literal address is not resolved, so it is checked here
        except ValueError:
            return
        if not public:
            raise FetchError(f"{host} is in a private network; allow private networks if that is meant")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(65536):
            size += len(part)
            if size > self._limits.max_bytes:
                raise FetchError(f"more than {self._limits.max_bytes} bytes; make it smaller")
            parts.append(part)
        return b"".join(parts)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = None if self._limits.private_networks else PublicResolver()
            connector = aiohttp.TCPConnector(resolver=resolver, limit=self._limits.concurrency)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "vitrine"},
            )
        return self._session


def _tag(response: aiohttp.ClientResponse) -> str:
    etag, date = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
    return f"etag {etag}"[:500] if etag else f"date {date}"[:100] if date else ""
