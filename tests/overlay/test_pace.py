from __future__ import annotations

from overlay.outbox import Outbox, OutboxLimits, PositionsFrame
from overlay.pace import PER_SECOND, Pace, PaceLimits
from tests.overlay.builders import MS

S = 1_000 * MS
FRAME_NS = S // 30


def squeeze(pace: Pace, now_ns: int, crowded: int = 15, written: int = 10) -> int:
    """One window with so many of either. Returns its end."""
    for _ in range(crowded):
        pace.crowded_out()
    for _ in range(written):
        pace.due(now_ns)
    pace.due(now_ns + S)
    return now_ns + S


def sent(pace: Pace, begin_ns: int, seconds: int) -> int:
    """How many of 30 positions a second are let through, without any trouble."""
    return sum(pace.due(begin_ns + number * FRAME_NS) for number in range(seconds * 30))


def test_undisturbed_viewer_gets_everything_and_costs_nothing() -> None:
    pace = Pace(PaceLimits())
    assert not pace.active and pace.level == 0
    assert sent(pace, 0, 2) == 60


def test_trouble_steps_down_from_all_to_15_to_7_to_3_and_no_further() -> None:
    pace = Pace(PaceLimits(calm_ms=600_000))
    rates, now_ns = [], 0
    for _ in range(4):
        now_ns = squeeze(pace, now_ns)
        rates.append(PER_SECOND[pace.level])
        assert abs(sent(pace, now_ns + FRAME_NS, 4) - 4 * (rates[-1] or 0)) <= 2
        now_ns += 10 * S
        pace.due(now_ns)
    assert rates == [15, 7, 3, 3]


def test_who_gets_most_of_them_keeps_getting_them() -> None:
    pace = Pace(PaceLimits())
    now_ns = 0
    for _ in range(20):
        now_ns = squeeze(pace, now_ns, crowded=9, written=20)
    assert pace.level == 0
    for _ in range(20):
        now_ns = squeeze(pace, now_ns, crowded=2, written=1)
    assert pace.level == 0, "too few to tell"


def test_calm_leads_back_up_level_by_level() -> None:
    pace = Pace(PaceLimits())
    now_ns = 0
    for _ in range(3):
        now_ns = squeeze(pace, now_ns)
    levels = []
    for _ in range(30 * 14):
        now_ns += FRAME_NS
        pace.due(now_ns)
        levels.append(pace.level)
    assert set(levels) == {3, 2, 1, 0}
    assert levels == sorted(levels, reverse=True)
    assert all(80 <= levels.count(level) <= 130 for level in (3, 2, 1))
    assert not pace.active


def test_a_faster_level_that_does_not_hold_is_tried_later_each_time() -> None:
    pace = Pace(PaceLimits())
    now_ns = since_ns = squeeze(pace, 0)
    waits: list[int] = []
    while len(waits) < 6:
        now_ns += FRAME_NS
        pace.due(now_ns)
        if pace.level == 0:
            waits.append(round((now_ns - since_ns) / S))
            now_ns = since_ns = squeeze(pace, now_ns)
            assert pace.level == 1
    assert waits[1] > waits[0] and 24 <= waits[-1] == waits[-2] <= 26


def test_positions_overwritten_while_nothing_could_be_written_slow_the_outbox_down() -> None:
    outbox = Outbox(OutboxLimits(marker_every=4, unacknowledged=4, calm_unacknowledged=4))
    now_ns = 0
    for number in range(60):
        now_ns += FRAME_NS
        outbox.positions(PositionsFrame(bytes([number])))
        outbox.take(now_ns)
        if number % 15 == 14:  # four messages in half a second is all that is acknowledged
            outbox.acknowledge((outbox.statistics.messages_sent).to_bytes(4, "big"))
    assert outbox.positions_per_second == 15


def test_positions_overwritten_because_the_server_was_late_do_not() -> None:
    outbox = Outbox()
    now_ns = 0
    for _ in range(10):
        for number in range(20):
            outbox.positions(PositionsFrame(bytes([number])))
        now_ns += S
        assert outbox.take(now_ns) is not None
        outbox.acknowledge((outbox.statistics.messages_sent).to_bytes(4, "big"))
    assert outbox.positions_per_second is None


def test_a_wire_that_takes_nothing_counts_like_missing_credit() -> None:
    outbox = Outbox()
    for second in (0, 1, 2):
        for number in range(30):
            outbox.positions(PositionsFrame(bytes([number])))
            outbox.block()
        assert outbox.take(second * S) is not None
    assert outbox.positions_per_second in (15, 7)
    outbox.positions(PositionsFrame(b"held back by the pace"))
    assert outbox.take(2 * S + 1) is None and len(outbox) == 1
    taken = outbox.take(3 * S)
    assert taken is not None and taken[0].startswith(b"held back by the pace")
