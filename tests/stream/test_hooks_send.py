"""Our own sending loop on the real aiortc: these fail when the pinned version is changed underneath."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stream import hooks, hooks_send
from stream.clock import MonotonicClock
from stream.hooks_send import Packet, RtpWriter
from tests.stream.peers import Pair, connected_pair
from tests.stream.rig import until


def sizes(*lengths: int) -> list[list[int]]:
    groups = hooks_send._equal([bytes(length) for length in lengths])
    return [[len(datagram) for datagram in group] for group in groups]


def test_datagrams_are_grouped_by_length_and_stay_in_order() -> None:
    assert sizes(9, 9, 9) == [[9, 9, 9]]
    assert sizes(9, 9, 8, 8) == [[9, 9, 8], [8]]
    assert sizes(8, 9, 9, 3, 9) == [[8], [9, 9, 3], [9]]
    assert sizes() == []
    assert [len(group) for group in sizes(*[100] * 100)] == [48, 48, 4]
    assert [len(group) for group in sizes(*[1200] * 60)] == [48, 12]
    assert max(sum(group) for group in sizes(*[1400] * 60)) <= 60_000


class Loop:
    """Sends what it is told, in place of aiortc's own loop."""

    def __init__(self) -> None:
        self.writer: RtpWriter | None = None
        self.lost: list[int] = []

    async def run(self, writer: RtpWriter) -> None:
        self.writer = writer
        await asyncio.Event().wait()

    def on_lost(self, writer: RtpWriter, sequence: int) -> None:
        self.lost.append(sequence)


async def driven(pair: Pair) -> tuple[Loop, RtpWriter]:
    """Take over the pair's sender, which has not begun."""
    loop = Loop()
    hooks_send.drive(pair.sender, loop.run, loop.on_lost)
    await until(lambda: loop.writer)
    assert loop.writer is not None
    return loop, loop.writer


def packets(count: int, size: int) -> list[Packet]:
    """One H264 frame in `count` packets, a slice each."""
    return [
        Packet(b"\x41" + bytes([n]) * (size - 1), 100 + n, 4_294_967_295, n == count - 1)
        for n in range(count)
    ]


@pytest.mark.parametrize("segments", [True, False])
async def test_packets_arrive_whole_and_in_order_whichever_way_they_are_sent(segments: bool) -> None:
    async with connected_pair() as pair:
        _, writer = await driven(pair)
        writer._segments = segments
        now_ns = MonotonicClock().now_ns()
        writer.write([*packets(7, 1100)[:6], packets(7, 400)[6]], now_ns)
        await until(lambda: len(pair.packets) == 7)
        assert writer._segments is segments
        got = sorted(pair.packets, key=lambda packet: packet.seq)
        assert [packet.seq for packet in got] == list(range(100, 107))
        assert [len(packet.data) for packet in got] == [1104] * 6 + [404]  # a start code was put before each
        assert [packet.data[-1] for packet in got] == list(range(7))
        assert {packet.rtp for packet in got} == {4_294_967_295}
        assert [packet.marker for packet in got] == [False] * 6 + [True]


async def test_a_socket_that_cannot_segment_is_used_packet_by_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks_send, "_UDP_SEGMENT", 9999)
    async with connected_pair() as pair:
        _, writer = await driven(pair)
        writer.write(packets(3, 500), MonotonicClock().now_ns())
        await until(lambda: len(pair.packets) == 3)
        assert not writer._segments


async def test_what_is_asked_for_again_is_told_and_can_be_sent_again() -> None:
    async with connected_pair() as pair:
        loop, writer = await driven(pair)
        now_ns = MonotonicClock().now_ns()
        writer.write(packets(2, 300), now_ns)
        await until(lambda: len(pair.packets) == 2)
        await hooks.send_nack(pair.receiver, pair.packets[0].ssrc, [101])
        await until(lambda: loop.lost == [101])
        writer.write_again(packets(2, 300)[1], now_ns)
        await until(lambda: len(pair.packets) == 3)
        assert (pair.packets[2].seq, pair.packets[2].data) == (101, pair.packets[1].data)


async def test_sender_reports_tell_what_was_accounted_for_and_reports_come_back() -> None:
    async with connected_pair() as pair:
        heard: list[int] = []
        hooks_send.on_report(pair.sender, lambda: heard.append(1))
        _, writer = await driven(pair)
        writer.write(packets(2, 300), MonotonicClock().now_ns())
        writer.account(4_294_967_295, 0, 2, 600)
        sender: Any = pair.sender
        assert (sender._RTCRtpSender__packet_count, sender._RTCRtpSender__octet_count) == (2, 600)
        await until(lambda: pair.alive and heard)


async def test_writing_to_who_has_gone_says_so_and_ending_does_not_hang() -> None:
    async with connected_pair() as pair:
        _, writer = await driven(pair)
        await pair.sending.close()
        with pytest.raises(ConnectionError):
            writer.write(packets(1, 300), MonotonicClock().now_ns())
