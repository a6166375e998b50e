"""What the host's page asks of recognition, over a real socket; of a live show in `tests/e2e`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.vitrine.shop import shop
from vitrine.app import Server
from vitrine.auth import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASE = "/api/streams/demo"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with shop(tmp_path_factory.mktemp("state")) as server:
        yield server


async def ask(
    server: Server, method: str, path: str, body: object = None, role: Role | None = Role.HOST
) -> tuple[int, dict[str, object]]:
    keys = {Role.HOST: server.keys.host, Role.PUBLISH: server.keys.publish}
    headers = {"Authorization": f"Bearer {keys[role].reveal()}"} if role else {}
    data = body if isinstance(body, str) else json.dumps(body)
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, server.url + path, data=data, headers=headers) as reply,
    ):
        return reply.status, json.loads(await reply.text() or "{}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "seen"),
        ("POST", "teach"),
        ("GET", "taught"),
        ("POST", "forget"),
        ("POST", "enrol"),
        ("GET", "enrol"),
        ("POST", "enrol/keep"),
        ("DELETE", "enrol"),
    ],
)
async def test_nobody_teaches_without_the_hosts_key(server: Server, method: str, path: str) -> None:
    assert (await ask(server, method, f"{BASE}/{path}", {}, role=None))[0] == 401
    assert (await ask(server, method, f"{BASE}/{path}", {}, role=Role.PUBLISH))[0] == 403


async def test_off_air_nothing_is_seen_and_nothing_can_be_shown(server: Server) -> None:
    assert await ask(server, "GET", f"{BASE}/seen") == (200, {"objects": []})
    status, error = await ask(server, "POST", f"{BASE}/enrol", {"product_id": "morrow-mug"})
    assert (status, error["code"]) == (409, "not-live")
    status, error = await ask(server, "GET", f"{BASE}/enrol")
    assert (status, error["code"]) == (404, "no-enrolment")
    assert (await ask(server, "POST", f"{BASE}/enrol/keep"))[0] == 404
    assert (await ask(server, "DELETE", f"{BASE}/enrol"))[0] == 204


async def test_an_object_that_is_gone_and_a_product_that_is_unknown_are_said_so(server: Server) -> None:
    word = {"object": 7, "product_id": "morrow-mug", "right": True}
    status, error = await ask(server, "POST", f"{BASE}/teach", word)
    assert (status, error["code"]) == (404, "object-unknown")
    status, error = await ask(server, "POST", f"{BASE}/teach", word | {"product_id": "unicorn"})
    assert (status, error["code"]) == (404, "product-unknown")
    assert await ask(server, "GET", f"{BASE}/taught") == (200, {"products": []})
    assert await ask(server, "POST", f"{BASE}/forget", {"product_id": "morrow-mug"}) == (
        200,
        {"forgotten": 0},
    )


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("teach", '{"object": 0, "product_id": "mug", "right": true}', '"right": true'),
        ("teach", "[]", '"right": true'),
        ("enrol", '{"product_id": "mug", "seconds": 900}', '"seconds": 10'),
        ("forget", '{"product": "mug"}', '"product_id"'),
        ("forget", "\x00", '"product_id"'),
    ],
)
async def test_bad_bodies_say_what_was_expected(server: Server, path: str, body: str, expected: str) -> None:
    status, error = await ask(server, "POST", f"{BASE}/{path}", body)
    assert (status, error["code"]) == (400, "body")
    assert expected in str(error["message"])
