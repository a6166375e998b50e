"""When the last packet of each frame arrived, for servers built on aiortc."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, TextIO

from aiortc import rtcrtpreceiver


class Arrivals:
    """Watches every video receiver of this process; writes one trace line per answered frame.

    aiortc's `frame.pts` counts from the first packet's RTP timestamp, so frames are looked up by their pts.
    """

    def __init__(self, trace: Path) -> None:
        self._first: int | None = None
        self._by_pts: dict[int, int] = {}
        self._trace: TextIO = trace.open("w", buffering=1, encoding="utf-8")
        self.seen = 0
        original = rtcrtpreceiver.RTCRtpReceiver._handle_rtp_packet
        arrivals = self

        async def handle(receiver: Any, packet: Any, arrival_time_ms: int) -> None:
            arrivals._packet(packet.timestamp)
            await original(receiver, packet, arrival_time_ms)

        setattr(rtcrtpreceiver.RTCRtpReceiver, "_handle_rtp_packet", handle)  # noqa: B010 - a hook

    def _packet(self, timestamp: int) -> None:
        if self._first is None:
            self._first = timestamp
        pts = (timestamp - self._first) & 0xFFFF_FFFF
        if pts not in self._by_pts:
            self.seen += 1
        self._by_pts[pts] = time.monotonic_ns()

    def answered(self, pts: int, began_ns: int, boxes: list[list[float]] | None = None) -> None:
        """The overlay of the frame `pts` is with the socket now; its handler began at `began_ns`.

        `boxes`: x0 y0 x1 y1 in 0..1, score, index of the class.
        """
        arrived = self._by_pts.get(pts)
        if arrived is not None:
            now = time.monotonic_ns()
            line: dict[str, object] = {"rtp": pts, "arrived_ns": arrived, "began_ns": began_ns}
            line |= {"sent_ns": now, "boxes": boxes or []}
            self._trace.write(json.dumps(line) + "\n")
