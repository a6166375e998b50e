"""The protocol driven from Node: the element's connection and model against a real gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from overlay.hub import Hub
from overlay.session import CloseCode
from tests.overlay.builders import frame, hotspot
from tests.overlay.stage import Stage, staged

CLIENT = Path(__file__).with_name("client.mjs")
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs node; ./run setup installs it")


class NodeClient:
    """A running client: what it told so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.told: list[dict[str, Any]] = []
        self._process = process
        self._read = 0

    async def until(self, what: str, **fields: Any) -> dict[str, Any]:
        """The next thing told that fits; what comes before it is passed over."""
        assert self._process.stdout is not None
        async with asyncio.timeout(15):
            while True:
                line = await self._process.stdout.readline()
                assert line, f"the client ended; it told {self.told[-5:]}"
                told: dict[str, Any] = json.loads(line)
                self.told.append(told)
                if told["what"] == what and all(told[name] == value for name, value in fields.items()):
                    return told

    def drop(self) -> None:
        """Cut its connection as a network would."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"drop\n")


@contextlib.asynccontextmanager
async def client(stage: Stage, random: float = 0.0) -> AsyncIterator[NodeClient]:
    address = f"ws://127.0.0.1:{stage.port}/ws/demo"
    pipe = asyncio.subprocess.PIPE
    command = ("node", str(CLIENT), address, str(random))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        yield NodeClient(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def close_all(stage: Stage, code: CloseCode) -> None:
    hub: Hub = stage.gateway._hub
    for connection in list(hub._connections):
        connection.close(code, "told to")


async def test_positions_come_in_the_binary_subprotocol_and_events_as_json() -> None:
    async with staged() as stage, client(stage) as node:
        await stage.start_show()
        assert (await node.until("hello"))["protocol"] == "vitrine.bin.1"
        assert not (await node.until("snap"))["binary"]
        stage.publisher.positions(frame(hotspot(), rtp=900))
        assert (await node.until("pos"))["binary"]
        await stage.publisher.publish(stage.author.latency(240))
        told = await node.until("evt")
        assert not told["binary"] and told["latency"] == 240


async def test_client_that_lost_its_connection_resumes_without_losing_an_event() -> None:
    async with staged() as stage, client(stage) as node:
        await stage.start_show()
        first = await node.until("snap")
        node.drop()
        await node.until("state", state="reconnecting")
        for ms in (10, 20, 30):
            await stage.publisher.publish(stage.author.latency(ms))
        hello = await node.until("hello")
        assert hello["resume"] == {"log": "log-1", "seq": first["seq"]}
        assert (await node.until("snap"))["recovered"] is True
        got = [await node.until("evt") for _ in range(3)]
        assert [told["seq"] for told in got] == [first["seq"] + n for n in (1, 2, 3)]
        assert not any(told["gap"] for told in got) and got[-1]["latency"] == 30


@pytest.mark.parametrize(("random", "low_ms", "high_ms"), [(0.0, 450, 900), (0.999, 950, 1_600)])
async def test_first_wait_is_between_half_a_second_and_one_with_full_jitter(
    random: float, low_ms: int, high_ms: int
) -> None:
    async with staged() as stage, client(stage, random) as node:
        await stage.start_show()
        await node.until("snap")
        node.drop()
        lost = await node.until("state", state="reconnecting")
        again = await node.until("connecting")
        assert low_ms <= again["at_ms"] - lost["at_ms"] <= high_ms
        await node.until("snap", recovered=True)


@pytest.mark.parametrize(
    ("code", "state", "comes_back"),
    [
        (CloseCode.SLOW, "reconnecting", True),
        (CloseCode.DRAINING, "reconnecting", True),
        (CloseCode.REFUSED, "refused", False),
        (CloseCode.NOT_UNDERSTOOD, "refused", False),
        (CloseCode.NO_STREAM, "missing", False),
    ],
)
async def test_close_code_tells_whether_to_come_back(code: CloseCode, state: str, comes_back: bool) -> None:
    async with staged() as stage, client(stage) as node:
        await stage.start_show()
        await node.until("snap")
        close_all(stage, code)
        told = await node.until("state", state=state)
        if comes_back:
            again = await node.until("snap", recovered=True)
            assert again["at_ms"] - told["at_ms"] >= (200 if code is CloseCode.DRAINING else 450)
        else:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):
                    await node.until("connecting")


async def test_gateway_that_refuses_is_tried_again_with_growing_waits() -> None:
    async with staged() as stage:
        stage.refusal = (503, "too many viewers")
        async with client(stage, 0.999) as node:
            await stage.start_show()
            at = [(await node.until("connecting"))["at_ms"] for _ in range(3)]
            assert at[2] - at[1] > 1.5 * (at[1] - at[0])
            stage.refusal = None
            await node.until("snap")
