"""Ways to run a model on a GPU: what is there, what to ask for, what to try next. Knows no ONNX Runtime.

The driver is asked itself, because ONNX Runtime lists providers that cannot work and prints in red when one
of them is asked for. CUDA's libraries come from NVIDIA's wheels (the ``gpu`` extra) or from the system.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from inference.errors import ModelError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
SHORT = {CPU: "cpu", CUDA: "cuda", TENSORRT: "tensorrt"}
WANTED = ("auto", "cpu", "cuda", "tensorrt")

CUDA_LIBRARIES = ("libcudart.so", "libcublasLt.so", "libcublas.so", "libcudnn.so")
"""What the CUDA provider cannot do without."""
TENSORRT_LIBRARY = "libnvinfer.so"

Options = dict[str, str]
Asked = tuple[tuple[str, Options], ...]


class Wishes(Protocol):
    """What of `inference.runtime.RuntimeSettings` decides how a GPU is used."""

    @property
    def half(self) -> bool:
        """16-bit floating point."""

    @property
    def graphs(self) -> bool:
        """CUDA graphs."""

    @property
    def bind(self) -> bool:
        """Inputs and outputs in fixed memory of the device."""

    @property
    def engines(self) -> str:
        """Folder for TensorRT's engines and timings; empty keeps none."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make a session.

    Attributes:
        providers: to ask for, best first, ending with the CPU; each with its options.
        bound: inputs and outputs stay at fixed addresses of the device.
        graphs: the run is recorded once and replayed as one piece.
        halved: the model is to be converted to 16-bit floating point first.
        cancellable: a run can be stopped between two of its nodes. Where the whole model is one piece it can
            not: there only a run that is nearly sure to end in time may begin.
    """

    providers: Asked
    bound: bool = False
    graphs: bool = False
    halved: bool = False
    cancellable: bool = True

    @property
    def first(self) -> str:
        """The provider that matters."""
        return self.providers[0][0]

    def __str__(self) -> str:
        extras = [
            word
            for word, on in (
                ("16 bit", self.halved or self.providers[0][1].get("trt_fp16_enable") == "1"),
                ("CUDA graphs", self.graphs),
                ("bound memory", self.bound and not self.graphs),
            )
            if on
        ]
        return " with ".join([SHORT.get(self.first, self.first), *([" and ".join(extras)] if extras else [])])


ON_CPU = Way(((CPU, {}),))


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine has, found out without a printed word.

    Attributes:
        offered: providers that this build of ONNX Runtime knows.
        devices: CUDA devices that the driver shows.
        missing: CUDA libraries that cannot be loaded.
        tensorrt: TensorRT's library can be loaded.
    """

    offered: tuple[str, ...]
    devices: int = 0
    missing: tuple[str, ...] = ()
    tensorrt: bool = False

    @property
    def cuda(self) -> bool:
        """CUDA can be expected to work."""
        return CUDA in self.offered and self.devices > 0 and not self.missing

    def why_not(self, wanted: str) -> str:
        """Why `wanted` ("cuda", "tensorrt") is not to be had, and how to change that; empty where it is."""
        if wanted not in ("cuda", "tensorrt"):
            return ""
        if CUDA not in self.offered:
            return "this build of ONNX Runtime has no CUDA provider; install onnxruntime-gpu"
        if not self.devices:
            return "no CUDA device: the driver (libcuda) is missing or shows none"
        if self.missing:
            return (
                f"CUDA libraries that cannot be loaded: {', '.join(self.missing)}; "
                "install the gpu extra (pip install 'vitrine[gpu]') or CUDA and cuDNN"
            )
        if wanted == "tensorrt" and TENSORRT not in self.offered:
            return "this build of ONNX Runtime has no TensorRT provider"
        if wanted == "tensorrt" and not self.tensorrt:
            return f"{TENSORRT_LIBRARY} cannot be loaded; install TensorRT (pip install tensorrt)"
        return ""


def ways(wanted: str, wishes: Wishes, machine: Machine) -> list[Way]:
    """Ways to make a session, best first; the last is the CPU, which always works.

    TensorRT is taken only where it is asked for: building its engines takes minutes.

    Raises:
        ModelError: `wanted` is not a known provider.
    """
    if wanted not in WANTED:
        raise ModelError(f"provider: got {wanted!r}, expected {', '.join(WANTED[:-1])} or {WANTED[-1]}")
    found: list[Way] = []
    if wanted != "cpu" and machine.cuda:
        if wanted == "tensorrt" and not machine.why_not("tensorrt"):
            engine = (TENSORRT, tensorrt_options(wishes))
            behind: Asked = ((CUDA, cuda_options(graphs=False)), (CPU, {}))
            found.append(Way((engine, *behind), bound=wishes.bind, cancellable=False))
        plain: Asked = ((CUDA, cuda_options(graphs=False)), (CPU, {}))
        if wishes.graphs:
            # All of the model has to run on the device: with the CPU behind it, a session that puts a part
            # there fails when it is made, and the next way is taken.
            recorded: Asked = ((CUDA, cuda_options(graphs=True)), (CPU, {}))
            found.append(Way(recorded, bound=True, graphs=True, halved=wishes.half, cancellable=False))
        if wishes.half:
            found.append(Way(plain, bound=wishes.bind, halved=True))
        found.append(Way(plain, bound=wishes.bind))
    return [*found, ON_CPU]


def cuda_options(*, graphs: bool) -> Options:
    """For the CUDA provider. One stream a session; memory grows by what is needed, not by doubling."""
    options = {
        "device_id": "0",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",  # an exhaustive search takes seconds a rung
        "do_copy_in_default_stream": "1",
    }
    return {**options, "enable_cuda_graph": "1"} if graphs else options


def tensorrt_options(wishes: Wishes) -> Options:
    """For the TensorRT provider. Engines and timings are kept, or every start builds them for minutes."""
    options = {"device_id": "0", "trt_fp16_enable": "1" if wishes.half else "0"}
    if wishes.graphs:
        options["trt_cuda_graph_enable"] = "1"
    if wishes.engines:
        options |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": wishes.engines,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": wishes.engines,
        }
    return options


def look(offered: Sequence[str], preload: Callable[[], None], libraries: Libraries | None = None) -> Machine:
    """What this machine has. Prints nothing; loads CUDA's libraries where there is a device.

    Args:
        offered: providers that ONNX Runtime lists.
        preload: loads the libraries of NVIDIA's wheels into the process; what it prints is swallowed, because
            what matters is which libraries can be loaded afterwards.
        libraries: how libraries are loaded; tests give another.
    """
    load = libraries or Libraries()
    if CUDA not in offered:
        return Machine(tuple(offered))
    devices = load.devices()
    if not devices:
        return Machine(tuple(offered))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        preload()
    missing = tuple(name for name in CUDA_LIBRARIES if not load.there(name))
    tensorrt = TENSORRT in offered and not missing and load.there(TENSORRT_LIBRARY)
    return Machine(tuple(offered), devices, missing, tensorrt)


@dataclass(slots=True)
class Libraries:
    """Shared libraries of this process.

    Attributes:
        versions: of each library, as in its file name, best first; the file name alone is tried last.
    """

    versions: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "libcudart.so": ("13", "12"),
            "libcublasLt.so": ("13", "12"),
            "libcublas.so": ("13", "12"),
            "libcudnn.so": ("9",),
            TENSORRT_LIBRARY: ("10", "11"),
        }
    )

    def devices(self) -> int:
        """CUDA devices that the driver shows; 0 without a driver."""
        try:
            driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
            count = ctypes.c_int(0)
            if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
                return 0
            return count.value
        except (OSError, AttributeError):
            return 0

    def there(self, name: str) -> bool:
        """`name` is loaded, or can be: from where the system looks, or from TensorRT's wheel."""
        if os.name == "nt":
            return True  # other names there; ONNX Runtime's own check has to do
        return any(self._loads(file) for file in self._files(name))

    def _files(self, name: str) -> list[str]:
        files = [f"{name}.{version}" for version in self.versions.get(name, ())] + [name]
        return files + [str(path) for path in _wheel_files(name, files)]

    def _loads(self, file: str) -> bool:
        try:
            ctypes.CDLL(file, mode=getattr(ctypes, "RTLD_GLOBAL", 0))
        except OSError:
            return False
        return True


def _wheel_files(name: str, files: Sequence[str]) -> list[Path]:
    """Files of TensorRT's wheels, which nothing else would find."""
    if name != TENSORRT_LIBRARY:
        return []
    found: list[Path] = []
    for package in ("tensorrt-cu13-libs", "tensorrt-cu12-libs", "tensorrt-libs"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            listed = importlib.metadata.files(package) or []
            found += [Path(str(entry.locate())) for entry in listed if entry.name in files]
    return found
