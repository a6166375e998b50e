"""A line of JSON for every overlay that reached a socket: for benchmarks and bug reports."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import msgspec

from inference.types import FrameResult, Outcome, Track
from overlay.types import HotspotFrame
from stream.types import MediaTime, StreamId

_PENDING = 512


class Trace:
    """Writes the trace. Event loop only.

    A line holds ``stream, epoch, rtp, outcome, hotspots, arrived_ns, published_ns, sent_ns, stages_ns,
    staleness_ns, boxes``. All times are of the engine's monotonic clock; ``staleness_ns`` is the media time
    between this frame and the newest detected one; ``boxes`` are the confirmed tracks as
    ``[x0, y0, x1, y1, score, class]``.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab")
        self._encode = msgspec.json.Encoder().encode
        self._pending: dict[tuple[StreamId, MediaTime], dict[str, object]] = {}
        self._detected: dict[StreamId, int] = {}

    def published(self, result: FrameResult, sent: HotspotFrame, now_ns: int) -> None:
        """A result was handed to the bus."""
        if result.outcome is Outcome.DETECTED:
            self._detected[result.stream] = max(result.pts_ns, self._detected.get(result.stream, 0))
        newest = self._detected.get(result.stream)
        self._pending[result.stream, result.time] = {
            "stream": result.stream,
            "epoch": result.time.epoch,
            "rtp": result.time.rtp,
            "outcome": result.outcome.value,
            "hotspots": len(sent.hotspots),
            "arrived_ns": result.arrived_ns,
            "published_ns": now_ns,
            "stages_ns": result.stages_ns,
            "staleness_ns": None if newest is None else max(0, result.pts_ns - newest),
            "boxes": [_box(track) for track in result.tracks if track.confirmed],
        }
        if len(self._pending) > _PENDING:
            del self._pending[next(iter(self._pending))]

    def sent(self, stream: StreamId, time: MediaTime, now_ns: int) -> None:
        """Positions of a frame were written to the first viewer's socket."""
        line = self._pending.pop((stream, time), None)
        if line is not None:
            self._file.write(self._encode({**line, "sent_ns": now_ns}) + b"\n")

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


def _box(track: Track) -> tuple[float | str, ...]:
    return (*(round(float(value), 4) for value in (*track.box, track.score)), track.label)
