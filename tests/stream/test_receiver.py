"""Packets in, frames and feedback out, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiortc.codecs.h264 import H264Encoder, h264_depayload
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, unpack_remb_fci

from stream.assembler import RtpIn
from stream.packets import MediaPacket, read_packets
from stream.receiver import MediaReceiver
from stream.settings import RtcSettings
from tests.fakes.clock import FakeClock
from tests.stream.rig import STREAM, RecordingSink, until

MS = 1_000_000
VIDEO_PT = 108


class FakeRtpReceiver:
    """As much of aiortc's receiver as the hooks touch; keeps what would be sent."""

    def __init__(self) -> None:
        self.plis = 0
        self.nacked: list[int] = []
        self.rembs: list[int] = []
        self.estimates: list[int] = []
        estimator = SimpleNamespace(ssrcs={}, rate_control=self)
        self._RTCRtpReceiver__jitter_buffer: Any = None
        self._RTCRtpReceiver__codecs = {VIDEO_PT: SimpleNamespace(name="H264")}
        self._RTCRtpReceiver__rtcp_ssrc = 7
        self._RTCRtpReceiver__remote_bitrate_estimator = estimator
        self._RTCRtpReceiver__remote_streams: dict[int, Any] = {}

    def set_estimate(self, bitrate: int, now_ms: int) -> None:
        self.estimates.append(bitrate)

    async def _handle_rtcp_packet(self, packet: object) -> None: ...

    async def _send_rtcp_pli(self, ssrc: int) -> None:
        self.plis += 1

    async def _send_rtcp_nack(self, ssrc: int, lost: list[int]) -> None:
        self.nacked += lost

    async def _send_rtcp(self, packet: RtcpPsfbPacket) -> None:
        assert packet.fmt == RTCP_PSFB_APP
        self.rembs.append(unpack_remb_fci(packet.fci)[0])

    def counted(self, expected: int, received: int) -> None:
        stream = SimpleNamespace(max_seq=1, packets_expected=expected, packets_received=received, jitter=0)
        self._RTCRtpReceiver__remote_streams = {1: stream}


@dataclass
class Rig:
    clock: FakeClock
    sink: RecordingSink
    media: MediaReceiver
    rtp: FakeRtpReceiver
    seq: int = 100
    ticking: list[asyncio.Task[None]] = field(default_factory=list)

    def packets_of(self, unit: MediaPacket) -> Iterator[RtpIn]:
        payloads = H264Encoder._packetize(H264Encoder._split_bitstream(unit.data))
        for n, payload in enumerate(payloads):
            self.seq += 1
            data, last = h264_depayload(payload), n == len(payloads) - 1
            yield RtpIn(1, VIDEO_PT, self.seq, unit.ticks(), last, data, self.clock.now_ns())

    def receive(self, unit: MediaPacket, *, lose_first: bool = False) -> None:
        for n, packet in enumerate(self.packets_of(unit)):
            if not (lose_first and n == 0):
                self.media._on_video(packet)
        self.clock.advance_ms(33)

    async def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.media._wake.set()
            for _ in range(6):
                await asyncio.sleep(0)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    clock, sink, rtp = FakeClock(), RecordingSink(), FakeRtpReceiver()
    media = MediaReceiver(STREAM, 3, sink, clock, RtcSettings(loss_patience_ms=100), "test")
    media.attach(cast(Any, rtp), "video", lambda: None)
    task = asyncio.create_task(media.run(lambda now_ns: None))
    made = Rig(clock, sink, media, rtp)
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    media.close()


@pytest.fixture(scope="module")
def units(clip: Path) -> list[MediaPacket]:
    return [p for p in read_packets(str(clip)) if p.kind == "video"]


async def test_arrival_is_that_of_the_last_packet(rig: Rig, units: list[MediaPacket]) -> None:
    packets = list(rig.packets_of(units[0]))
    for packet in packets:
        rig.media._on_video(packet)
        rig.clock.advance_ms(5)
    await until(lambda: rig.sink.frames)
    assert rig.sink.frames[0].arrived_ns == packets[-1].arrived_ns
    assert rig.sink.frames[0].epoch == 3


async def test_after_unrecovered_loss_nothing_is_passed_or_decoded_until_a_keyframe(
    rig: Rig, units: list[MediaPacket]
) -> None:
    for n in range(4):
        rig.receive(units[n])
    rig.receive(units[4], lose_first=True)
    rig.receive(units[5])
    await rig.tick()
    assert rig.rtp.nacked  # asked for again
    for n in range(6, 15):
        rig.receive(units[n])
    await rig.tick()
    assert rig.rtp.plis == 1
    passed = [f.time.rtp for f in rig.sink.video()]
    assert passed == [units[n].ticks() for n in range(4)]
    assert rig.sink.dropped["undecodable"] >= 8
    for n in range(15, 20):
        rig.receive(units[n])
    await until(lambda: len(rig.sink.frames) == 9)
    assert [f.barcode for f in rig.sink.frames] == [0, 1, 2, 3, 15, 16, 17, 18, 19]
    assert rig.media.statistics()["lost"] == 1


async def test_stream_joined_in_the_middle_waits_for_a_keyframe(rig: Rig, units: list[MediaPacket]) -> None:
    for n in range(5, 15):
        rig.receive(units[n])
    await rig.tick()
    assert rig.sink.video() == []
    assert rig.rtp.plis == 1
    rig.receive(units[15])
    await until(lambda: rig.sink.frames)
    assert rig.sink.frames[0].barcode == 15


async def test_first_rembs_let_the_sender_begin_at_full_size(rig: Rig, units: list[MediaPacket]) -> None:
    for n in range(60):
        rig.receive(units[n % 45])
        await rig.tick()
    assert len(rig.rtp.rembs) >= 8
    assert all(abs(bits - 4_000_000) < 100 for bits in rig.rtp.rembs[:8])
    assert rig.rtp.estimates == [4_000_000]


async def test_loss_guard_lowers_the_bitrate_where_nobody_else_does(
    rig: Rig, units: list[MediaPacket]
) -> None:
    rig.rtp.counted(1000, 800)
    for n in range(45):
        rig.receive(units[n])
        await rig.tick()
    rig.clock.advance_ms(1500)
    await rig.tick(3)
    assert rig.rtp.rembs[-1] < 3_700_000
    rig.rtp._RTCRtpReceiver__remote_bitrate_estimator.ssrcs[1] = 1
    rig.rtp.counted(2000, 1000)
    count = len(rig.rtp.rembs)
    rig.clock.advance_ms(1500)
    await rig.tick(3)
    assert len(rig.rtp.rembs) == count  # the receiver's own estimate is in charge


async def test_silence(rig: Rig, units: list[MediaPacket]) -> None:
    media, clock = rig.media, rig.clock
    assert media.silent(clock.now_ns() + 9_999 * MS) == ""
    assert media.silent(clock.now_ns() + 10_001 * MS) == "timeout"
    rig.receive(units[0])
    heard = clock.now_ns() - 33 * MS
    assert media.silent(heard + 2499 * MS) == ""
    assert media.silent(heard + 2501 * MS) == "timeout"
    clock.now = heard + 20_000 * MS
    media._on_alive()  # a sender report: alive, but mute
    assert media.silent(clock.now_ns()) == ""
    clock.now = heard + 30_001 * MS
    media._on_alive()
    assert media.silent(clock.now_ns()) == "timeout"


async def test_repeated_audio_packets_pass_once(rig: Rig) -> None:
    packet = RtpIn(2, 111, 5, 960, True, b"opus", rig.clock.now_ns())
    for _ in range(3):
        rig.media._on_audio(packet)
    assert [f.data for f in rig.sink.audio()] == [b"opus"]


async def test_unknown_payload_types_and_garbage_are_ignored(rig: Rig, units: list[MediaPacket]) -> None:
    for n in range(50):
        rig.media._on_video(RtpIn(1, 33, n, n, True, bytes([n]) * 9, rig.clock.now_ns()))
        rig.media._on_video(RtpIn(2, VIDEO_PT, n, n, True, bytes([n]) * 9, rig.clock.now_ns()))
    await rig.tick()
    assert rig.sink.video() == []
    rig.seq = 3000
    rig.receive(units[0])
    await until(lambda: rig.sink.frames)


async def test_nothing_is_delivered_after_close(rig: Rig, units: list[MediaPacket]) -> None:
    rig.media.close()
    rig.receive(units[0])
    rig.media._on_audio(RtpIn(2, 111, 5, 960, True, b"opus", 0))
    assert rig.sink.encoded == []
