"""The viewer's page and what it plays."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.fakes.clock import FakeClock
from vitrine.auth import Authenticator
from vitrine.config import AuthConfig, Config
from vitrine.http import build_app
from vitrine.http_watch import WatchEndpoints
from vitrine.keys import load_keys

CONFIG = Config(playlists={"*": "https://cdn.example/{stream}/a.m3u8", "here": "/hls/here.m3u8"})


def endpoints(folder: Path, config: Config = CONFIG, *, tokens: bool = False) -> WatchEndpoints:
    keys = load_keys(AuthConfig(), folder)
    return WatchEndpoints(config, Authenticator(keys, viewer_tokens=tokens, clock=FakeClock()))


@pytest.mark.parametrize(
    ("path", "admitted"),
    [
        ("/watch/stage", "media-src 'self' https://cdn.example blob:"),
        ("/watch/stage", "connect-src 'self' https://cdn.example ws:"),
        ("/watch/here", "media-src 'self' blob:"),
        ("/watch/No%20Name", "media-src 'self' blob:"),
    ],
)
async def test_the_page_may_reach_the_one_host_of_its_playlist(
    tmp_path: Path, path: str, admitted: str
) -> None:
    async with TestClient(TestServer(build_app(endpoints(tmp_path).routes(pages=True)))) as client:
        page = await client.get(path)
        assert page.status == 200 and "watch.js" in await page.text()
        assert admitted in page.headers["Content-Security-Policy"]


async def test_pages_are_told_what_to_play(tmp_path: Path) -> None:
    async with TestClient(TestServer(build_app(endpoints(tmp_path).routes(pages=True)))) as client:
        told = await (await client.get("/api/streams/stage/video")).json()
        assert told == {"playlist": "https://cdn.example/stage/a.m3u8"}
        assert (await client.get("/api/streams/No%20Name/video")).status == 400
    routes = endpoints(tmp_path, Config()).routes(pages=True)
    async with TestClient(TestServer(build_app(routes))) as client:
        assert await (await client.get("/api/streams/stage/video")).json() == {"playlist": None}


async def test_where_viewers_need_a_token_the_address_needs_one_too(tmp_path: Path) -> None:
    routes = endpoints(tmp_path, tokens=True).routes(pages=False)
    async with TestClient(TestServer(build_app(routes, pages=False))) as client:
        assert (await client.get("/api/streams/stage/video")).status == 401
        assert (await client.get("/watch/stage")).status == 404
