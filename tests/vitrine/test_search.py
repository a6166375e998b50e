"""Searches over HTTP: the whole server, the embedded models, and the first seconds of the embedded show."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from inference.types import Box, FrameResult, Match, MatchState, Outcome, Track
from overlay.ledger.types import Entry, Kind
from overlay.types import Availability, Hotspot, HotspotFrame
from stream.packets import read_packets
from stream.sources.synthetic import TrueBox, load_ground_truth, show_path
from stream.types import EncodedFrame, MediaTime, stream_id
from vitrine.app import Server
from vitrine.auth import Role
from vitrine.config import load_config
from vitrine.demo import CATALOGUE
from vitrine.hub import StreamRuntime

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEMO = stream_id("demo")
FRAMES = 240
Json = dict[str, Any]


@dataclass
class Rig:
    server: Server
    http: aiohttp.ClientSession

    async def post(self, body: Json | bytes, stream: str = "demo", **headers: str) -> tuple[int, Json]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.server.url}/api/streams/{stream}/search"
        async with self.http.post(url, data=data, headers=headers) as reply:
            return reply.status, json.loads(await reply.text())

    async def found(self, **body: object) -> Json:
        status, answer = await self.post(body)
        assert status == 200, answer
        return answer


def record(runtime: StreamRuntime, now_ns: int) -> None:
    """The first seconds of the show, as if they had just been published."""
    assert runtime.memory is not None
    for packet in read_packets(str(show_path())):
        if packet.kind == "video" and packet.index < FRAMES:
            time = MediaTime(1, packet.index * 3000)
            arrived_ns = now_ns - (FRAMES - packet.index) * 33_333_333
            runtime.memory.recorder.add(EncodedFrame("H264", time, packet.data, packet.keyframe, arrived_ns))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    overrides = {
        "server.port": 0,
        "server.data_dir": str(tmp_path_factory.mktemp("state")),
        "catalog.feed": str(CATALOGUE),
        "search.per_second": 100.0,
        "search.keep_ms": 600_000,
        "search.device_share": 1.0,
        "auth.viewer_tokens": False,
    }
    async with Server(load_config(None, {}, overrides)) as server, aiohttp.ClientSession() as http:
        record(server.engine.hub.open(DEMO), server.engine.clock.now_ns())
        yield Rig(server, http)


def clear_views() -> list[tuple[int, TrueBox]]:
    """Frames and products that can be seen whole and large."""
    truth = load_ground_truth()
    return [
        (number, one)
        for number in range(30, FRAMES, 30)
        for one in truth.frames[number]
        if one.product_id
        and one.visibility > 0.9
        and one.box[2] - one.box[0] > 0.05
        and min(one.box) > 0.01
        and max(one.box) < 0.99
    ]


# ---- regions -----------------------------------------------------------------------------------------------


async def test_a_box_around_a_product_finds_it(rig: Rig) -> None:
    views = clear_views()
    assert len(views) >= 10
    right = 0
    for number, one in views:
        answer = await rig.found(mode="similar", epoch=1, rtp=number * 3000, box=one.box)
        assert (answer["epoch"], answer["rtp"]) == (1, number * 3000)
        hits = answer.get("hits", [])
        right += bool(hits) and hits[0]["card"]["id"] == one.product_id
        if hits:
            assert hits[0]["in_show"] and hits[0]["card"]["pid"] > 0 and hits[0]["words"]
            assert set(answer["took_ms"]) == {"decode", "look", "wait", "answer", "all"}
    assert right >= 0.85 * len(views)


async def test_the_same_moment_is_decoded_once(rig: Rig) -> None:
    moments = rig.server.engine.search.moments
    before = moments.decoded
    for shift in range(4):
        box = [0.3 + shift / 100, 0.3, 0.6, 0.6]
        await rig.found(mode="similar", epoch=1, rtp=100 * 3000, box=box)
    assert moments.decoded == before + 1


async def test_an_empty_corner_finds_nothing_or_what_was_shown_elsewhere(rig: Rig) -> None:
    runtime = rig.server.engine.hub.get(DEMO)
    assert runtime.memory is not None
    box = Box(0.4, 0.4, 0.6, 0.6)
    for product_id in runtime.show.products:  # all of them, half a minute before the recording
        time = MediaTime(1, (60 * 3000 - 30 * 90_000) & 0xFFFF_FFFF)
        spot = Hotspot(1, 1, product_id, MatchState.EXACT, box)
        result = FrameResult(DEMO, time, 1_000_000_000, 0, Outcome.DETECTED, ())
        runtime.memory.sightings.add(result, HotspotFrame(DEMO, time, True, (spot,)))
    answer = await rig.found(mode="similar", epoch=1, rtp=60 * 3000, box=[0.0, 0.0, 0.12, 0.15])
    assert answer["outcome"] == "nothing" and "No product" in answer["message"]
    for moment in answer.get("moments", []):
        assert moment["title"] and moment["recorded"] is False
    assert len(answer.get("moments", [])) <= 4


async def test_what_was_followed_through_many_frames_counts_more_than_one_look(rig: Rig) -> None:
    runtime = rig.server.engine.hub.get(DEMO)
    assert runtime.memory is not None
    number, one = clear_views()[0]
    other = next(product for product in runtime.show.products if product != one.product_id)
    match = Match(other, MatchState.EXACT, 0.9, 0.4, 9, "seen from 9 views")
    time, pts_ns = MediaTime(1, number * 3000), 5_000_000_000
    track = Track(1, Box(*one.box), (0, 0, 0, 0), "product", 0.9, pts_ns, True, match)
    sent = HotspotFrame(DEMO, time, True, ())
    runtime.memory.sightings.add(FrameResult(DEMO, time, pts_ns, 0, Outcome.DETECTED, (track,)), sent)
    answer = await rig.found(mode="similar", epoch=1, rtp=number * 3000, box=one.box)
    first = answer["hits"][0]
    assert (first["card"]["id"], first["state"], first["reason"]) == (other, "exact", "seen from 9 views")
    assert all(hit["state"] != "exact" for hit in answer["hits"][1:])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"garbage", 400, "search-invalid"),
        (b"x" * 5000, 413, "search-too-long"),
        (b'{"mode":"similar","epoch":1,"rtp":0,"box":[NaN,0,1,1]}', 400, "search-invalid"),
        ({"mode": "similar", "epoch": 1, "rtp": 0, "box": [0, 0, 2, 1]}, 400, "search-invalid"),
        ({"mode": "similar", "epoch": 9, "rtp": 0, "box": [0, 0, 1, 1]}, 404, "moment-unknown"),
        ({"mode": "similar", "epoch": 1, "rtp": 2**32 - 90_000, "box": [0, 0, 1, 1]}, 410, "moment-too-old"),
        ({"mode": "look", "epoch": 1, "rtp": FRAMES * 3000 + 90_000}, 409, "moment-too-new"),
        ({"mode": "complete", "product_id": "sofa"}, 404, "product-unknown"),
        ({"mode": "similar", "product_id": "sofa"}, 404, "product-unknown"),
        ({"mode": "complete", "product_id": "x", "where": {"prices": [1, 2]}}, 400, "search-invalid"),
    ],
)
async def test_what_cannot_be_answered_says_why(rig: Rig, body: Json | bytes, status: int, code: str) -> None:
    got, error = await rig.post(body)
    assert (got, error["code"]) == (status, code)
    assert len(error["message"]) > 20


async def test_only_streams_that_exist_can_be_searched(rig: Rig) -> None:
    for stream, status, code in (("nothing", 404, "unknown-stream"), ("Not%20a%20name", 400, "stream-name")):
        got, error = await rig.post({"mode": "complete", "product_id": "x"}, stream)
        assert (got, error["code"]) == (status, code)


async def test_a_wrong_key_is_refused(rig: Rig) -> None:
    got, error = await rig.post({"mode": "complete", "product_id": "alda-bag"}, Authorization="Bearer wrong")
    assert (got, error["code"]) == (401, "auth-required")
    token = rig.server.engine.auth.mint(Role.VIEW, stream_id("other"))
    got, error = await rig.post({"mode": "complete", "product_id": "x"}, Authorization=f"Bearer {token}")
    assert (got, error["code"]) == (403, "auth-forbidden")


async def test_a_host_who_did_not_agree_or_hides_a_product_is_heeded(rig: Rig) -> None:
    show = rig.server.engine.hub.get(DEMO).show
    number, one = clear_views()[0]
    asked = {"mode": "similar", "epoch": 1, "rtp": number * 3000, "box": one.box}
    products = list(show.products.values())
    show.hide(one.product_id, True)
    try:
        hits = (await rig.found(**asked)).get("hits", [])
        assert one.product_id not in [hit["card"]["id"] for hit in hits]
        status, error = await rig.post({"mode": "complete", "product_id": one.product_id})
        assert (status, error["code"]) == (404, "product-unknown")
        show.hide(one.product_id, False)
        show.set_products([])
        status, error = await rig.post(asked)
        assert (status, error["code"]) == (403, "search-no-consent")
    finally:
        show.set_products(products)
        show.hide(one.product_id, False)


async def test_a_filter_leaves_alternatives_and_never_calls_one_of_them_the_product(rig: Rig) -> None:
    for number, one in clear_views():
        asked = {"epoch": 1, "rtp": number * 3000, "box": one.box}
        (first, *_) = (await rig.found(mode="similar", **asked))["hits"]
        if (first["card"]["id"], first["state"]) == (one.product_id, "exact"):
            break
    assert (first["card"]["id"], first["state"]) == (one.product_id, "exact")
    price = float(first["card"]["price"].split()[0])
    runtime, store = rig.server.engine.hub.get(DEMO), rig.server.engine.store
    product = store.get(one.product_id)
    gone = replace(product, availability=Availability.OUT_OF_STOCK)
    here = {"availability": ["in_stock"]}
    seller = {"sellers": [product.seller]}
    dear = {"currencies": ["EUR"], "prices": [price + 0.01, 9999]}
    for where in (here, seller, {"currencies": ["EUR"]}, {"currencies": ["EUR"], "prices": [price, price]}):
        found = await rig.found(mode="similar", **asked, where=where)
        assert found["hits"][0]["card"]["id"] == one.product_id and found["hits"][0]["state"] == "exact"
    try:
        store.update(gone, "sold", [])
        runtime.show.set_products([gone if p.id == gone.id else p for p in runtime.show.products.values()])
        for where in (here, dear, {"sellers": ["Nobody"]}, {"currencies": ["USD"]}):
            answer = await rig.found(mode="similar", **asked, where=where)
            hits = answer.get("hits", [])
            assert one.product_id not in [hit["card"]["id"] for hit in hits]
            assert all(hit["state"] != "exact" for hit in hits), "a look-alike is not this product"
            assert answer["outcome"] == "found" or "filter" in answer["message"]
            look = await rig.found(mode="look", epoch=1, rtp=number * 3000, where=where)
            assert one.product_id not in [hit["card"]["id"] for hit in look.get("hits", [])]
        for mode in ("similar", "complete"):
            none = await rig.found(mode=mode, product_id=one.product_id, where={"currencies": ["USD"]})
            assert none["outcome"] == "nothing" and "filter" in none["message"]
            some = await rig.found(mode=mode, product_id=one.product_id, where=here)
            assert all(hit["card"].get("availability", "in_stock") == "in_stock" for hit in some["hits"])
    finally:
        store.update(product, "back", [])
        runtime.show.set_products([product if p.id == gone.id else p for p in runtime.show.products.values()])


async def test_the_twin_of_what_a_filter_left_out_is_not_called_this_product(rig: Rig) -> None:
    twins = {"lumen-serum-c": "24.00 EUR", "lumen-serum-h": "26.00 EUR"}
    for number, one in clear_views():
        asked = {"mode": "similar", "epoch": 1, "rtp": number * 3000, "box": one.box}
        (first, *_) = (await rig.found(**asked)).get("hits") or [None]
        if first and first["state"] == "exact" and first["card"]["id"] in twins:
            break
    assert first is not None and first["state"] == "exact"
    (twin,) = set(twins) - {first["card"]["id"]}
    amount = float(twins[twin].split()[0])
    where = {"currencies": ["EUR"], "prices": [amount, amount]}
    hits = (await rig.found(**asked, where=where))["hits"]
    assert (hits[0]["card"]["id"], hits[0]["state"]) == (twin, "similar")


# ---- the other modes ---------------------------------------------------------------------------------------


async def test_the_look_is_every_product_of_the_picture(rig: Rig) -> None:
    truth = load_ground_truth()
    number = max(range(0, FRAMES, 30), key=lambda n: sum(one.visibility > 0.9 for one in truth.frames[n]))
    answer = await rig.found(mode="look", epoch=1, rtp=number * 3000)
    there = {one.product_id for one in truth.frames[number] if one.visibility > 0.5}
    told = {hit["card"]["id"] for hit in answer["hits"]}
    assert answer["outcome"] == "found" and len(told & there) >= 2 and len(told - there) <= 1
    boxed = [one for one in answer["objects"] if one["label"] == "product" and one.get("hits")]
    assert len(boxed) >= 2 and all(0 <= value <= 1 for one in boxed for value in one["box"])
    held = boxed[0]  # of one who is just behind it, that alone
    behind = [max(0.0, held["box"][0] - 0.01), 0.0, min(1.0, held["box"][2] + 0.01), 1.0]
    person = await rig.found(mode="look", epoch=1, rtp=number * 3000, person=behind)
    theirs = {hit["card"]["id"] for hit in person["hits"]}
    assert held["hits"][0]["card"]["id"] in theirs and theirs < told
    nobody = await rig.found(mode="look", epoch=1, rtp=number * 3000, person=[0.0, 0.0, 0.03, 0.03])
    assert nobody["outcome"] == "nothing" and nobody["message"]


async def test_similar_products_leave_out_the_product_itself(rig: Rig) -> None:
    answer = await rig.found(mode="similar", product_id="lumen-serum-c", k=3)
    ids = [hit["card"]["id"] for hit in answer["hits"]]
    assert ids[0] == "lumen-serum-h" and "lumen-serum-c" not in ids and len(ids) <= 3
    assert all(hit["state"] != "exact" for hit in answer["hits"])


async def test_what_completes_a_product_goes_with_it_and_is_not_like_it(rig: Rig) -> None:
    tea = await rig.found(mode="complete", product_id="oolin-tea-tin")
    assert {hit["card"]["id"] for hit in tea["hits"]} >= {"morrow-mug", "fennmark-honey"}
    bag = await rig.found(mode="complete", product_id="alda-bag")
    assert bag["hits"][0]["card"]["id"] == "strid-court"
    assert "shoes for bag" in bag["hits"][0]["reason"]
    serum = await rig.found(mode="complete", product_id="lumen-serum-c")
    assert "lumen-serum-h" not in [hit["card"]["id"] for hit in serum["hits"]]


async def test_what_people_took_together_completes_too(rig: Rig) -> None:
    ledger = rig.server.engine.shop.ledger
    for viewer in range(8):
        for product in ("pikk-yuzu", "strid-court"):
            key = f"{viewer} {product}"
            ledger.record(Entry(Kind.ORDER, "demo", product, f"viewer-{viewer}", 0, key=key))
    assert await asyncio.to_thread(ledger.flush)
    answer = await rig.found(mode="complete", product_id="pikk-yuzu")
    (first, *_) = answer["hits"]
    assert (first["card"]["id"], first["reason"]) == ("strid-court", "often wanted together")


# ---- stills and what can be searched -----------------------------------------------------------------------


async def test_a_still_is_the_frame_that_was_asked_for(rig: Rig) -> None:
    url = f"{rig.server.url}/api/streams/demo/still"
    async with rig.http.get(url, params={"epoch": 1, "rtp": 90 * 3000 + 17}) as reply:
        assert (reply.status, reply.headers["X-Vitrine-Rtp"]) == (200, str(90 * 3000))
        assert reply.headers["Cache-Control"] == "private, no-store"
        picture = np.asarray(Image.open(io.BytesIO(await reply.read())), np.float32)
    moment = await rig.server.engine.search.moment(rig.server.engine.hub.get(DEMO), 1, 90 * 3000)
    assert np.abs(picture - moment[1].pixels.rgb()).mean() < 4


@pytest.mark.parametrize(
    "query", ["", "epoch=1", "epoch=x&rtp=1", "epoch=1&rtp=-1", "epoch=1&rtp=99999999999"]
)
async def test_a_still_of_no_moment_is_refused(rig: Rig, query: str) -> None:
    async with rig.http.get(f"{rig.server.url}/api/streams/demo/still?{query}") as reply:
        assert (reply.status, (await reply.json())["code"]) == (400, "still-invalid")


async def test_viewers_learn_how_far_back_they_can_search(rig: Rig) -> None:
    async with rig.http.get(f"{rig.server.url}/api/streams/demo/search") as reply:
        about = await reply.json()
    assert about["enabled"] is True
    assert [mark[:2] for mark in about["marks"]] == [[1, n * 3000] for n in range(0, FRAMES, 45)]
    ages = [mark[2] for mark in about["marks"]]
    assert ages == sorted(ages, reverse=True) and ages[0] >= 8_000


async def test_searching_can_be_switched_off_limited_and_kept_for_those_with_a_token(tmp_path: Path) -> None:
    overrides = {"server.port": 0, "server.data_dir": str(tmp_path), "search.enabled": False}
    engine_off = Server(load_config(None, {}, overrides))
    overrides |= {"search.enabled": True, "search.per_second": 0.5, "auth.viewer_tokens": True}
    overrides |= {"server.data_dir": str(tmp_path / "second")}
    body = {"mode": "look", "epoch": 1, "rtp": 0}
    async with (
        engine_off as off,
        Server(load_config(None, {}, overrides)) as strict,
        aiohttp.ClientSession() as http,
    ):
        for server in (off, strict):
            server.engine.hub.open(DEMO)
        assert off.engine.hub.get(DEMO).memory is None
        status, error = await Rig(off, http).post(body)
        assert (status, error["code"]) == (404, "search-off")
        status, error = await Rig(strict, http).post(body)
        assert (status, error["code"]) == (401, "auth-required")
        token = strict.engine.auth.mint(Role.VIEW, DEMO)
        told = [await Rig(strict, http).post(body, Authorization=f"Bearer {token}") for _ in range(3)]
        assert [status for status, _ in told] == [403, 429, 429]
        assert told[2][1]["code"] == "search-too-many"
