from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Timer

import numpy as np
import pytest

from inference.deadline import Cancelled, JobCancelled, RunHandle
from inference.device import DeviceWorker
from inference.errors import ModelError
from inference.gpu import CPU as CPU_PROVIDER
from inference.gpu import CUDA, ON_CPU, Machine, ways
from inference.ladder import halved
from inference.runtime import (
    OrtModel,
    RunCancelled,
    RunFailed,
    RunOk,
    RuntimeSettings,
    _Open,
    _session,
    _to_half,
    choose_providers,
    machine,
)
from tests.inference.models import colour_embedder, constant_model, slow_model, yolox_model

CPU = RuntimeSettings("cpu", 1)


def test_a_model_tells_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "made.onnx"
    path.write_bytes(yolox_model([]))
    model = OrtModel(path, CPU)
    assert model.provider == "cpu"
    assert [str(tensor) for tensor in model.info.inputs] == ["image [1, 3, 64, 64] float"]
    assert [str(tensor) for tensor in model.info.outputs] == ["output [1, 84, 7] float"]
    assert model.info.names(()) == ("product", "person")
    assert model.info.path == str(path) and len(model.info.sha256) == 64


def test_open_dimensions_are_none() -> None:
    model = OrtModel(colour_embedder(), CPU)
    assert model.info.inputs[0].shape == (None, 3, 16, 16)


def test_a_run_returns_outputs_by_name() -> None:
    model = OrtModel(yolox_model([(32, 32, 16, 16, 0.9, 0)]), CPU)
    outcome = model.run({"image": np.zeros((1, 3, 64, 64), np.float32)})
    assert isinstance(outcome, RunOk)
    assert outcome.outputs["output"].shape == (1, 84, 7) and outcome.took_ns > 0


def test_wrong_input_is_a_failed_run_not_a_crash() -> None:
    outcome = OrtModel(yolox_model([]), CPU).run({"image": np.zeros((1, 3, 8, 8), np.float32)})
    assert isinstance(outcome, RunFailed)
    assert "image" in outcome.message


def test_a_model_can_be_loaded_anew_from_what_it_was_made_of(tmp_path: Path) -> None:
    path = tmp_path / "made.onnx"
    path.write_bytes(yolox_model([(32, 32, 16, 16, 0.9, 0)]))
    asked: list[int] = []

    def remake() -> bytes:
        asked.append(1)
        return path.read_bytes()

    for model in (OrtModel(path, CPU), OrtModel(remake(), CPU, remake=remake), OrtModel(remake(), CPU)):
        model.renew("cpu")
        assert model.provider == "cpu"
        assert isinstance(model.run({"image": np.zeros((1, 3, 64, 64), np.float32)}), RunOk)
    assert len(asked) == 3, "made twice by the test, once to renew"


def test_a_model_that_cannot_be_loaded_anew_goes_on_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "made.onnx"
    path.write_bytes(yolox_model([]))
    model = OrtModel(path, CPU)
    path.write_bytes(b"damaged meanwhile")
    with pytest.raises(ModelError):
        model.renew()
    assert isinstance(model.run({"image": np.zeros((1, 3, 64, 64), np.float32)}), RunOk)


def test_bound_memory_gives_the_same_results_and_they_stay() -> None:
    data = slow_model(2)
    plain, bound = OrtModel(data, CPU), OrtModel(data, CPU)
    bound._open = bound._open._replace(way=replace(bound._open.way, bound=True))
    rng = np.random.default_rng(1)
    pictures = [rng.random((512, 512), np.float32) for _ in range(4)]
    held = [bound.run({"x0": picture}) for picture in pictures]
    for picture, outcome in zip(pictures, held, strict=True):
        wanted = plain.run({"x0": picture})
        assert isinstance(outcome, RunOk) and isinstance(wanted, RunOk)
        for name, array in wanted.outputs.items():
            np.testing.assert_array_equal(outcome.outputs[name], array)
    assert pictures[0][0, 0] != pictures[1][0, 0], "the inputs were not overwritten either"


def test_bound_memory_is_each_threads_own() -> None:
    model = OrtModel(slow_model(2), CPU)
    model._open = model._open._replace(way=replace(model._open.way, bound=True))

    def work(value: float) -> bool:
        feeds = {"x0": np.full((512, 512), value, np.float32)}
        first = model.run(feeds)
        assert isinstance(first, RunOk)
        results = [model.run(feeds) for _ in range(10)]
        return all(
            isinstance(one, RunOk) and np.array_equal(one.outputs["x2"], first.outputs["x2"])
            for one in results
        )

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, (1.0, 2.0))) == [True, True]


def test_a_bound_run_can_be_stopped_too() -> None:
    model = OrtModel(slow_model(), CPU)
    model._open = model._open._replace(way=replace(model._open.way, bound=True))
    feeds = {"x0": np.ones((512, 512), np.float32)}
    whole = model.run(feeds)
    assert isinstance(whole, RunOk)
    handle = RunHandle()
    Timer(whole.took_ns / 5e9, handle.cancel).start()
    assert isinstance(model.run(feeds, handle), RunCancelled)
    assert isinstance(model.run(feeds), RunOk)


@pytest.mark.parametrize(
    "settings", [RuntimeSettings("cuda"), RuntimeSettings("cuda", half=True, graphs=True)]
)
def test_a_gpu_that_does_not_work_after_all_ends_on_the_cpu_in_silence(
    settings: RuntimeSettings, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    if machine().cuda:
        pytest.skip("there is a GPU here")
    pretended = Machine((CUDA, CPU_PROVIDER), 1)
    with caplog.at_level("WARNING"):
        model = OrtModel(yolox_model([]), settings, machine=pretended)
    assert (model.provider, model.way, model.cancellable) == ("cpu", "cpu", True)
    assert len(caplog.records) == len(ways("cuda", settings, pretended)) - 1
    assert model.warm_up() > 0
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err == ""


def test_what_fails_when_warmed_gives_way_to_the_next() -> None:
    model = OrtModel(yolox_model([]), CPU)
    broken = replace(model._open.way, graphs=True, cancellable=False)
    model._open = _Open(Breaking(), broken, (ON_CPU,))  # type: ignore[arg-type]
    before = model.cancellable
    assert model.warm_up() > 0
    assert (before, model.cancellable, model.way) == (False, True, "cpu")


class Breaking:
    """A session that was made and cannot run."""

    def run(self, *_: object) -> None:
        raise RuntimeError("CUDA failure 700")


def test_only_fixed_shapes_are_bound() -> None:
    wishes = RuntimeSettings("cpu", bind=True)
    assert OrtModel(yolox_model([]), wishes)._open.way == ON_CPU
    bound = replace(ON_CPU, bound=True)
    assert _session(yolox_model([]), "fixed", wishes, [bound]).way.bound
    assert not _session(colour_embedder(), "open", wishes, [bound]).way.bound


def test_half_precision_computes_nearly_the_same(tmp_path: Path) -> None:
    rows = [(32.0, 32.0, 16.0, 16.0, 0.9, 0)]
    whole, half = yolox_model(rows), halved(yolox_model(rows), _to_half)
    feeds = {"image": np.full((1, 3, 64, 64), 90, np.float32)}
    results = [OrtModel(data, CPU).run(feeds) for data in (whole, half)]
    first, second = results
    assert isinstance(first, RunOk) and isinstance(second, RunOk)
    assert second.outputs["output"].dtype == np.float32
    np.testing.assert_allclose(
        second.outputs["output"].astype(np.float32), first.outputs["output"].astype(np.float32), atol=0.05
    )
    with pytest.raises(ModelError, match="m: cannot be converted to 16 bit"):
        halved(b"no model", _to_half, "m")


def test_warm_up_reports_the_fastest_run() -> None:
    assert 0 < OrtModel(yolox_model([]), CPU).warm_up() < 1_000_000_000


@pytest.mark.parametrize("content", [b"", b"not an onnx file", yolox_model([])[:200], yolox_model([])[:2000]])
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx: got \d+ bytes that are not a usable ONNX model"):
        OrtModel(path, CPU)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be read .* expected the path of an \.onnx file"):
        OrtModel(tmp_path / "none.onnx", CPU)


def test_an_unknown_provider_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="got 'tpu', expected auto, cpu, cuda or tensorrt"):
        choose_providers("tpu")


def test_the_cpu_is_always_the_last_resort() -> None:
    assert choose_providers("cpu") == ["CPUExecutionProvider"]
    assert choose_providers("auto")[-1] == "CPUExecutionProvider"
    assert OrtModel(yolox_model([]), RuntimeSettings("cuda")).provider in ("cpu", "cuda")


def test_a_model_that_cannot_run_is_refused_at_warm_up() -> None:
    rows = {"output": np.zeros((1, 3), np.float32)}
    strings = OrtModel(constant_model(rows, (1, 3, 4, 4)), CPU)
    info = replace(strings.info, inputs=(replace(strings.info.inputs[0], dtype="tensor(string)"),))
    strings.info = info
    with pytest.raises(ModelError, match=r"expected one of tensor\(float\)"):
        strings.warm_up()
    strings.info = replace(info, inputs=(replace(info.inputs[0], shape=(1, 3, 5, 5), dtype="tensor(float)"),))
    with pytest.raises(ModelError, match="the model does not run"):
        strings.warm_up()


def test_threads_default_to_half_of_the_processors() -> None:
    assert 1 <= RuntimeSettings().intra_threads() <= 4
    assert RuntimeSettings(threads=3).intra_threads() == 3


def test_a_handle_that_is_cancelled_already_prevents_the_run() -> None:
    handle = RunHandle()
    handle.cancel()
    model = OrtModel(yolox_model([]), CPU)
    assert model.run({"image": np.zeros((1, 3, 64, 64), np.float32)}, handle) == RunCancelled(0)


async def test_a_long_run_is_stopped_at_its_deadline_and_the_session_survives() -> None:
    model = OrtModel(slow_model(), CPU)
    feeds = {"x0": np.ones((512, 512), np.float32)}
    whole = model.run(feeds)
    assert isinstance(whole, RunOk)
    device = DeviceWorker("slow", grace_ms=5_000)

    def job(handle: RunHandle) -> RunOk:
        outcome = model.run(feeds, handle)
        if isinstance(outcome, RunCancelled):
            raise JobCancelled
        assert isinstance(outcome, RunOk)
        return outcome

    began_ns = time.monotonic_ns()
    stopped = await device.run(job, began_ns + whole.took_ns // 5)
    took_ns = time.monotonic_ns() - began_ns
    assert isinstance(stopped, Cancelled) and not stopped.stuck
    assert took_ns < whole.took_ns * 0.8, "the run went on after its deadline"
    again = await device.run(job, time.monotonic_ns() + 60_000_000_000)
    assert isinstance(again, RunOk)
    np.testing.assert_array_equal(again.outputs["x40"], feeds["x0"])
    await device.close()


async def test_the_loop_keeps_ticking_while_a_model_runs() -> None:
    model = OrtModel(slow_model(20), CPU)
    device = DeviceWorker("tick")
    running = device.submit(
        lambda handle: model.run({"x0": np.ones((512, 512), np.float32)}, handle),
        time.monotonic_ns() + 60_000_000_000,
    )
    ticks = 0
    while not running.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks >= 5
    await device.close()
