"""Roboflow `inference`: its InferencePipeline with custom logic, fed by WHIP through a source of our own.

The pipeline comes in a distribution of its own, `streamvision`; `inference.core.interfaces.stream` and
`.camera` of `inference` 1.8.3 are other names of it. So neither a key nor torch is needed. All its defaults
for live streams hold: a buffer of 64 that drops its oldest, frames dropped on the way in when the source
seems slower than it announces (30 a second), the newest taken when the handler is free.
"""

# mypy: ignore-errors
# streamvision is installed in this peer's own environment only.

from __future__ import annotations

import asyncio
import queue
import time
from typing import Any

from aiortc.mediastreams import MediaStreamError
from streamvision.camera.entities import SourceProperties, StatusUpdate, VideoFrame, VideoFrameProducer
from streamvision.camera.video_source import FRAME_DROPPED_EVENT
from streamvision.stream.pipeline import InferencePipeline

from benchmarks.peers import handler
from benchmarks.peers.whip import Front, shrunk

FPS = 30
"""What the source announces."""


class Whip(VideoFrameProducer):
    """The publisher's frames. The pipeline numbers them from 1 in the order they are grabbed.

    Attributes:
        incoming: decoded frames; None ends.
        pts: of every frame that was grabbed.
    """

    def __init__(self) -> None:
        self.incoming: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.pts: list[int] = []
        self._frame: Any = None
        self._open = True

    def grab(self) -> bool:
        """Wait for the next frame."""
        self._frame = self.incoming.get()
        self._open = self._frame is not None
        if self._open:
            self.pts.append(self._frame.pts)
        return self._open

    def retrieve(self) -> tuple[bool, Any]:
        """The grabbed frame, in the colours and of the size that the handler wants."""
        return True, shrunk(self._frame)

    def release(self) -> None:
        """Nothing is held."""

    def isOpened(self) -> bool:  # noqa: N802 - their name
        """The publisher is there."""
        return self._open

    def discover_source_properties(self) -> SourceProperties:
        """A live stream."""
        return SourceProperties(1280, 720, -1, False, float(FPS), is_reconnectable=False)


class Pipeline:
    """One pipeline, from a track to the boxes."""

    def __init__(self, front: Front) -> None:
        self.source = Whip()
        self._front = front
        self._loop = asyncio.get_running_loop()
        self._detect = handler.make(front.options)
        self._dropped = 0
        front.dropped = lambda: self._dropped
        self._pipeline = InferencePipeline.init_with_custom_logic(
            video_reference=lambda: self.source,
            on_video_frame=self._infer,
            on_prediction=self._answer,
            status_update_handlers=[self._told],
        )
        self._pipeline.start(use_main_thread=False)

    def _infer(self, frames: list[VideoFrame]) -> list[dict[str, Any]]:
        began_ns = time.monotonic_ns()
        return [{"boxes": self._detect(frame.image), "began_ns": began_ns} for frame in frames]

    def _answer(self, prediction: dict[str, Any], frame: VideoFrame) -> None:
        pts = self.source.pts[frame.frame_id - 1]
        done = self._front.answer(pts, prediction["began_ns"], prediction["boxes"])
        asyncio.run_coroutine_threadsafe(done, self._loop)

    def _told(self, update: StatusUpdate) -> None:
        self._dropped += update.event_type == FRAME_DROPPED_EVENT


async def consume(front: Front, track: Any) -> None:
    """Every frame as soon as it is decoded; what becomes of it is the pipeline's business."""
    source = Pipeline(front).source
    while True:
        try:
            source.incoming.put(await track.recv())
        except MediaStreamError:
            source.incoming.put(None)
            return


if __name__ == "__main__":
    Front(handler.arguments(), consume).serve()
