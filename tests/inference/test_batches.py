from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from inference.batches import Batches
from inference.deadline import JobCancelled, RunHandle
from inference.detection import Detected, DetectorSettings, LoadedDetector, Shot, load_detector
from inference.device import DeviceWorker
from inference.embedded import DETECTOR, embedded_model
from inference.errors import ModelError
from inference.runtime import RuntimeSettings
from inference.together import MOST, split
from inference.types import FrameResult, Outcome, Plan, Rung
from inference.worker import StreamWorker
from stream.clock import MonotonicClock
from stream.types import Frame, stream_id
from tests.inference.models import bright_yolox, frame_of, yolox_model

SETTINGS = DetectorSettings(0.01, RuntimeSettings("cpu", 1))
SIZE = Rung(64, 64)


def grey(value: int) -> Frame:
    picture = np.asarray(Image.new("RGB", (64, 64), (value, value, value)))
    return frame_of(av.VideoFrame.from_ndarray(picture, format="rgb24"))


@pytest.fixture
def batched(tmp_path: Path) -> LoadedDetector:
    """A model for any number of pictures, whose pictures share runs."""
    path = tmp_path / "bright.onnx"
    path.write_bytes(bright_yolox((32, 32, 16, 16)))
    loaded = load_detector(path, rungs=[SIZE], settings=SETTINGS)
    runs = Batches[Shot, Detected](lambda shots, handle: loaded.detect_many(shots, SIZE, handle), MOST)
    return replace(loaded, batches={SIZE: runs})


def test_pictures_in_one_run_are_answered_as_one_by_one(batched: LoadedDetector) -> None:
    clock = MonotonicClock()
    shots = [Shot(grey(value), clock) for value in (40, 120, 200)]
    many = batched.detect_many(shots, SIZE, None)
    ones = [batched.detect(shot.frame, SIZE, None, clock) for shot in shots]
    assert [len(found.detections) for found in many] == [1, 1, 1]
    scores = [float(found.detections.scores[0]) for found in many]
    assert scores == pytest.approx([float(found.detections.scores[0]) for found in ones], abs=1e-5)
    assert scores == sorted(scores) and scores[0] < scores[2]


async def test_streams_that_wait_together_share_a_run(batched: LoadedDetector) -> None:
    runs: list[int] = []
    shared = batched.batches[SIZE]

    def counted(shots: Sequence[Shot], handle: RunHandle) -> Sequence[Detected]:
        runs.append(len(shots))
        return batched.detect_many(shots, SIZE, handle)

    detector = replace(batched, batches={SIZE: Batches[Shot, Detected](counted, shared.most)})
    device, clock, release = DeviceWorker("test"), MonotonicClock(), threading.Event()
    busy = device.submit(lambda handle: release.wait(5), clock.now_ns() + 10_000_000_000)
    plan = Plan(True, SIZE, clock.now_ns() + 10_000_000_000, 0, "detect")
    workers = [StreamWorker(stream_id(f"s{n}"), device=device, detector=detector) for n in range(6)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.process(grey(40 * n + 20), plan)) for n, one in enumerate(workers)]
        await asyncio.sleep(0.01)
        release.set()
    await busy
    results: list[FrameResult] = [task.result() for task in tasks]
    assert runs == [4, 2]
    assert {result.outcome for result in results} == {Outcome.DETECTED}
    assert all(took_ns >= 0 for result in results for took_ns in result.stages_ns.values())
    await device.close()


def test_a_stopped_run_leaves_the_others_to_themselves() -> None:
    calls: list[list[int]] = []

    def run(parts: Sequence[int], handle: RunHandle) -> list[int]:
        calls.append(list(parts))
        handle.check()
        return [10 * part for part in parts]

    batches = Batches(run, 4)
    first, second, gone = (batches.ticket(part) for part in (1, 2, 3))
    gone.withdraw()
    stopped = RunHandle()
    stopped.cancel()
    with pytest.raises(JobCancelled):
        first(stopped)
    first.withdraw()
    assert second(RunHandle()) == 20
    assert second(RunHandle()) == 20, "worked out once"
    assert calls == [[1, 2], [2]]


def test_only_what_was_exported_for_any_number_of_pictures_and_gains_by_it_shares_runs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "fixed.onnx"
    path.write_bytes(yolox_model([]))
    assert not load_detector(path, settings=SETTINGS).batches
    assert not load_detector(embedded_model(DETECTOR), settings=SETTINGS).batches


def test_outputs_that_cannot_be_told_apart_are_an_error() -> None:
    with pytest.raises(ModelError, match=r"got out \(1, 8, 7\), expected 2 pictures"):
        split({"out": np.zeros((1, 8, 7), np.float32)}, 2, "model.onnx")
