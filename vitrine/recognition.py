"""The models and the product index of one process, loaded once and shared by its streams."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from inference.budget import BudgetPlanner, BudgetSettings, device_share
from inference.classes import ClassRules
from inference.detection import DetectorSettings, LoadedDetector, load_detector
from inference.device import DeviceWorker
from inference.embedded import DETECTOR, EMBEDDER, embedded_model
from inference.embedder import OnnxEmbedder
from inference.errors import ProductIndexError
from inference.index import IndexHolder, LoadedIndex, build_index, load_index
from inference.mixed import joined
from inference.recovery import Recovery
from inference.runtime import OrtModel, RuntimeSettings
from inference.sharing import DeviceShare
from inference.worker import StreamWorker
from overlay.catalog.store import CatalogStore
from overlay.types import ShowList
from stream.clock import Clock
from stream.types import StreamId
from vitrine.settings import InferenceConfig
from vitrine.shared_index import shared_index
from vitrine.teaching import remembered

log = logging.getLogger(__name__)

INDEX_DIR = "index"


@dataclass(frozen=True, slots=True)
class Recognition:
    """Everything that turns frames into products.

    Attributes:
        detector: the model ladder.
        embedder: crops to vectors.
        index: the catalogue's vectors.
        device: the thread that all models run on.
        share: which stream may use how much of the device, and what runs cost there.
        recovery: what is done when a model stops working.
        config: as configured.
    """

    detector: LoadedDetector
    embedder: OnnxEmbedder
    index: IndexHolder
    device: DeviceWorker
    share: DeviceShare
    recovery: Recovery
    config: InferenceConfig

    @property
    def model_name(self) -> str:
        """The detector's file name, for operators."""
        return Path(self.detector.info.path).stem

    def planner(self) -> BudgetPlanner:
        """A stream's budget planner; it shares the device with the others."""
        return BudgetPlanner(budget_settings(self.config, self.detector), self.share)

    def worker(self, stream: StreamId, clock: Clock) -> StreamWorker:
        """A stream's worker."""
        return StreamWorker(
            stream,
            device=self.device,
            detector=self.detector,
            embedder=self.embedder,
            index=self.index,
            recovery=self.recovery,
            clock=clock,
        )

    def expect(self, worker: StreamWorker, shown: ShowList) -> None:
        """Tell a worker what its show has and what is pinned.

        A list that is the whole catalogue is no restriction: a search among all is cheaper than one within.
        """
        worker.matcher.pin(shown.pinned)
        worker.matcher.restrict(None if len(shown.pids) >= len(self.index) else shown.pids)


def runtime_settings(config: InferenceConfig) -> RuntimeSettings:
    """How the configuration wants its sessions made."""
    return RuntimeSettings(
        provider=config.provider,
        threads=config.threads,
        half=config.half,
        graphs=config.cuda_graphs,
        engines="" if config.engines is None else str(config.engines),
    )


def detector_settings(config: InferenceConfig) -> DetectorSettings:
    """How the configuration wants its detector run."""
    return DetectorSettings(
        min_score=config.min_score,
        runtime=runtime_settings(config),
        family=config.family,
        names=config.names,
        classes=ClassRules(config.products, config.persons, config.ignore),
    )


def plain_settings(config: InferenceConfig) -> DetectorSettings:
    """The same for the further models of a ladder: family and names are said of the first only."""
    return replace(detector_settings(config), family="", names=())


def budget_settings(config: InferenceConfig, detector: LoadedDetector) -> BudgetSettings:
    """The budget as configured.

    A run can be stopped between two nodes on the CPU. With CUDA graphs or TensorRT the whole graph is one
    node: there only a run that is nearly sure to end in time is begun.
    """
    quantile = 0.9 if detector.cancellable else 0.99
    return BudgetSettings(
        budget_ms=config.budget_ms,
        rungs=detector.rungs,
        quantile=quantile,
        regions=config.regions,
        enough_hz=config.enough_hz,
    )


def load_ladder(config: InferenceConfig) -> LoadedDetector:
    """The configured detector and the further models of its ladder. Blocking.

    Raises:
        ModelError: one is missing, unreadable or of no known family, or they have no class in common.
    """
    first = load_detector(
        config.detector or embedded_model(DETECTOR),
        rungs=config.ladder() or None,
        settings=detector_settings(config),
    )
    plain = plain_settings(config)
    others = config.others().items()
    return joined(
        first, tuple(load_detector(path, rungs=own or None, settings=plain) for path, own in others)
    )


def load_recognition(config: InferenceConfig, clock: Clock) -> Recognition:
    """Load and warm the models. Blocking: a second or two.

    Raises:
        ModelError: a model is missing, unreadable or of no known family.
    """
    runtime = runtime_settings(config)
    looks = OrtModel(config.embedder or embedded_model(EMBEDDER), runtime)
    embedder = OnnxEmbedder(looks)
    detector = load_ladder(config)
    log.info(
        "models ready",
        extra={
            "detector": detector.info.path,
            "rungs": [detector.words(rung) for rung in detector.rungs],
            "provider": detector.provider,
        },
    )
    share = device_share(budget_settings(config, detector))
    for rung, took_ns in detector.costs_ns.items():
        share.costs.warmed(rung, took_ns, clock.now_ns())
    device = DeviceWorker("device", clock=clock)
    recovery = Recovery([*detector.sessions, looks], share.costs.forget)
    return Recognition(detector, embedder, IndexHolder(), device, share, recovery, config)


def refresh_index(
    store: CatalogStore,
    data_dir: Path,
    embedder: OnnxEmbedder,
    holder: IndexHolder,
    report: Callable[[int, int], None] | None = None,
    server: str = "",
) -> int:
    """Put the catalogue's vectors into service, and what hosts taught; returns how many products can be
    recognised. Blocking.

    The index on disk is used when it was built from exactly these vectors, and is built anew otherwise, with
    `report` told of (rows done, rows in all) from this thread. What left the catalogue is not found any more
    from the first moment on, however long that takes.

    Args:
        store: the catalogue.
        data_dir: where the index lies.
        embedder: whose vectors it takes.
        holder: gets the index.
        report: told of progress.
        server: address of an index that several nodes share (`vitrine.settings.CatalogConfig.index`); the one
            on disk is not used then.

    Raises:
        ProductIndexError: it cannot be written, or the server does not answer.
    """
    folder, seal = data_dir / INDEX_DIR, data_dir / f"{INDEX_DIR}.sha256"
    holder.taught = remembered(data_dir, store, embedder)
    items = list(store.vectors(embedder.model_hash))
    _forget_gone(holder, store.ids())
    content = hashlib.sha256()
    for product_id, vector in items:
        content.update(product_id.encode() + b"\0" + vector.tobytes())
    if server:
        shared_index(server, embedder, holder).refresh(items, content.hexdigest(), report)
        return len(holder)
    if not items:
        holder.swap(None)
        return len(holder)
    try:
        if not seal.exists() or seal.read_text() != content.hexdigest():
            raise ProductIndexError("older than the catalogue")
        index = load_index(folder, embedder.model_hash)
    except ProductIndexError as error:
        log.info("building the product index", extra={"reason": str(error)})
        seal.unlink(missing_ok=True)
        index = build_index(folder, items, embedder.dim, embedder.model_hash, report)
        seal.write_text(content.hexdigest())
    holder.swap(index)
    return len(holder)


def _forget_gone(holder: IndexHolder, kept: frozenset[str]) -> None:
    """Find nothing but products of the catalogue, `kept`, from now on."""
    held = holder.current
    if isinstance(held, LoadedIndex) and (gone := held.product_ids - kept):
        holder.remove(gone)
