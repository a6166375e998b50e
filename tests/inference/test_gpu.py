from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from inference.errors import ModelError
from inference.gpu import CPU, CUDA, ON_CPU, TENSORRT, Libraries, Machine, Way, look, tensorrt_options, ways
from inference.runtime import RuntimeSettings

ALL = (TENSORRT, CUDA, CPU)
FULL = Machine(ALL, 1, (), True)


class Fake(Libraries):
    """A machine with some devices and libraries."""

    def __init__(self, devices: int, there: tuple[str, ...]) -> None:
        super().__init__()
        self.count = devices
        self.loads = there
        self.asked: list[str] = []

    def devices(self) -> int:
        return self.count

    def there(self, name: str) -> bool:
        self.asked.append(name)
        return name in self.loads


CUDA_ONLY = ("libcudart.so", "libcublasLt.so", "libcublas.so", "libcudnn.so")


def names(found: list[Way]) -> list[str]:
    return [str(way) for way in found]


@pytest.mark.parametrize(
    ("settings", "machine", "expected"),
    [
        (RuntimeSettings("auto"), Machine((CPU,)), ["cpu"]),
        (RuntimeSettings("auto"), Machine(ALL), ["cpu"]),
        (RuntimeSettings("auto"), Machine(ALL, 1, ("libcudnn.so",)), ["cpu"]),
        (RuntimeSettings("cpu", half=True, graphs=True), FULL, ["cpu"]),
        (RuntimeSettings("auto"), FULL, ["cuda", "cpu"]),
        (RuntimeSettings("cuda", bind=True), FULL, ["cuda with bound memory", "cpu"]),
        (RuntimeSettings("cuda", half=True), FULL, ["cuda with 16 bit", "cuda", "cpu"]),
        (
            RuntimeSettings("auto", half=True, graphs=True),
            FULL,
            ["cuda with 16 bit and CUDA graphs", "cuda with 16 bit", "cuda", "cpu"],
        ),
        (RuntimeSettings("tensorrt"), FULL, ["tensorrt", "cuda", "cpu"]),
        (RuntimeSettings("tensorrt"), Machine(ALL, 1), ["cuda", "cpu"]),
        (
            RuntimeSettings("tensorrt", half=True),
            FULL,
            ["tensorrt with 16 bit", "cuda with 16 bit", "cuda", "cpu"],
        ),
    ],
)
def test_ways_best_first_and_the_cpu_last(
    settings: RuntimeSettings, machine: Machine, expected: list[str]
) -> None:
    found = ways(settings.provider, settings, machine)
    assert names(found) == expected
    assert found[-1] == ON_CPU
    assert all(way.providers[-1][0] == CPU for way in found)


def test_only_what_runs_in_one_piece_cannot_be_cancelled() -> None:
    settings = RuntimeSettings("tensorrt", graphs=True)
    told = {str(way): way.cancellable for way in ways("tensorrt", settings, FULL)}
    assert told == {"tensorrt": False, "cuda with CUDA graphs": False, "cuda": True, "cpu": True}


def test_graphs_run_over_bound_memory_and_are_switched_on() -> None:
    first = ways("cuda", RuntimeSettings(graphs=True), FULL)[0]
    assert first.bound and first.graphs
    assert first.providers[0][1]["enable_cuda_graph"] == "1"
    assert "enable_cuda_graph" not in ways("cuda", RuntimeSettings(), FULL)[0].providers[0][1]


def test_tensorrt_keeps_engines_and_timings_where_it_may() -> None:
    kept = tensorrt_options(RuntimeSettings(half=True, graphs=True, engines="engines"))
    assert kept == {
        "device_id": "0",
        "trt_fp16_enable": "1",
        "trt_cuda_graph_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "engines",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": "engines",
    }
    assert tensorrt_options(RuntimeSettings()) == {"device_id": "0", "trt_fp16_enable": "0"}


def test_an_unknown_provider_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="got 'tpu', expected auto, cpu, cuda or tensorrt"):
        ways("tpu", RuntimeSettings(), FULL)


def test_without_a_device_nothing_is_loaded() -> None:
    libraries, loaded = Fake(0, CUDA_ONLY), []
    found = look(ALL, lambda: loaded.append(1), libraries)
    assert found == Machine(ALL) and not found.cuda
    assert not loaded and not libraries.asked
    assert look((CPU,), lambda: loaded.append(1), Fake(1, CUDA_ONLY)) == Machine((CPU,))
    assert not loaded


def test_with_a_device_the_wheels_are_loaded_first_and_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    libraries, order = Fake(2, CUDA_ONLY), []

    def preload() -> None:
        order.append(list(libraries.asked))
        print("Failed to load something")
        raise RuntimeError("no such folder")

    found = look(ALL, preload, libraries)
    assert found == Machine(ALL, 2) and found.cuda and not found.tensorrt
    assert order == [[]], "before any library was asked for"
    assert capfd.readouterr().out == ""


def test_a_missing_library_is_named_with_its_remedy() -> None:
    found = look(ALL, lambda: None, Fake(1, CUDA_ONLY[:3]))
    assert found.missing == ("libcudnn.so",) and not found.cuda
    assert "libcudnn.so" in found.why_not("cuda") and "gpu extra" in found.why_not("cuda")


@pytest.mark.parametrize(
    ("machine", "wanted", "words"),
    [
        (Machine((CPU,)), "cuda", "no CUDA provider"),
        (Machine(ALL), "tensorrt", "no CUDA device"),
        (Machine((CUDA, CPU), 1), "tensorrt", "no TensorRT provider"),
        (Machine(ALL, 1), "tensorrt", r"libnvinfer\.so cannot be loaded"),
        (FULL, "tensorrt", "^$"),
        (Machine(ALL, 1), "cuda", "^$"),
        (Machine((CPU,)), "auto", "^$"),
        (Machine((CPU,)), "cpu", "^$"),
    ],
)
def test_why_a_provider_is_not_to_be_had(machine: Machine, wanted: str, words: str) -> None:
    import re

    assert re.search(words, machine.why_not(wanted))


def test_libraries_are_tried_by_version_and_by_name() -> None:
    libraries = Libraries({"libm.so": ("6",)})
    assert libraries.there("libm.so")
    assert not libraries.there("libthere-is-no-such-thing.so")
    assert libraries.devices() >= 0


def test_the_look_prints_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    look(ALL, lambda: None)
    with pytest.raises(OSError):
        ctypes.CDLL(str(tmp_path / "libcudart.so.13"))
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err == ""
