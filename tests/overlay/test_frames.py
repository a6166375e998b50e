from __future__ import annotations

import itertools

import pytest

from overlay.frames import PONG, PONG_SIZE, FrameScan

MASK = b"\1\2\3\4"


def frame(size: int, head: int = 0x81) -> bytes:
    if size < 126:
        return bytes((head, 0x80 | size)) + MASK + b"x" * size
    return bytes((head, 0x80 | 126)) + size.to_bytes(2, "big") + MASK + b"x" * size


def test_a_pong_of_four_bytes_begins_and_ends_as_the_constants_say() -> None:
    assert frame(4, 0x8A)[:2] == PONG and len(frame(4, 0x8A)) == PONG_SIZE


@pytest.mark.parametrize("sizes", list(itertools.product((0, 1, 125, 126, 127, 1000), repeat=2)))
def test_whole_frames_leave_it_between_frames(sizes: tuple[int, int]) -> None:
    scan = FrameScan()
    scan.pass_by(b"".join(map(frame, sizes)))
    assert scan.at_start
    scan.pass_by(b"")
    assert scan.at_start


@pytest.mark.parametrize("size", [0, 4, 200])
def test_every_cut_is_noticed_and_it_gives_up_for_good(size: int) -> None:
    whole = frame(3) + frame(size)
    for end in range(len(frame(3)) + 1, len(whole)):
        scan = FrameScan()
        scan.pass_by(whole[:end])
        assert not scan.at_start, end
        scan.pass_by(whole[end:])
        assert not scan.at_start


def test_long_lengths_are_left_to_the_protocol() -> None:
    scan = FrameScan()
    scan.pass_by(b"\x81\xff" + (4).to_bytes(8, "big") + MASK + b"abcd")
    assert not scan.at_start
