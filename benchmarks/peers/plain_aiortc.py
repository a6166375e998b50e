"""The plain loop: aiortc as its documentation shows it, detector in a thread, boxes to a websocket."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiortc.mediastreams import MediaStreamError

from benchmarks.peers import handler
from benchmarks.peers.whip import Front, work


async def consume(front: Front, track: Any) -> None:
    """Frame after frame, as the track hands them out."""
    detect = handler.make(front.options)
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        began_ns = time.monotonic_ns()
        await front.answer(frame.pts, began_ns, await asyncio.to_thread(work, frame, detect))


if __name__ == "__main__":
    Front(handler.arguments(), consume).serve()
