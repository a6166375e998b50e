from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from vitrine.errors import Busy
from vitrine.line import Line


async def test_work_is_done_in_order_on_one_thread() -> None:
    line, seen = Line("searches", 10), list[int]()

    def work(number: int) -> str:
        seen.append(number)
        return threading.current_thread().name

    names = await asyncio.gather(*(line.submit(partial(work, number)) for number in range(8)))
    assert seen == list(range(8)) and len(set(names)) == 1
    line.close()


async def test_more_than_a_little_waiting_is_refused_until_some_is_done() -> None:
    line, free = Line("searches", 2), threading.Event()
    first, second = line.submit(free.wait), line.submit(lambda: True)
    with pytest.raises(Busy, match="2 searches wait"):
        line.submit(lambda: True)
    free.set()
    assert await first and await second
    assert await line.submit(lambda: "done") == "done"
    line.close()


async def test_what_goes_wrong_is_told_and_frees_its_place() -> None:
    line = Line("searches", 1)
    with pytest.raises(ZeroDivisionError):
        await line.submit(lambda: 1 / 0)
    assert await line.submit(lambda: 1) == 1
    line.close()
