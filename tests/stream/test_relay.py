from __future__ import annotations

import asyncio

import pytest

from stream.relay import Relay, RelaySubscription
from stream.types import EncodedFrame, MediaTime, StreamId

MS = 1_000_000


def frame(
    rtp: int, *, key: bool = False, epoch: int = 1, at_ms: int = 0, codec: str = "H264"
) -> EncodedFrame:
    data = b"\0\0\0\1\x65" + b"%d" % rtp
    return EncodedFrame(codec, MediaTime(epoch, rtp), data, key, at_ms * MS)


def opus(rtp: int, *, epoch: int = 1, at_ms: int = 0) -> EncodedFrame:
    return EncodedFrame("opus", MediaTime(epoch, rtp), b"a%d" % rtp, True, at_ms * MS)


@pytest.fixture
def relay() -> Relay:
    return Relay(StreamId("show"), viewer_queue=4)


async def take(subscription: RelaySubscription, count: int) -> list[int]:
    async with asyncio.timeout(1):
        frames = [await subscription.video() for _ in range(count)]
    return [f.rtp for f in frames if f is not None]


async def test_viewer_begins_at_a_keyframe_and_one_is_asked_for(relay: Relay) -> None:
    asked = []
    relay.on_keyframe_request = lambda: asked.append(1)
    viewer = relay.subscribe()
    assert asked == [1]
    for unit in (frame(0), frame(3000), frame(6000, key=True), frame(9000)):
        relay.push(unit)
    assert await take(viewer, 2) == [6000, 9000]
    assert viewer.dropped == 2


async def test_wire_timestamps_equal_the_publishers_in_the_first_epoch(relay: Relay) -> None:
    viewer = relay.subscribe()
    relay.push(frame(4_294_967_295, key=True))
    relay.push(frame(2999))
    assert await take(viewer, 2) == [4_294_967_295, 2999]
    assert relay.offset(1) == 0


async def test_slow_viewer_is_cut_off_until_the_next_keyframe(relay: Relay) -> None:
    asked = []
    slow = relay.subscribe()
    relay.on_keyframe_request = lambda: asked.append(1)
    relay.push(frame(0, key=True))
    for n in range(1, 8):
        relay.push(frame(n * 3000))
    assert asked == [1]
    relay.push(frame(30_000, key=True))
    relay.push(frame(33_000))
    assert await take(slow, 2) == [30_000, 33_000]
    assert (slow.dropped, relay.dropped) == (8, 8)


async def test_one_slow_viewer_costs_another_nothing(relay: Relay) -> None:
    relay.subscribe()
    quick = relay.subscribe()
    got = []
    for n in range(20):
        relay.push(frame(n * 3000, key=n == 0))
        got += await take(quick, 1)
    assert got == [n * 3000 for n in range(20)]
    assert quick.dropped == 0


async def test_reconnected_publisher_continues_the_viewers_timeline(relay: Relay) -> None:
    viewer = relay.subscribe()
    relay.push(frame(90_000, key=True, at_ms=0))
    relay.push(opus(48_000, at_ms=0))
    relay.end_epoch(1)
    assert (relay.live, relay.offset(2)) == (False, None)
    relay.push(frame(5, key=True, epoch=2, at_ms=2000))
    relay.push(opus(7, epoch=2, at_ms=2000))
    assert relay.live
    assert await take(viewer, 2) == [90_000, 270_000]
    assert relay.offset(2) == 270_000 - 5
    sound = [await viewer.audio() for _ in range(2)]
    assert [f.rtp for f in sound if f is not None] == [48_000, 144_000]


async def test_viewers_of_a_new_publisher_wait_for_its_first_keyframe(relay: Relay) -> None:
    viewer = relay.subscribe()
    relay.push(frame(0, key=True))
    relay.push(frame(0, epoch=2, at_ms=1000))
    relay.push(frame(3000, epoch=2, key=True, at_ms=1033))
    assert await take(viewer, 2) == [0, 93_000]


async def test_frames_of_a_replaced_publisher_are_ignored(relay: Relay) -> None:
    viewer = relay.subscribe()
    relay.push(frame(0, key=True, epoch=2))
    relay.push(frame(111, key=True, epoch=1))
    relay.push(frame(3000, epoch=2))
    assert await take(viewer, 2) == [0, 3000]
    relay.end_epoch(1)
    assert relay.live


async def test_change_of_codec_ends_the_subscriptions(relay: Relay) -> None:
    viewer = relay.subscribe()
    relay.push(frame(0, key=True))
    relay.push(frame(0, key=True, epoch=2, codec="VP8"))
    assert await viewer.video() is None
    assert viewer.reason == "codec changed from H264 to VP8"
    assert (relay.codec, relay.viewers) == ("VP8", 0)


async def test_waiting_viewer_is_woken_by_the_end(relay: Relay) -> None:
    viewer = relay.subscribe()
    waiting = asyncio.create_task(viewer.video())
    await asyncio.sleep(0)
    relay.close("shutdown")
    assert await waiting is None
    assert await viewer.audio() is None


async def test_audio_queue_keeps_the_newest(relay: Relay) -> None:
    viewer = relay.subscribe()
    for n in range(10):
        relay.push(opus(n * 960))
    first = await viewer.audio()
    assert first is not None and first.rtp == 6 * 960


async def test_unsubscribe_is_idempotent_and_keeps_the_count(relay: Relay) -> None:
    viewer = relay.subscribe()
    relay.push(frame(0))
    relay.unsubscribe(viewer)
    relay.unsubscribe(viewer)
    assert (relay.viewers, relay.dropped) == (0, 1)


def test_relay_is_live_only_with_video(relay: Relay) -> None:
    assert not relay.live
    relay.push(opus(0))
    assert not relay.live
    relay.push(frame(0, key=True))
    assert relay.live


async def test_joining_viewer_begins_with_the_newest_keyframe_and_its_own_timestamps(relay: Relay) -> None:
    for n in range(6):
        relay.push(frame(n * 3000, key=n in (0, 3), at_ms=n * 33))
    asked = []
    relay.on_keyframe_request = lambda: asked.append(1)
    viewer = relay.subscribe()
    relay.push(frame(18_000, at_ms=200))
    assert [f.rtp for f in viewer.begin] == [9000, 12_000, 15_000]
    assert await take(viewer, 1) == [18_000]
    assert asked == [] and viewer.dropped == 0


async def test_nothing_of_an_earlier_publisher_is_shown_to_who_joins(relay: Relay) -> None:
    relay.push(frame(0, key=True))
    relay.push(frame(0, epoch=2, at_ms=1000))
    viewer = relay.subscribe()
    assert viewer.begin == ()
    relay.push(frame(3000, epoch=2, key=True, at_ms=1033))
    assert await take(viewer, 1) == [93_000]


async def test_without_replay_a_viewer_waits_for_the_next_keyframe() -> None:
    relay = Relay(StreamId("show"), replay=False)
    relay.push(frame(0, key=True))
    viewer = relay.subscribe()
    relay.push(frame(3000))
    relay.push(frame(6000, key=True))
    assert await take(viewer, 1) == [6000]


async def test_packets_are_kept_once_for_all_viewers(relay: Relay) -> None:
    one, other = relay.subscribe(), relay.subscribe()
    relay.push(frame(0, key=True))
    relay.push(opus(0))
    first, second = await one.video(), await other.video()
    assert first is not None and first is second
    assert one.packet("video", first.first) == other.packet("video", first.first) == (first, 0)
    assert one.packet("audio", 0) is not None and one.packet("video", 99) is None
