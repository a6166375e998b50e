"""Any URL PyAV opens, as a source: files, HLS, RTSP, RTMP; SRT through an ffmpeg pipe. Paced in real time."""

from __future__ import annotations

import asyncio
import threading
from urllib.parse import urlsplit

from stream.clock import Clock
from stream.errors import SourceError
from stream.sources.outlet import Outlet
from stream.sources.reader import Reader
from stream.types import StreamId, StreamSink

_LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp")


class FileSource:
    """Reads and decodes in a thread of its own, and delivers on the event loop at the right time.

    H264 without B-frames and VP8 are passed to viewers as they are; everything else is encoded once
    (H264), which `SourceInfo.transcoded` tells and `transcoded` counts. Opus is passed, other audio is
    encoded to Opus.

    The RTP timestamps are the file's times at 90 kHz, beginning at 0 with its first frame and continuing over
    loops: the frame at `t` seconds has `round(t * 90000)`. Those of an HLS playlist do not begin at 0: they
    are the media's own presentation times, which a player of the same playlist tells as `mediaTime` (plus a
    constant of its own), however late it joined.

    Args:
        url: address or path.
        stream: whose media it is.
        clock: the one clock.
        loop: begin again at the end; live addresses have no end and are opened anew.
        epoch: number of this connection.

    Attributes:
        transcoded: video frames encoded here.
    """

    def __init__(
        self, url: str, stream: StreamId, clock: Clock, *, loop: bool = False, epoch: int = 1
    ) -> None:
        self.transcoded = 0
        self._url = url
        self._stream = stream
        self._clock = clock
        self._loop = loop
        self._epoch = epoch
        self._live = urlsplit(url).scheme.lower() in _LIVE_SCHEMES
        self._reader: Reader | None = None

    def request_keyframe(self) -> None:
        """Takes effect where frames are encoded here; a file's own keyframes come when they come."""
        if self._reader is not None:
            self._reader.force_keyframe()

    async def run(self, sink: StreamSink) -> None:
        """Deliver until the end of the file; see `stream.types.VideoSource`."""
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[None] = loop.create_future()
        outlet = Outlet(loop, finished, live=self._live, on_late=lambda: sink.on_dropped("late", 1))
        reader = self._reader = Reader(
            self._url, self._stream, self._epoch, self._clock, sink, outlet, loop=self._loop, live=self._live
        )
        thread = threading.Thread(target=outlet.guard, args=(reader.run,), name="file-source", daemon=True)
        thread.start()
        reason = "bye"
        try:
            await asyncio.shield(finished)
            reason = "end-of-file"
        except SourceError as error:
            reason = f"error: {error.code}"
            raise
        finally:
            self.transcoded = reader.transcoded
            outlet.stop.set()
            finished.cancel()
            self._reader = None
            sink.on_ended(reason)
