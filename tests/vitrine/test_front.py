from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from vitrine.errors import FrontError
from vitrine.front import MAX_HEAD_BYTES, Front, is_websocket_upgrade, late_upgrade
from vitrine.tls import self_signed, server_context

UPGRADE = (
    b"GET /ws/demo?token=x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
GET_CLOSE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class EchoGateway(asyncio.Protocol):
    """Stands in for the gateway: answers with what it got, so tests see which bytes were handed over."""

    live: set[EchoGateway] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        EchoGateway.live.add(self)

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"gateway:" + data)

    def connection_lost(self, exc: Exception | None) -> None:
        EchoGateway.live.discard(self)


@dataclass
class Served:
    front: Front
    runner: web.AppRunner
    port: int

    async def raw(self, *chunks: bytes) -> bytes:
        """Send the chunks one by one; everything received until the server closes or goes quiet."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        for index, chunk in enumerate(chunks, 1):
            writer.write(chunk)
            await writer.drain()
            received += await _read_for(reader, 0.2 if index == len(chunks) else 0.04)
        writer.close()
        return received


async def _read_for(reader: asyncio.StreamReader, quiet_s: float) -> bytes:
    received = b""
    while True:
        try:
            data = await asyncio.wait_for(reader.read(65536), quiet_s)
        except TimeoutError:
            return received
        if not data:
            return received
        received += data


async def _serve(tls: ssl.SSLContext | None = None) -> Served:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hi")

    async def length(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    app = web.Application(client_max_size=1 << 22)
    app.add_routes(
        [web.get("/", hello), web.post("/whip", length), web.get("/ws/{s}", late_upgrade(EchoGateway))]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    assert runner.server is not None
    front = Front(runner.server, EchoGateway, head_timeout_s=0.4, idle_timeout_s=0.6)
    (port,) = await front.start("127.0.0.1", 0, tls)
    return Served(front, runner, port)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    EchoGateway.live.clear()
    served = await _serve()
    yield served
    await served.front.stop_accepting()
    await served.runner.cleanup()
    await served.front.close()


async def _exercise_http(base: str, connector: aiohttp.TCPConnector) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"z" * 1000

    async with aiohttp.ClientSession(connector=connector) as http:
        for _ in range(3):
            async with http.get(base + "/") as reply:
                assert await reply.text() == "hi"
        async with http.post(base + "/whip", data=io.BytesIO(b"x" * 3_000_000)) as reply:
            assert await reply.text() == "3000000"
        async with http.post(base + "/whip", data=b"y" * 10, expect100=True) as reply:
            assert await reply.text() == "10"
        async with http.post(base + "/whip", data=chunks()) as reply:
            assert await reply.text() == "20000"


async def test_ordinary_requests_large_and_chunked_bodies_reach_aiohttp(served: Served) -> None:
    await _exercise_http(f"http://127.0.0.1:{served.port}", aiohttp.TCPConnector())


async def test_the_same_over_tls_and_an_upgrade_too(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, ["localhost", "127.0.0.1"])
    served = await _serve(server_context(certificate.cert, certificate.key))
    client = ssl.create_default_context(cafile=str(certificate.cert))
    await _exercise_http(f"https://localhost:{served.port}", aiohttp.TCPConnector(ssl=client))
    reader, writer = await asyncio.open_connection("localhost", served.port, ssl=client)
    writer.write(UPGRADE)
    assert await asyncio.wait_for(reader.readexactly(8 + len(UPGRADE)), 2) == b"gateway:" + UPGRADE
    await served.runner.cleanup()
    await served.front.close()
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()


async def test_an_upgrade_goes_to_the_gateway_with_its_whole_head(served: Served) -> None:
    assert await served.raw(UPGRADE) == b"gateway:" + UPGRADE


async def test_bytes_after_the_upgrade_are_not_lost(served: Served) -> None:
    assert await served.raw(UPGRADE + b"\x81\x85first") == b"gateway:" + UPGRADE + b"\x81\x85first"


async def test_a_split_head_is_put_together(served: Served) -> None:
    received = await served.raw(GET_CLOSE[:7], GET_CLOSE[7:20], GET_CLOSE[20:])
    assert received.startswith(b"HTTP/1.1 200") and received.endswith(b"hi")


async def test_a_head_split_inside_its_end_is_put_together(served: Served) -> None:
    for cut in (1, 2, 3):
        assert (await served.raw(GET_CLOSE[:-cut], GET_CLOSE[-cut:])).endswith(b"hi")


async def test_pipelined_requests_are_all_answered(served: Served) -> None:
    assert (await served.raw(GET + GET + GET_CLOSE, b"")).count(b"200 OK") == 3


async def test_an_upgrade_on_a_reused_connection_reaches_the_gateway(served: Served) -> None:
    received = await served.raw(GET, UPGRADE + b"tail", b"more")
    _, _, handed = received.partition(b"hi")
    assert handed.startswith(b"gateway:GET /ws/demo?token=x HTTP/1.1\r\n")
    assert b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" in handed
    assert handed.endswith(b"\r\n\r\ntailgateway:more")
    await asyncio.sleep(0.05)
    assert not EchoGateway.live


async def test_a_plain_get_below_ws_is_told_to_upgrade(served: Served) -> None:
    assert (await served.raw(UPGRADE.replace(b"Upgrade: websocket\r\n", b""))).startswith(b"HTTP/1.1 426")


async def test_an_upgrade_elsewhere_is_an_ordinary_request(served: Served) -> None:
    assert (await served.raw(UPGRADE.replace(b"/ws/demo", b"/nowhere"))).startswith(b"HTTP/1.1 404")


async def test_an_unfinished_head_is_refused_in_time(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET / HT")
    assert (await asyncio.wait_for(reader.read(), 2)).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_a_head_that_drips_does_not_win_time(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    started = asyncio.get_running_loop().time()
    writer.write(b"GET / HTTP/1.1\r\n")
    answer = asyncio.ensure_future(reader.read())
    while not answer.done():
        writer.write(b"X: y\r\n")
        await asyncio.wait([answer], timeout=0.05)
    assert answer.result().startswith(b"HTTP/1.1 408")
    assert asyncio.get_running_loop().time() - started < 1.0
    writer.close()


async def test_a_silent_connection_is_closed_without_words(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    assert await asyncio.wait_for(reader.read(), 2) == b""
    assert not served.front.waiting
    writer.close()


async def test_an_overlong_head_is_refused(served: Served) -> None:
    endless = b"GET / HTTP/1.1\r\nX: " + b"a" * (MAX_HEAD_BYTES + 10)
    assert (await served.raw(endless)).startswith(b"HTTP/1.1 431")
    assert (await served.raw(endless + b"\r\n\r\n")).startswith(b"HTTP/1.1 431")


async def test_https_on_a_plain_port_is_told_so(served: Served) -> None:
    received = await served.raw(b"\x16\x03\x01\x02\x00\x01\x00")
    assert received.startswith(b"HTTP/1.1 400") and b"plain http" in received


async def test_garbage_gets_a_400_and_no_crash(served: Served) -> None:
    assert (await served.raw(b"\x00\xff\xfe garbage\r\n\r\n")).startswith(b"HTTP/1.0 400")
    assert (await served.raw(GET_CLOSE)).endswith(b"hi")


async def test_closing_ends_both_kinds_and_waiting_heads(served: Served) -> None:
    plain = await asyncio.open_connection("127.0.0.1", served.port)
    socket = await asyncio.open_connection("127.0.0.1", served.port)
    unfinished = await asyncio.open_connection("127.0.0.1", served.port)
    plain[1].write(GET)
    await plain[0].readuntil(b"hi")
    socket[1].write(UPGRADE)
    await socket[0].readexactly(8 + len(UPGRADE))
    unfinished[1].write(b"GET")
    await asyncio.sleep(0.02)
    assert served.front.connections == 3
    await served.front.stop_accepting()
    await served.runner.cleanup()
    await served.front.close()
    for reader, writer in (plain, socket, unfinished):
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
    assert served.front.connections == 0 and not EchoGateway.live
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", served.port)


async def test_a_late_upgrade_ends_with_aiohttp(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(GET)
    await reader.readuntil(b"hi")
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    await served.front.stop_accepting()
    await served.runner.cleanup()
    await served.front.close()
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()


async def test_too_many_unfinished_heads_are_dropped_and_counted() -> None:
    front = Front(EchoGateway, EchoGateway, max_waiting=2)
    (port,) = await front.start("127.0.0.1", 0)
    links = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    with pytest.raises(ConnectionError):
        if not await asyncio.wait_for(links[2][0].read(), 2):
            raise ConnectionResetError
    assert front.refused == 1 and len(front.waiting) == 2
    links[0][1].write(GET)
    assert (await links[0][0].readexactly(8)) == b"gateway:"
    await front.close()
    for _, writer in links:
        writer.close()


async def test_a_taken_port_says_what_to_do(served: Served) -> None:
    with pytest.raises(FrontError, match=f"port {served.port}.*--port"):
        await Front(EchoGateway, EchoGateway).start("127.0.0.1", served.port)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (UPGRADE, True),
        (UPGRADE.replace(b"Upgrade: websocket", b"uPGRADE:   h2c , WebSocket "), True),
        (UPGRADE.replace(b"GET", b"POST"), False),
        (UPGRADE.replace(b"/ws/", b"/wsx"), False),
        (UPGRADE.replace(b"Upgrade: websocket", b"X-Upgrade: websocket"), False),
        (UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: websockets"), False),
        (b"", False),
    ],
)
def test_which_heads_are_websocket_upgrades(head: bytes, expected: bool) -> None:
    assert is_websocket_upgrade(head) is expected
