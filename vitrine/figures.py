"""What an operator is shown, as JSON: "Operator figures" of `docs/protocol.md`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

from stream.types import RepublishStatus, SourceInfo


class Percentiles(Struct, frozen=True, omit_defaults=True):
    """Of the last ten seconds; an empty object when there was nothing."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class FrameCounts(Struct, frozen=True, rename={"in_": "in"}):
    """Frames since the start; each that came in ends in exactly one of the others (or is on its way)."""

    in_: int = 0
    detected: int = 0
    propagated: int = 0
    dropped: int = 0
    cancelled: int = 0
    failed: int = 0


class HotspotFigures(Struct, frozen=True):
    """One hotspot that is shown now, with the engine's reason."""

    id: int
    product_id: str
    title: str
    state: str
    score: float
    reason: str


class VideoStatus(Struct, frozen=True, kw_only=True):
    """One stream's video on its way out. Counts since the start, over all viewers that ever were.

    Attributes:
        stream: its name.
        viewers: WHEP connections now, a re-publication included.
        dropped: frames not sent to a viewer that was behind.
        resent: packets sent again because a viewer had lost them.
        refused: packets asked for again that were too old, or asked for too often.
        replayed: packets sent so that viewers could begin at once.
        republish: how sending it on to an SFU gets on; None where that is not configured.
    """

    stream: str
    viewers: int
    dropped: int
    resent: int
    refused: int
    replayed: int
    republish: RepublishStatus | None = None


class StreamStatus(Struct, frozen=True, kw_only=True):
    """What the metrics cannot know themselves; the server fills it in."""

    live: bool = False
    epoch: int = 0
    viewers: int = 0
    source: SourceInfo | None = None
    latency_ms: int = 0
    hotspots: tuple[HotspotFigures, ...] = ()
    video: VideoStatus | None = None


class StreamFigures(Struct, frozen=True, kw_only=True):
    """One stream. Durations in milliseconds."""

    id: str
    live: bool
    epoch: int
    viewers: int
    source: SourceInfo | None
    fps_in: float
    fps_detected: float
    budget_ms: float
    frames: FrameCounts
    drops: dict[str, int]
    budget_misses: int
    stages_ms: dict[str, Percentiles]
    frame_age_ms: Percentiles
    staleness_ms: Percentiles
    overlay_age_ms: Percentiles
    latency_ms: int
    hotspots: tuple[HotspotFigures, ...] = ()
    video: VideoStatus | None = None
    problems: tuple[str, ...] = ()


class EngineFigures(Struct, frozen=True, kw_only=True):
    """The whole process."""

    now_ms: int
    uptime_s: float
    version: str
    model: str
    provider: str
    problems: tuple[str, ...]
    streams: tuple[StreamFigures, ...]


_told = msgspec.json.Decoder(tuple[StreamFigures, ...])


def tell(streams: tuple[StreamFigures, ...]) -> bytes:
    """The streams of a node, for operators at other nodes."""
    return msgspec.json.encode(streams)


def hear(told: Mapping[str, bytes]) -> dict[str, dict[str, StreamFigures]]:
    """What nodes told, by node and stream; that of a version which cannot be read is left out."""
    heard = {}
    for node, figures in told.items():
        with suppress(msgspec.DecodeError):
            heard[node] = {one.id: one for one in _told.decode(figures)}
    return heard


def encode(figures: EngineFigures) -> bytes:
    """JSON of the operator's page."""
    return msgspec.json.encode(figures)
