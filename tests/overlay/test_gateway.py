"""The gateway over real sockets, with a real client."""

from __future__ import annotations

import asyncio

from inference.types import Box
from stream.types import MediaTime, StreamId
from tests.overlay.builders import STREAM, frame, hotspot
from tests.overlay.stage import HELLO, staged


async def test_first_message_is_a_complete_snapshot() -> None:
    async with staged() as stage:
        await stage.start_show()
        stage.publisher.positions(frame(hotspot(), rtp=900))
        async with stage.viewer(HELLO) as viewer:
            snap = await viewer.receive()
            assert snap["t"] == "snap" and snap["seq"] == 2 and snap["live"] and not snap["recovered"]
            assert [item["id"] for item in snap["products"]] == ["product-1", "product-2", "product-3"]
            assert snap["epochs"] == [[1, 0]]


async def test_positions_and_events_reach_viewer_in_author_order() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            stage.publisher.positions(frame(hotspot(box=Box(0.1, 0.2, 0.3, 0.4)), rtp=900))
            assert (await viewer.receive()) == {
                "t": "pos",
                "s": [[1, 900, 1, [[7, 1, 0, 0, 1000, 2000, 3000, 4000]]]],
            }
            await stage.publisher.publish(stage.author.pin(1, True))
            await stage.publisher.publish(stage.author.pin(2, True))
            assert (await viewer.receive())["ev"] == {"k": "pin", "pid": 1, "on": True}
            assert (await viewer.receive())["seq"] == 4


async def test_tap_on_shown_frame_is_answered_with_its_card() -> None:
    async with staged() as stage:
        await stage.start_show()
        async with stage.viewer(HELLO) as viewer:
            await viewer.until("snap")
            stage.publisher.positions(frame(hotspot(), rtp=900))
            await viewer.until("pos")
            await viewer.send({"t": "tap", "id": "b1f0", "x": 0.2, "y": 0.3, "epoch": 1, "rtp": 900})
            answer = await viewer.until("card")
            assert answer["hit"] and answer["state"] == "exact" and answer["card"]["id"] == "product-1"
            await viewer.send({"t": "tap", "id": "b1f1", "x": 0.9, "y": 0.9, "epoch": 1, "rtp": 900})
            assert (await viewer.until("card"))["reason"] == "no-hotspot-there"


async def test_sent_hook_names_each_frame_once_for_all_viewers() -> None:
    async with staged() as stage:
        await stage.start_show()
        told: list[tuple[StreamId, MediaTime]] = []
        stage.gateway.on_positions_sent = lambda stream, time, now_ns: told.append((stream, time))
        async with stage.viewer(HELLO) as first, stage.viewer(HELLO) as second:
            await first.until("snap")
            await second.until("snap")
            stage.publisher.positions(frame(rtp=900))
            stage.publisher.positions(frame(rtp=1800, measured=False))
            await asyncio.gather(first.until("pos"), second.until("pos"))
            assert told[0] == (STREAM, MediaTime(1, 900))
            assert len(set(told)) == len(told)
