"""All streams of this process: who publishes, who plays, one runtime each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from inference.worker import StreamWorker
from stream.clock import Clock
from stream.errors import EngineError
from stream.relay import Relay
from stream.republish import Republisher
from stream.settings import RtcSettings
from stream.timeline import Timeline
from stream.types import EncodedFrame, Frame, SourceInfo, StreamId, VideoSource
from stream.webrtc import Ingest, Playback
from vitrine.errors import TooManyStreams, UnknownStream
from vitrine.figures import VideoStatus
from vitrine.metrics import StreamMetrics
from vitrine.moments import StreamMemory
from vitrine.pipeline import Pipeline
from vitrine.show import Show

log = logging.getLogger(__name__)


@dataclass(slots=True)
class StreamRuntime:
    """Everything one stream owns. Lives on when its publisher leaves, so that tracks and products stay.

    Attributes:
        epoch: number of the newest publisher connection, 0 before the first; it may not have delivered yet.
        republisher: sends the stream on to an SFU; None where that is not configured.
        active: epoch that delivers now; frames of any other are ignored.
        ingests: WHIP connections by session id; more than one only while one takes over from another.
        playbacks: WHEP viewers by session id.
        timeline: the stream's media time, which goes on across publisher connections.
        memory: its last minutes, for searches; None where nothing is kept.
        worker: what recognises in it; the host teaches it.
        tasks: its loops.
    """

    stream: StreamId
    pipeline: Pipeline
    relay: Relay
    show: Show
    metrics: StreamMetrics
    republisher: Republisher | None = None
    epoch: int = 0
    active: int = 0
    ingests: dict[str, Ingest] = field(default_factory=dict)
    playbacks: dict[str, Playback] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    memory: StreamMemory | None = None
    worker: StreamWorker | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


def video_status(runtime: StreamRuntime) -> VideoStatus:
    """How a stream's video gets on."""
    relay, sent_on = runtime.relay, runtime.republisher
    return VideoStatus(
        stream=runtime.stream,
        viewers=relay.viewers,
        dropped=relay.dropped,
        resent=relay.resent,
        refused=relay.refused,
        replayed=relay.replayed,
        republish=sent_on.status() if sent_on is not None else None,
    )


class Hub:
    """The streams by name. Event loop only.

    Args:
        build: makes the runtime of a new stream.
        rtc: settings of every WebRTC connection.
        clock: the engine's clock.
        tasks: group that the loops of the streams run in.
        max_streams: further ones are refused with 503.
        refusal: why one more stream would break the promise to those that run; empty while there is room.
    """

    def __init__(
        self,
        build: Callable[[StreamId], StreamRuntime],
        rtc: RtcSettings,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        max_streams: int = 16,
        refusal: Callable[[], str] = str,
    ) -> None:
        self._build = build
        self._rtc = rtc
        self._clock = clock
        self._tasks = tasks
        self._max = max_streams
        self._refusal = refusal
        self._streams: dict[StreamId, StreamRuntime] = {}
        self._closing = False

    def __iter__(self) -> Iterator[StreamRuntime]:
        return iter(list(self._streams.values()))

    def get(self, stream: StreamId) -> StreamRuntime:
        """The runtime of `stream`.

        Raises:
            UnknownStream: nothing was ever published under that name.
        """
        try:
            return self._streams[stream]
        except KeyError:
            known = ", ".join(self._streams) or "none yet"
            raise UnknownStream(f"no stream {stream!r}; known: {known}") from None

    def find(self, stream: StreamId) -> StreamRuntime | None:
        """The runtime of `stream`, if there is one."""
        return self._streams.get(stream)

    def open(self, stream: StreamId) -> StreamRuntime:
        """The runtime of `stream`, made if need be.

        Raises:
            TooManyStreams: the limit of this process is reached.
        """
        found = self._streams.get(stream)
        if found is not None:
            return found
        if self._closing:
            raise TooManyStreams("the server is shutting down; try again in a moment")
        if len(self._streams) >= self._max:
            raise TooManyStreams(
                f"{len(self._streams)} streams are open, expected at most {self._max}; "
                "use the name of an open one, or raise server.max_streams"
            )
        runtime = self._build(stream)
        self._streams[stream] = runtime
        loops = [("pipeline", runtime.pipeline.run()), ("show", runtime.show.run())]
        if runtime.republisher is not None:
            loops.append(("republish", runtime.republisher.run()))
        for name, loop in loops:
            runtime.tasks.append(self._tasks.create_task(loop, name=f"{name} {stream}"))
        return runtime

    async def publish(self, stream: StreamId, offer: str, *, force: bool = False) -> Ingest:
        """Accept a WHIP offer.

        A new stream is refused when the device has no room for it; one that was there may always come back.

        A publisher with the right key takes over from the one before, which is let go at the first frame of
        the new one: a connection that never delivers takes nothing away.

        Raises:
            SdpError: the offer cannot be answered.
            PortsExhausted: no UDP port left.
            TooManyStreams: the limit of this process is reached, or, without `force`, that of its device.
        """
        known = self._streams.get(stream)
        if not force and (known is None or not known.epoch) and (reason := self._refusal()):
            log.warning("publisher refused", extra={"stream": stream, "reason": reason})
            raise TooManyStreams(f"{reason}; try again when a stream has ended, or insist with ?force=1")
        runtime = self.open(stream)
        runtime.epoch += 1
        sink = _ConnectionSink(runtime, runtime.epoch, self._replace_others)
        ingest = await Ingest.accept(
            offer=offer, stream=stream, epoch=runtime.epoch, sink=sink, clock=self._clock, settings=self._rtc
        )
        sink.request_keyframe = ingest.request_keyframe
        runtime.ingests[ingest.id] = ingest
        sink.id = ingest.id
        self._tasks.create_task(self._forget_ingest(runtime, ingest), name=f"ingest {stream}")
        return ingest

    async def play(self, stream: StreamId, offer: str) -> Playback:
        """Accept a WHEP offer.

        Raises:
            UnknownStream: nothing was ever published under that name.
            SdpError: the offer cannot be answered, or nobody publishes now (409).
            PortsExhausted: no UDP port left.
        """
        runtime = self.get(stream)
        playback = await Playback.accept(
            offer=offer, relay=runtime.relay, settings=self._rtc, clock=self._clock
        )
        runtime.playbacks[playback.id] = playback
        self._tasks.create_task(self._forget_playback(runtime, playback), name=f"playback {stream}")
        return playback

    async def pull(self, stream: StreamId, make: Callable[[int], VideoSource]) -> None:
        """Run a pulled source into `stream` until it ends, or the stream does. `make` gets the epoch to use.

        Raises:
            SourceError: it cannot be opened or breaks off.
        """
        runtime = self.open(stream)
        runtime.epoch += 1
        source = make(runtime.epoch)
        sink = _ConnectionSink(runtime, runtime.epoch, self._replace_others)
        sink.request_keyframe = source.request_keyframe
        running = asyncio.ensure_future(source.run(sink))
        runtime.tasks.append(running)
        try:
            await running
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if this is not None and this.cancelling():
                raise
        finally:
            running.cancel()
            runtime.tasks.remove(running)

    async def close(self) -> None:
        """Say good-bye to publishers and viewers and end the loops."""
        self._closing = True
        for runtime in self:
            await self.end(runtime.stream, "bye")

    async def end(self, stream: StreamId, reason: str, *, flush_s: float = 0.0) -> None:
        """Let a stream's publisher and viewers go, end its loops and forget it.

        Args:
            stream: which; an unknown one is none.
            reason: told to whoever is connected.
            flush_s: how long its last events may take to be stored.
        """
        runtime = self._streams.pop(stream, None)
        if runtime is None:
            return
        for ingest in list(runtime.ingests.values()):
            await ingest.close(reason)
        for playback in list(runtime.playbacks.values()):
            await playback.close(reason)
        runtime.pipeline.close()
        if flush_s:
            with contextlib.suppress(TimeoutError, EngineError):
                async with asyncio.timeout(flush_s):
                    await runtime.show.flush()
        for task in runtime.tasks:
            task.cancel()

    def _replace_others(self, runtime: StreamRuntime, keep: str) -> None:
        for key, ingest in runtime.ingests.items():
            if key != keep:
                self._tasks.create_task(ingest.close("replaced"), name=f"replace {runtime.stream}")

    async def _forget_ingest(self, runtime: StreamRuntime, ingest: Ingest) -> None:
        await ingest.wait_closed()
        runtime.ingests.pop(ingest.id, None)

    async def _forget_playback(self, runtime: StreamRuntime, playback: Playback) -> None:
        await playback.wait_closed()
        runtime.playbacks.pop(playback.id, None)


class _ConnectionSink:
    """A connection's way into its stream: takes over with its first frame, silent once taken over from.

    Attributes:
        id: session id of the connection, ``""`` for a pulled source.
        request_keyframe: how to ask this connection for a keyframe.
    """

    def __init__(
        self, runtime: StreamRuntime, epoch: int, replace_others: Callable[[StreamRuntime, str], None]
    ) -> None:
        self.id = ""
        self.request_keyframe: Callable[[], None] = _nobody
        self._runtime, self._epoch, self._replace_others = runtime, epoch, replace_others

    def _current(self) -> bool:
        runtime = self._runtime
        if self._epoch > runtime.active:
            runtime.active = self._epoch
            runtime.relay.on_keyframe_request = self.request_keyframe
            runtime.relay.begin_epoch(self._epoch)
            self._replace_others(runtime, self.id)
        return runtime.active == self._epoch

    def on_started(self, epoch: int, info: SourceInfo) -> None:
        if self._current():
            self._runtime.pipeline.on_started(epoch, info)

    def on_frame(self, frame: Frame) -> None:
        if self._current():
            pts_ns = self._runtime.timeline.map(frame.time.epoch, frame.time.rtp, frame.arrived_ns)
            self._runtime.pipeline.on_frame(replace(frame, pts_ns=pts_ns))

    def on_encoded(self, frame: EncodedFrame) -> None:
        if self._current():
            self._runtime.pipeline.on_encoded(frame)

    def wants_pictures(self) -> bool:
        return self._runtime.pipeline.wants_pictures()

    def next_epoch(self, epoch: int) -> int:
        if self._runtime.active == epoch == self._epoch:
            self._runtime.epoch += 1
            self._epoch = self._runtime.epoch
        return self._epoch

    def on_dropped(self, reason: str, count: int = 1) -> None:
        self._runtime.pipeline.on_dropped(reason, count)

    def on_ended(self, reason: str) -> None:
        self._runtime.relay.end_epoch(self._epoch)
        if self._runtime.active == self._epoch:
            self._runtime.pipeline.on_ended(reason)


def _nobody() -> None:
    """No connection is there to be asked yet."""
