from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stream.clock import MonotonicClock
from stream.decoder import Decoded, DecoderThread
from stream.packets import MediaPacket, read_packets
from tests.stream.media import read_barcode
from tests.stream.rig import until


@dataclass
class Rig:
    thread: DecoderThread
    pictures: list[Decoded] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    keyframes_wanted: list[int] = field(default_factory=list)

    def put(
        self, packet: MediaPacket, codec: str = "H264", data: bytes | None = None, wanted: bool = True
    ) -> None:
        unit = packet.data if data is None else data
        at_ns = packet.index * 33_333_333
        self.thread.put(codec, unit, packet.index, at_ns, packet.keyframe, wanted=wanted)

    @property
    def shown(self) -> list[int]:
        return [p.rtp for p in self.pictures]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    def count(reason: str, number: int) -> None:
        made.dropped[reason] = made.dropped.get(reason, 0) + number

    thread = DecoderThread(
        MonotonicClock(),
        lambda decoded: made.pictures.append(decoded),
        count,
        lambda: made.keyframes_wanted.append(1),
        capacity=4,
    )
    made = Rig(thread)
    yield made
    thread.close()


@pytest.fixture(scope="module")
def packets(clip: Path) -> list[MediaPacket]:
    return [p for p in read_packets(str(clip)) if p.kind == "video"]


async def test_each_access_unit_becomes_its_picture(rig: Rig, packets: list[MediaPacket]) -> None:
    for packet in packets:
        rig.put(packet)
        await until(lambda: len(rig.pictures) > packet.index)  # noqa: B023
    assert rig.shown == list(range(45))
    codes = [read_barcode(p.pixels.scaled(320, 180, "gray")) for p in rig.pictures]
    assert codes == rig.shown
    assert [p.keyframe for p in rig.pictures[14:17]] == [False, True, False]


async def test_overfull_queue_is_dropped_until_the_next_keyframe(
    rig: Rig, packets: list[MediaPacket]
) -> None:
    for packet in packets[:14]:  # at once: the thread cannot keep up with four places
        rig.put(packet)
    assert rig.keyframes_wanted == [1]
    assert rig.dropped["decoder-full"] >= 5
    for packet in packets[15:18]:
        rig.put(packet)
    await until(lambda: 17 in rig.shown)
    assert rig.shown == sorted(rig.shown)
    assert set(range(6, 15)).isdisjoint(rig.shown)
    assert len(rig.pictures) + sum(rig.dropped.values()) == 17


async def test_decoding_begins_at_a_keyframe(rig: Rig, packets: list[MediaPacket]) -> None:
    rig.put(packets[3])
    rig.put(packets[15])
    await until(lambda: rig.shown == [15])
    assert rig.dropped == {"undecodable": 1}


async def test_garbage_is_dropped_counted_and_a_keyframe_asked_for(
    rig: Rig, packets: list[MediaPacket]
) -> None:
    rig.put(packets[0])
    await until(lambda: rig.shown == [0])
    rig.put(packets[1], data=b"\x00\x00\x00\x01\x65" + b"\xff" * 40)
    await until(lambda: rig.keyframes_wanted)
    assert rig.dropped["undecodable"] >= 1
    rig.put(packets[2])
    rig.put(packets[15])
    await until(lambda: rig.shown[-1] == 15)
    assert 2 not in rig.shown


async def test_codec_may_change(rig: Rig, packets: list[MediaPacket], vp8_clip: Path) -> None:
    rig.put(packets[0])
    vp8 = next(p for p in read_packets(str(vp8_clip)) if p.kind == "video")
    rig.thread.put("VP8", vp8.data, 99, 0, True)
    await until(lambda: rig.shown == [0, 99])


async def test_nothing_is_delivered_after_close(rig: Rig, packets: list[MediaPacket]) -> None:
    rig.put(packets[0])
    rig.thread.close()
    await asyncio.sleep(0.05)
    assert rig.pictures == []


async def test_unwatched_only_keyframes_are_decoded_and_all_is_counted(
    rig: Rig, packets: list[MediaPacket]
) -> None:
    for packet in packets[:40]:
        rig.put(packet, wanted=False)
    await until(lambda: rig.shown == [0, 15, 30])
    assert rig.dropped == {"unwatched": 28}
    assert rig.keyframes_wanted == []  # they came more often than they would be asked for


async def test_wanted_again_the_very_next_picture_is_exact(rig: Rig, packets: list[MediaPacket]) -> None:
    for packet in packets[:25]:
        rig.put(packet, wanted=False)
    await until(lambda: rig.shown == [0, 15])
    for packet in packets[25:29]:
        rig.put(packet)
    await until(lambda: rig.shown == [0, 15, 25, 26, 27, 28])
    codes = [read_barcode(p.pixels.scaled(320, 180, "gray")) for p in rig.pictures]
    assert codes == rig.shown
    assert rig.dropped == {"unwatched": 23}


async def test_what_was_kept_undecoded_is_worth_nothing_after_a_loss(
    rig: Rig, packets: list[MediaPacket]
) -> None:
    for packet in packets[:5]:
        rig.put(packet, wanted=False)
    rig.thread.reset()
    rig.put(packets[6])
    rig.put(packets[15])
    await until(lambda: rig.shown == [0, 15])
    assert rig.dropped == {"undecodable": 5}


async def test_garbage_among_what_was_kept_is_counted_once_and_a_keyframe_asked_for(
    rig: Rig, packets: list[MediaPacket]
) -> None:
    rig.put(packets[0])
    await until(lambda: rig.shown == [0])
    rig.put(packets[1], data=b"\x00\x00\x00\x01\x65" + b"\xff" * 40, wanted=False)
    for packet in packets[2:5]:
        rig.put(packet, wanted=False)
    rig.put(packets[5])
    await until(lambda: rig.keyframes_wanted)
    rig.put(packets[15])
    await until(lambda: rig.shown[-1] == 15)
    assert rig.dropped["unwatched"] == 4
    assert len(rig.pictures) + sum(rig.dropped.values()) == 7
