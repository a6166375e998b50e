from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from stream.errors import SourceError
from stream.signalling import Endpoint, IceServer, Signalling, ice_servers
from tests.serving import serving

Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def server(**handlers: Handler) -> AsyncIterator[str]:
    """Each keyword is a path, for every method."""
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_route("*", f"/{path}", handler)
    async with serving(app) as url:
        yield url


def reply(status: int, *headers: tuple[str, str], text: str = "v=0") -> Handler:
    async def handle(request: web.Request) -> web.Response:
        response = web.Response(status=status, text=text, content_type="application/sdp")
        for name, value in headers:
            response.headers.add(name, value)
        return response

    return handle


@pytest.mark.parametrize(
    ("address", "url", "token"),
    [
        ("whip://127.0.0.1:8080/whip/show", "http://127.0.0.1:8080/whip/show", ""),
        ("whips://t%40k@sfu.example/x/whip?a=1", "https://sfu.example/x/whip?a=1", "t@k"),
        ("wheps://tok@[2001:db8::1]:8443/w", "https://[2001:db8::1]:8443/w", "tok"),
        ("https://sfu.example/whip", "https://sfu.example/whip", ""),
    ],
)
def test_addresses_are_understood(address: str, url: str, token: str) -> None:
    assert Endpoint.parse(address) == Endpoint(url, token)


@pytest.mark.parametrize("address", ["rtmp://host/x", "whip:///path", "sfu.example/whip", ""])
def test_other_addresses_are_refused_without_their_secrets(address: str) -> None:
    with pytest.raises(SourceError, match="expected an address such as whips"):
        Endpoint.parse(address)
    with pytest.raises(SourceError) as caught:
        Endpoint.parse("rtmp://s3cret@host/x")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "here"), [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("sfu.example", False)]
)
def test_this_machine_is_known(host: str, here: bool) -> None:
    assert Endpoint.parse(f"whip://{host}/x").on_this_machine is here


def test_ice_servers_are_read_from_links() -> None:
    links = [
        '<stun:stun.example.net>; rel="ice-server"',
        '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; credential="a,b; c"; '
        'credential-type="password", <turns:t2>; rel=ice-server',
        '<https://example.net/about>; rel="help"',
        "nonsense",
    ]
    assert ice_servers(links) == (
        IceServer("stun:stun.example.net"),
        IceServer("turn:turn.example.net?transport=udp", "user", "a,b; c"),
        IceServer("turns:t2"),
    )


async def test_answer_session_and_ice_servers_come_back() -> None:
    links = (("Location", "session/1"), ("Link", '<stun:a>; rel="ice-server"'), ("Link", "<stun:b>; rel=x"))
    async with server(whip=reply(201, *links, text="the answer")) as url:
        async with Signalling("WHIP", Endpoint(f"{url}/whip")) as signalling:
            answered = await signalling.offer("the offer")
    assert (answered.sdp, answered.resource, answered.counter) == ("the answer", f"{url}/session/1", False)
    assert answered.ice_servers == (IceServer("stun:a"),)


async def test_redirect_is_followed_with_offer_and_token_on_the_same_host() -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def final(request: web.Request) -> web.Response:
        seen.append((request.method, await request.text(), request.headers.get("Authorization")))
        return web.Response(status=201, text="ok", headers={"Location": "/s/1"})

    async with server(whip=reply(307, ("Location", "/other")), other=final) as url:
        async with Signalling("WHIP", Endpoint(f"{url}/whip", "key")) as signalling:
            assert (await signalling.offer("offer")).resource == f"{url}/s/1"
    assert seen == [("POST", "offer", "Bearer key")]


async def test_token_is_not_told_to_another_host_in_the_clear() -> None:
    seen: list[str | None] = []

    async def final(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=201, text="ok")

    async with server(whip=final) as elsewhere:
        async with server(whip=reply(307, ("Location", f"{elsewhere}/whip"))) as url:
            async with Signalling("WHIP", Endpoint(f"{url}/whip", "key")) as signalling:
                await signalling.offer("offer")
    assert seen == [None]


async def test_redirects_in_a_circle_and_away_from_tls_are_refused() -> None:
    async with server(whip=reply(307, ("Location", "/whip"))) as url:
        async with Signalling("WHIP", Endpoint(f"{url}/whip")) as signalling:
            with pytest.raises(SourceError, match="more than 5 redirects"):
                await signalling.offer("offer")
    async with server(whip=reply(307, ("Location", "ftp://x/y"))) as url:
        async with Signalling("WHIP", Endpoint(f"{url}/whip")) as signalling:
            with pytest.raises(SourceError, match="expected https"):
                await signalling.offer("offer")


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (401, False), (404, True), (503, True)])
async def test_refusals_say_whether_to_try_again(status: int, retryable: bool) -> None:
    async with server(whip=reply(status, text="because")) as url:
        async with Signalling("WHIP", Endpoint(f"{url}/whip")) as signalling:
            with pytest.raises(SourceError, match=f"got {status} because, expected 201") as caught:
                await signalling.offer("offer")
    assert (caught.value.retryable, caught.value.code) == (retryable, "whip-refused")


async def test_end_of_a_session_never_fails() -> None:
    async with Signalling("WHIP", Endpoint("http://127.0.0.1:9/x")) as signalling:
        await signalling.delete("")
        await signalling.delete("http://127.0.0.1:9/session")
