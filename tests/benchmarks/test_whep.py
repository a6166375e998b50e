from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks import whep
from benchmarks.report import Report, Row
from benchmarks.whep_parts.clip import GOP, TICKS, write_clip
from benchmarks.whep_parts.path import LossyPath, through
from benchmarks.whep_parts.screen import Reel, exact_pct
from stream.packets import read_packets
from tests.stream.media import read_barcode

ANSWER = "v=0\r\na=candidate:f1 1 udp 2130706431 127.0.0.1 {port} typ host\r\na=end-of-candidates\r\n"


def test_clip_can_be_passed_through_and_bears_its_frame_numbers(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=50)
    packets = [packet for packet in read_packets(str(clip)) if packet.kind == "video"]
    assert [packet.ticks() for packet in packets] == [n * TICKS for n in range(50)]
    assert [n for n, packet in enumerate(packets) if packet.keyframe] == [0, GOP]
    with av.open(str(clip)) as container:
        pictures = [f.to_ndarray(format="gray").astype(np.uint8) for f in container.decode(video=0)]
    numbers = [read_barcode(picture) for picture in pictures]
    assert numbers == list(range(50))


class Echo(asyncio.DatagramProtocol):
    """A server that answers each packet with itself."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.transport.sendto(data, address)


class Ears(asyncio.DatagramProtocol):
    """A viewer that remembers."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.heard.append(int.from_bytes(data, "big"))


async def heard_through(path: LossyPath, count: int, wait_s: float) -> list[int]:
    """What comes back of numbered packets sent to an echo through `path`."""
    loop, ears = asyncio.get_running_loop(), Ears()
    echo, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    port = echo.get_extra_info("sockname")[1]
    answer = await through(ANSWER.format(port=port), path)
    assert f"127.0.0.1 {path.port} typ host" in answer and str(port) not in answer
    viewer, _ = await loop.create_datagram_endpoint(lambda: ears, remote_addr=("127.0.0.1", path.port))
    for number in range(count):
        viewer.sendto(number.to_bytes(4, "big"))
        if number % 20 == 0:
            await asyncio.sleep(0.001)
    await asyncio.sleep(wait_s)
    for transport in (viewer, echo):
        transport.close()
    path.close()
    return ears.heard


async def test_path_loses_as_many_as_it_should_both_ways_and_the_same_each_time() -> None:
    runs = []
    for _ in range(2):
        path = LossyPath(seed=3)
        path.loss = 0.1
        heard = await heard_through(path, 1000, 0.1)
        assert 740 < len(heard) < 880  # 0.9 * 0.9
        assert heard == sorted(heard) and len(heard) + path.lost == 1000
        runs.append(path.lost)
    assert abs(runs[0] - runs[1]) < 60


async def test_path_delays_and_keeps_the_order() -> None:
    path = LossyPath(seed=3)
    path.jitter_s = 0.03
    assert await heard_through(path, 100, 0.3) == list(range(100))


async def test_an_answer_without_candidates_is_refused() -> None:
    with pytest.raises(ValueError, match="no host candidate"):
        await through("v=0\r\n", LossyPath(1))


def test_what_was_shown_is_read() -> None:
    shown = [(1000.0 + 33 * n + (400 if n > 5 else 0), n * TICKS, n % 10) for n in range(10)]
    reel = Reel(900.0, shown)
    assert reel.first_ms == 100
    assert reel.errors(10) == [0] * 9
    assert exact_pct(reel.errors(10)) == 100
    assert reel.within(990.0, 1760.0) == {
        "shown_fps": 13.0,
        "freezes": 1,
        "frozen_ms": 433.0,
        "longest_ms": 433.0,
    }
    stopped = reel.within(1690.0, 3697.0)  # nothing after 1697 ms: standing still until the end
    assert (stopped["freezes"], stopped["longest_ms"]) == (1, 2000.0)
    assert reel.ages_ms(1000.0)[3] == pytest.approx(3 * (33 - 100 / 3))
    late = Reel(0.0, [(0.0, 0, 0), (33.0, TICKS, 0), (66.0, 2 * TICKS, 2)])
    assert late.errors(300) == [-1, 0]


def rows() -> list[Row]:
    crowd: Row = {
        "subject": "vitrine",
        "case": "crowd",
        "viewers": 100,
        "cpu_pct": 50.0,
        "viewers_per_core": 250,
    }
    bad: Row = {"subject": "vitrine", "case": "2 % loss", "exact_pct": 99.5, "longest_ms": 700.0}
    join: Row = {"subject": "vitrine", "case": "join", "first_p50_ms": 200.0}
    return [{**crowd, "delivered_pct": 100.0}, join, bad]


def test_only_what_was_measured_is_judged() -> None:
    targets = {target.name: target.ok for target in whep.judged(rows())}
    assert targets == {
        "viewers a core carries, 720p30": True,
        "frames delivered, 100 viewers": True,
        "first picture, median": True,
        "picture fits its timestamp, 2 % loss": True,
        "longest freeze, 2 % loss": False,
    }
    assert whep.judged([]) == []


def test_report_can_be_drawn() -> None:
    figure = Figure()
    whep.draw(Report("whep", whep_machine(), "abc", rows(), []), figure)
    assert [axes.get_title() for axes in figure.axes][0] == "a crowd at 720p30"


def whep_machine() -> Any:
    from benchmarks import machine

    return machine.describe()
