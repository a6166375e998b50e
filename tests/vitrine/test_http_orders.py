from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.vitrine.shop import shop
from vitrine.app import Server
from vitrine.cli import run
from vitrine.cli.output import Exit

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASKET = {"transaction_id": "1", "currency": "EUR", "items": [{"item_id": "morrow-mug", "price": 12}]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with shop(tmp_path_factory.mktemp("state")) as server:
        yield server


async def post(server: Server, body: object, key: str) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{server.url}/api/orders", data=data, headers=headers) as reply,
    ):
        return reply.status, json.loads(await reply.text())


async def test_only_the_operators_key_may_tell_of_orders(server: Server) -> None:
    assert (await post(server, BASKET, ""))[0] == 401
    assert (await post(server, BASKET, server.keys.host.reveal()))[0] == 403


async def test_orders_are_on_disk_when_the_shop_is_answered(server: Server) -> None:
    key, ledger = server.keys.operator.reveal(), server.engine.shop.ledger
    told = {"orders": 1, "ignored": 0, "problems": []}
    assert await post(server, BASKET, key) == (200, told)
    assert await post(server, {"orders": [BASKET]}, key) == (200, told)
    assert [(row.product_id, row.orders) for row in ledger.summary()] == [("morrow-mug", 1)]


async def test_what_is_no_order_is_refused_in_words(server: Server) -> None:
    for body in (b"\x00", [7], {"transaction_id": "2"}, BASKET | {"currency": "EUX"}):
        status, answer = await post(server, body, server.keys.operator.reveal())
        assert (status, answer["code"]) == (400, "orders-invalid") and answer["message"], body


async def test_an_order_of_other_goods_is_no_error_of_the_shop(server: Server) -> None:
    other = BASKET | {"transaction_id": "3", "items": [{"item_id": "unicorn"}]}
    status, answer = await post(server, other, server.keys.operator.reveal())
    assert (status, answer["orders"]) == (200, 0) and "not in the catalogue" in answer["problems"][0]


async def test_the_command_reads_past_orders(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = tmp_path / "orders.jsonl", str(server.engine.config.server.data_dir)
    lines = [BASKET | {"transaction_id": f"past-{n}"} for n in range(3)]
    file.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"transaction_id": "bad"}\n')
    assert run(["catalog", "orders", str(file), "--data-dir", folder, "--json"]) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert told["orders"] == 3 and "bad" in told["problems"][0]
    assert run(["catalog", "orders", str(file), "--data-dir", folder, "--strict"]) == Exit.FAILED
    assert "3 orders" in capsys.readouterr().out
    assert run(["catalog", "orders", str(tmp_path / "absent"), "--data-dir", folder]) == Exit.USAGE
    (row,) = (row for row in server.engine.shop.ledger.summary() if row.product_id == "morrow-mug")
    assert row.orders == 4
