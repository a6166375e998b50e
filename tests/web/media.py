"""WebRTC of the stand-in server: plays the show to viewers with known timestamps, swallows hosts."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import aiortc.rtcrtpsender
import av
from aiortc import RTCPeerConnection, RTCSessionDescription, VideoStreamTrack

from tests.web.show import Show

ORIGIN = 0x12345678
"""Where the senders' RTP timestamps start, so that the viewers' clock is known."""
BASE = 2**32 - 900_000
"""The pretended publisher's clock at frame 0: wraps ten seconds into the show."""
OFFSET = (ORIGIN - BASE) % 2**32
FRAME_TICKS = 3000


def fix_origin() -> None:
    """Makes the senders' first RTP timestamp known; SSRCs stay random."""

    def known() -> int:
        return ORIGIN if sys._getframe(1).f_code.co_name == "_run_rtp" else random.getrandbits(32)

    vars(aiortc.rtcrtpsender)["random32"] = known


class Track(VideoStreamTrack):
    """One viewer's copy of the show; a slow viewer misses frames."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: deque[av.VideoFrame] = deque(maxlen=3)
        self.ready = asyncio.Event()

    def give(self, frame: av.VideoFrame) -> None:
        """Called for every frame."""
        self.frames.append(frame)
        self.ready.set()

    async def recv(self) -> av.VideoFrame:
        """The next frame, when there is one."""
        while not self.frames:
            self.ready.clear()
            await self.ready.wait()
        return self.frames.popleft()


class Media:
    """All connections. ``due`` is told the number of every frame and says whether it goes out."""

    def __init__(self, show: Show, due: Callable[[int], bool]) -> None:
        self.show = show
        self.due = due
        self.peers: dict[str, RTCPeerConnection] = {}
        self.tracks: set[Track] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def play(self) -> None:
        """Frames to all viewers, in step with the clock."""
        frames = self.show.frames()
        began = time.monotonic()
        for number in range(1 << 30):
            frame = await asyncio.to_thread(next, frames)
            await asyncio.sleep(max(0.0, began + number / 30 - time.monotonic()))
            if not self.due(number):
                continue
            picture = frame.to_ndarray()
            for track in self.tracks:  # encoders change the frames they see: one for each
                copy = av.VideoFrame.from_ndarray(picture, "yuv420p")
                copy.pts, copy.time_base = number * FRAME_TICKS, Fraction(1, 90_000)
                track.give(copy)

    async def play_to(self, offer: str) -> tuple[str, str]:
        """A viewer: session and answer."""
        peer = RTCPeerConnection()
        track = Track()
        self.tracks.add(track)
        peer.addTrack(track)

        @peer.on("connectionstatechange")
        def forget() -> None:
            if peer.connectionState in ("closed", "failed"):
                self.tracks.discard(track)

        return await self._answer(peer, offer)

    async def take_from(self, offer: str) -> tuple[str, str]:
        """A host: session and answer."""
        peer = RTCPeerConnection()

        @peer.on("track")
        def drain(track: Any) -> None:
            async def swallow() -> None:
                while track.readyState == "live":
                    try:
                        await track.recv()
                    except Exception:
                        return

            task = asyncio.create_task(swallow())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

        return await self._answer(peer, offer)

    async def _answer(self, peer: RTCPeerConnection, offer: str) -> tuple[str, str]:
        session = str(id(peer))
        self.peers[session] = peer
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return session, peer.localDescription.sdp

    async def close(self, session: str) -> None:
        """One connection, if it is there."""
        peer = self.peers.pop(session, None)
        if peer is not None:
            await peer.close()

    async def close_all(self) -> None:
        """All of them."""
        for session in list(self.peers):
            await self.close(session)
