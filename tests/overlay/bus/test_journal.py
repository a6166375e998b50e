"""What every journal guarantees (overlay/bus/journal.py), over every one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from overlay.bus.journal import KEPT, PAGE, Journal
from overlay.bus.redis_journal import RedisJournal
from overlay.bus.redis_link import RedisLink
from overlay.errors import BusError
from tests.journals import opened
from tests.redis_server import RedisServer


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis_server", marks=pytest.mark.redis),
        pytest.param("redis_cluster_process", marks=pytest.mark.redis),
    ]
)
async def journal(request: pytest.FixtureRequest) -> AsyncIterator[Journal]:
    async with opened(request) as made:
        yield made


async def read_all(journal: Journal, log: str = "", after: str = "") -> tuple[list[bytes], str, str]:
    """Everything after a place: entries, log, last place."""
    found: list[bytes] = []
    while (page := await journal.read(log, after)).entries:
        found += [entry for _, entry in page.entries]
        log, after = page.log, page.entries[-1][0]
    return found, log, after


async def test_a_journal_begins_empty(journal: Journal) -> None:
    page = await journal.read("", "")
    assert (page.log, page.entries) == ("", ())


async def test_all_is_read_once_in_order_page_by_page(journal: Journal) -> None:
    wanted = [f"{number}".encode() for number in range(PAGE + 7)]
    for entry in wanted:
        await journal.append(entry)
    found, log, place = await read_all(journal)
    assert found == wanted
    assert len((await journal.read("", "")).entries) == PAGE
    assert (await journal.read(log, place)).entries == ()
    await journal.append(b"\x00late\xff")
    assert (await read_all(journal, log, place))[0] == [b"\x00late\xff"]


async def test_who_knows_another_log_is_given_all_of_this_one(journal: Journal) -> None:
    await journal.append(b"one")
    await journal.append(b"two")
    assert (await read_all(journal, "an older log", "999999999999999-1"))[0] == [b"one", b"two"]


async def test_the_newest_stay(journal: Journal) -> None:
    for number in range(KEPT + 150):
        await journal.append(f"{number}".encode())
    found, log, place = await read_all(journal)
    assert KEPT <= len(found) <= KEPT + 150  # Redis drops whole nodes of its tree
    assert found[-1] == f"{KEPT + 149}".encode() and found[0] != b"0"
    await journal.append(b"more")
    assert (await read_all(journal, log, place))[0] == [b"more"]


@pytest.mark.redis
async def test_a_redis_that_lost_everything_begins_another_log(redis_server: RedisServer) -> None:
    redis_server.flush()
    link = RedisLink(redis_server.url)
    journal = RedisJournal(link, "lessons")
    await journal.append(b"lost")
    _, log, place = await read_all(journal)
    redis_server.flush()
    assert (await journal.read(log, place)).log == ""
    await journal.append(b"new")
    found, other, _ = await read_all(journal, log, place)
    assert found == [b"new"] and other != log
    await link.close()


async def test_a_redis_that_is_away_is_an_error_to_try_again() -> None:
    link = RedisLink("redis://127.0.0.1:1")
    with pytest.raises(BusError) as caught:
        await RedisJournal(link, "lessons").append(b"x")
    assert caught.value.retryable
    await link.close()
