"""What one viewer is sent, and when, on a writer that remembers and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from stream.hooks_send import Packet, RtpWriter
from stream.relay import Relay
from stream.sender import StreamSender
from stream.settings import RtcSettings
from stream.types import EncodedFrame, MediaTime, StreamId
from tests.fakes.clock import FakeClock


class Writer:
    """Stands for the wire."""

    first_sequence = 65_530

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []
        self.again: list[tuple[int, int]] = []
        self.accounts: list[tuple[int, int, int, int]] = []
        self.gone = False

    def write(self, packets: Sequence[Packet], now_ns: int) -> None:
        self.sent += [(packet.sequence, packet.rtp) for packet in packets]

    def write_again(self, packet: Packet, now_ns: int) -> None:
        if self.gone:
            raise ConnectionError
        self.again.append((packet.sequence, packet.rtp))

    def account(self, rtp: int, age_ns: int, packets: int, octets: int) -> None:
        self.accounts.append((rtp, age_ns, packets, octets))


class Rig:
    """A relay with `past` frames of three packets each, and one viewer that joins then."""

    def __init__(self, past: int, kind: str = "video") -> None:
        self.clock = FakeClock()
        self.relay = Relay(StreamId("show"))
        self.wire = Writer()
        for n in range(past):
            self.push(n * 3000, key=n == 0)
        self.sender = StreamSender(kind, self.relay.subscribe, self.clock, RtcSettings())
        self._task: asyncio.Task[None] | None = None

    @property
    def writer(self) -> RtpWriter:
        return cast(RtpWriter, cast(Any, self.wire))

    def push(self, rtp: int, *, key: bool = False) -> None:
        data = b"\0\0\0\1\x65" + bytes(3000)
        time = MediaTime(1, rtp)
        self.relay.push(EncodedFrame("H264", time, data, key, self.clock.now_ns()))

    async def __aenter__(self) -> Rig:
        self._task = asyncio.create_task(self.sender.run(self.writer))
        await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self.relay.close("done")
        await self._task


def numbers(first: int, count: int) -> list[int]:
    return [(first + n) % 65_536 for n in range(count)]


async def test_who_joins_sees_a_gap_asks_and_is_sent_all_of_it_in_order() -> None:
    async with Rig(past=4) as rig:
        assert [sequence for sequence, _ in rig.wire.sent] == [65_530, *numbers(65_539, 3)]
        assert rig.wire.again == []
        rig.sender.lost(rig.writer, 65_531)
        assert [sequence for sequence, _ in rig.wire.again] == numbers(65_531, 8)
        assert [rtp for _, rtp in rig.wire.again] == [0] * 2 + [3000] * 3 + [6000] * 3
        assert (rig.sender.replayed, rig.sender.resent, rig.sender.refused) == (8, 0, 0)
        rig.push(12_000)
        await asyncio.sleep(0.01)
        assert [sequence for sequence, _ in rig.wire.sent[4:]] == numbers(65_542, 3)


async def test_who_does_not_ask_is_sent_it_all_the_same() -> None:
    async with Rig(past=3) as rig:
        await asyncio.sleep(0.15)
        assert [sequence for sequence, _ in rig.wire.again] == numbers(65_531, 5)


async def test_one_keyframe_alone_is_sent_like_any_frame() -> None:
    async with Rig(past=1) as rig:
        assert [sequence for sequence, _ in rig.wire.sent] == numbers(65_530, 3)
        await asyncio.sleep(0.15)
        assert rig.wire.again == []


async def test_a_long_past_is_paced_and_does_not_hold_up_what_is_new() -> None:
    async with Rig(past=30) as rig:
        rig.sender.lost(rig.writer, 65_531)
        begun = len(rig.wire.again)
        assert begun < 40  # 24 kB at once
        rig.push(90_000)
        await asyncio.sleep(0.005)
        assert rig.wire.sent[-1][1] == 90_000
        for _ in range(40):
            rig.clock.advance_ms(2)
            await asyncio.sleep(0.003)
        assert len(rig.wire.again) == 29 * 3 - 1


async def test_a_lost_packet_comes_again_once_and_what_is_unknown_is_refused() -> None:
    async with Rig(past=1) as rig:
        for sequence in (65_531, 65_531, 99, 65_529):
            rig.sender.lost(rig.writer, sequence)
        assert rig.wire.again == [(65_531, 0)]
        assert (rig.sender.resent, rig.sender.refused) == (1, 3)


async def test_reports_relate_a_frame_to_its_arrival() -> None:
    async with Rig(past=1) as rig:
        rig.clock.advance_ms(700)
        rig.push(3000)
        await asyncio.sleep(0.01)
        (first, age_ns, packets, octets), second = rig.wire.accounts
        assert (first, age_ns, packets, octets > 3000) == (0, 0, 3, True)
        assert second[0] == 3000


async def test_nothing_is_sent_again_to_who_has_gone() -> None:
    async with Rig(past=3) as rig:
        rig.wire.gone = True
        rig.sender.lost(rig.writer, 65_531)
        rig.wire.gone = False
        await asyncio.sleep(0.15)
        assert rig.wire.again == []


@pytest.mark.parametrize("sequence", [0, 5])
async def test_asking_before_anything_was_sent_is_refused(sequence: int) -> None:
    rig = Rig(past=0)
    rig.sender.lost(rig.writer, sequence)
    assert rig.sender.refused == 1
