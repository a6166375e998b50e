"""ONNX Runtime: sessions, providers, warm-up, runs that can be stopped. Nothing else imports onnxruntime."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from inference.deadline import Cancelled, JobCancelled, RunHandle
from inference.device import DeviceStatistics, DeviceWorker
from inference.errors import ModelError
from inference.model import ModelInfo, TensorInfo

__all__ = [
    "Cancelled",
    "DeviceStatistics",
    "DeviceWorker",
    "OrtModel",
    "RunCancelled",
    "RunFailed",
    "RunHandle",
    "RunOk",
    "RunOutcome",
    "RuntimeSettings",
    "choose_providers",
]

log = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
_ERRORS_ONLY = 4
"""Log severity: 3 prints every error to the terminal in red; ours are raised and logged instead."""

_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How sessions are made.

    Attributes:
        provider: ``"auto"`` (the best that works), ``"cpu"``, ``"cuda"`` or ``"tensorrt"``.
        threads: threads within one run; 0 chooses a half of the processors, at most 4. More threads lower the
            median and raise the tail.
    """

    provider: str = "auto"
    threads: int = 0

    def intra_threads(self) -> int:
        """Threads within one run, resolved."""
        return self.threads or max(1, min(4, (os.cpu_count() or 2) // 2))


@dataclass(frozen=True, slots=True)
class RunOk:
    """A run that ended: outputs by name."""

    outputs: dict[str, NDArray[np.generic]]
    took_ns: int


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """A run stopped by its handle, `overshoot_ns` after it was told to."""

    overshoot_ns: int


@dataclass(frozen=True, slots=True)
class RunFailed:
    """A run that raised."""

    message: str


RunOutcome = RunOk | RunCancelled | RunFailed


class OrtModel:
    """One ONNX model in one session, ready to run.

    Args:
        source: a file, or the bytes of one.
        settings: provider and threads.
        path: what to call it in messages when `source` is bytes.
        remake: makes those bytes again for `renew`, so that they need not be kept.

    Attributes:
        info: inputs, outputs, metadata, sha256 of the file.
        provider: ``"cpu"``, ``"cuda"`` or ``"tensorrt"``: what the session really uses.

    Raises:
        ModelError: the file is missing, is no ONNX model, or cannot be run.
    """

    def __init__(
        self,
        source: str | Path | bytes,
        settings: RuntimeSettings = RuntimeSettings(),
        *,
        path: str = "",
        remake: Callable[[], bytes] | None = None,
    ) -> None:
        data, name = (source, path or "model") if isinstance(source, bytes) else _read(Path(source))
        self._settings = settings
        self._remake = remake or (
            (lambda: source) if isinstance(source, bytes) else (lambda: _read(Path(source))[0])
        )
        self._session = _session(data, name, settings)
        self.provider = _short(self._session.get_providers()[0])
        self.info = _info(self._session, name, hashlib.sha256(data).hexdigest())
        self._outputs = [tensor.name for tensor in self.info.outputs]

    def run(self, feeds: Mapping[str, NDArray[np.generic]], handle: RunHandle | None = None) -> RunOutcome:
        """Run once. Blocking, thread-safe; `handle` can stop it from another thread between two nodes.

        Args:
            feeds: inputs by name.
            handle: the deadline; None runs to the end.
        """
        options = ort.RunOptions()
        options.log_severity_level = _ERRORS_ONLY
        stopped_ns = 0

        def stop() -> None:
            nonlocal stopped_ns
            stopped_ns = time.monotonic_ns()
            options.terminate = True

        if handle is not None:
            try:
                handle.stoppable(stop)
            except JobCancelled:
                return RunCancelled(0)
        began_ns = time.monotonic_ns()
        try:
            arrays = self._session.run(self._outputs, feeds, options)
        except Exception as error:  # ORT's exceptions share no base class
            if stopped_ns:
                return RunCancelled(time.monotonic_ns() - stopped_ns)
            return RunFailed(f"{self.info.path}: {str(error).strip()[-300:]}")
        finally:
            if handle is not None:
                handle.stoppable(None)
        took_ns = time.monotonic_ns() - began_ns
        if stopped_ns:
            return RunCancelled(time.monotonic_ns() - stopped_ns)
        return RunOk(dict(zip(self._outputs, arrays, strict=True)), took_ns)

    def renew(self, provider: str | None = None) -> None:
        """Load the model into a new session and warm it; a run in the old one is left to itself. Blocking.

        Args:
            provider: what to run on from now on; None: as before.

        Raises:
            ModelError: it does not load or run; the old session stays.
        """
        settings = replace(self._settings, provider=provider) if provider else self._settings
        session, before = _session(self._remake(), self.info.path, settings), self._session
        self._session = session
        try:
            self.warm_up(1)
        except ModelError:
            self._session = before
            raise
        self._settings, self.provider = settings, _short(session.get_providers()[0])

    def warm_up(self, runs: int = 3) -> int:
        """Run on zeros, so that the first frame does not pay for first-time work (up to 100 ms).

        Returns:
            The fastest run, ns.

        Raises:
            ModelError: an input's type is unknown here, or the model does not run.
        """
        feeds = {tensor.name: _zeros(tensor, self.info.path) for tensor in self.info.inputs}
        best_ns = 0
        for _ in range(runs):
            outcome = self.run(feeds)
            if isinstance(outcome, RunFailed):
                raise ModelError(f"the model does not run: {outcome.message}")
            if isinstance(outcome, RunOk):
                best_ns = min(best_ns or outcome.took_ns, outcome.took_ns)
        return best_ns


def choose_providers(wanted: str) -> list[str]:
    """Execution providers to ask for, best first, ending with the CPU.

    Raises:
        ModelError: `wanted` is not a known provider.
    """
    if wanted not in ("auto", "cpu", "cuda", "tensorrt"):
        raise ModelError(f"provider: got {wanted!r}, expected auto, cpu, cuda or tensorrt")
    return list(_working_providers(wanted))


@lru_cache(maxsize=8)
def _working_providers(wanted: str) -> tuple[str, ...]:
    """Probed once per process and said once in the log, without letting the probe print."""
    found: list[str] = []
    offered = ort.get_available_providers()
    if wanted != "cpu" and CUDA in offered and _cuda_devices():
        ort.preload_dlls()
        if wanted == "tensorrt" and TENSORRT in offered and _loadable("libnvinfer.so.10"):
            found.append(TENSORRT)
        found.append(CUDA)
    found.append(CPU)
    asked_for_more = wanted in ("cuda", "tensorrt") and len(found) == 1
    log.log(
        logging.WARNING if asked_for_more else logging.INFO,
        "inference provider chosen",
        extra={"wanted": wanted, "provider": _short(found[0])},
    )
    return tuple(found)


def _cuda_devices() -> int:
    """CUDA devices the driver shows; 0 without a driver. Prints nothing, unlike asking ONNX Runtime."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        count = ctypes.c_int(0)
        if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return 0
        return count.value
    except (OSError, AttributeError):
        return 0


def _loadable(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _read(path: Path) -> tuple[bytes, str]:
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}); expected the path of an .onnx file"
        ) from error


def _session(data: bytes, name: str, settings: RuntimeSettings) -> ort.InferenceSession:
    ort.set_default_logger_severity(_ERRORS_ONLY)
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = settings.intra_threads()
    options.inter_op_num_threads = 1
    # Spinning threads burn three times the CPU at 20 ms gaps and delay the event loop; measured.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = choose_providers(settings.provider)
    try:
        return ort.InferenceSession(data, options, providers)
    except Exception as error:  # ORT's exceptions share no base class
        if providers[0] != CPU:
            log.warning(
                "model does not run on this provider, using the CPU", extra={"provider": providers[0]}
            )
            return _session(data, name, RuntimeSettings("cpu", settings.threads))
        raise ModelError(
            f"{name}: got {len(data)} bytes that are not a usable ONNX model "
            f"({str(error).strip()[-200:]}); expected a complete .onnx file"
        ) from error


def _short(provider: str) -> str:
    return {CPU: "cpu", CUDA: "cuda", TENSORRT: "tensorrt"}.get(provider, provider)


def _info(session: ort.InferenceSession, path: str, sha256: str) -> ModelInfo:
    return ModelInfo(
        inputs=tuple(_tensor(node) for node in session.get_inputs()),
        outputs=tuple(_tensor(node) for node in session.get_outputs()),
        metadata=dict(session.get_modelmeta().custom_metadata_map),
        path=path,
        sha256=sha256,
    )


def _tensor(node: ort.NodeArg) -> TensorInfo:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape)
    return TensorInfo(node.name, shape, node.type)


def _zeros(tensor: TensorInfo, path: str) -> NDArray[np.generic]:
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise ModelError(f"{path}: input {tensor}: expected one of {', '.join(_DTYPES)}")
    return np.zeros([size or 1 for size in tensor.shape], dtype)
