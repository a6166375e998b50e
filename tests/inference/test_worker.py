from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.deadline import RunHandle
from inference.detection import DetectorSettings, LoadedDetector, load_detector
from inference.device import DeviceWorker
from inference.embedder import OnnxEmbedder
from inference.enrolment import Enrolment, EnrolmentSettings
from inference.errors import ModelError, RuntimeStuck, UnknownObject
from inference.index import IndexHolder, LoadedIndex
from inference.recovery import Recovery
from inference.runtime import OrtModel, RuntimeSettings
from inference.types import (
    Detections,
    FrameResult,
    Letterbox,
    MatchState,
    Outcome,
    Plan,
    Rung,
)
from inference.worker import StreamWorker
from stream.types import Frame
from tests.inference.models import CLIP, clip, colour_embedder, painted, yolox_model
from tests.shared import shared_path

CPU = DetectorSettings(runtime=RuntimeSettings("cpu", 1))
RUNG = Rung(64, 64)
BOX = (16, 16, 48, 48)
COAST = Plan(False, None, 0, 0, "coast")


def plan(embed: int = 0, ms: float = 10_000.0, rung: Rung = RUNG) -> Plan:
    return Plan(True, rung, time.monotonic_ns() + int(ms * 1e6), embed, "detect")


def picture(number: int) -> Frame:
    """A red square in the middle: what the made detector always sees is really there."""
    return painted(64, 64, BOX, number)


@pytest.fixture
def detector(tmp_path: Path) -> LoadedDetector:
    path = tmp_path / "made.onnx"
    path.write_bytes(yolox_model([(32, 32, 32, 32, 0.9, 0), (8, 8, 8, 8, 0.8, 1)]))
    return load_detector(path, settings=CPU)


@pytest.fixture
async def device() -> AsyncIterator[DeviceWorker]:
    worker = DeviceWorker("test", grace_ms=100)
    yield worker
    await worker.close()


class Scripted:
    """A detector family that does what it is told to, on the device's thread."""

    family = "scripted"
    names = ("product",)

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def preprocess(self, frame: Frame, rung: Rung) -> tuple[dict[str, NDArray[np.generic]], Letterbox]:
        self._act()
        return {"image": np.zeros((1, 3, 64, 64), np.float32)}, Letterbox(1, 1, 0, 0, 64, 64)

    def decode(
        self, outputs: dict[str, NDArray[np.generic]], letterbox: Letterbox, frame: Frame, min_score: float
    ) -> Detections:
        return Detections.empty(self.names)


def scripted(detector: LoadedDetector, act: Callable[[], None]) -> LoadedDetector:
    return replace(detector, detector=Scripted(act))


async def settle(worker: StreamWorker) -> None:
    """Wait until no embedding is under way and its votes are in."""
    while worker.embedding:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)


async def test_a_detected_frame_has_tracks_and_stages(device: DeviceWorker, detector: LoadedDetector) -> None:
    worker = StreamWorker(CLIP, device=device, detector=detector)
    for number in range(6):
        result = await worker.process(picture(number), plan())
    assert result.outcome is Outcome.DETECTED
    assert (result.stream, result.time.rtp, result.pts_ns) == (CLIP, 15_000, 5 * 33_333_333)
    by_label = {track.label: track for track in result.tracks}
    np.testing.assert_allclose(by_label["product"].box, (0.25, 0.25, 0.75, 0.75), atol=0.01)
    assert by_label["product"].confirmed and "person" in by_label
    assert {"queue", "pixels", "preprocess", "detect", "decode", "track", "match"} <= result.stages_ns.keys()
    assert all(took_ns >= 0 for took_ns in result.stages_ns.values())


async def test_coasting_is_immediate_and_keeps_the_tracks(
    device: DeviceWorker, detector: LoadedDetector
) -> None:
    worker = StreamWorker(CLIP, device=device, detector=detector)
    for number in range(4):
        await worker.process(picture(number), plan())
    result = worker.coast(picture(4))
    assert result.outcome is Outcome.COASTED and len(result.tracks) == 2
    assert result.tracks[0].measured_ns == 3 * 33_333_333
    assert (await worker.process(picture(5), COAST)).outcome is Outcome.COASTED


async def test_a_passed_deadline_gives_predicted_tracks_in_time(
    device: DeviceWorker, detector: LoadedDetector
) -> None:
    worker = StreamWorker(CLIP, device=device, detector=detector)
    for number in range(4):
        await worker.process(picture(number), plan())
    late = await worker.process(picture(4), plan(ms=-1))
    assert late.outcome is Outcome.CANCELLED and len(late.tracks) == 2
    assert late.stages_ns.keys() >= {"queue", "match"}
    assert (await worker.process(picture(5), plan())).outcome is Outcome.DETECTED


async def test_a_handler_that_hangs_costs_a_thread_not_the_stream(
    device: DeviceWorker, detector: LoadedDetector
) -> None:
    release = threading.Event()
    hung = StreamWorker(CLIP, device=device, detector=scripted(detector, lambda: (release.wait(), None)[1]))
    outcomes = [(await hung.process(picture(number), plan(ms=20))).outcome for number in range(2)]
    assert outcomes == [Outcome.CANCELLED] * 2
    with pytest.raises(RuntimeStuck):
        await hung.process(picture(2), plan(ms=20))
    release.set()


async def test_a_broken_detector_is_reported_once_a_second(
    device: DeviceWorker, detector: LoadedDetector, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ModelError("the model is broken")

    worker = StreamWorker(CLIP, device=device, detector=scripted(detector, fail))
    outcomes = [(await worker.process(picture(number), plan())).outcome for number in range(10)]
    assert outcomes == [Outcome.FAILED] * 10
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 1


async def test_a_slow_handler_never_delays_by_more_than_its_deadline(
    device: DeviceWorker, detector: LoadedDetector
) -> None:
    def slow() -> None:
        time.sleep(0.02)

    worker = StreamWorker(CLIP, device=device, detector=scripted(detector, slow))
    for number in range(10):
        began = time.monotonic()
        result = await worker.process(picture(number), plan(ms=5))
        assert result.outcome is Outcome.CANCELLED
        assert time.monotonic() - began < 0.2
    assert device.statistics().waiting == 0


class Card:
    """A model on a provider that can be told to be dead."""

    def __init__(self) -> None:
        self.provider, self.renewed = "cuda", 0

    def renew(self, provider: str | None = None) -> None:
        self.provider, self.renewed = provider or self.provider, self.renewed + 1


async def test_a_dead_provider_is_left_for_the_cpu_and_the_show_goes_on(
    device: DeviceWorker, detector: LoadedDetector
) -> None:
    card = Card()

    def run() -> None:
        if card.provider == "cuda":
            raise ModelError("the device is lost")

    recovery = Recovery([card])
    worker = StreamWorker(CLIP, device=device, detector=scripted(detector, run), recovery=recovery)
    outcomes = [(await worker.process(picture(number), plan())).outcome for number in range(6)]
    assert outcomes == [Outcome.FAILED] * 3 + [Outcome.DETECTED] * 3
    assert (card.provider, card.renewed) == ("cpu", 1)
    (words,) = recovery.told
    assert words.startswith("cuda failed (the device is lost); recognition runs on the CPU")


async def test_a_run_that_does_not_come_back_costs_its_session(
    device: DeviceWorker, detector: LoadedDetector
) -> None:
    card, release, runs = Card(), threading.Event(), iter([True])

    def hang_once() -> None:
        if next(runs, False):
            release.wait()

    worker = StreamWorker(
        CLIP, device=device, detector=scripted(detector, hang_once), recovery=Recovery([card])
    )
    assert (await worker.process(picture(0), plan(ms=200))).outcome is Outcome.CANCELLED
    assert (await worker.process(picture(1), plan())).outcome is Outcome.DETECTED
    assert (card.provider, card.renewed) == ("cuda", 1)
    release.set()


# ---- products ----------------------------------------------------------------------------------------------


def red_index(embedder: OnnxEmbedder) -> IndexHolder:
    """Products by colour: the painted square is red."""
    colours = {"red-mug": (230, 20, 20), "blue-mug": (20, 20, 230), "grey-mug": (120, 120, 120)}
    rows = np.stack(
        [embedder.embed(np.full((1, 16, 16, 3), colour, np.uint8))[0] for colour in colours.values()]
    )
    return IndexHolder(LoadedIndex(list(colours), rows))


@pytest.fixture
def embedder() -> OnnxEmbedder:
    spec = {"size": 16, "order": "RGB", "range": "0..255"}
    loose = {"exact": 0.9, "similar": 0.8, "margin": 0.03}
    metadata = {"vitrine.input": json.dumps(spec), "vitrine.calibration": json.dumps(loose)}
    return OnnxEmbedder(OrtModel(colour_embedder(metadata=metadata), CPU.runtime))


async def test_products_are_named_in_later_results(
    device: DeviceWorker, detector: LoadedDetector, embedder: OnnxEmbedder
) -> None:
    worker = StreamWorker(
        CLIP, device=device, detector=detector, embedder=embedder, index=red_index(embedder)
    )
    first = await worker.process(picture(0), plan(embed=2))
    assert all(track.match.views == 0 for track in first.tracks), "embedding must not delay the detection"
    for number in range(1, 40):
        result = await worker.process(picture(number), plan(embed=2))
        await settle(worker)
    matches = {track.label: track.match for track in result.tracks}
    assert (matches["product"].product_id, matches["product"].state) == ("red-mug", MatchState.EXACT)
    assert matches["person"].views == 0, "people are not looked up"


async def test_embedding_reports_its_cost_per_crop_once(
    device: DeviceWorker, detector: LoadedDetector, embedder: OnnxEmbedder
) -> None:
    worker = StreamWorker(
        CLIP, device=device, detector=detector, embedder=embedder, index=red_index(embedder)
    )
    results: list[FrameResult] = []
    for number in range(10):
        results.append(await worker.process(picture(number), plan(embed=1)))
        await settle(worker)
    reports = [r.stages_ns["embed"] for r in results if "embed" in r.stages_ns]
    assert 0 < len(reports) < len(results) and all(took_ns > 0 for took_ns in reports)


async def test_the_shows_list_restricts_what_is_found(
    device: DeviceWorker, detector: LoadedDetector, embedder: OnnxEmbedder
) -> None:
    worker = StreamWorker(
        CLIP, device=device, detector=detector, embedder=embedder, index=red_index(embedder)
    )
    worker.matcher.restrict({"blue-mug"})
    for number in range(40):
        result = await worker.process(picture(number), plan(embed=1))
        await settle(worker)
    assert {track.match.product_id for track in result.tracks} <= {"", "blue-mug"}


@pytest.mark.parametrize(("exact", "now"), [(0.9, 1), (0.99, 2)])
async def test_a_lost_product_is_revived_only_on_the_embedders_own_scale(
    device: DeviceWorker, detector: LoadedDetector, exact: float, now: int
) -> None:
    metadata = {
        "vitrine.input": json.dumps({"size": 16, "order": "RGB", "range": "0..255"}),
        "vitrine.calibration": json.dumps({"exact": exact, "similar": 0.5, "margin": 0.03}),
    }
    embedder = OnnxEmbedder(OrtModel(colour_embedder(metadata=metadata), CPU.runtime))
    tracker = StreamWorker(CLIP, device=device, detector=detector, embedder=embedder).tracker
    looks = np.array([[1, 0], [0.95, np.sqrt(1 - 0.95**2)]], np.float32)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.int32)
    left, right = np.array([[0.1, 0.1, 0.2, 0.2]], np.float32), np.array([[0.7, 0.7, 0.8, 0.8]], np.float32)
    for number in range(60):
        box = left if number < 10 else right
        found = Detections(box, one, zero, ("product",)) if not 10 <= number < 40 else Detections.empty()
        tracker.step(found, None, number * 33_333_333)
        if number == 9:
            tracker.attach_embedding(1, looks[0])
    assert tracker.attach_embedding(2, looks[1]) == now


async def test_without_an_index_looks_still_revive_tracks(
    device: DeviceWorker, detector: LoadedDetector, embedder: OnnxEmbedder
) -> None:
    worker = StreamWorker(CLIP, device=device, detector=detector, embedder=embedder)
    for number in range(10):
        result = await worker.process(picture(number), plan(embed=2))
        await settle(worker)
    product = next(track for track in result.tracks if track.label == "product")
    assert product.match.state is MatchState.UNSURE and product.match.views > 0


async def test_a_failing_embedder_harms_nothing(
    device: DeviceWorker, detector: LoadedDetector, embedder: OnnxEmbedder
) -> None:
    wrong = IndexHolder(LoadedIndex(["a"], np.ones((1, 9), np.float32)))
    worker = StreamWorker(CLIP, device=device, detector=detector, embedder=embedder, index=wrong)
    for number in range(5):
        result = await worker.process(picture(number), plan(embed=2))
        await settle(worker)
    assert result.outcome is Outcome.DETECTED


async def test_a_hosts_word_is_heard_at_once_and_comes_with_views_to_remember_it_by(
    device: DeviceWorker, detector: LoadedDetector, embedder: OnnxEmbedder
) -> None:
    worker = StreamWorker(
        CLIP, device=device, detector=detector, embedder=embedder, index=red_index(embedder)
    )
    with pytest.raises(UnknownObject, match="object 1"):
        worker.teach(1, "red-mug", True)
    for number in range(12):
        result = await worker.process(picture(number), plan(embed=2))
        await settle(worker)
    product = next(track for track in result.tracks if track.label == "product")
    looks = worker.teach(product.id, "red-mug", False)
    assert looks and all(look.vector is not None and look.crop is not None for look in looks)
    assert worker.matcher.match(product.id).product_id != "red-mug"
    worker.teach(product.id, "blue-mug", True)
    assert worker.matcher.match(product.id).product_id == "blue-mug"


async def test_an_enrolment_gets_looks_at_the_product_even_where_none_were_planned(
    device: DeviceWorker, detector: LoadedDetector, embedder: OnnxEmbedder
) -> None:
    worker = StreamWorker(
        CLIP, device=device, detector=detector, embedder=embedder, index=red_index(embedder)
    )
    worker.enrolment = Enrolment("red-mug", EnrolmentSettings(seconds=1.0, min_whole=0.1))
    for number in range(40):
        await worker.process(picture(number), plan(embed=0))
        await settle(worker)
    assert worker.enrolment.done and worker.enrolment.looks > 3
    (only,) = worker.enrolment.taken  # it never changes: one side
    assert only.crop is not None and only.crop[8, 8, 0] > 150


async def test_close_stops_an_embedding(
    device: DeviceWorker, detector: LoadedDetector, embedder: OnnxEmbedder
) -> None:
    worker = StreamWorker(CLIP, device=device, detector=detector, embedder=embedder)
    await worker.process(picture(0), plan(embed=2))
    worker.close()
    await settle(worker)
    assert await device.run(lambda handle: handle.cancelled, plan().deadline_ns) is False


# ---- real models and video ---------------------------------------------------------------------------------


def test_a_detector_without_handle_or_ladder_runs(detector: LoadedDetector) -> None:
    from stream.clock import MonotonicClock

    assert detector.rungs == (RUNG,) and detector.provider == "cpu"
    found = detector.detect(picture(0), RUNG, RunHandle(), MonotonicClock()).detections
    assert len(found) == 2


async def test_bottles_on_a_real_clip_keep_their_tracks(device: DeviceWorker) -> None:
    loaded = load_detector(
        shared_path("models/detect/yolox_nano.onnx"), rungs=[Rung(416, 256), Rung(320, 192)], settings=CPU
    )
    frames = clip(shared_path("clips/dev/intel_bottle.mp4"), tuple(range(0, 90, 3)))
    worker = StreamWorker(CLIP, device=device, detector=loaded)
    seen: dict[int, int] = {}
    for at, frame in enumerate(frames):
        result = await worker.process(frame, plan(ms=60_000, rung=loaded.rungs[at % 2]))
        assert result.outcome is Outcome.DETECTED
        for track in result.tracks:
            if track.confirmed and track.label == "bottle":
                seen[track.id] = seen.get(track.id, 0) + 1
    assert len([count for count in seen.values() if count >= 20]) == 3, "three bottles stand on the table"
    assert len(seen) <= 4
