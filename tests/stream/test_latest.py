from __future__ import annotations

import asyncio

from stream.latest import LatestSlot


async def test_newest_wins_and_the_displaced_is_returned_and_counted() -> None:
    slot: LatestSlot[str] = LatestSlot()
    assert slot.put("a") is None
    assert slot.put("b") == "a"
    assert slot.peek() == "b"
    assert await slot.get() == "b"
    assert (slot.dropped, slot.peek()) == (1, None)


async def test_get_waits_for_the_next_item() -> None:
    slot: LatestSlot[int] = LatestSlot()
    waiting = asyncio.create_task(slot.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    slot.put(1)
    assert await waiting == 1


async def test_closed_slot_gives_what_is_left_then_nothing() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(1)
    slot.close()
    assert slot.put(2) is None
    assert [await slot.get(), await slot.get(), await slot.get()] == [1, None, None]


async def test_close_wakes_whoever_waits() -> None:
    slot: LatestSlot[int] = LatestSlot()
    waiting = asyncio.create_task(slot.get())
    await asyncio.sleep(0)
    slot.close()
    assert await waiting is None
