from __future__ import annotations

import json
import sys
import threading
import time
from types import FrameType

import pytest
from matplotlib.figure import Figure

from benchmarks import flame
from benchmarks.harness import CannotRun
from benchmarks.report import Report
from benchmarks.sampler import NATIVE, UNSEEN, Sampler, Seen, place, stack, trimmed, waits

STACKS = {
    "device;inference/worker:job;inference/runtime:OrtModel.run;[C] session.run(feeds)": 6_000_000,
    "device;inference/worker:job;inference/detectors/base:finish": 1_000_000,
    "MainThread;asyncio/events:Handle._run;overlay/hub:Hub.publish": 3_000_000,
}


def test_figures_are_per_frame_by_thread_and_by_innermost_entry() -> None:
    found = flame.figures(STACKS, wall_s=10 / flame.FPS)  # ten frames
    assert found["all, ms a frame"] == 1.0
    assert found["thread device, ms a frame"] == 0.7
    assert found["thread MainThread, ms a frame"] == 0.3
    assert found["inference/runtime:OrtModel.run [C] session.run(feeds), ms a frame"] == 0.6
    assert found["overlay/hub:Hub.publish, ms a frame"] == 0.3
    assert json.loads(str(found["stacks_curve"])) == STACKS


def test_nothing_seen_cannot_be_judged() -> None:
    with pytest.raises(CannotRun, match="nothing was seen"):
        flame.figures({}, 1.0)


def test_the_picture_has_a_box_for_every_entry_as_wide_as_its_time() -> None:
    report = Report("flame", {}, "c", [{"subject": "vitrine", **flame.figures(STACKS, 1.0)}])
    figure = Figure()
    flame.draw(report, figure)
    boxes = [(round(p.get_width(), 3), round(p.get_y())) for p in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert sorted(boxes) == sorted(
        [(0.7, 0), (0.7, 1), (0.6, 2), (0.6, 3), (0.1, 2), (0.3, 0), (0.3, 1), (0.3, 2)]
    )
    assert [flame.colour(name) for name in ("stream/x:f", f"{NATIVE}x()", "asyncio/x:f")] == [
        flame.COLOURS["stream/"],
        flame.COLOURS[NATIVE],
        flame.OTHER,
    ]


def test_what_a_thread_computed_while_it_seemed_to_wait_is_shared() -> None:
    seen = Seen()
    seen.credit.update({"a;f": 3, "a;g": 1, "b;f": 2})
    seen.threads.update({"a": 800, "b": 100, "c": 7, "d": 0})
    assert seen.stacks() == {"a;f": 600, "a;g": 200, "b;f": 100, f"c;{UNSEEN}": 7}
    assert set(json.loads(seen.to_json())) == {"stacks", "looks", "wall_ns"}


def here() -> FrameType:
    return sys._getframe()


def test_a_stack_ends_in_the_line_that_called_into_c() -> None:
    frame = here()
    assert frame.f_back is not None
    assert stack(frame)[-1].endswith("test_flame:here") or stack(frame)[-1].startswith(NATIVE)
    assert any(entry.endswith("test_a_stack_ends_in_the_line_that_called_into_c") for entry in stack(frame))


def test_frames_that_are_everywhere_are_cut_off() -> None:
    loop = [
        "cli/main:main",
        "asyncio/base_events:BaseEventLoop._run_once",
        "asyncio/events:Handle._run",
        "x/y:f",
    ]
    assert trimmed(loop) == loop[2:]
    assert trimmed(["threading:Thread._bootstrap", "threading:Thread.run", "x/y:f"]) == ["x/y:f"]
    assert trimmed(["x/y:f"]) == ["x/y:f"]


@pytest.mark.parametrize(
    ("entry", "waiting"),
    [
        (f"{NATIVE}fd_event_list = self._selector.poll(timeout, max_ev)", True),
        (f"{NATIVE}waiter.acquire()", True),
        (f"{NATIVE}return self._sess.run(output_names)", False),
        ("threading:Condition.wait", False),
    ],
)
def test_calls_that_wait_are_told_from_calls_that_compute(entry: str, waiting: bool) -> None:
    assert waits(["x", entry]) is waiting


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("/home/a/vitrine/inference/runtime.py", "inference/runtime"),
        ("/x/lib/python3.11/site-packages/aiortc/codecs/h264.py", "aiortc/codecs/h264"),
        (f"/x/lib/python3.{sys.version_info[1]}/asyncio/events.py", "asyncio/events"),
    ],
)
def test_places_name_no_machine(file: str, expected: str) -> None:
    assert place(file) == expected


def test_a_thread_that_computes_is_seen_and_one_that_waits_is_not() -> None:
    stop, before = threading.Event(), sys.getswitchinterval()

    def compute() -> None:
        while not stop.is_set():
            sum(range(2000))

    threads = [
        threading.Thread(target=compute, name="busy-1"),
        threading.Thread(target=stop.wait, name="idle-1"),
    ]
    sampler = Sampler()
    try:
        for thread in threads:
            thread.start()
        sampler.start()
        sampler.begin()
        deadline = time.monotonic() + 10
        while (sampler.seen.looks < 20 or not sampler.seen.credit) and time.monotonic() < deadline:
            time.sleep(0.01)
        seen = sampler.end()
    finally:
        stop.set()
        sys.setswitchinterval(before)
        for thread in threads:
            thread.join()
    stacks = seen.stacks()
    assert any(name.startswith("busy;") and "compute" in name for name in stacks)
    assert not any(name.startswith("idle;") and UNSEEN not in name for name in stacks)
    assert seen.looks >= 5 and seen.wall_ns > 0
