from __future__ import annotations

import random

from stream.assembler import Assembled, FrameAssembler, RtpIn

MS = 1_000_000


def packet(
    seq: int, rtp: int, *, marker: bool = False, at_ms: float = 0, data: bytes | None = None, ssrc: int = 1
) -> RtpIn:
    body = b"%d " % (seq & 0xFFFF) if data is None else data
    return RtpIn(ssrc, 96, seq & 0xFFFF, rtp, marker, body, int(at_ms * MS))


def feed(assembler: FrameAssembler, *packets: RtpIn) -> list[Assembled]:
    return [unit for p in packets for unit in assembler.add(p)]


def test_frame_is_complete_on_its_marker() -> None:
    assembler = FrameAssembler()
    assert assembler.add(packet(10, 100)) == []
    done = assembler.add(packet(11, 100, marker=True, at_ms=4))
    assert [(u.rtp, u.data, u.arrived_ns, u.broken) for u in done] == [(100, b"10 11 ", 4 * MS, False)]


def test_frame_without_marker_is_complete_at_the_next_timestamp() -> None:
    done = feed(FrameAssembler(), packet(1, 100), packet(2, 200))
    assert [(u.rtp, u.data) for u in done] == [(100, b"1 ")]


def test_reordered_packets_of_a_frame_are_put_in_order() -> None:
    done = feed(FrameAssembler(), packet(1, 9), packet(3, 9, marker=True, at_ms=1), packet(2, 9, at_ms=2))
    assert [(u.data, u.arrived_ns) for u in done] == [(b"1 2 3 ", 2 * MS)]


def test_a_late_packet_releases_every_frame_behind_it() -> None:
    assembler = FrameAssembler()
    feed(assembler, packet(1, 1, marker=True))
    held = feed(assembler, packet(3, 3, marker=True, at_ms=33), packet(4, 4, marker=True, at_ms=66))
    assert held == []
    done = assembler.add(packet(2, 2, marker=True, at_ms=70))
    assert [u.rtp for u in done] == [2, 3, 4]
    assert [u.arrived_ns // MS for u in done] == [70, 33, 66]


def test_sequence_numbers_wrap() -> None:
    done = feed(
        FrameAssembler(),
        packet(65534, 1),
        packet(65535, 1),
        packet(65536, 1, marker=True),
        packet(65537, 2, marker=True),
    )
    assert [u.data for u in done] == [b"65534 65535 0 ", b"1 "]


def test_lost_packet_is_given_up_after_patience_and_the_next_frame_is_broken() -> None:
    assembler = FrameAssembler(patience_ns=100 * MS)
    feed(assembler, packet(1, 1, marker=True), packet(3, 2, marker=True, at_ms=10))
    assert assembler.missing() == [2]
    assert feed(assembler, packet(4, 3, marker=True, at_ms=60)) == []
    done = feed(assembler, packet(5, 4, marker=True, at_ms=111))
    # frame 2 touches the hole and goes with it
    assert [(u.rtp, u.broken) for u in done] == [(3, True), (4, False)]
    assert assembler.lost == 1
    assert assembler.missing() == []


def test_packet_that_comes_after_it_was_given_up_is_counted_and_ignored() -> None:
    assembler = FrameAssembler(patience_ns=10 * MS)
    feed(assembler, packet(1, 1, marker=True), packet(3, 2, marker=True), packet(4, 3, marker=True, at_ms=20))
    assert assembler.add(packet(2, 2, at_ms=21)) == []
    assert assembler.late == 1


def test_duplicate_is_ignored() -> None:
    done = feed(FrameAssembler(), packet(1, 1), packet(1, 1), packet(2, 1, marker=True))
    assert [u.data for u in done] == [b"1 2 "]


def test_padding_after_a_frame_makes_no_frame() -> None:
    done = feed(
        FrameAssembler(), packet(1, 1, marker=True), packet(2, 1, data=b""), packet(3, 2, marker=True)
    )
    assert [(u.rtp, u.data) for u in done] == [(1, b"1 "), (2, b"3 ")]


def test_memory_behind_a_hole_is_bounded() -> None:
    assembler = FrameAssembler(patience_ns=10**12, capacity=8)
    feed(assembler, packet(0, 0, marker=True))
    done = feed(assembler, *(packet(n, n, marker=True) for n in range(2, 12)))
    assert [u.rtp for u in done] == list(range(3, 12))
    assert done[0].broken


def test_new_ssrc_begins_anew_and_is_marked_broken() -> None:
    assembler = FrameAssembler()
    feed(assembler, packet(1, 1, marker=True))
    done = feed(assembler, packet(40_000, 5, marker=True, ssrc=2))
    assert [(u.rtp, u.broken) for u in done] == [(5, True)]


def test_sender_that_restarts_its_numbering_is_followed() -> None:
    assembler = FrameAssembler(capacity=100)
    feed(assembler, packet(1000, 1, marker=True))
    done = feed(assembler, packet(30_000, 2, marker=True), packet(30_001, 3, marker=True))
    assert [(u.rtp, u.broken) for u in done] == [(2, True), (3, False)]


def test_missing_is_limited() -> None:
    assembler = FrameAssembler()
    feed(assembler, packet(0, 0, marker=True), packet(500, 1))
    assert assembler.missing(limit=3) == [1, 2, 3]


def test_any_order_within_patience_gives_the_same_frames() -> None:
    rng = random.Random(7)
    packets = [packet(60_000 + n, n // 3 * 3000, marker=n % 3 == 2, at_ms=n / 10) for n in range(9000)]
    expected = feed(FrameAssembler(), *packets)
    shuffled = [packets[0], *sorted(packets[1:], key=lambda p: p.arrived_ns + rng.uniform(0, 3 * MS))]
    assembler = FrameAssembler()
    done = feed(assembler, *shuffled)
    assert [(u.rtp, u.data) for u in done] == [(u.rtp, u.data) for u in expected]
    assert assembler.lost == 0


def test_garbage_order_and_loss_never_raises_and_never_goes_back() -> None:
    rng = random.Random(3)
    assembler = FrameAssembler(patience_ns=5 * MS, capacity=32)
    last = -1
    for n in range(20_000):
        if rng.random() < 0.2:
            continue
        seq = n + rng.choice((0, 0, 0, 1, 2, -1, 40))
        for unit in assembler.add(packet(seq, max(seq, 0) * 10, marker=True, at_ms=n)):
            assert unit.rtp > last
            last = unit.rtp
    assert last > 0
