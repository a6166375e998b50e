"""One thread that decodes one stream, behind a short queue that can never grow old."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

from stream.clock import Clock
from stream.doze import Doze
from stream.pixels import AvPixels, StreamReformatter

log = logging.getLogger(__name__)

_AV_DECODERS = {"H264": "h264", "VP8": "vp8"}


def low_delay_decoder(codec: str) -> VideoCodecContext:
    """A decoder that returns each frame at once and exports motion vectors where the codec has them.

    Args:
        codec: ``"H264"`` or ``"VP8"``.
    """
    context = cast(VideoCodecContext, av.CodecContext.create(_AV_DECODERS[codec], "r"))
    context.thread_type = "SLICE"  # frame threading would hold frames back
    context.thread_count = 1
    context.flags |= Flags.low_delay
    if codec == "H264":
        context.options = {"flags2": "+export_mvs"}
    return context


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture and what came with its packet.

    Attributes:
        rtp: timestamp of its packets.
        arrived_ns: arrival of its last packet.
        decoded_ns: `Clock.now_ns` in the decoder thread.
        pixels: the picture.
        keyframe: it was intra-coded.
    """

    rtp: int
    arrived_ns: int
    decoded_ns: int
    pixels: AvPixels
    keyframe: bool


@dataclass(frozen=True, slots=True)
class _Job:
    codec: str
    data: bytes
    rtp: int
    arrived_ns: int
    keyframe: bool
    first: tuple[_Job, ...] = ()


class DecoderThread:
    """Decodes access units in order; the event loop hands them in and gets the pictures back.

    The queue holds at most `capacity` access units. When it is full, everything in it is dropped and
    decoding goes on at the next keyframe: age stays bounded, whatever the machine does. While nobody wants
    pictures, little more than keyframes is decoded (`stream.doze`).

    Args:
        clock: stamps `decoded_ns`.
        on_decoded: called on the loop with each picture.
        on_dropped: called on the loop with a reason and a count (``"decoder-full"``, ``"undecodable"``,
            ``"unwatched"``).
        on_need_keyframe: called on the loop when decoding cannot go on without one, or is spared by one.
        capacity: access units waiting at most.
    """

    def __init__(
        self,
        clock: Clock,
        on_decoded: Callable[[Decoded], None],
        on_dropped: Callable[[str, int], None],
        on_need_keyframe: Callable[[], None],
        *,
        capacity: int = 8,
    ) -> None:
        self._clock = clock
        self._on_decoded = on_decoded
        self._on_dropped = on_dropped
        self._on_need_keyframe = on_need_keyframe
        self._capacity = capacity
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._wait_key = True
        self._doze: Doze[_Job] = Doze()
        self._unfinished = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._reformatter = StreamReformatter()
        self._thread = threading.Thread(target=self._run, name="video-decoder", daemon=True)
        self._thread.start()

    def put(
        self, codec: str, data: bytes, rtp: int, arrived_ns: int, keyframe: bool, *, wanted: bool = True
    ) -> None:
        """Queue one access unit. Event loop only; never waits.

        Args:
            codec: ``"H264"`` or ``"VP8"``.
            data: all of it.
            rtp: timestamp of its packets.
            arrived_ns: arrival of its last packet.
            keyframe: decoding may begin here.
            wanted: its picture is of use to somebody; otherwise it may stay undecoded.
        """
        if self._wait_key and not keyframe:
            self._on_dropped("undecodable", 1)
            return
        self._wait_key = False
        job = _Job(codec, data, rtp, arrived_ns, keyframe)
        step = self._doze.step(job, keyframe=keyframe, wanted=wanted, now_ns=arrived_ns)
        if step.skipped:
            self._on_dropped("unwatched", step.skipped)
        if step.now:
            self._queue(replace(job, first=step.first))
        elif step.ask:
            self._on_need_keyframe()

    def _queue(self, job: _Job) -> None:
        self._unfinished += 1
        self._idle.clear()
        with self._wake:
            overfull = len(self._jobs) >= self._capacity
            dropped = len(self._jobs) if overfull else 0
            if overfull:
                self._jobs.clear()
            if not overfull or job.keyframe:
                self._jobs.append(job)
            else:
                dropped += 1
            self._wake.notify()
        if overfull:
            self._settle(dropped)
            self._on_dropped("decoder-full", dropped)
            if not job.keyframe:
                self.reset()

    def reset(self) -> None:
        """Decode nothing more until a keyframe (packets were lost), and ask for one."""
        self._wait_key = True
        if lost := self._doze.forget():
            self._on_dropped("undecodable", lost)
        self._on_need_keyframe()

    async def drain(self, seconds: float) -> None:
        """Wait until everything queued has been decoded and delivered, `seconds` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    def close(self) -> None:
        """Stop; nothing is delivered afterwards. Does not wait for the thread."""
        with self._wake:
            self._closed = True
            self._jobs.clear()
            self._wake.notify()

    def _run(self) -> None:
        codec: str | None = None
        context: VideoCodecContext | None = None
        pending: dict[int, _Job] = {}
        number = 0
        while (job := self._next()) is not None:
            if context is None or job.codec != codec:
                codec, context = job.codec, low_delay_decoder(job.codec)
                pending.clear()
            for unit in job.first:  # nobody's pictures: they count as unwatched already
                number += 1
                self._decode(context, unit, number, self.reset)
            number += 1
            pending[number] = job
            for frame in self._decode(context, job, number, self._undecodable):
                self._deliver(frame, pending)
            self._post(self._finished)
            for old in [key for key in pending if key < number - 32]:
                del pending[old]

    def _decode(
        self, context: VideoCodecContext, job: _Job, number: int, failed: Callable[[], None]
    ) -> list[av.VideoFrame]:
        packet = av.Packet(job.data)
        packet.pts = number
        try:
            return context.decode(packet)
        except av.FFmpegError:
            log.debug("access unit not decodable", extra={"codec": job.codec, "bytes": len(job.data)})
            self._post(failed)
            return []

    def _deliver(self, frame: av.VideoFrame, pending: dict[int, _Job]) -> None:
        job = pending.pop(frame.pts, None) if frame.pts is not None else None
        if job is None:
            return
        if frame.is_corrupt:
            self._post(self._undecodable)
            return
        pixels = AvPixels(frame, self._reformatter)
        decoded = Decoded(job.rtp, job.arrived_ns, self._clock.now_ns(), pixels, job.keyframe)
        self._post(lambda: self._on_decoded(decoded))

    def _finished(self) -> None:
        self._settle(1)

    def _settle(self, count: int) -> None:
        self._unfinished -= count
        if self._unfinished <= 0:
            self._idle.set()

    def _undecodable(self) -> None:
        self._on_dropped("undecodable", 1)
        self.reset()

    def _next(self) -> _Job | None:
        with self._wake:
            while not self._jobs and not self._closed:
                self._wake.wait()
            return None if self._closed else self._jobs.popleft()

    def _post(self, call: Callable[[], None]) -> None:
        if self._closed:
            return
        try:
            self._loop.call_soon_threadsafe(self._run_unless_closed, call)
        except RuntimeError:  # the loop was closed under us
            self._closed = True

    def _run_unless_closed(self, call: Callable[[], None]) -> None:
        if not self._closed:
            call()
