"""Nodes with roles over a real Redis: who takes a publisher, who is asked instead, what a death moves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from overlay.bus.registry import MemoryRegistry
from stream.types import StreamId
from tests.fakes.clock import FakeClock
from tests.redis_server import RedisServer
from tests.vitrine.fleet_rig import SDP, FleetRig, bearer, fleet_rig, offer, until
from vitrine.auth import Role
from vitrine.config import FleetConfig, load_config
from vitrine.errors import ConfigError, FleetError
from vitrine.fleet import Elsewhere, Fleet
from vitrine.studio.nodes import NodeRecord

HERE = pytest.mark.asyncio(loop_scope="module")
PUBLISH = {**SDP, **bearer(Role.PUBLISH)}


# ---- one node's view, without a server -------------------------------------------------------------------


def node(registry: MemoryRegistry, name: str, role: str = "ingest", full: str = "") -> Fleet:
    fleet = Fleet(registry, FleetConfig(node=name), FakeClock())
    address = f"http://{name}"
    fleet._describe = lambda: NodeRecord(
        role=role,  # type: ignore[arg-type]
        version="1",
        address=address,
        public=address,
        full=full,
    )
    return fleet


async def test_stream_is_claimed_once_and_others_are_told_where_it_is() -> None:
    registry = MemoryRegistry()
    first, second = node(registry, "a"), node(registry, "b")
    for fleet in (first, second):
        await fleet._beat()
    fence = await first.claim(StreamId("show"))
    assert await first.claim(StreamId("show")) == fence
    with pytest.raises(Elsewhere) as caught:
        await second.claim(StreamId("show"))
    assert caught.value.node.name == "a"
    await first.release(StreamId("show"))
    assert await second.claim(StreamId("show")) > fence


async def test_lease_that_another_has_is_told_and_no_longer_claimed() -> None:
    registry = MemoryRegistry()
    fleet, lost = node(registry, "a"), []
    fleet.on_lost = lambda stream, words: lost.append((stream, words))
    await fleet.claim(StreamId("show"))
    held = await registry.holder(StreamId("show"))
    assert held is not None
    await registry.release(StreamId("show"), held)
    await registry.acquire(StreamId("show"), "b", 1000)
    await fleet._renew(StreamId("show"))
    assert not fleet.holds(StreamId("show"))
    assert lost and lost[0][0] == "show" and "node b holds it" in lost[0][1]


async def test_sources_are_started_by_the_least_loaded_node_alone() -> None:
    registry = MemoryRegistry()
    fleets = [node(registry, name) for name in "abc"] + [node(registry, "g", "gateway")]
    for fleet in fleets:
        await fleet._beat()
    for n in range(10):
        mine = [await fleet.mine(StreamId(f"cam{n}")) for fleet in fleets]
        assert mine.count(True) == 1 and not mine[3]


async def test_name_that_is_taken_is_refused() -> None:
    registry = MemoryRegistry()
    await node(registry, "a")._beat()
    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as tasks:
            clock = FakeClock()
            second = Fleet(registry, FleetConfig(node="a"), clock)
            joining = tasks.create_task(second.join(tasks, node(registry, "a").record))
            await asyncio.sleep(0)
            clock.advance_ms(10_000)
    with pytest.raises(FleetError, match="calls itself 'a'"):
        joining.result()


def test_roles_need_a_bus_that_nodes_share() -> None:
    with pytest.raises(ConfigError, match="set bus.url"):
        load_config(None, {}, {"fleet.role": "gateway"})
    assert load_config(None, {}, {}).fleet.role == "all"


# ---- two ingests and a gateway ---------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(
    tmp_path_factory: pytest.TempPathFactory, redis_process: RedisServer
) -> AsyncIterator[FleetRig]:
    redis_process.flush()
    async with fleet_rig(tmp_path_factory.mktemp("fleet"), redis_process.url) as made:
        for name, role in (("a", "ingest"), ("b", "ingest"), ("g", "gateway")):
            await made.start(name, role)
        gateway = made.servers["g"].url
        await until(lambda: _nodes(made, gateway, 3))
        yield made


async def _nodes(rig: FleetRig, url: str, count: int) -> bool:
    return len((await rig.get(f"{url}/api/fleet", **bearer(Role.OPERATOR)))["nodes"]) == count


@HERE
@pytest.mark.redis
async def test_gateway_sends_programs_that_publish_on_and_passes_pages_through(rig: FleetRig) -> None:
    gateway = rig.servers["g"].url
    status, headers, told = await rig.post(f"{gateway}/whip/show", await offer(), **PUBLISH)
    assert (status, told["code"]) == (307, "elsewhere")
    assert headers["Access-Control-Allow-Origin"] == "*"
    ingests = {rig.servers[name].url for name in "ab"}
    assert headers["Location"].removesuffix("/whip/show") in ingests
    status, headers, answer = await rig.post(
        f"{gateway}/whip/show?force=1", await offer(), **PUBLISH, Origin=gateway
    )
    assert status == 201 and "m=video" in answer and headers["Location"].startswith("/whip/show/")
    session = f"{gateway}{headers['Location']}"
    async with rig.http.patch(session, data="x", headers=PUBLISH, allow_redirects=False) as reply:
        assert reply.status == 307 and reply.headers["Location"].endswith(headers["Location"])
    async with rig.http.patch(session, data="x", headers={**PUBLISH, "Origin": gateway}) as reply:
        assert reply.status == 415, "the session itself answered"
    async with rig.http.delete(session, headers={**PUBLISH, "Origin": gateway}) as reply:
        assert reply.status == 200


@HERE
@pytest.mark.redis
async def test_wrong_ingest_sends_to_the_holder_and_keeps_the_query(rig: FleetRig) -> None:
    first, second = rig.servers["a"].url, rig.servers["b"].url
    assert (await rig.post(f"{first}/whip/mine", await offer(), **PUBLISH))[0] == 201
    status, headers, _ = await rig.post(f"{second}/whip/mine?force=1", await offer(), **PUBLISH)
    assert (status, headers["Location"]) == (307, f"{first}/whip/mine?force=1")


@HERE
@pytest.mark.redis
async def test_gateway_needs_the_same_keys_before_it_passes_anything_on(rig: FleetRig) -> None:
    gateway = rig.servers["g"].url
    status, _, told = await rig.post(f"{gateway}/whip/show", await offer(), **SDP, Origin=gateway)
    assert (status, told["code"]) == (401, "auth-required")
    body = json.dumps({"product_id": "mug", "on": True})
    assert (await rig.post(f"{gateway}/api/streams/show/pin", body, Origin=gateway))[0] == 401


@HERE
@pytest.mark.redis
async def test_host_and_viewers_of_the_video_reach_the_holder_through_a_gateway(rig: FleetRig) -> None:
    gateway = rig.servers["g"].url
    assert (await rig.post(f"{rig.servers['b'].url}/whip/desk", await offer(), **PUBLISH))[0] == 201
    state = await rig.get(f"{gateway}/api/streams/desk", **bearer(Role.HOST))
    assert state["id"] == "desk"
    body = json.dumps({"product_id": "nope", "on": True})
    status, _, told = await rig.post(
        f"{gateway}/api/streams/desk/pin", body, **bearer(Role.HOST), Origin=gateway
    )
    assert (status, told["code"]) == (404, "product-unknown")
    status, headers, told = await rig.post(f"{gateway}/whep/desk", await offer(), **SDP, Origin=gateway)
    assert (status, told["code"]) == (409, "not-live") and int(headers["Retry-After"]) > 0
    status, headers, _ = await rig.post(f"{gateway}/whep/desk", await offer(), **SDP)
    assert (status, headers["Location"]) == (307, f"{rig.servers['b'].url}/whep/desk")
    status, _, told = await rig.post(f"{gateway}/whep/nothing", await offer(), **SDP, Origin=gateway)
    assert (status, told["code"]) == (404, "unknown-stream")


@HERE
@pytest.mark.redis
async def test_searches_of_many_viewers_are_limited_at_their_gateway_and_not_again(rig: FleetRig) -> None:
    gateway, holder = rig.servers["g"], rig.servers["b"]
    assert (await rig.post(f"{holder.url}/whip/look", await offer(), **PUBLISH))[0] == 201
    made_up = {"Vitrine-Via": "made-up"}
    path, statuses = "/api/streams/look/search", []
    for _ in range(40):
        async with rig.http.get(f"{holder.url}{path}", headers=made_up) as reply:
            statuses.append(reply.status)
    assert 429 in statuses, "a header that no node signed changes nothing"
    async with rig.http.get(f"{gateway.url}{path}") as reply:
        assert reply.status == 200, "counted at the gateway, where this one is the first"


@HERE
@pytest.mark.redis
async def test_each_role_serves_its_own(rig: FleetRig) -> None:
    gateway, ingest = rig.servers["g"], rig.servers["a"]
    assert not gateway.engine.recognises and ingest.engine.recognises
    for url, page in ((gateway.url, 200), (ingest.url, 404)):
        async with rig.http.get(f"{url}/watch/show") as reply:
            assert reply.status == page
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    async with rig.http.get(f"{ingest.url}/ws/show", headers=upgrade) as reply:
        assert reply.status == 421 and "gateway" in await reply.text()
    for server in rig.servers.values():
        async with rig.http.get(f"{server.url}/readyz") as reply:
            assert reply.status == 200
        assert await rig.get(f"{server.url}/api/operator", **bearer(Role.OPERATOR))


@HERE
@pytest.mark.redis
async def test_every_node_exports_what_autoscaling_goes_by(rig: FleetRig) -> None:
    for server in rig.servers.values():
        async with rig.http.get(f"{server.url}/metrics") as reply:
            text = await reply.text()
        for name in ("viewers", "streams", "load", "draining"):
            assert f"\nvitrine_node_{name} " in text, name


@HERE
@pytest.mark.redis
async def test_streams_of_all_nodes_are_listed_on_each(rig: FleetRig) -> None:
    first, second = rig.servers["a"].url, rig.servers["b"].url
    for url, name in ((first, "one"), (second, "two")):
        assert (await rig.post(f"{url}/whip/{name}", await offer(), **PUBLISH))[0] == 201

    async def listed() -> bool:
        found = await rig.get(f"{rig.servers['g'].url}/api/streams")
        return {"one", "two"} <= {stream["id"] for stream in found["streams"]}

    await until(listed)
