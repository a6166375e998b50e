"""The gateway over real sockets, with a real client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from inference.types import Box
from overlay.binary import BINARY_SUBPROTOCOL, JSON_SUBPROTOCOL, decode_positions
from overlay.bus.memory import MemoryBus
from overlay.edge import GatewaySettings
from overlay.errors import CommerceError
from overlay.messages import Positions
from overlay.publisher import StreamPublisher
from overlay.session import SessionLimits
from overlay.state import OverlayAuthor
from stream.types import MediaTime, StreamId
from tests.overlay.builders import STREAM, frame, hotspot
from tests.overlay.stage import HELLO, staged


async def test_first_message_is_a_complete_snapshot() -> None:
    async with staged() as stage:
        await stage.start_show()
        stage.publisher.positions(frame(hotspot(), rtp=900))
        async with stage.viewer(HELLO) as viewer:
            snap = await viewer.receive()
            assert snap["t"] == "snap" and snap["seq"] == 2 and snap["live"] and not snap["recovered"]
            assert [item["id"] for item in snap["products"]] == ["product-1", "product-2", "product-3"]
            assert snap["epochs"] == [[1, 0]]


async def test_positions_and_events_reach_viewer_in_author_order() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            stage.publisher.positions(frame(hotspot(box=Box(0.1, 0.2, 0.3, 0.4)), rtp=900))
            assert (await viewer.receive()) == {
                "t": "pos",
                "s": [[1, 900, 1, [[7, 1, 0, 0, 1000, 2000, 3000, 4000]]]],
            }
            await stage.publisher.publish(stage.author.pin(1, True))
            await stage.publisher.publish(stage.author.pin(2, True))
            assert (await viewer.receive())["ev"] == {"k": "pin", "pid": 1, "on": True}
            assert (await viewer.receive())["seq"] == 4


async def test_binary_viewer_gets_positions_in_binary_and_all_else_as_text() -> None:
    async with staged() as stage:
        await stage.start_show()
        both = (BINARY_SUBPROTOCOL, JSON_SUBPROTOCOL)
        async with stage.viewer(HELLO, offers=both) as viewer, stage.viewer(HELLO) as plain:
            assert viewer.wire.subprotocol == BINARY_SUBPROTOCOL and plain.wire.subprotocol is None
            assert (await viewer.receive())["t"] == "snap"
            await plain.until("snap")
            stage.publisher.positions(frame(hotspot(), rtp=900))
            async with asyncio.timeout(3):
                data = await viewer.wire.recv()
            assert isinstance(data, bytes)
            same = await plain.until("pos")
            assert decode_positions(data) == msgspec.convert(same, Positions)
            await stage.publisher.publish(stage.author.pin(1, True))
            assert (await viewer.receive())["ev"] == {"k": "pin", "pid": 1, "on": True}
            await viewer.send({"t": "tap", "id": "b1f0", "x": 0.2, "y": 0.3, "epoch": 1, "rtp": 900})
            assert (await viewer.receive())["hit"]


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [((JSON_SUBPROTOCOL,), JSON_SUBPROTOCOL), (("vitrine.bin.9",), None)],
)
async def test_other_offers_mean_json(offers: tuple[str, ...], chosen: str | None) -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO, offers=offers) as viewer:
            assert viewer.wire.subprotocol == chosen
            await viewer.until("snap")
            stage.publisher.positions(frame(hotspot(), rtp=900))
            assert (await viewer.receive())["t"] == "pos"


async def test_binary_viewer_that_sends_binary_is_told_and_closed_after_five() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO, offers=(BINARY_SUBPROTOCOL,)) as viewer:
            await viewer.until("snap")
            for _ in range(5):
                await viewer.wire.send(b"\x01\x01\x00")
            answer = await viewer.until("err")
            assert answer["code"] == "message-binary" and "expected JSON text" in answer["message"]
            assert await viewer.close_code() == 4400


async def test_viewer_who_does_not_draw_predictions_is_sent_detections_only() -> None:
    async with staged() as stage:
        await stage.start_show()  # who tells its viewers to hold 120 ms back
        async with stage.viewer(HELLO) as viewer, stage.viewer(HELLO) as other:
            await other.until("snap")
            await viewer.until("snap")
            await viewer.send({"t": "want", "predicted": False})
            await viewer.send({"t": "tap", "id": "b1f0", "x": 0.9, "y": 0.9, "epoch": 1, "rtp": 0})
            await viewer.until("card")  # so the wish has arrived as well
            for rtp, measured in ((900, True), (3900, False), (6900, True)):
                stage.publisher.positions(frame(hotspot(), rtp=rtp, measured=measured))
                await other.until("pos")
            assert [sample[1] for sample in (await viewer.until("pos"))["s"]] == [900]
            assert [sample[1] for sample in (await viewer.until("pos"))["s"]] == [6900]


async def test_tap_on_shown_frame_is_answered_with_its_card() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            stage.publisher.positions(frame(hotspot(), rtp=900))
            await viewer.until("pos")
            await viewer.send({"t": "tap", "id": "b1f0", "x": 0.2, "y": 0.3, "epoch": 1, "rtp": 900})
            answer = await viewer.until("card")
            assert answer["hit"] and answer["state"] == "exact" and answer["card"]["id"] == "product-1"
            await viewer.send({"t": "tap", "id": "b1f1", "x": 0.9, "y": 0.9, "epoch": 1, "rtp": 900})
            assert (await viewer.until("card"))["reason"] == "no-hotspot-there"


async def test_sent_hook_names_each_frame_once_for_all_viewers() -> None:
    async with staged() as stage:
        await stage.start_show()
        told: list[tuple[StreamId, MediaTime]] = []
        stage.gateway.on_positions_sent = lambda stream, time, now_ns: told.append((stream, time))
        async with stage.viewer(HELLO) as first, stage.viewer(HELLO) as second:
            await first.until("snap")
            await second.until("snap")
            stage.publisher.positions(frame(rtp=900))
            stage.publisher.positions(frame(rtp=1800, measured=False))
            await asyncio.gather(first.until("pos"), second.until("pos"))
            assert told[0] == (STREAM, MediaTime(1, 900))
            assert len(set(told)) == len(told)


# ---- who gets in -------------------------------------------------------------------------------------------


async def test_admit_sees_path_with_query_and_lower_case_headers() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO, "/ws/demo?token=abc") as viewer:
            await viewer.until("snap")
        path, headers = stage.asked[0]
        assert path == "/ws/demo?token=abc" and headers["upgrade"] == "websocket"


@pytest.mark.parametrize(("status", "code"), [(401, 4401), (403, 4401), (404, 4404)])
async def test_refusals_that_a_browser_must_understand_are_close_codes(status: int, code: int) -> None:
    async with staged() as stage:
        stage.refusal = (status, "no")
        async with stage.viewer() as viewer:
            assert await viewer.close_code() == code
        assert stage.gateway.statistics().closed == {code: 1}


async def test_other_refusals_answer_over_http() -> None:
    async with staged() as stage:
        stage.refusal = (429, "too many viewers")
        with pytest.raises(InvalidStatus) as caught:
            async with stage.viewer():
                pass
        assert caught.value.response.status_code == 429


async def test_request_that_is_no_upgrade_is_refused_in_words() -> None:
    async with staged() as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"GET /ws/demo HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"426 Upgrade Required" in await asyncio.wait_for(reader.read(65536), 3)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00garbage\r\n\r\n", b"\x00" * 5000, b"GET " + b"a" * 20_000 + b"\r\n\r\n"]
)
async def test_bytes_that_are_no_request_end_the_connection(noise: bytes) -> None:
    async with staged() as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(noise)
        writer.write_eof()
        async with asyncio.timeout(4):
            while await reader.read(65536):
                pass
        writer.close()
        assert stage.gateway.statistics().connections == 0


async def test_stream_that_never_begins_is_closed_with_4404() -> None:
    async with staged(GatewaySettings(sync_ms=10)) as stage:
        async with stage.viewer(HELLO) as viewer:
            assert await viewer.close_code() == 4404


async def test_viewer_who_says_nothing_is_closed_with_4408() -> None:
    async with staged(GatewaySettings(session=SessionLimits(hello_ms=10))) as stage:
        await stage.start_show()
        async with stage.viewer() as viewer:
            assert await viewer.close_code() == 4408


# ---- what comes in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message", ["{", "null", '{"t":"launch"}', '{"t":"hello","v":"1"}', '{"t":"hello","v":7}']
)
async def test_viewer_who_cannot_say_hello_is_told_why_and_closed(message: str) -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer() as viewer:
            await viewer.wire.send(message)
            assert (await viewer.receive())["t"] == "err"
            assert await viewer.close_code() == 4400


async def test_bad_messages_are_answered_and_the_connection_stays() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            await viewer.wire.send('{"t":"tap","id":"a","x":7,"y":0,"epoch":1,"rtp":1}')
            told = await viewer.until("err")
            assert told["code"] == "message-invalid" and "$.x" in told["message"]
            await viewer.wire.send(b"\x00\x01")
            assert (await viewer.until("err"))["code"] == "message-binary"
            await viewer.wire.send(
                iter(['{"t":"tap","id":"in-three",', '"pid":1,"x":0,"y":0,', '"epoch":1,"rtp":1}'])
            )
            assert (await viewer.until("card"))["hit"]


async def test_message_over_a_kilobyte_closes_with_1009() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            await viewer.wire.send('{"t":"seen","pids":[' + " " * 1100 + "]}")
            assert await viewer.close_code() == 1009


async def test_broken_frames_close_with_1002() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            viewer.wire.transport.write(b"\xff\xff\xff\xff\xff")
            assert await viewer.close_code() == 1002
        async with stage.viewer(HELLO) as other:
            assert (await other.receive())["t"] == "snap"


async def test_flood_is_closed_with_4429_and_others_do_not_notice() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer, stage.viewer(HELLO) as flood:
            await viewer.until("snap")
            for _ in range(100):
                with contextlib.suppress(ConnectionClosed):
                    await flood.send({"t": "seen", "pids": [1]})
            assert await flood.close_code() == 4429
            await stage.publisher.publish(stage.author.pin(1, True))
            assert (await viewer.until("evt"))["seq"] == 3


async def test_reports_and_impressions_reach_their_hooks() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            await viewer.send({"t": "report", "frames": 10, "with_box": 9, "age_ms": [1, 2], "fps": 28})
            await viewer.send({"t": "seen", "pids": [2, 2, 99, 1]})
            await viewer.send({"t": "seen", "pids": [99]})
            await viewer.send({"t": "tap", "id": "x", "pid": 1, "x": 0, "y": 0, "epoch": 1, "rtp": 0})
            await viewer.until("card")
        assert [report.frames for report in stage.reports] == [10]
        assert stage.seen == [("product-2", "product-1")]


# ---- taps --------------------------------------------------------------------------------------------------

LIST_TAP = {"t": "tap", "id": "0123456789abcdef", "pid": 1, "x": 0, "y": 0, "epoch": 1, "rtp": 0}


async def test_repeated_tap_is_answered_the_same_and_asked_once_also_after_reconnecting() -> None:
    async with staged() as stage:
        await stage.start_show()
        stage.shop_takes_s = 0.05
        answers = []
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            await viewer.send(LIST_TAP)
            await viewer.send(LIST_TAP)
            answers.append(await viewer.until("card"))
            await viewer.send(LIST_TAP)
            answers.append(await viewer.until("card"))
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            await viewer.send(LIST_TAP)
            answers.append(await viewer.until("card"))
        assert len(stage.outcomes) == 1
        assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("error", [CommerceError("the shop refused"), RuntimeError("a bug"), None])
async def test_shop_that_fails_or_is_late_leaves_the_show_s_own_card(error: Exception | None) -> None:
    async with staged(GatewaySettings(tap_deadline_ms=50)) as stage:
        await stage.start_show()
        stage.shop_error = error
        stage.shop_takes_s = 0 if error else 30
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            await viewer.send(LIST_TAP)
            answer = await viewer.until("card")
            assert answer["hit"] and answer["card"]["id"] == "product-1"
            assert answer["reason"] == "as of the show's list"
        assert stage.gateway.statistics().taps_late == 1


async def test_taps_beyond_what_may_wait_for_the_shop_are_answered_from_the_list() -> None:
    async with staged(GatewaySettings(taps_in_flight=1, tap_deadline_ms=5_000)) as stage:
        await stage.start_show()
        stage.shop_takes_s = 0.2
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            await viewer.send({**LIST_TAP, "id": "first"})
            await viewer.send({**LIST_TAP, "id": "second"})
            assert (await viewer.until("card"))["id"] == "second"
            assert (await viewer.until("card"))["id"] == "first"


async def test_viewer_who_leaves_before_the_answer_harms_nobody() -> None:
    async with staged() as stage:
        await stage.start_show()
        stage.shop_takes_s = 0.1
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            await viewer.send(LIST_TAP)
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            await viewer.send(LIST_TAP)
            assert (await viewer.until("card"))["hit"]


# ---- coming back -------------------------------------------------------------------------------------------


async def test_resume_replays_what_was_missed() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            assert (await viewer.until("snap"))["seq"] == 2
        for pid in (1, 2, 3):
            await stage.publisher.publish(stage.author.pin(pid, True))
        async with stage.viewer({**HELLO, "resume": {"log": "log-1", "seq": 2}}) as viewer:
            snap = await viewer.receive()
            assert snap["recovered"] and snap["seq"] == 2
            assert [(await viewer.receive())["seq"] for _ in range(3)] == [3, 4, 5]


async def test_resume_of_another_log_gets_a_complete_snapshot() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer({**HELLO, "resume": {"log": "gone", "seq": 2}}) as viewer:
            snap = await viewer.receive()
            assert not snap["recovered"] and snap["seq"] == 2


async def test_no_event_is_lost_over_many_cut_connections() -> None:
    async with staged() as stage:
        await stage.start_show()
        seen: list[int] = []
        seq = 0

        async def follow() -> None:
            nonlocal seq
            while seq < 62:
                resume = {"resume": {"log": "log-1", "seq": seq}} if seq else {}
                with contextlib.suppress(ConnectionClosed):
                    async with stage.viewer({**HELLO, **resume}) as viewer:
                        snap = await viewer.until("snap")
                        assert bool(snap["recovered"]) is bool(seq)
                        seq = snap["seq"]
                        while seq < 62:
                            event = await viewer.until("evt")
                            assert event["seq"] == seq + 1
                            seq = event["seq"]
                            seen.append(seq)
                            if seq % 7 == 0:
                                viewer.wire.transport.abort()

        async with asyncio.timeout(20):
            following = asyncio.ensure_future(follow())
            for ms in range(1, 61):
                await stage.publisher.publish(stage.author.latency(ms))
                await asyncio.sleep(0.002)
            await following
        assert seen == list(range(seen[0], 63))


async def test_another_author_brings_everyone_a_fresh_snapshot() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            successor = OverlayAuthor(STREAM, "log-2")
            publisher = StreamPublisher(successor, stage.bus)
            await publisher.start()
            snap = await viewer.until("snap")
            assert snap["log"] == "log-2" and snap["products"] == []


# ---- going -------------------------------------------------------------------------------------------------


async def test_stream_is_followed_only_while_it_has_viewers() -> None:
    async with staged(GatewaySettings(linger_ms=0)) as stage:
        await stage.start_show()
        assert stage.gateway.viewers(STREAM) == 0
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            assert stage.gateway.viewers(STREAM) == 1
            assert isinstance(stage.bus, MemoryBus) and stage.bus.subscribers(STREAM) == 1
        await stage.until(lambda: stage.gateway.viewers(STREAM) == 0)
        await stage.until(lambda: isinstance(stage.bus, MemoryBus) and not stage.bus.subscribers(STREAM))


async def test_closing_gateway_tells_everyone_1001_and_refuses_newcomers() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as first, stage.viewer(HELLO) as second:
            await first.until("snap")
            await second.until("snap")
            closing = asyncio.ensure_future(stage.gateway.close(0.1))
            await asyncio.sleep(0)
            with pytest.raises(InvalidStatus) as caught:
                async with stage.viewer(HELLO):
                    pass
            assert caught.value.response.status_code == 503
            assert await first.close_code() == await second.close_code() == 1001
            await closing
        assert stage.gateway.statistics().viewers == 0


async def test_quiet_connection_is_kept_alive_by_pings() -> None:
    async with staged(GatewaySettings(keepalive_ms=0)) as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            await asyncio.sleep(1.2)  # one tick
            await stage.publisher.publish(stage.author.pin(1, True))
            assert (await viewer.until("evt"))["seq"] == 3
        assert stage.gateway.statistics().closed == {}


@pytest.mark.parametrize("step", [1, 3, 7, 10, 1000])
async def test_pongs_count_however_the_network_cuts_them(step: int) -> None:
    """Twenty events need five markers acknowledged; the client's bytes come in pieces of `step`."""
    async with staged() as stage:
        await stage.start_show()
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        head = b"GET /ws/demo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        hello, mask = b'{"t":"hello","v":1}', b"\x07\x01\x00\xff"
        writer.write(head + bytes((0x81, 0x80 | len(hello))) + bytes(4) + hello)
        await reader.readuntil(b"\r\n\r\n")
        await stage.until(lambda: stage.gateway.statistics().viewers == 1)
        for number in range(20):
            await stage.publisher.publish(stage.author.latency(number))
        events = 0
        async with asyncio.timeout(5):
            while events < 20:
                opcode, size = await reader.readexactly(2)
                length = int.from_bytes(await reader.readexactly(2), "big") if size == 126 else size
                payload = await reader.readexactly(length)
                events += b'"t":"evt"' in payload
                if opcode == 0x89:
                    masked = bytes(a ^ b for a, b in zip(payload, mask, strict=True))
                    pong = b"\x8a\x84" + mask + masked
                    for at in range(0, len(pong), step):
                        writer.write(pong[at : at + step])
                        await writer.drain()
                        await asyncio.sleep(0)
        writer.close()


async def test_statistics_outlive_their_connections() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            stage.publisher.positions(frame(hotspot(), rtp=900))
            await viewer.until("pos")
            assert stage.gateway.statistics().viewers == 1
        await stage.until(lambda: stage.gateway.statistics().viewers == 0)
        figures = stage.gateway.statistics()
        assert (figures.connections, figures.positions_sent) == (1, 1)


async def test_viewer_who_saw_more_on_another_node_waits_for_this_one_to_catch_up() -> None:
    async with staged() as stage:
        await stage.start_show()
        seq = stage.author.snapshot().seq
        async with stage.viewer({**HELLO, "resume": {"log": "log-1", "seq": seq + 1}}) as viewer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await viewer.wire.recv()
            await stage.publisher.publish(stage.author.latency(10))
            snap = await viewer.until("snap")
            assert snap["recovered"] and snap["seq"] == seq + 1, "it never goes back"
            await stage.publisher.publish(stage.author.latency(20))
            assert (await viewer.until("evt"))["seq"] == seq + 2


async def test_viewer_who_saw_what_is_lost_everywhere_is_not_kept_waiting() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer({**HELLO, "resume": {"log": "log-1", "seq": 1000}}) as viewer:
            snap = await viewer.until("snap")
            assert not snap["recovered"] and snap["seq"] == stage.author.snapshot().seq


class _Wire(asyncio.Transport):
    """A transport that remembers."""

    def __init__(self) -> None:
        self.sent = b""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def abort(self) -> None:
        pass


async def test_snapshot_is_written_in_the_same_turn_of_the_loop_as_the_hello_is_read() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as first:
            await first.until("snap")  # the stream is followed here by now
            wire, protocol = _Wire(), stage.gateway.protocol()
            protocol.connection_made(wire)
            protocol.data_received(
                b"GET /ws/demo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            hello = b'{"t":"hello","v":1}'
            protocol.data_received(b"\x81" + bytes((0x80 | len(hello),)) + b"\0\0\0\0" + hello)
            assert b'"t":"snap"' in wire.sent, "without a turn of the loop in between"
            protocol.connection_lost(None)


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_NOTSENT_LOWAT is Linux")
async def test_kernel_holds_little_that_is_not_sent_for_a_viewer() -> None:
    seen: list[tuple[int, int]] = []
    async with staged() as stage:
        await stage.start_show()

        class Looking(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                stage.gateway.protocol().connection_made(transport)
                sock = transport.get_extra_info("socket")
                options = (socket.TCP_NOTSENT_LOWAT, socket.TCP_NODELAY)
                low, delay = (sock.getsockopt(socket.IPPROTO_TCP, option) for option in options)
                seen.append((low, delay))
                transport.close()

        server = await asyncio.get_running_loop().create_server(Looking, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await stage.until(lambda: bool(seen))
        writer.close()
        server.close()
    assert seen == [(2_048, 1)]
