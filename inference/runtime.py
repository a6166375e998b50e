"""ONNX Runtime: sessions, providers, warm-up, runs that can be stopped. Nothing else imports onnxruntime."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from inference.bound import Array, Binding, BoundRuns, Session, Value
from inference.deadline import Cancelled, JobCancelled, RunHandle
from inference.device import DeviceStatistics, DeviceWorker
from inference.errors import ModelError
from inference.gpu import CPU, SHORT, Machine, Way, look, ways
from inference.ladder import halved
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
        half: 16-bit floating point on a GPU. The CPU computes that in software: there it changes nothing.
        graphs: CUDA graphs, where the model's shapes are fixed: less work per run for the processor, and no
            run can be stopped any more.
        bind: inputs and outputs at fixed addresses of the device, where the model's shapes are fixed.
        engines: folder for TensorRT's engines and timings; empty keeps none, and every start builds them.
    """

    provider: str = "auto"
    threads: int = 0
    half: bool = False
    graphs: bool = False
    bind: bool = False
    engines: str = ""

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


class _Open(NamedTuple):
    """A session, how it was made, and what to try where it does not run."""

    session: ort.InferenceSession
    way: Way
    rest: tuple[Way, ...]


class OrtModel:
    """One ONNX model in one session, ready to run.

    Args:
        source: a file, or the bytes of one.
        settings: provider and threads.
        path: what to call it in messages when `source` is bytes.
        remake: makes those bytes again for `renew`, so that they need not be kept.
        machine: what the machine has; None looks.

    Attributes:
        info: inputs, outputs, metadata, sha256 of the file.

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
        machine: Machine | None = None,
    ) -> None:
        data, name = (source, path or "model") if isinstance(source, bytes) else _read(Path(source))
        self._settings = settings
        self._machine = machine
        self._remake = remake or (
            (lambda: source) if isinstance(source, bytes) else (lambda: _read(Path(source))[0])
        )
        self._open = _session(data, name, settings, _ways(settings, machine))
        self.info = _info(self._open.session, name, hashlib.sha256(data).hexdigest())
        self._outputs = [tensor.name for tensor in self.info.outputs]
        self._local = threading.local()

    @property
    def provider(self) -> str:
        """``"cpu"``, ``"cuda"`` or ``"tensorrt"``: what the session really uses."""
        return SHORT.get(self._open.way.first, self._open.way.first)

    @property
    def way(self) -> str:
        """The same with what goes with it, for people: ``"cuda with 16 bit and CUDA graphs"``."""
        return str(self._open.way)

    @property
    def cancellable(self) -> bool:
        """A run can be stopped at its deadline. Where it cannot, only one that will end in time may begin."""
        return self._open.way.cancellable

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
            arrays = self._execute(self._open, feeds, options)
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
        before = self._open
        self._open = _session(self._remake(), self.info.path, settings, _ways(settings, self._machine))
        try:
            self.warm_up(1)
        except ModelError:
            self._open = before
            raise
        self._settings = settings

    def warm_up(self, runs: int = 3) -> int:
        """Run on zeros, so that the first frame does not pay for first-time work (up to 100 ms).

        Returns:
            The fastest run, ns.

        Raises:
            ModelError: an input's type is unknown here, or the model does not run.
        """
        feeds = {tensor.name: zeros(tensor, self.info.path) for tensor in self.info.inputs}
        best_ns = done = 0
        while done < runs:
            outcome = self.run(feeds)
            if isinstance(outcome, RunFailed):
                if not self._open.rest:
                    raise ModelError(f"the model does not run: {outcome.message}")
                _tell(self._open.way, outcome.message)
                self._open = _session(self._remake(), self.info.path, self._settings, self._open.rest)
                best_ns = done = 0
                continue
            if isinstance(outcome, RunOk):
                best_ns = min(best_ns or outcome.took_ns, outcome.took_ns)
            done += 1
        return best_ns

    def _execute(self, opened: _Open, feeds: Mapping[str, Array], options: ort.RunOptions) -> Sequence[Array]:
        session = opened.session
        if not opened.way.bound:
            return session.run(self._outputs, feeds, options)
        runs = cast("BoundRuns | None", getattr(self._local, "runs", None))
        if runs is None or runs.session is not session:
            device = "cpu" if opened.way.first == CPU else "cuda"
            runs = BoundRuns(cast(Session, session), self._outputs, device, _allocate)
            self._local.runs = runs

        def execute(binding: Binding, graph: int) -> None:
            options.add_run_config_entry("gpu_graph_id", str(graph))
            session.run_with_iobinding(binding, options)

        return runs.run(feeds, execute)


def choose_providers(wanted: str) -> list[str]:
    """Execution providers to ask for, best first, ending with the CPU.

    Raises:
        ModelError: `wanted` is not a known provider.
    """
    return [name for name, _ in ways(wanted, RuntimeSettings(wanted), machine())[0].providers]


@lru_cache(maxsize=1)
def machine() -> Machine:
    """What this machine has, looked for once per process, without letting the look print."""
    return look(ort.get_available_providers(), ort.preload_dlls)


def _ways(settings: RuntimeSettings, given: Machine | None) -> list[Way]:
    found = ways(settings.provider, settings, given or machine())
    if given is None:
        _say(settings.provider, str(found[0]), machine().why_not(settings.provider))
    return found


@lru_cache(maxsize=8)
def _say(wanted: str, chosen: str, why_not: str) -> None:
    """Once per process."""
    log.log(
        logging.WARNING if why_not else logging.INFO,
        "inference provider chosen",
        extra={"wanted": wanted, "provider": chosen, **({"reason": why_not} if why_not else {})},
    )


def _tell(way: Way, message: str) -> None:
    log.warning(
        "model does not run like this, trying the next way", extra={"way": str(way), "error": message}
    )


def _read(path: Path) -> tuple[bytes, str]:
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}); expected the path of an .onnx file"
        ) from error


def _session(data: bytes, name: str, settings: RuntimeSettings, wanted: Sequence[Way]) -> _Open:
    """The first of `wanted` that works.

    Raises:
        ModelError: not even the last does.
    """
    ort.set_default_logger_severity(_ERRORS_ONLY)
    last = len(wanted) - 1
    for index, way in enumerate(wanted):
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = settings.intra_threads()
        options.inter_op_num_threads = 1
        # Spinning threads burn three times the CPU at 20 ms gaps and delay the event loop; measured.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            model = halved(data, _to_half, name) if way.halved else data
            # Its own fallback prints, and says nothing to the caller.
            session = ort.InferenceSession(model, options, way.providers, enable_fallback=0)
        except Exception as error:  # ORT's exceptions share no base class
            if index < last:
                _tell(way, str(error).strip()[-200:])
                continue
            raise ModelError(
                f"{name}: got {len(data)} bytes that are not a usable ONNX model "
                f"({str(error).strip()[-200:]}); expected a complete .onnx file"
            ) from error
        reason = _unusable(session, way)
        if not reason or index == last:
            return _Open(
                session, replace(way, bound=way.bound and _fixed(session)), tuple(wanted[index + 1 :])
            )
        _tell(way, reason)
    raise AssertionError("there is always a last way")


def _unusable(session: ort.InferenceSession, way: Way) -> str:
    """Why a session that was made is not what was asked for; empty where it is."""
    got = session.get_providers()
    if way.first not in got:
        return f"the provider was dropped; the session uses {', '.join(got)}"
    if way.graphs and not _fixed(session):
        return "its shapes are not fixed, which CUDA graphs need"
    return ""


def _fixed(session: ort.InferenceSession) -> bool:
    """All shapes are known before a run."""
    nodes = [*session.get_inputs(), *session.get_outputs()]
    return all(isinstance(size, int) and size > 0 for node in nodes for size in node.shape)


def _to_half(model: object) -> object:
    from onnxruntime.transformers.float16 import convert_float_to_float16  # it loads for a second

    return convert_float_to_float16(model, keep_io_types=True)


def _allocate(like: Array, device: str) -> Value:
    return ort.OrtValue.ortvalue_from_shape_and_type(like.shape, like.dtype, device, 0)


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


def zeros(tensor: TensorInfo, path: str, count: int = 1) -> NDArray[np.generic]:
    """A blank input, for `count` pictures where their number is open."""
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise ModelError(f"{path}: input {tensor}: expected one of {', '.join(_DTYPES)}")
    shape = [size or (1 if at else count) for at, size in enumerate(tensor.shape)]
    return np.zeros(shape, dtype)
