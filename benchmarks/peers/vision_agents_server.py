"""vision-agents with a video processor, without its makers' network: a WHIP publisher in the place of a call.

The processor is written like those it ships (`vision_agents.plugins.ultralytics`): a handler on the video
forwarder, the model in a thread. The forwarder is made as its agent makes it: 30 frames of buffer, 30 fps.
"""

# mypy: ignore-errors
# vision-agents is installed in this peer's own environment only.

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vision_agents.core.processors.base_processor import VideoProcessor
from vision_agents.core.utils.video_forwarder import VideoForwarder

from benchmarks.peers import handler
from benchmarks.peers.whip import Front, work

FPS = 30


class Detecting(VideoProcessor):
    """Detects in every frame it is given."""

    name = "detecting"

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front
        self._detect = handler.make(front.options)
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._forwarder: VideoForwarder | None = None

    async def process_video(
        self, track: Any, participant_id: str | None, shared_forwarder: VideoForwarder | None = None
    ) -> None:
        """A track was published."""
        self._forwarder = shared_forwarder or VideoForwarder(track, max_buffer=FPS, fps=FPS)
        self._forwarder.add_frame_handler(self._one, fps=float(FPS), name=self.name)

    async def stop_processing(self) -> None:
        """All tracks are gone."""
        if self._forwarder is not None:
            await self._forwarder.remove_frame_handler(self._one)
        self._executor.shutdown(wait=False)

    async def close(self) -> None:
        """End."""
        await self.stop_processing()

    async def _one(self, frame: Any) -> None:
        began_ns = time.monotonic_ns()
        loop = asyncio.get_running_loop()
        boxes = await loop.run_in_executor(self._executor, work, frame, self._detect)
        await self._front.answer(frame.pts, began_ns, boxes)


async def consume(front: Front, track: Any) -> None:
    """Hand the publisher's track to a processor as the agent does."""
    forwarder = VideoForwarder(track, max_buffer=30, fps=30, name="bench")
    await Detecting(front).process_video(track, "bench", shared_forwarder=forwarder)


if __name__ == "__main__":
    Front(handler.arguments(), consume).serve()
