from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from inference.deadline import Cancelled, JobCancelled, RunHandle
from inference.device import MAX_STUCK, DeviceWorker
from inference.errors import RuntimeStuck
from tests.fakes.clock import FakeClock

SOON_MS = 20.0
LATER_MS = 30_000.0


def after_ms(milliseconds: float) -> int:
    return time.monotonic_ns() + int(milliseconds * 1e6)


@pytest.fixture
async def device() -> AsyncIterator[DeviceWorker]:
    worker = DeviceWorker("test", grace_ms=60)
    yield worker
    await worker.close()


def until_stopped(handle: RunHandle) -> str:
    """A job that can be stopped, and only ends so."""
    stop = threading.Event()
    handle.stoppable(stop.set)
    stop.wait()
    handle.check()
    return "never"


def blocking(release: threading.Event) -> Callable[[RunHandle], None]:
    """A job that cannot be stopped."""

    def job(handle: RunHandle) -> None:
        release.wait()

    return job


async def freed(device: DeviceWorker) -> None:
    """Wait until no abandoned thread is left."""
    async with asyncio.timeout(10):
        while device.statistics().stuck:  # noqa: ASYNC110 - the thread's end is not announced
            await asyncio.sleep(0.005)


async def test_a_job_runs_off_the_loop_and_returns(device: DeviceWorker) -> None:
    here = threading.get_ident()
    there = await device.run(lambda handle: threading.get_ident(), after_ms(LATER_MS))
    assert there != here
    assert device.statistics().done == 1


async def test_jobs_run_in_order_on_one_thread(device: DeviceWorker) -> None:
    ran: list[tuple[int, int]] = []

    def job(number: int) -> Callable[[RunHandle], None]:
        return lambda handle: ran.append((number, threading.get_ident()))

    await asyncio.gather(*(device.run(job(i), after_ms(LATER_MS)) for i in range(20)))
    assert [number for number, _ in ran] == list(range(20))
    assert len({thread for _, thread in ran}) == 1


async def test_lower_priority_waits_for_higher(device: DeviceWorker) -> None:
    release, ran = threading.Event(), []
    first = device.submit(blocking(release), after_ms(LATER_MS))
    await asyncio.sleep(0.01)  # let the first one start
    low = device.submit(lambda handle: ran.append("low"), after_ms(LATER_MS), priority=1)
    high = device.submit(lambda handle: ran.append("high"), after_ms(LATER_MS))
    release.set()
    await asyncio.gather(first, low, high)
    assert ran == ["high", "low"]


async def test_the_earliest_deadline_runs_first(device: DeviceWorker) -> None:
    release, ran = threading.Event(), []
    first = device.submit(blocking(release), after_ms(LATER_MS))
    await asyncio.sleep(0.01)  # let the first one start
    late = device.submit(lambda handle: ran.append("late"), after_ms(LATER_MS))
    early = device.submit(lambda handle: ran.append("early"), after_ms(LATER_MS / 2))
    release.set()
    await asyncio.gather(first, late, early)
    assert ran == ["early", "late"]


async def test_an_error_reaches_the_caller_and_the_next_job_runs(device: DeviceWorker) -> None:
    def broken(handle: RunHandle) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await device.run(broken, after_ms(LATER_MS))
    assert await device.run(lambda handle: 7, after_ms(LATER_MS)) == 7
    assert device.statistics().failed == 1


async def test_a_run_past_its_deadline_is_stopped(device: DeviceWorker) -> None:
    outcome = await device.run(until_stopped, after_ms(SOON_MS))
    assert isinstance(outcome, Cancelled)
    assert outcome.started and not outcome.stuck
    assert 0 <= outcome.overshoot_ns < 60_000_000
    stats = device.statistics()
    assert (stats.cancelled, stats.abandoned) == (1, 0)
    assert stats.overshoot_max_ns == stats.overshoot_sum_ns == outcome.overshoot_ns


async def test_a_job_still_waiting_at_its_deadline_never_starts(device: DeviceWorker) -> None:
    release, ran = threading.Event(), []
    first = device.submit(blocking(release), after_ms(LATER_MS))
    outcome = await device.run(lambda handle: ran.append(1), after_ms(SOON_MS))
    release.set()
    await first
    assert outcome == Cancelled(started=False)
    assert ran == [] and device.statistics().expired == 1


async def test_a_cancelled_caller_stops_its_job(device: DeviceWorker) -> None:
    task = asyncio.ensure_future(device.run(until_stopped, after_ms(LATER_MS)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await device.run(lambda handle: "free", after_ms(LATER_MS)) == "free"


async def test_a_cancelled_caller_takes_its_job_out_of_the_queue(device: DeviceWorker) -> None:
    release, ran = threading.Event(), []
    first = device.submit(blocking(release), after_ms(LATER_MS))
    waiting = device.submit(lambda handle: ran.append(1), after_ms(LATER_MS))
    waiting.cancel()
    await asyncio.sleep(0)
    assert device.statistics().waiting <= 1
    release.set()
    await first
    await device.run(lambda handle: None, after_ms(LATER_MS))
    assert ran == []


async def test_a_thread_that_will_not_stop_is_abandoned_and_replaced(device: DeviceWorker) -> None:
    release = threading.Event()
    outcome = await device.run(blocking(release), after_ms(SOON_MS))
    assert isinstance(outcome, Cancelled) and outcome.stuck
    assert await device.run(lambda handle: "alive", after_ms(LATER_MS)) == "alive"
    stats = device.statistics()
    assert (stats.abandoned, stats.stuck) == (1, 1)
    release.set()
    await freed(device)


async def test_after_two_stuck_threads_the_third_is_an_error(device: DeviceWorker) -> None:
    release = threading.Event()
    for _ in range(MAX_STUCK):
        outcome = await device.run(blocking(release), after_ms(SOON_MS))
        assert isinstance(outcome, Cancelled) and outcome.stuck
    with pytest.raises(RuntimeStuck, match="at most 2 are tolerated"):
        await device.run(blocking(release), after_ms(SOON_MS))
    with pytest.raises(RuntimeStuck):
        await device.run(lambda handle: None, after_ms(LATER_MS))
    release.set()
    await freed(device)
    assert await device.run(lambda handle: "back", after_ms(LATER_MS)) == "back"


async def test_what_a_stuck_run_returns_in_the_end_is_ignored(device: DeviceWorker) -> None:
    release = threading.Event()
    future = device.submit(blocking(release), after_ms(SOON_MS))
    assert isinstance(await future, Cancelled)
    release.set()
    await freed(device)
    assert device.statistics().done == 0


async def test_close_ends_waiting_and_running_jobs() -> None:
    worker = DeviceWorker("closing", grace_ms=500)
    running = worker.submit(until_stopped, after_ms(LATER_MS))
    waiting = worker.submit(lambda handle: None, after_ms(LATER_MS))
    await asyncio.sleep(0.01)
    await worker.close()
    assert isinstance(await running, Cancelled)
    assert await waiting == Cancelled(started=False)
    with pytest.raises(RuntimeStuck, match="closed"):
        worker.submit(lambda handle: None, after_ms(LATER_MS))


async def test_close_does_not_wait_for_a_stuck_job() -> None:
    worker, release = DeviceWorker("closing", grace_ms=30), threading.Event()
    running = worker.submit(blocking(release), after_ms(LATER_MS))
    await asyncio.sleep(0.01)
    await asyncio.wait_for(worker.close(), 5)
    assert isinstance(await running, Cancelled)
    release.set()


async def test_a_slow_handler_never_makes_the_queue_grow(device: DeviceWorker) -> None:
    """Ten jobs a slot: each either runs or expires at its deadline, and none waits longer."""

    def slow(handle: RunHandle) -> None:
        for _ in range(20):
            time.sleep(0.001)
            handle.check()

    began = time.monotonic()
    futures = [device.submit(slow, after_ms(50)) for _ in range(30)]
    outcomes = await asyncio.gather(*futures)
    assert time.monotonic() - began < 0.6
    stats = device.statistics()
    assert stats.waiting == 0
    assert stats.done + stats.cancelled + stats.expired == 30
    assert sum(isinstance(outcome, Cancelled) for outcome in outcomes) == stats.cancelled + stats.expired > 0


def test_a_handle_watches_the_clock_too() -> None:
    clock = FakeClock(1_000)
    handle = RunHandle(2_000, clock)
    handle.check()
    clock.now = 2_001
    with pytest.raises(JobCancelled):
        handle.check()


async def test_a_deadline_in_the_past_is_answered_at_once(device: DeviceWorker) -> None:
    assert await device.run(lambda handle: 1, after_ms(-1)) == Cancelled(started=False)
    assert device.statistics().expired == 1


def test_a_handle_cancelled_before_a_stage_refuses_it() -> None:
    handle, stopped = RunHandle(), []
    handle.stoppable(None)
    handle.cancel()
    assert handle.cancelled
    with pytest.raises(JobCancelled):
        handle.stoppable(lambda: stopped.append(1))
    with pytest.raises(JobCancelled):
        handle.check()
    assert stopped == []
