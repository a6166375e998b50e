"""Fan-out without sockets: fake members, a fake clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from overlay.binary import encode_positions
from overlay.bus.base import BusItem, EventItem, PositionsItem, SnapshotItem
from overlay.bus.memory import MemoryBus, MemorySubscription
from overlay.edge import GatewaySettings
from overlay.errors import BusError
from overlay.messages import Event, LatencyEvent, Positions, Spot, encode
from overlay.outbox import Outbox, PositionsFrame, binary_frame, text_frame
from overlay.room import Room
from overlay.state import OverlayAuthor
from stream.types import MediaTime, StreamId
from tests.overlay.builders import STREAM, FakeClock, sample, spot


class FakeMember:
    """Remembers the order in which members were flushed, and what its outbox held."""

    def __init__(self, room: Room, order: list[FakeMember]) -> None:
        self.outbox = Outbox()
        self.compact = False
        self.predictions = True
        self.synced = 0
        self.written: list[bytes] = []
        self._room = room
        self._order = order

    def show(self, frame: PositionsFrame, now_ns: int) -> bool:
        self.outbox.positions(frame)
        self.flush(now_ns)
        return False

    def flush(self, now_ns: int) -> None:
        self._order.append(self)
        while (taken := self.outbox.take(now_ns)) is not None:
            self.written.append(taken[0])
            if taken[1] is not None:
                self._room.sent(taken[1])

    def sync(self) -> None:
        self.synced += 1
        self._room.go_live(self)


class ScriptedSubscription:
    """Delivers a script, then waits for ever."""

    def __init__(self, items: list[BusItem]) -> None:
        self.items = items
        self.closed = False

    async def next(self) -> BusItem:
        if not self.items:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return self.items.pop(0)

    async def close(self) -> None:
        self.closed = True


class ScriptedBus(MemoryBus):
    """Gives out scripted subscriptions, or errors."""

    def __init__(self, *scripts: ScriptedSubscription | BusError) -> None:
        super().__init__()
        self.scripts = list(scripts)

    async def subscribe(self, stream: StreamId) -> MemorySubscription:
        script = self.scripts.pop(0)
        if isinstance(script, BusError):
            raise script
        return script  # type: ignore[return-value]


def snapshot(log: str = "log-1", latency_ms: int = 0) -> SnapshotItem:
    author = OverlayAuthor(STREAM, log)
    author.live(1, 0, latency_ms)
    return SnapshotItem(author.snapshot(), ())


def event(seq: int) -> EventItem:
    made = Event(seq, LatencyEvent(seq))
    return EventItem(made, encode(made))


def positions(rtp: int) -> PositionsItem:
    made = Positions((sample(spot(), rtp=rtp),))
    return PositionsItem(made, encode(made))


async def run(bus: ScriptedBus, room: Room, done: Callable[[], bool]) -> None:
    """Let the room follow until `done`."""
    task = asyncio.ensure_future(room.run())
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110 - lets the room's own task run
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    room.close()


def make(
    count: int, *scripts: ScriptedSubscription | BusError, chunk: int = 256
) -> tuple[ScriptedBus, Room, list[FakeMember], list[FakeMember]]:
    bus = ScriptedBus(*scripts)
    room = Room(STREAM, bus, FakeClock(), GatewaySettings(chunk=chunk))
    order: list[FakeMember] = []
    members = [FakeMember(room, order) for _ in range(count)]
    for member in members:
        room.join(member)
    return bus, room, members, order


async def test_every_member_gets_the_same_bytes() -> None:
    script = ScriptedSubscription([snapshot(), event(2), positions(5)])
    bus, room, members, _ = make(3, script)
    await run(bus, room, lambda: not script.items and len(members[0].written) == 2)
    assert [member.synced for member in members] == [1, 1, 1]
    assert members[0].written == [text_frame(event(2).encoded), text_frame(positions(5).encoded)]
    assert members[0].written == members[1].written == members[2].written
    assert members[0].written[0] is members[2].written[0], "encoded once, shared"
    assert script.closed


async def test_each_encoding_is_made_once_and_events_stay_text() -> None:
    bus, room, members, _ = make(4, ScriptedSubscription([snapshot(), event(2), positions(5)]))
    members[1].compact = members[3].compact = True
    await run(bus, room, lambda: len(members[0].written) == 2)
    text, binary = members[0].written[1], members[1].written[1]
    assert text == text_frame(positions(5).encoded)
    assert binary == binary_frame(encode_positions(positions(5).positions))
    assert members[2].written[1] is text and members[3].written[1] is binary
    assert {member.written[0] for member in members} == {text_frame(event(2).encoded)}


def _pair(measured: int, predicted: int) -> PositionsItem:
    made = Positions((sample(rtp=measured), sample(rtp=predicted, measured=False)))
    return PositionsItem(made, encode(made))


async def test_predictions_go_to_who_draws_them_and_to_all_when_a_detection_is_late() -> None:
    seen, spare, detected, late = _pair(1000, 4000), _pair(1000, 7000), _pair(5000, 7000), _pair(5000, 12_300)
    script = ScriptedSubscription([snapshot(latency_ms=120), seen, spare, detected, late])
    bus, room, members, _ = make(2, script)
    members[1].predictions = False
    await run(bus, room, lambda: len(members[0].written) == 4)
    assert members[0].written == [text_frame(item.encoded) for item in (seen, spare, detected, late)]
    assert members[1].written == [text_frame(item.encoded) for item in (seen, detected, late)]


async def test_positions_that_do_not_fit_the_binary_encoding_go_as_text() -> None:
    made = Positions((sample(Spot(7, 1, 9, 0, 0, 0, 1, 1), rtp=5),))
    item = PositionsItem(made, encode(made))
    bus, room, members, _ = make(1, ScriptedSubscription([snapshot(), item]))
    members[0].compact = True
    await run(bus, room, lambda: bool(members[0].written))
    assert members[0].written == [text_frame(item.encoded)]


async def test_another_member_goes_first_each_time() -> None:
    bus, room, members, order = make(3, ScriptedSubscription([snapshot(), *map(positions, range(1, 4))]))
    await run(bus, room, lambda: len(order) >= 9)
    assert {order[0], order[3], order[6]} == set(members)


async def test_many_members_are_written_to_in_chunks_and_none_is_left_out() -> None:
    script = ScriptedSubscription([snapshot(), positions(1), positions(2)])
    bus, room, members, order = make(25, script, chunk=10)
    await run(
        bus,
        room,
        lambda: all(m.written and m.written[-1] == text_frame(positions(2).encoded) for m in members),
    )
    assert all(len(member.written) in (1, 2) for member in members)
    assert set(order[:25]) == set(members)


async def test_member_who_left_is_not_written_to() -> None:
    script = ScriptedSubscription([snapshot(), positions(1)])
    bus, room, members, _ = make(2, script)
    room.leave(members[0])
    await run(bus, room, lambda: bool(members[1].written))
    assert members[0].synced == 0 and members[0].written == [] and len(room) == 1


async def test_gap_leads_to_a_new_subscription_and_a_fresh_snapshot() -> None:
    first = ScriptedSubscription([snapshot(), event(2), event(4)])
    newer = snapshot(latency_ms=9)
    second = ScriptedSubscription([SnapshotItem(newer.snapshot, ()), event(2)])
    bus, room, members, _ = make(1, first, second)
    await run(bus, room, lambda: len(members[0].written) >= 2)
    assert first.closed
    assert b'"t":"snap"' in members[0].written[1]


async def test_event_before_any_snapshot_leads_to_a_new_subscription() -> None:
    first = ScriptedSubscription([event(1)])
    second = ScriptedSubscription([snapshot()])
    bus, room, members, _ = make(1, first, second)
    await run(bus, room, lambda: members[0].synced == 1)
    assert first.closed


async def test_duplicates_and_early_positions_are_ignored() -> None:
    script = ScriptedSubscription([positions(1), snapshot(), event(1), event(2), event(2)])
    bus, room, members, _ = make(1, script)
    await run(bus, room, lambda: not script.items and bool(members[0].written))
    assert members[0].written == [text_frame(event(2).encoded)]


async def test_unreachable_bus_is_tried_again() -> None:
    script = ScriptedSubscription([snapshot()])
    bus, room, members, _ = make(1, BusError("down"), BusError("down"), script)
    await run(bus, room, lambda: members[0].synced == 1)
    assert bus.scripts == []


async def test_same_snapshot_again_is_not_sent_again() -> None:
    script = ScriptedSubscription([snapshot(), snapshot(), event(2)])
    bus, room, members, _ = make(1, script)
    await run(bus, room, lambda: bool(members[0].written))
    assert members[0].written == [text_frame(event(2).encoded)]


def test_frames_are_reported_when_first_written_only() -> None:
    clock = FakeClock()
    room = Room(STREAM, MemoryBus(), clock, GatewaySettings())
    frame = PositionsFrame(b"x", (MediaTime(1, 5), MediaTime(1, 8)))
    room.sent(frame)
    told: list[tuple[MediaTime, int]] = []
    room.on_sent = lambda stream, time, now_ns: told.append((time, now_ns))
    room.sent(frame)
    assert told == []
    room.sent(PositionsFrame(b"the same, encoded otherwise", frame.times))
    assert told == []
    again = PositionsFrame(b"x", (MediaTime(1, 5), MediaTime(1, 8)))
    room.sent(again)
    room.sent(again)
    assert told == [(MediaTime(1, 5), clock.ns), (MediaTime(1, 8), clock.ns)]
