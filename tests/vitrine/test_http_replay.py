"""Replays over HTTP: who gets what of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from overlay.messages import Card
from tests.fakes.clock import FakeClock
from vitrine.auth import Authenticator, Role
from vitrine.config import AuthConfig
from vitrine.http import build_app
from vitrine.http_replay import Replays
from vitrine.keys import load_keys

Client = TestClient[Request, Application]
CARDS = {
    "hat": Card(0, "hat", "Straw hat", "30.00 EUR", "", "", "Hats & Co"),
    "mug": Card(0, "mug", "Mug", "9.00 EUR", "", "", "Studio North", availability="out_of_stock"),
}


@pytest.fixture
def auth(tmp_path: Path, request: pytest.FixtureRequest) -> Authenticator:
    needed = getattr(request, "param", False)
    keys = load_keys(AuthConfig(), tmp_path)
    return Authenticator(keys, viewer_tokens=needed, clock=FakeClock())


@pytest.fixture
async def client(tmp_path: Path, auth: Authenticator) -> AsyncIterator[Client]:
    for name, title in (("spring", "Spring show"), ("broken", None)):
        folder = tmp_path / "replays" / name
        folder.mkdir(parents=True)
        (folder / "replay.json").write_text(json.dumps({"title": title}) if title else "{")
        (folder / "video.mp4").write_bytes(bytes(range(100)))
        (folder / "overlay.vtt").write_text("WEBVTT\n")
        facts = {"products": [{"id": "mug", "price": "12.00 EUR"}, {"id": "gone"}, {"id": "hat"}]}
        (folder / "overlay.json").write_text(json.dumps(facts) if title else "[]")
    (tmp_path / "keys.json.bak").write_text("secret")
    replays = Replays(tmp_path, auth, lambda ids: [CARDS[one] for one in ids if one in CARDS])
    async with TestClient(TestServer(build_app(replays.routes()))) as client:
        yield client


async def test_products_are_told_as_they_are_now(client: Client) -> None:
    answer = await client.get("/replay/spring/cards.json")
    told = (await answer.json())["cards"]
    assert [(one["id"], one["price"], one.get("availability", "in_stock")) for one in told] == [
        ("mug", "9.00 EUR", "out_of_stock"),
        ("hat", "30.00 EUR", "in_stock"),
    ]
    assert (await client.get("/replay/absent/cards.json")).status == 404
    broken = await client.get("/replay/broken/cards.json")
    assert (broken.status, (await broken.json())["code"]) == (500, "replay-damaged")


async def test_the_page_and_what_lies_below_it(client: Client) -> None:
    moved = await client.get("/replay/spring", allow_redirects=False)
    assert (moved.status, moved.headers["Location"]) == (308, "/replay/spring/")
    page = await client.get("/replay/spring/")
    assert page.status == 200 and "static/replay.js" in await page.text()
    assert "media-src 'self' https: blob:" in page.headers["Content-Security-Policy"]
    assert (await client.get("/replay/spring/static/hls.js")).status == 200
    assert await (await client.get("/replay/spring/overlay.vtt")).text() == "WEBVTT\n"


async def test_the_video_is_served_in_parts(client: Client) -> None:
    part = await client.get("/replay/spring/video.mp4", headers={"Range": "bytes=10-13"})
    assert (part.status, await part.read()) == (206, bytes([10, 11, 12, 13]))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/replay/absent/replay.json", 404),
        ("/replay/spring/absent.vtt", 404),
        ("/replay/spring/..%2F..%2Fkeys.json.bak", 404),
        ("/replay/spring/%2Fetc%2Fhostname", 404),
        ("/replay/spring/static/..%2F..%2Ferrors.py", 404),
        ("/replay/No%20Name/replay.json", 400),
    ],
)
async def test_nothing_else_is_served(client: Client, path: str, status: int) -> None:
    answer = await client.get(path)
    assert answer.status == status and (await answer.json())["message"]


async def test_there_is_a_list_whatever_lies_in_the_folder(client: Client) -> None:
    listed = (await (await client.get("/api/replays")).json())["replays"]
    assert sorted(one["name"] + ": " + one["title"] for one in listed) == [
        "broken: broken",
        "spring: Spring show",
    ]


@pytest.mark.parametrize("auth", [True], indirect=True)
async def test_who_may_not_watch_gets_the_page_and_nothing_of_the_video(
    client: Client, auth: Authenticator
) -> None:
    assert (await client.get("/replay/spring/")).status == 200
    for name in ("replay.json", "overlay.vtt", "video.mp4", "cards.json"):
        assert (await client.get(f"/replay/spring/{name}")).status == 401
    from stream.types import stream_id

    token = auth.mint(Role.VIEW, stream_id("spring"))
    header = {"Authorization": f"Bearer {token}"}
    assert (await client.get("/replay/spring/replay.json", headers=header)).status == 200
    assert (await client.get(f"/replay/spring/video.mp4?token={token}")).status == 200
    assert (await client.get(f"/replay/broken/video.mp4?token={token}")).status == 403
