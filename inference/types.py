"""What flows through `inference`: detections, tracks, matches, plans and results.

Boxes are float32 ``x0 y0 x1 y1`` in 0..1 of the displayed picture everywhere in this module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.types import Frame, MediaTime, StreamId


class Box(NamedTuple):
    """One box, 0..1 of the displayed picture, x1 > x0 and y1 > y0."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Detections:
    """Column-wise detections of one frame.

    Attributes:
        boxes: float32 (n, 4), x0 y0 x1 y1 in 0..1 of the displayed picture, clipped.
        scores: float32 (n,), 0..1, in descending order.
        labels: int32 (n,), index into `names`.
        names: class names of the detector that made them.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.scores.shape[0])

    @staticmethod
    def empty(names: tuple[str, ...] = ()) -> Detections:
        """No detections."""
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), names)


class MatchState(StrEnum):
    """How sure the engine is which product a track shows."""

    EXACT = "exact"
    SIMILAR = "similar"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Match:
    """Which product a track shows.

    Attributes:
        product_id: catalogue id; ``""`` when unsure.
        state: exact, similar or unsure.
        score: pooled cosine similarity, -1..1.
        margin: score ahead of the best other product.
        views: embeddings that voted.
        reason: for people ("seen from 6 views, 0.21 ahead of the next").
        rival: the next product, ``""`` where there is none.
    """

    product_id: str
    state: MatchState
    score: float
    margin: float
    views: int
    reason: str
    rival: str = ""


UNMATCHED = Match("", MatchState.UNSURE, 0.0, 0.0, 0, "not compared yet")


@dataclass(frozen=True, slots=True)
class Track:
    """One object over time, as it is at one instant.

    Attributes:
        id: 1 and up, never reused within a stream, kept across publisher reconnects.
        box: at the queried instant.
        velocity: of the box's x0 y0 x1 y1, per second.
        label: detector class name.
        score: detector confidence of the last measurement, 0..1.
        measured_ns: media time (`Frame.pts_ns`) of the last detection behind it.
        confirmed: seen long enough to be shown.
        match: which product.
    """

    id: int
    box: Box
    velocity: tuple[float, float, float, float]
    label: str
    score: float
    measured_ns: int
    confirmed: bool
    match: Match = UNMATCHED


class Rung(NamedTuple):
    """One step of the model ladder: the detector's input size in pixels, and which of its models.

    Attributes:
        width: pixels.
        height: pixels.
        model: 0 for the detector itself, 1 and up for the further models of its ladder.
    """

    width: int
    height: int
    model: int = 0

    def __str__(self) -> str:
        """As in the configuration: ``416x416``."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Demand:
    """What a stream is worth right now.

    Attributes:
        viewers: watching now.
        pinned: products pinned by the host.
        tapped: products that viewers tapped within the last seconds.
    """

    viewers: int = 0
    pinned: int = 0
    tapped: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with one frame.

    Attributes:
        detect: run the detector; otherwise the tracker coasts.
        rung: input size to detect at; None when coasting.
        deadline_ns: `Clock.now_ns` after which the run is cancelled.
        embed_limit: crops to embed at most.
        reason: why, for the operator (``"detect"``, ``"detect-stale"``, ``"budget-too-short"``,
            ``"device-duty"``, ``"often-enough"``, ``"next-frame-sooner"``, ``"no-viewers"``).
        cover: the run may not end in time: give the frame a predicted overlay before it.
        region: the part of the picture to look at; None for all of it.
    """

    detect: bool
    rung: Rung | None
    deadline_ns: int
    embed_limit: int
    reason: str
    cover: bool = False
    region: Box | None = None


class Outcome(StrEnum):
    """How a frame's detection ended."""

    DETECTED = "detected"
    COASTED = "coasted"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What the engine knows about one frame.

    Attributes:
        stream: whose.
        time: the frame's key.
        pts_ns: the frame's media time.
        arrived_ns: when its last packet arrived.
        outcome: detected here, coasted, cancelled or failed.
        tracks: as they are at this frame; only `outcome` DETECTED measured them.
        stages_ns: duration per stage in nanoseconds: ``receive`` (last packet to decoded picture), ``queue``,
            ``pixels``, ``preprocess``, ``detect``, ``decode``, ``resume`` (until the event loop had the
            detections), ``track``, ``embed``, ``match``.
    """

    stream: StreamId
    time: MediaTime
    pts_ns: int
    arrived_ns: int
    outcome: Outcome
    tracks: tuple[Track, ...]
    stages_ns: dict[str, int] = field(default_factory=dict)


class Letterbox(NamedTuple):
    """How a picture was fitted into a model's input: model = picture * scale + pad, in pixels.

    `width` and `height` are the model's input: the grids of its outputs follow from them.
    """

    scale_x: float
    scale_y: float
    pad_x: float
    pad_y: float
    width: int
    height: int


class Detector(Protocol):
    """A detector family: pure pre- and post-processing around one ONNX model. No state, thread-safe.

    The runtime owns the session; the family owns the arithmetic.
    """

    @property
    def family(self) -> str:
        """Registry name (``"yolox"``)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index."""

    def preprocess(self, frame: Frame, rung: Rung) -> tuple[dict[str, NDArray[np.generic]], Letterbox]:
        """Model inputs by name for `frame` at `rung`, and the letterbox to undo."""

    def decode(
        self, outputs: dict[str, NDArray[np.generic]], letterbox: Letterbox, frame: Frame, min_score: float
    ) -> Detections:
        """Outputs by name to detections in 0..1 of the displayed picture, after NMS where needed.

        Raises:
            inference.errors.ModelError: an output's shape or dtype is not the family's (got, expected).
        """


class Embedder(Protocol):
    """Crops to unit vectors. Used by the worker, catalogue import and region search."""

    @property
    def dim(self) -> int:
        """Length of an embedding."""

    @property
    def model_hash(self) -> str:
        """sha256 of the model file: an index made with another model is refused."""

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops uint8 (n, size, size, 3) RGB to unit float32 (n, dim). Blocking; call off the event loop."""


class ProductIndex(Protocol):
    """Nearest neighbours among product embeddings."""

    def search(self, vectors: NDArray[np.float32], k: int) -> list[list[tuple[str, float]]]:
        """Best `k` products per vector as (product_id, cosine), best first; one entry per product."""

    def __len__(self) -> int: ...
