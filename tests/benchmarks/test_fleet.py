from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fleet
from benchmarks.fleet_parts.viewers import Crowd, Viewer, Wire
from benchmarks.harness import plot
from benchmarks.report import Report, Row


def text(payload: str) -> bytes:
    data = payload.encode()
    return bytes((0x81, 126)) + len(data).to_bytes(2, "big") + data


def snap(seq: int, log: str = "a", recovered: bool = False) -> bytes:
    told = "true" if recovered else "false"
    return text(
        f'{{"t":"snap","v":1,"stream":"bench","log":"{log}","seq":{seq},"live":true,"recovered":{told}}}'
    )


def event(seq: int) -> bytes:
    return text(f'{{"t":"evt","seq":{seq},"ev":{{"k":"latency","latency_ms":1}}}}')


def counted(*frames: bytes, split: int = 0) -> Viewer:
    crowd = Crowd(1, 1, [1])
    (viewer,) = crowd.viewers
    wire = Wire(viewer, 1)
    wire.data_received(b"HTTP/1.1 101 Switching ")
    wire.data_received(b"Protocols\r\n\r\n")
    data = b"".join(frames)
    for begin in range(0, len(data), split or len(data)):
        wire.data_received(data[begin : begin + (split or len(data))])
    return viewer


@pytest.mark.parametrize(
    ("frames", "lost", "reordered"),
    [
        ((snap(4), event(5), event(6)), 0, 0),
        ((snap(4), event(5), event(7)), 1, 0),
        ((snap(4), event(5), event(5)), 0, 1),
        ((snap(4), event(6), event(5)), 1, 1),
        ((snap(4), snap(4, recovered=True), event(5)), 0, 0),
        ((snap(4), snap(9), event(10)), 5, 0),
        ((snap(4), snap(3), event(5)), 0, 1),
        ((snap(4), snap(3, "b"), event(4)), 3, 0),
    ],
)
def test_what_a_viewer_missed_is_counted(frames: tuple[bytes, ...], lost: int, reordered: int) -> None:
    for split in (0, 7):
        told = counted(*frames, split=split)._crowd.counted
        assert (told.lost, told.reordered) == (lost, reordered)


def rows(**changed: int) -> list[Row]:
    base: Row = {"viewers": 10, "lost": 0, "reordered": 0, "events": 40, "positions_gap_ms_p50": 80.0}
    base |= {"positions_gap_ms_max": 90.0, "events_gap_ms_max": 300.0}
    made: list[Row] = [{"phase": phase, **base} for phase in fleet.PHASES]
    return [*made, {"phase": "to the end", **base, "behind": 0, **changed}]


def test_one_event_lost_anywhere_misses_the_target() -> None:
    assert all(target.ok for target in fleet.judged(rows()))
    for column in ("lost", "reordered", "behind"):
        missed = [target for target in fleet.judged(rows(**{column: 1})) if not target.ok]
        assert len(missed) == 1, column


def test_report_can_be_drawn(tmp_path: Path) -> None:
    report = Report("fleet", {}, "0", rows(), fleet.judged(rows()))
    plot(fleet.BENCH, report, tmp_path / "fleet.png")
    assert (tmp_path / "fleet.png").stat().st_size > 5_000
