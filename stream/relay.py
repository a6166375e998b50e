"""Encoded frames from a publisher to its viewers, never re-encoded: a short queue for each viewer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from stream.history import FrameHistory, RelayedFrame
from stream.packing import Packer
from stream.timeline import OutgoingTimeline
from stream.types import RTP_CLOCK_HZ, EncodedFrame, StreamId

AUDIO_CLOCK_HZ = 48_000
_AUDIO_PACKETS = 64


class RelaySubscription:
    """What one viewer still has to be sent. Event loop only; one consumer per kind.

    The video queue is bounded: when it is full it is emptied and goes on at the next keyframe. Audio is
    bounded too, the oldest packet goes first.

    Attributes:
        begin: the newest keyframe and all that followed until now; empty where that is not known. What is
            queued goes on from there, and without it begins at a keyframe.
        dropped: video frames this viewer was not sent.
        reason: why it was closed, ``""`` while open.
    """

    def __init__(self, relay: Relay, capacity: int, begin: tuple[RelayedFrame, ...]) -> None:
        self.begin = begin
        self.dropped = 0
        self.reason = ""
        self._relay = relay
        self._capacity = capacity
        self._video: deque[RelayedFrame] = deque()
        self._audio: deque[RelayedFrame] = deque(maxlen=max(capacity, 1))
        self._video_ready = asyncio.Event()
        self._audio_ready = asyncio.Event()
        self._wait_key = not begin

    def await_keyframe(self) -> None:
        """Go on at the next keyframe only: what follows cannot be decoded from what was sent."""
        self._wait_key = True

    def offer_video(self, frame: RelayedFrame) -> None:
        """Queue a video frame, or drop it."""
        if len(self._video) >= self._capacity:
            self.dropped += len(self._video)
            self._video.clear()
            self._wait_key = True
            self._relay.request_keyframe()
        if self._wait_key and not frame.keyframe:
            self.dropped += 1
            return
        self._wait_key = False
        self._video.append(frame)
        self._video_ready.set()

    def offer_audio(self, frame: RelayedFrame) -> None:
        """Queue an audio packet; the oldest goes when the queue is full."""
        self._audio.append(frame)
        self._audio_ready.set()

    async def video(self) -> RelayedFrame | None:
        """The next video frame; None once closed."""
        return await self._take(self._video, self._video_ready)

    async def audio(self) -> RelayedFrame | None:
        """The next audio packet; None once closed."""
        return await self._take(self._audio, self._audio_ready)

    def packet(self, kind: str, number: int) -> tuple[RelayedFrame, int] | None:
        """A packet of the stream by its number, as `FrameHistory.packet`."""
        return self._relay.packet(kind, number)

    def count(self, *, resent: int = 0, refused: int = 0, replayed: int = 0) -> None:
        """Count packets that were sent again, or asked for in vain."""
        self._relay.resent += resent
        self._relay.refused += refused
        self._relay.replayed += replayed

    def close(self, reason: str) -> None:
        """No more frames; whoever waits gets None."""
        self.reason = self.reason or reason
        self._video.clear()
        self._audio.clear()
        self._video_ready.set()
        self._audio_ready.set()

    async def _take(self, queue: deque[RelayedFrame], ready: asyncio.Event) -> RelayedFrame | None:
        while True:
            if self.reason:
                return None
            if queue:
                return queue.popleft()
            ready.clear()
            await ready.wait()


class Relay:
    """Fan-out of one stream's encoded frames, across publisher reconnects.

    Viewers see one continuous RTP timeline: `wire = (publisher's rtp + offset(epoch)) mod 2^32`, offset 0
    for the first epoch. A change of codec cannot be followed within a session: all subscriptions are
    closed, and players connect again.

    A viewer that joins is given the newest keyframe and all that followed, with their own timestamps: it has
    a picture at once, even where the publisher cannot be asked for one (a file), and then catches up.

    Args:
        stream: the stream's name.
        viewer_queue: video frames that may wait for one viewer.
        replay: begin with the newest keyframe; without, with the next one.

    Attributes:
        on_keyframe_request: called when a viewer cannot go on without a keyframe; set it to the source's
            `request_keyframe`, which limits the rate.
        codec: video codec of the newest epoch, ``""`` before any.
        dropped: video frames not sent, over all viewers that ever were.
        resent: packets sent again because viewers had lost them, likewise.
        refused: packets that viewers asked for again in vain, likewise.
        replayed: packets sent so that viewers could begin at a keyframe of the past, likewise.
    """

    def __init__(self, stream: StreamId, *, viewer_queue: int = 90, replay: bool = True) -> None:
        self.stream = stream
        self.codec = ""
        self.on_keyframe_request: Callable[[], None] = _nobody
        self._viewer_queue = viewer_queue
        self._epoch = 0
        self._live = False
        self._video = OutgoingTimeline(RTP_CLOCK_HZ)
        self._audio = OutgoingTimeline(AUDIO_CLOCK_HZ)
        self._packer = Packer("")
        self._histories = {
            "video": FrameHistory() if replay else FrameHistory(max_replay=0),
            "audio": FrameHistory(max_packets=_AUDIO_PACKETS, max_replay=0),
        }
        self._subscriptions: dict[RelaySubscription, None] = {}
        self._dropped_before = 0
        self.resent = 0
        self.refused = 0
        self.replayed = 0

    @property
    def live(self) -> bool:
        """A publisher is connected and has sent video."""
        return self._live and self.codec != ""

    @property
    def viewers(self) -> int:
        """Open subscriptions."""
        return len(self._subscriptions)

    @property
    def dropped(self) -> int:
        """Video frames not sent, over all viewers that ever were."""
        return self._dropped_before + sum(s.dropped for s in self._subscriptions)

    def begin_epoch(self, epoch: int) -> None:
        """A new publisher connection; frames of older epochs are ignored from now on. Idempotent."""
        if epoch > self._epoch:
            self._epoch = epoch
            self._live = True
            self._histories["video"].forget_keyframe()
            for subscription in self._subscriptions:
                subscription.await_keyframe()

    def end_epoch(self, epoch: int) -> None:
        """The publisher went away; viewers stay subscribed and go on with the next epoch."""
        if epoch == self._epoch:
            self._live = False

    def offset(self, epoch: int) -> int | None:
        """Ticks to add (mod 2^32) to the video timestamps of `epoch`; None before its first frame."""
        return self._video.offset(epoch)

    def push(self, frame: EncodedFrame) -> None:
        """Send a frame to every viewer. Never waits."""
        epoch = frame.time.epoch
        self.begin_epoch(epoch)
        if epoch != self._epoch:
            return
        if frame.codec == "opus":
            rtp = self._audio.map(epoch, frame.time.rtp, frame.arrived_ns)
            audio = self._histories["audio"].add((frame.data,), rtp, False, frame.arrived_ns)
            for subscription in self._subscriptions:
                subscription.offer_audio(audio)
            return
        if frame.codec != self.codec:
            self._change_codec(frame.codec)
        payloads = self._packer.pack(frame.data)
        if not payloads:
            return
        rtp = self._video.map(epoch, frame.time.rtp, frame.arrived_ns)
        video = self._histories["video"].add(payloads, rtp, frame.keyframe, frame.arrived_ns)
        for subscription in self._subscriptions:
            subscription.offer_video(video)

    def _change_codec(self, codec: str) -> None:
        if self.codec:
            self.close(f"codec changed from {self.codec} to {codec}")
        self.codec = codec
        self._packer = Packer(codec)
        self._histories["video"].forget_keyframe()

    def subscribe(self) -> RelaySubscription:
        """A new viewer. It begins at the newest keyframe; where that is not known, one is asked for."""
        begin = self._histories["video"].since_keyframe()
        subscription = RelaySubscription(self, self._viewer_queue, begin)
        self._subscriptions[subscription] = None
        if not begin:
            self.request_keyframe()
        return subscription

    def packet(self, kind: str, number: int) -> tuple[RelayedFrame, int] | None:
        """Packet `number` of the stream's ``"video"`` or ``"audio"``; None when it is no longer known."""
        return self._histories[kind].packet(number)

    def unsubscribe(self, subscription: RelaySubscription) -> None:
        """The viewer has gone. Idempotent."""
        if self._subscriptions.pop(subscription, self) is None:
            self._dropped_before += subscription.dropped
        subscription.close("unsubscribed")

    def request_keyframe(self) -> None:
        """Forward a viewer's need upstream."""
        self.on_keyframe_request()

    def close(self, reason: str) -> None:
        """End every subscription."""
        for subscription in list(self._subscriptions):
            subscription.close(reason)
            self.unsubscribe(subscription)


def _nobody() -> None:
    """No source is there to be asked."""
