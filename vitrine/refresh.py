"""Reads the feed again on a schedule, so that prices and stock on cards are never old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from stream.clock import Clock
from stream.errors import EngineError

log = logging.getLogger(__name__)

RECHECK_NS: Final = 24 * 3600 * 1_000_000_000
"""Pictures whose address stayed the same are asked for again this often."""
_RETRY_NS: Final = 30 * 1_000_000_000
_REST_NS: Final = 1_000_000_000


class Refresher:
    """Runs an update at a fixed rate, sooner after a failure: 30 s, doubled up to the interval.

    Args:
        update: reads the feed; told whether to ask for unchanged pictures too.
        interval_ns: from the beginning of one update to that of the next.
        clock: of the engine.
        sleep: waits so many seconds.

    Attributes:
        failures: updates in a row that failed.
    """

    def __init__(
        self,
        update: Callable[[bool], Awaitable[None]],
        interval_ns: int,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.failures = 0
        self._update, self._interval_ns = update, interval_ns
        self._clock, self._sleep = clock, sleep

    async def run(self) -> None:
        """Until cancelled. A feed that cannot be read is logged; what is in the catalogue stays."""
        checked_ns = due_ns = self._clock.now_ns()
        due_ns += self._interval_ns
        while True:
            # However long an update takes, the engine gets a rest before the next.
            await self._sleep(max(due_ns - self._clock.now_ns(), _REST_NS) / 1e9)
            began_ns = self._clock.now_ns()
            recheck = began_ns - checked_ns >= RECHECK_NS
            try:
                await self._update(recheck)
            except (EngineError, OSError, ExceptionGroup) as error:
                wait_ns = min(self._interval_ns, _RETRY_NS << min(self.failures, 20))
                self.failures += 1
                log.warning(
                    "feed not refreshed",
                    extra={"reason": str(error), "failures": self.failures, "again_s": wait_ns // 10**9},
                )
            else:
                self.failures, wait_ns = 0, self._interval_ns
                checked_ns = began_ns if recheck else checked_ns
            due_ns = began_ns + wait_ns
