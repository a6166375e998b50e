from __future__ import annotations

import pytest

from overlay.outbox import Need, Outbox, OutboxLimits, PositionsFrame, text_frame
from tests.overlay.builders import MS

S = 1_000 * MS
FOURTH = OutboxLimits(calm_marker_every=4, calm_unacknowledged=8)
NO_MARKS = OutboxLimits(marker_every=100, unacknowledged=100)


def pos(name: str) -> PositionsFrame:
    return PositionsFrame(name.encode())


def drain(outbox: Outbox, now_ns: int = 0) -> list[bytes]:
    taken = []
    while (item := outbox.take(now_ns)) is not None:
        taken.append(item[0])
    return taken


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (0xFFFF, b"\x81\x7e\xff\xff"),
        (0x10000, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_text_frame_has_the_shortest_length(size: int, head: bytes) -> None:
    assert text_frame(b"x" * size) == head + b"x" * size


def test_only_the_newest_positions_are_sent_and_skipped_ones_counted() -> None:
    outbox = Outbox(NO_MARKS)
    for name in "abc":
        outbox.positions(pos(name))
    assert len(outbox) == 1
    assert outbox.take(0) == (b"c", pos("c"))
    assert outbox.take(0) is None
    assert (outbox.statistics.positions_sent, outbox.statistics.positions_skipped) == (1, 2)


def test_events_go_first_then_replies_then_positions() -> None:
    outbox = Outbox(NO_MARKS)
    outbox.positions(pos("p"))
    assert outbox.reply(b"r")
    outbox.push(b"e1", 0)
    outbox.push(b"e2", 0)
    assert drain(outbox) == [b"e1", b"e2", b"r", b"p"]


def test_marker_follows_every_fourth_message_and_eight_unacknowledged_stop_the_flow() -> None:
    outbox = Outbox(FOURTH)
    for number in range(20):
        outbox.push(bytes([number]), 0)
    taken = drain(outbox)
    assert len(taken) == 8
    assert taken[3] == b"\x03\x89\x04\x00\x00\x00\x04" and taken[7][1:] == b"\x89\x04\x00\x00\x00\x08"
    outbox.acknowledge((4).to_bytes(4, "big"))
    assert len(drain(outbox)) == 4
    outbox.acknowledge((12).to_bytes(4, "big"))
    assert len(drain(outbox)) == 8
    assert outbox.need(0) is not Need.SLOW


def test_calm_viewer_is_marked_every_ten_messages_until_it_is_waited_for() -> None:
    outbox = Outbox()
    written: list[bytes] = []
    for _ in range(20):
        outbox.push(b"e", 0)
        written += drain(outbox)
        outbox.acknowledge((len(written)).to_bytes(4, "big"))
    assert [at for at, data in enumerate(written) if len(data) > 1] == [9, 19]
    for _ in range(40):
        outbox.push(b"e", 0)
    assert len(drain(outbox)) == 12, "never more than twelve without an answer"
    outbox.acknowledge((30).to_bytes(4, "big"))
    slower = drain(outbox)
    assert [at for at, data in enumerate(slower) if len(data) > 1] == [1, 5]
    assert len(slower) == 6, "with the two already written: eight, from now on"


@pytest.mark.parametrize("number", range(10))
def test_whoever_answers_is_sent_everything_wherever_the_first_marker_was(number: int) -> None:
    outbox, sent = Outbox(number=number), 0
    for _ in range(40):
        outbox.push(b"e", 0)
    for _ in range(30):
        for data in drain(outbox):
            sent += data.startswith(b"e")
            if b"\x89\x04" in data:
                outbox.acknowledge(data[-4:])
    assert sent == 40


def test_neighbours_are_marked_in_different_rounds() -> None:
    first_marker = []
    for number in range(20):
        outbox = Outbox(number=number)
        for _ in range(12):
            outbox.push(b"e", 0)
        first_marker.append([len(data) > 1 for data in drain(outbox)].index(True))
    assert sorted(first_marker) == sorted([*range(10), *range(10)])


def test_keepalive_before_the_first_message_is_acknowledged_whatever_the_number() -> None:
    outbox = Outbox(number=7)
    outbox.acknowledge(outbox.ping(0)[2:])
    assert not outbox.awaits_pong


def test_positions_go_past_the_slot_only_where_nothing_is_in_their_way() -> None:
    outbox = Outbox(
        OutboxLimits(marker_every=2, calm_marker_every=2, unacknowledged=4, calm_unacknowledged=4)
    )
    assert outbox.through(pos("a"), 0) == b"a"
    assert outbox.through(pos("b"), 0) == b"b\x89\x04\x00\x00\x00\x02"
    outbox.push(b"event", 0)
    assert outbox.through(pos("c"), 0) is None
    assert drain(outbox) == [b"event"]
    outbox.positions(pos("waits"))
    assert outbox.through(pos("d"), 0) is None
    assert len(drain(outbox)) == 1
    assert outbox.through(pos("e"), 0) is None, "four are not acknowledged"
    outbox.acknowledge((4).to_bytes(4, "big"))
    assert outbox.through(pos("f"), 0) == b"f"
    assert (outbox.statistics.positions_sent, outbox.statistics.messages_sent) == (4, 5)


@pytest.mark.parametrize("payload", [b"", b"abcde", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"])
def test_foreign_pongs_are_ignored(payload: bytes) -> None:
    outbox = Outbox()
    for number in range(20):
        outbox.push(bytes([number]), 0)
    drain(outbox)
    outbox.acknowledge(payload)
    assert drain(outbox) == []


def test_reader_that_keeps_up_with_a_delay_is_never_slow() -> None:
    outbox = Outbox(FOURTH)
    written = 0
    for tick in range(1000):
        now_ns = tick * 33 * MS
        outbox.positions(pos("p"))
        for data in drain(outbox, now_ns):
            written += data.count(b"p")
        assert outbox.need(now_ns) is Need.NOTHING
        if tick % 4 == 3 and tick > 8:  # the pong of an earlier marker comes back
            outbox.acknowledge((written // 4 * 4 - 4).to_bytes(4, "big"))
    assert written > 400


def test_reader_that_answers_nothing_is_slow_after_its_time() -> None:
    outbox = Outbox(FOURTH)
    for _ in range(4):
        outbox.push(b"e", S)
    drain(outbox, S)
    assert outbox.need(6 * S - 1) is Need.NOTHING
    assert outbox.need(6 * S) is Need.SLOW
    outbox.acknowledge((4).to_bytes(4, "big"))
    assert outbox.need(60 * S) is Need.NOTHING


@pytest.mark.parametrize("limits", [OutboxLimits(items=3), OutboxLimits(octets=10)])
def test_overflow_replaces_waiting_events_by_one_snapshot(limits: OutboxLimits) -> None:
    outbox = Outbox(limits)
    assert outbox.reply(b"r")
    for _ in range(6):
        outbox.push(b"eee", 0)
    assert outbox.statistics.overflows == 1
    assert outbox.need(0) is Need.SNAPSHOT
    outbox.push(b"ignored: the snapshot will contain it", 0)
    outbox.positions(pos("older than the snapshot"))
    outbox.snapshot([b"snapshot far beyond the limit of octets"])
    assert outbox.need(0) is Need.NOTHING
    assert drain(outbox) == [b"snapshot far beyond the limit of octets", b"r"]


def test_overdue_snapshot_means_slow() -> None:
    outbox = Outbox(OutboxLimits(items=2, marker_every=1, unacknowledged=1, calm_unacknowledged=1))
    outbox.push(b"e", 0)
    drain(outbox)
    for _ in range(3):
        outbox.push(b"e", S)
    assert outbox.need(S) is Need.NOTHING, "no credit: a snapshot would only wait in the kernel"
    assert outbox.need(6 * S) is Need.SLOW


def test_replies_have_the_same_bound() -> None:
    outbox = Outbox(OutboxLimits(items=2, marker_every=100, unacknowledged=100))
    assert [outbox.reply(data) for data in (b"1", b"2", b"3")] == [True, True, False]
    assert drain(outbox) == [b"1", b"2"]
    assert outbox.reply(b"4")


def test_octets_are_given_back_when_taken() -> None:
    outbox = Outbox(OutboxLimits(octets=4, marker_every=100, unacknowledged=100))
    for _ in range(50):
        outbox.push(b"four", 0)
        assert drain(outbox) == [b"four"]
    assert outbox.statistics.overflows == 0


def test_keepalive_ping_expects_its_pong() -> None:
    outbox = Outbox()
    ping = outbox.ping(0)
    assert [outbox.awaits_pong, ping] == [True, b"\x89\x04\x00\x00\x00\x01"]
    outbox.acknowledge(ping[2:])
    assert not outbox.awaits_pong and outbox.need(9 * S) is Need.NOTHING


def test_markers_rarer_than_the_credit_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing would ever be acknowledged"):
        Outbox(OutboxLimits(marker_every=9, unacknowledged=8))


def test_statistics_add_up() -> None:
    first, second = Outbox(NO_MARKS), Outbox(NO_MARKS)
    for outbox in (first, second):
        outbox.positions(pos("a"))
        drain(outbox)
    first.statistics.add(second.statistics)
    assert (first.statistics.positions_sent, first.statistics.messages_sent) == (2, 2)
