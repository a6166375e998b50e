from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from overlay.catalog.fetch import Fetcher, FetchError, FetchLimits, PublicResolver, is_public

OPEN = FetchLimits(private_networks=True, timeout_s=2.0, max_bytes=1000)


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async def picture(request: web.Request) -> web.Response:
        return web.Response(body=b"picture")

    async def big(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x" * 1000)
        return response

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x")
            await asyncio.sleep(0.05)
        return response

    async def to(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["url"])

    app = web.Application()
    app.add_routes(
        [web.get("/picture", picture), web.get("/big", big), web.get("/slow", slow), web.get("/to", to)]
    )
    made = TestServer(app)
    await made.start_server()
    yield made
    await made.close()


async def failure(link: str, limits: FetchLimits, folder: Path | None = None) -> str:
    async with Fetcher(limits) as fetcher:
        with pytest.raises(FetchError) as caught:
            await fetcher.get(link, folder)
    return str(caught.value)


async def test_http_address_is_fetched_through_redirects(server: TestServer) -> None:
    async with Fetcher(OPEN) as fetcher:
        assert await fetcher.get(str(server.make_url("/picture")), None) == b"picture"
        redirected = server.make_url("/to").with_query(url="/picture")
        assert await fetcher.get(str(redirected), None) == b"picture"


async def test_what_cannot_be_fetched_says_why(server: TestServer) -> None:
    url = server.make_url
    assert "status 404" in await failure(str(url("/nothing")), OPEN)
    assert "more than 1000 bytes" in await failure(str(url("/big")), OPEN)
    quick = FetchLimits(private_networks=True, timeout_s=0.2)
    assert "no complete answer within 0.2 s" in await failure(str(url("/slow")), quick)
    around = str(url("/to").with_query(url=str(url("/to").with_query(url="/to?url=/to?url=/to?url=/x"))))
    assert "redirects" in await failure(around, OPEN)
    assert "http or https" in await failure(str(url("/to").with_query(url="ftp://x.example/")), OPEN)
    assert "http or https" in await failure("gopher://x.example/", OPEN)


async def test_connection_that_is_refused_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert "cannot be fetched" in await failure(f"http://127.0.0.1:{port}/a.png", OPEN)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *(
            "::1",
            "fe80::1",
            "fe80::1%eth0",
            "fd00::1",
            "::ffff:127.0.0.1",
            "224.0.0.1",
            "ff02::1",
            "2002:7f00:1::",
        ),
    ],
)
def test_addresses_of_this_machine_and_private_networks_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "169.254.169.254", "[::ffff:10.0.0.1]"],
)
async def test_feed_cannot_reach_into_the_network(host: str, server: TestServer) -> None:
    told = await failure(f"http://{host}:{server.port}/picture", FetchLimits())
    assert "private network" in told or "not a canonical IPv4 address" in told


async def test_redirect_cannot_reach_into_the_network(server: TestServer) -> None:
    class Trusting(Fetcher):
        """Lets the first address pass, as if it were public, so that only the redirect is checked."""

        first = True

        def _check(self, link: str) -> None:
            if not self.first:
                super()._check(link)
            self.first = False

    async with Trusting(FetchLimits()) as fetcher:
        start = server.make_url("/to").with_query(url=str(server.make_url("/picture"))).with_host("127.0.0.1")
        with pytest.raises(FetchError, match="private network"):
            await fetcher.get(str(start), None)


async def test_resolver_gives_only_public_addresses() -> None:
    resolver = PublicResolver()
    with pytest.raises(OSError, match="private network"):
        await resolver.resolve("localhost", 80)
    (found, *_) = await resolver.resolve("93.184.216.34", 80)
    assert found["host"] == "93.184.216.34"
    await resolver.close()


async def test_files_are_read_from_the_feed_s_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "feed"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.png").write_bytes(b"a")
    (folder / "big.png").write_bytes(bytes(2000))
    (tmp_path / "secret").write_bytes(b"s")
    (folder / "link").symlink_to(tmp_path / "secret")
    async with Fetcher(OPEN) as fetcher:
        assert await fetcher.get("sub/a.png", folder) == b"a"
    assert "leads out of the feed's folder" in await failure("../secret", OPEN, folder)
    assert "leads out of the feed's folder" in await failure("link", OPEN, folder)
    assert "No such file" in await failure("nothing.png", OPEN, folder)
    assert "is not a file" in await failure("sub", OPEN, folder)
    assert "more than 1000 bytes" in await failure("big.png", OPEN, folder)
    assert "expected an address" in await failure("a.png", OPEN, None)
