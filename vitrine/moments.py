"""Moments of the last minutes as pictures: decoded off the loop, one at a time, the newest few kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from overlay.catalog.pictures import encode_jpeg
from overlay.samples import Absent
from stream.clock import Clock
from stream.pixels import AvPixels
from stream.stills import decode_last
from stream.types import EncodedFrame, MediaTime, StreamId
from vitrine.errors import NoMoment
from vitrine.line import Line
from vitrine.recorder import Recorder, RecorderSettings, Stretch
from vitrine.settings import SearchConfig
from vitrine.sightings import Sightings

MOST_WAITING: Final = 16
"""Moments that may wait for the decoder."""
KEPT_BYTES: Final = 24 << 20
"""Decoded pictures kept for the next question about them: some 17 of 720p."""

_WHY = {
    Absent.UNKNOWN_EPOCH: ("moment-unknown", 404, "no such publisher connection is recorded", ""),
    Absent.TOO_OLD: (
        "moment-too-old",
        410,
        "that moment is no longer recorded",
        "; the last {kept:.0f} s are",
    ),
    Absent.TOO_NEW: ("moment-too-new", 409, "that moment has not arrived yet", "; ask again"),
}


@dataclass(frozen=True, slots=True)
class StreamMemory:
    """The last minutes of one stream: what was published, and what was made of it."""

    recorder: Recorder
    sightings: Sightings

    def recording(
        self, push: Callable[[EncodedFrame], None], request_keyframe: Callable[[], None]
    ) -> Callable[[EncodedFrame], None]:
        """`push`, with every frame also recorded."""

        def both(frame: EncodedFrame) -> None:
            push(frame)
            if self.recorder.add(frame):
                request_keyframe()

        return both


def stream_memory(config: SearchConfig) -> StreamMemory | None:
    """An empty memory as configured; None where nothing is to be kept."""
    if not config.enabled:
        return None
    settings = RecorderSettings(
        keep_ns=config.keep_ms * 1_000_000,
        max_bytes=config.memory_mb << 20,
        keyframe_ns=config.keyframe_ms * 1_000_000,
    )
    return StreamMemory(Recorder(settings), Sightings(settings.keep_ns))


@dataclass(frozen=True, slots=True)
class Moment:
    """One decoded moment.

    Attributes:
        stream: whose.
        time: exact key of the frame.
        pixels: the picture; safe to read from several threads.
        age_ns: how long ago its last packet arrived, when it was asked for.
    """

    stream: StreamId
    time: MediaTime
    pixels: AvPixels
    age_ns: int


class Moments:
    """Decodes moments. Event loop only; `close` when done.

    Args:
        clock: the engine's clock.

    Attributes:
        decoded: moments decoded since the start.
        reused: moments that were still there.
    """

    def __init__(self, clock: Clock) -> None:
        self.decoded = 0
        self.reused = 0
        self._clock = clock
        self._line = Line("moments", MOST_WAITING)
        self._kept: OrderedDict[tuple[StreamId, MediaTime], AvPixels] = OrderedDict()
        self._running: dict[tuple[StreamId, MediaTime], asyncio.Future[AvPixels]] = {}

    @property
    def kept_bytes(self) -> int:
        """Decoded pictures held now, yuv420p."""
        return sum(pixels.width * pixels.height * 3 // 2 for pixels in self._kept.values())

    async def get(self, stream: StreamId, recorder: Recorder, time: MediaTime) -> Moment:
        """The picture that was on screen at `time`.

        Raises:
            NoMoment: it is not recorded (any more, yet).
            Busy: too many moments wait.
            SourceError: it cannot be decoded.
        """
        now_ns = self._clock.now_ns()
        recorder.prune(now_ns)
        stretch = recorder.stretch(time)
        if isinstance(stretch, Absent):
            code, status, words, fix = _WHY[stretch]
            kept = recorder.statistics().span_ns / 1e9
            raise NoMoment(
                f"moment: got epoch {time.epoch}, rtp {time.rtp}: {words}{fix.format(kept=kept)}",
                code=code,
                http_status=status,
            )
        key = stream, stretch.time
        pixels = self._kept.get(key)
        if pixels is None:
            pixels = await self._decode(key, stretch)
        else:
            self.reused += 1
            self._kept.move_to_end(key)
        return Moment(stream, stretch.time, pixels, now_ns - stretch.arrived_ns)

    async def jpeg(self, moment: Moment, widest: int) -> bytes:
        """The picture of a moment, at most `widest` pixels wide.

        Raises:
            Busy: too many moments wait.
        """
        width = min(widest, moment.pixels.width)
        height = max(1, round(moment.pixels.height * width / moment.pixels.width))
        return await self._line.submit(lambda: encode_jpeg(moment.pixels.scaled(width, height, "rgb")))

    def close(self) -> None:
        """Decode nothing more."""
        self._line.close()

    async def _decode(self, key: tuple[StreamId, MediaTime], stretch: Stretch) -> AvPixels:
        """Once for all who ask for the same."""
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = self._line.submit(
                lambda: decode_last(stretch.codec, stretch.units)
            )
            running.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(running)

    def _finished(self, key: tuple[StreamId, MediaTime], done: asyncio.Future[AvPixels]) -> None:
        self._running.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return
        self.decoded += 1
        self._kept[key] = done.result()
        while self.kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            self._kept.popitem(last=False)
