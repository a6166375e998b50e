"""All viewers of one stream on this node: one subscription, one replica, one encoded message for all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Protocol

from overlay.binary import MAX_SAMPLES, encode_positions
from overlay.bus.base import Bus, BusItem, EventItem, PositionsItem, SnapshotItem
from overlay.edge import GatewaySettings
from overlay.errors import BusError, MessageError
from overlay.messages import Positions, Resume, Sample, encode
from overlay.outbox import Outbox, PositionsFrame, binary_frame, text_frame
from overlay.replica import Applied, OverlayReplica
from overlay.samples import TICKS_PER_MS, ticks_between
from stream.clock import Clock
from stream.types import MediaTime, StreamId

log = logging.getLogger(__name__)

_RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_PAST_MS = 200
_HEAD_START_MS = 40
"""A frame and the way to the viewer: a prediction goes out so much sooner than its detection is missed."""


class Member(Protocol):
    """One viewer, as the room sees it."""

    @property
    def outbox(self) -> Outbox:
        """What waits for it."""

    @property
    def compact(self) -> bool:
        """It takes positions in the binary encoding."""

    @property
    def predictions(self) -> bool:
        """It draws predictions."""

    def show(self, frame: PositionsFrame, now_ns: int) -> bool:
        """Take the newest positions. True: they were written; else they wait and `sent` is told."""

    def flush(self, now_ns: int) -> None:
        """Write what can be written."""

    def sync(self) -> None:
        """The replica is there now: send the snapshot that was asked for, and call `Room.go_live`."""


class Room:
    """Follows one stream while it has viewers.

    A member is *joined* from `join` to `leave` and *live* from its snapshot on: only live ones get messages.

    Attributes:
        replica: None until the bus delivered a snapshot.
        on_sent: told when positions of a frame were first written to a viewer.
    """

    def __init__(self, stream: StreamId, bus: Bus, clock: Clock, settings: GatewaySettings) -> None:
        self.stream = stream
        self.replica: OverlayReplica | None = None
        self.on_sent: Callable[[StreamId, MediaTime, int], None] | None = None
        self._bus = bus
        self._clock = clock
        self._settings = settings
        self._joined: dict[Member, None] = {}
        self._live: dict[Member, bool] = {}
        self._todo: dict[Member, PositionsFrame | None] = {}
        self._pumping: asyncio.Handle | None = None
        self._turn = 0
        self._reported: tuple[MediaTime, ...] | None = None
        self._complete: bytes | None = None
        self._past: tuple[int, int, list[bytes]] = (0, 0, [])

    def __len__(self) -> int:
        return len(self._joined)

    # ---- members -------------------------------------------------------------------------------------------

    def join(self, member: Member) -> None:
        """A viewer is here and waits for its snapshot."""
        self._joined[member] = None

    def leave(self, member: Member) -> None:
        """A viewer is gone."""
        self._joined.pop(member, None)
        self._live.pop(member, None)
        self._todo.pop(member, None)

    def go_live(self, member: Member) -> None:
        """Its snapshot is on the way: from now on it gets everything that follows."""
        self._live[member] = member.compact

    def behind(self, resume: Resume | None) -> bool:
        """Whether a viewer has seen more, on another node, than has arrived here yet."""
        if resume is None or self.replica is None:
            return False
        return resume.log == self.replica.state.log and resume.seq > self.replica.state.seq

    def _sync_waiting(self) -> None:
        if len(self._live) < len(self._joined):
            for member in [waiting for waiting in self._joined if waiting not in self._live]:
                member.sync()

    def catch_up(self, resume: Resume | None) -> list[bytes]:
        """The snapshot, and the missed events where they can be replayed, as websocket frames."""
        assert self.replica is not None
        catchup = self.replica.catch_up(resume)
        if not catchup.snapshot.recovered:
            if self._complete is None:
                self._complete = text_frame(encode(catchup.snapshot))
            return [self._complete]
        return [text_frame(encode(catchup.snapshot)), *(text_frame(encode(e)) for e in catchup.events)]

    def past(self, back_ms: int) -> list[bytes]:
        """Measured positions that came in the last `back_ms`, oldest first, as websocket frames.

        Made once for all who join within `_PAST_MS`; later ones are in the messages that follow.
        """
        assert self.replica is not None
        now_ns = self._clock.now_ns()
        made_ns, made_back_ms, frames = self._past
        if frames and back_ms == made_back_ms and now_ns - made_ns < _PAST_MS * 1_000_000:
            return frames
        samples = self.replica.history.since(now_ns - back_ms * 1_000_000)
        parts = [samples[first : first + MAX_SAMPLES] for first in range(0, len(samples), MAX_SAMPLES)]
        frames = [text_frame(encode(Positions(tuple(part)))) for part in parts]
        self._past = now_ns, back_ms, frames
        return frames

    def sent(self, frame: PositionsFrame) -> None:
        """A member wrote `frame` to its transport."""
        if frame.times is not self._reported:
            self._reported = frame.times
            if self.on_sent is not None:
                now_ns = self._clock.now_ns()
                for time in frame.times:
                    self.on_sent(self.stream, time, now_ns)

    # ---- the bus -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the stream until cancelled."""
        failures = 0
        while True:
            try:
                subscription = await self._bus.subscribe(self.stream)
            except BusError as error:
                if failures == 0:
                    log.warning("stream cannot be followed", extra={"reason": str(error)})
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1
                continue
            failures = 0
            try:
                while self._take(await subscription.next()):
                    pass
            finally:
                await subscription.close()

    def close(self) -> None:
        """No more writes."""
        if self._pumping is not None:
            self._pumping.cancel()
        self._todo.clear()

    def _take(self, item: BusItem) -> bool:
        """Take in one item of the bus. False when it leaves a gap: subscribe again."""
        self._complete = None
        match item:
            case SnapshotItem():
                self._restart(item)
            case EventItem(event, encoded):
                if self.replica is None:
                    return False
                applied = self.replica.apply(event)
                if applied is Applied.DONE:
                    frame, now_ns = text_frame(encoded), self._clock.now_ns()
                    for member in self._live:
                        member.outbox.push(frame, now_ns)
                    self._fan_out(self._live)
                    self._sync_waiting()
                return applied is not Applied.GAP
            case PositionsItem(positions, encoded):
                if self.replica is not None:
                    added = self.replica.positions(positions, self._clock.now_ns())
                    times = tuple(MediaTime(sample.epoch, sample.rtp) for sample in added)
                    self._turn_to(
                        self._frames(positions, PositionsFrame(text_frame(encoded), times)),
                        self._spare(positions, added),
                    )
        return True

    def _spare(self, positions: Positions, added: Iterable[Sample]) -> bool:
        """Only a prediction is new, and who holds the video back gets a detection of that frame in time."""
        assert self.replica is not None
        if len(positions.s) < 2 or any(sample.measured for sample in added):
            return False
        measured, predicted = positions.s[0], positions.s[-1]
        in_time = (self.replica.state.latency_ms - _HEAD_START_MS) * TICKS_PER_MS
        return measured.epoch == predicted.epoch and ticks_between(predicted.rtp, measured.rtp) <= in_time

    def _frames(self, positions: Positions, text: PositionsFrame) -> dict[bool, PositionsFrame]:
        """Positions in each encoding that somebody uses, by whether it is the compact one."""
        if True not in self._live.values():
            return {False: text}
        try:
            compact = PositionsFrame(binary_frame(encode_positions(positions)), text.times)
        except MessageError:  # a number that does not fit: text is always understood
            compact = text
        return {False: text, True: compact}

    def _restart(self, item: SnapshotItem) -> None:
        if self.replica is None:
            self.replica = OverlayReplica(
                item.snapshot, item.tail, keep_ns=self._settings.keep_ms * 1_000_000
            )
            for member in list(self._joined):
                member.sync()
            return
        unchanged = (item.snapshot.log, item.snapshot.seq) == (self.replica.state.log, self.replica.state.seq)
        self.replica.reset(item.snapshot, item.tail)
        if not unchanged:
            frames = self.catch_up(None)
            for member in self._live:
                member.outbox.snapshot(frames)
            self._fan_out(self._live)
            self._sync_waiting()

    # ---- fan-out -------------------------------------------------------------------------------------------

    def _turn_to(self, frames: Mapping[bool, PositionsFrame], drawn_only: bool) -> None:
        """Give positions to live members, or to those only who draw predictions."""
        for compact, frame in frames.items():
            if drawn_only or len(frames) > 1:
                fit = (
                    m for m, its in self._live.items() if its is compact and (m.predictions or not drawn_only)
                )
                self._fan_out(fit, frame)
            else:
                self._fan_out(self._live, frame)

    def _fan_out(self, takers: Iterable[Member], frame: PositionsFrame | None = None) -> None:
        """Turn to live members, beginning with another one each time, `chunk` of them at a stretch.

        Args:
            takers: whom.
            frame: positions for them; None when they are only to write what waits for them.
        """
        members = list(takers)
        if not members:
            return
        self._turn = (self._turn + 1) % len(members)
        turned = members[self._turn :] + members[: self._turn]
        if self._todo:  # who waits already stays in front
            for member in turned:
                older = self._todo.get(member)
                if older is not None and frame is not None:
                    member.outbox.statistics.positions_skipped += 1
                self._todo[member] = frame or older
        else:
            self._todo = dict.fromkeys(turned, frame)
        if self._pumping is None:
            self._pump()

    def _pump(self) -> None:
        self._pumping = None
        now_ns, todo = self._clock.now_ns(), self._todo
        for member in list(islice(todo, self._settings.chunk)):
            frame = todo.pop(member, None)
            if frame is None:
                member.flush(now_ns)
            elif member.show(frame, now_ns) and frame.times is not self._reported:
                self.sent(frame)
        if todo:
            self._pumping = asyncio.get_running_loop().call_soon(self._pump)
