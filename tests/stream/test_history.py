from __future__ import annotations

import pytest

from stream.history import FrameHistory, RelayedFrame, SequenceMap


def fill(history: FrameHistory, kinds: str, packets: int = 2, size: int = 10) -> list[RelayedFrame]:
    """Add a frame for each letter: K a keyframe, P another."""
    return [
        history.add(tuple(bytes(size) for _ in range(packets)), n * 3000, kind == "K", n)
        for n, kind in enumerate(kinds)
    ]


def test_packets_are_numbered_through_the_stream_and_found_by_number() -> None:
    history = FrameHistory()
    frames = fill(history, "KPP", packets=3)
    assert [frame.first for frame in frames] == [0, 3, 6]
    assert history.packet(4) == (frames[1], 1)
    assert history.packet(9) is None


def test_old_packets_are_forgotten_one_by_one() -> None:
    history = FrameHistory(max_packets=4)
    frames = fill(history, "KPP", packets=2)
    assert [history.packet(n) for n in (0, 1)] == [None, None]
    assert history.packet(2) == (frames[1], 0)
    assert history.packet(5) == (frames[2], 1)


def test_frames_since_the_newest_keyframe_are_kept() -> None:
    history = FrameHistory()
    assert history.since_keyframe() == ()
    fill(history, "PP")
    assert history.since_keyframe() == ()
    frames = fill(history, "KPKPP")
    assert history.since_keyframe() == tuple(frames[2:])
    history.forget_keyframe()
    history.add((b"x",), 0, False, 0)
    assert history.since_keyframe() == ()


@pytest.mark.parametrize("limit", [0, 7])
def test_too_much_since_the_keyframe_is_given_up_until_the_next_one(limit: int) -> None:
    history = FrameHistory(max_replay=limit)
    frames = fill(history, "KPP")
    assert history.since_keyframe() == (tuple(frames) if limit else ())
    fill(history, "P")
    assert history.since_keyframe() == ()
    newest = history.add((b"x",), 0, True, 0)
    assert history.since_keyframe() == ((newest,) if limit else ())


def test_sequence_numbers_follow_each_other_whatever_was_left_out() -> None:
    numbers = SequenceMap(65_534)
    sent = [0, 1, 7, 8, 100]
    sequences = [numbers.take(number) for number in sent]
    assert sequences == [65_534, 65_535, 0, 1, 2]
    assert [numbers.number(sequence) for sequence in sequences] == sent
    assert [numbers.number(sequence) for sequence in (3, 65_533, 40_000)] == [None, None, None]


def test_sequence_numbers_of_long_ago_are_not_mistaken_for_new_ones() -> None:
    numbers = SequenceMap(5)
    for number in range(100_000):
        numbers.take(number)
    newest = (5 + 99_999) % 65_536
    assert numbers.number(newest) == 99_999
    assert numbers.number((newest - 30_000) % 65_536) == 69_999
    assert numbers.number((newest - 40_000) % 65_536) is None


def test_runs_are_bounded() -> None:
    numbers = SequenceMap(0)
    for number in range(0, 1000, 2):
        numbers.take(number)
    assert numbers.number(499) == 998
    assert numbers.number(100) is None
