"""The whole process behind its one port, asked over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from inference.types import Demand
from overlay.messages import Hello, Snapshot, decode_server
from tests.vitrine.fleet_rig import offer
from vitrine.app import Server
from vitrine.auth import Role
from vitrine.config import load_config

pytestmark = pytest.mark.asyncio(loop_scope="module")

SDP = {"Content-Type": "application/sdp"}


@dataclass
class Rig:
    server: Server
    http: aiohttp.ClientSession

    def bearer(self, role: Role) -> dict[str, str]:
        keys = self.server.keys
        key = {Role.PUBLISH: keys.publish, Role.HOST: keys.host, Role.OPERATOR: keys.operator}[role]
        return {"Authorization": f"Bearer {key.reveal()}"}

    async def post(self, path: str, body: bytes | str, **headers: str) -> tuple[int, dict[str, str]]:
        url = f"{self.server.url}{path}"
        async with self.http.post(url, data=body, headers=headers) as reply:
            return reply.status, json.loads(await reply.text() or "{}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    state: Path = tmp_path_factory.mktemp("state")
    feed = state / "feed.jsonl"
    row = {
        "id": "mug",
        "title": "Mug",
        "price": "12.00 EUR",
        "link": "https://shop.example/mug",
        "image_link": "mug.png",
        "availability": "in_stock",
    }
    from PIL import Image

    Image.new("RGB", (80, 80), (200, 40, 40)).save(state / "mug.png")
    feed.write_text(json.dumps(row) + "\n", encoding="utf-8")
    overrides = {"server.port": 0, "server.data_dir": str(state / "data"), "catalog.feed": str(feed)}
    async with (
        Server(load_config(None, {}, overrides)) as server,
        aiohttp.ClientSession() as http,
    ):
        yield Rig(server, http)


# ---- pages -------------------------------------------------------------------------------------------------


async def test_every_page_is_served_with_a_strict_policy(rig: Rig) -> None:
    for path in ("/", "/watch/demo", "/host/demo", "/operator", "/static/vitrine-overlay.js"):
        async with rig.http.get(f"{rig.server.url}{path}") as reply:
            assert reply.status == 200, path
            policy = reply.headers["Content-Security-Policy"]
            assert "script-src 'self'" in policy and "unsafe" not in policy


async def test_static_files_outside_the_folder_are_not_served(rig: Rig) -> None:
    for path in ("/static/../http.py", "/static/%2e%2e/messages.py", "/static/nothing.js"):
        async with rig.http.get(f"{rig.server.url}{path}") as reply:
            assert reply.status == 404, path


async def test_health_readiness_and_metrics_answer(rig: Rig) -> None:
    for path, words in (("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "vitrine_build_info")):
        async with rig.http.get(f"{rig.server.url}{path}") as reply:
            assert reply.status == 200
            assert words in await reply.text()


# ---- WHIP and WHEP -----------------------------------------------------------------------------------------


async def test_publishing_needs_the_publish_key(rig: Rig) -> None:
    status, error = await rig.post("/whip/demo", await offer(), **SDP)
    assert (status, error["code"]) == (401, "auth-required")
    lies = "eyJhbGciOiJub25lIn0.eyJyb2xlIjoicHVibGlzaCJ9."
    status, _ = await rig.post("/whip/demo", await offer(), **SDP, Authorization=f"Bearer {lies}")
    assert status == 401
    status, error = await rig.post("/whip/demo", await offer(), **SDP, **rig.bearer(Role.OPERATOR))
    assert (status, error["code"]) == (403, "auth-forbidden")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("v=0", "application/json", 415),
        ("", "application/sdp", 400),
        ("hello", "application/sdp", 400),
        (b"\xff\xfe\x00", "application/sdp", 400),
        ("v=0\r\n" + "a=x\r\n" * 40_000, "application/sdp", 413),
    ],
)
async def test_bad_offers_get_a_clear_error(
    rig: Rig, body: str | bytes, content_type: str, status: int
) -> None:
    headers = {"Content-Type": content_type, **rig.bearer(Role.PUBLISH)}
    got, error = await rig.post("/whip/demo", body, **headers)
    assert got == status
    assert error["code"] and "got" in error["message"]


async def test_an_offer_without_a_codec_we_take_is_refused_by_name(rig: Rig) -> None:
    text = (await offer()).replace("H264/90000", "H265/90000").replace("VP8/90000", "AV1/90000")
    status, error = await rig.post("/whip/demo", text, **SDP, **rig.bearer(Role.PUBLISH))
    assert 400 <= status < 500
    assert "H264" in error["message"]


async def test_a_bad_stream_name_is_refused(rig: Rig) -> None:
    status, error = await rig.post("/whip/No%20Way", await offer(), **SDP, **rig.bearer(Role.PUBLISH))
    assert (status, error["code"]) == (400, "stream-name")


async def test_a_session_can_be_asked_about_and_ended_by_its_own_address_only(rig: Rig) -> None:
    url = f"{rig.server.url}/whip/sessions"
    headers = {**SDP, **rig.bearer(Role.PUBLISH)}
    async with rig.http.post(url, data=await offer(), headers=headers) as reply:
        assert reply.status == 201
        location, etag = reply.headers["Location"], reply.headers["ETag"]
        assert "m=video" in await reply.text()
    session = f"{rig.server.url}{location}"
    async with rig.http.patch(session, data="a=x", headers={**headers, "If-Match": etag}) as reply:
        assert reply.status == 415
    async with rig.http.delete(session) as reply:
        assert reply.status == 401
    async with rig.http.delete(session, headers=headers) as reply:
        assert reply.status == 200
    async with rig.http.delete(session, headers=headers) as reply:
        assert reply.status == 404
    async with rig.http.delete(f"{url}/made-up", headers=headers) as reply:
        assert reply.status == 404


async def test_preflight_needs_no_key_and_refusals_carry_cors(rig: Rig) -> None:
    async with rig.http.options(f"{rig.server.url}/whip/demo") as reply:
        assert reply.status == 204
        assert reply.headers["Accept-Post"] == "application/sdp"
    async with rig.http.post(f"{rig.server.url}/whip/demo", data="x") as reply:
        assert reply.status == 401
        assert reply.headers["Access-Control-Allow-Origin"] == "*"


async def test_watching_before_anybody_publishes_says_so_and_when_to_try_again(rig: Rig) -> None:
    rig.server.engine.hub.open("quiet")  # type: ignore[arg-type]
    async with rig.http.post(f"{rig.server.url}/whep/quiet", data=await offer(), headers=SDP) as reply:
        assert reply.status == 409
        assert int(reply.headers["Retry-After"]) > 0
        assert (await reply.json())["code"] == "not-live"


# ---- the API -----------------------------------------------------------------------------------------------


async def test_host_pins_and_hides_products_of_the_show(rig: Rig) -> None:
    headers = rig.bearer(Role.HOST)
    body = json.dumps({"product_id": "mug", "on": True})
    for act in ("pin", "hide"):
        assert (await rig.post(f"/api/streams/demo/{act}", body))[0] == 401
        assert (await rig.post(f"/api/streams/demo/{act}", body, **rig.bearer(Role.PUBLISH)))[0] == 403
        assert (await rig.post(f"/api/streams/demo/{act}", body, **headers))[0] == 204
    async with rig.http.get(f"{rig.server.url}/api/streams/demo", headers=headers) as reply:
        state = await reply.json()
    assert state["pinned"] == state["hidden"] == ["mug"]
    assert state["products"][0]["title"] == "Mug"
    status, error = await rig.post("/api/streams/demo/pin", '{"product_id": "nope", "on": true}', **headers)
    assert (status, error["code"]) == (404, "product-unknown")


@pytest.mark.parametrize("body", ["", "[]", '{"product_id": 3, "on": true}', '{"on": true, "x": 1}', "\x00"])
async def test_bad_bodies_of_the_api_say_what_was_expected(rig: Rig, body: str) -> None:
    status, error = await rig.post("/api/streams/demo/pin", body, **rig.bearer(Role.HOST))
    assert (status, error["code"]) == (400, "body")
    assert "product_id" in error["message"]


async def test_figures_are_for_operators(rig: Rig) -> None:
    url = f"{rig.server.url}/api/operator"
    async with rig.http.get(url) as reply:
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"] == "Bearer"
    async with rig.http.get(url, headers=rig.bearer(Role.OPERATOR)) as reply:
        figures = await reply.json()
    assert figures["provider"] and figures["model"]
    assert {"id", "frames", "stages_ms", "problems"} <= set(figures["streams"][0])


async def test_catalogue_pictures_are_served_and_others_are_not(rig: Rig) -> None:
    async with rig.http.get(f"{rig.server.url}/images/mug/0") as reply:
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "image/jpeg"
    for path in ("/images/mug/9", "/images/mug/-1", "/images/..%2f..%2fkeys/0", "/images/x/0.jpg"):
        async with rig.http.get(f"{rig.server.url}{path}") as reply:
            assert reply.status == 404, path


# ---- the websocket -----------------------------------------------------------------------------------------


async def test_a_viewer_is_told_everything_in_the_first_message(rig: Rig) -> None:
    rig.server.engine.hub.open("shelf")  # type: ignore[arg-type]
    async with rig.http.ws_connect(f"{rig.server.url}/ws/shelf") as socket:
        await socket.send_str(msgspec.json.encode(Hello(v=1)).decode())
        first = decode_server(await socket.receive_str(timeout=10))
    assert isinstance(first, Snapshot)
    assert [card.id for card in first.products] == ["mug"]
    assert first.live is False


async def test_a_page_of_another_origin_is_shown_nothing(rig: Rig) -> None:
    url, origin = f"{rig.server.url}/ws/shelf", "https://evil.example"
    async with rig.http.ws_connect(url, origin=origin) as socket:
        await socket.send_str(msgspec.json.encode(Hello(v=1)).decode())
        answer = await socket.receive(timeout=10)
        assert answer.type is aiohttp.WSMsgType.CLOSE
        assert answer.data == 4401


async def test_garbage_after_the_upgrade_is_answered_and_harms_nobody(rig: Rig) -> None:
    rig.server.engine.hub.open("shelf")  # type: ignore[arg-type]
    async with rig.http.ws_connect(f"{rig.server.url}/ws/shelf") as socket:
        await socket.send_str("{not json")
        answer = await socket.receive(timeout=10)
        assert "message-invalid" in str(answer.data) or answer.type is aiohttp.WSMsgType.CLOSE
    async with rig.http.get(f"{rig.server.url}/healthz") as reply:
        assert reply.status == 200


async def test_raw_garbage_on_the_port_is_refused_or_dropped(rig: Rig) -> None:
    port = int(rig.server.url.rpartition(":")[2])
    for junk in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 20_000):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(junk)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 15)
        assert answer == b"" or b" 400 " in answer.splitlines()[0] or b" 431 " in answer.splitlines()[0]
        writer.close()
    async with rig.http.get(f"{rig.server.url}/healthz") as reply:
        assert reply.status == 200


# ---- room: last, because the crowd stays for two seconds ---------------------------------------------------


async def test_a_full_device_refuses_a_new_stream_unless_forced(rig: Rig) -> None:
    share, clock = rig.server.engine.recognition.share, rig.server.engine.clock
    for number in range(2_000):
        share.seen(number, Demand(viewers=1), clock.now_ns())
    url, headers = f"{rig.server.url}/whip/crowded", {**SDP, **rig.bearer(Role.PUBLISH)}
    async with rig.http.post(url, data=await offer(), headers=headers) as reply:
        error = await reply.json()
        assert (reply.status, error["code"]) == (503, "too-many-streams")
        assert int(reply.headers["Retry-After"]) > 0 and "?force=1" in error["message"]
    async with rig.http.post(f"{url}?force=1", data=await offer(), headers=headers) as reply:
        assert reply.status == 201
    async with rig.http.post(url, data=await offer(), headers=headers) as reply:
        assert reply.status == 201, "a stream that was there may always come back"
