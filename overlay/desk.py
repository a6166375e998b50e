"""Answers taps: resolved at once, then the shop is asked under a deadline; every id is answered once."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from overlay.edge import GatewaySettings, OnTap
from overlay.messages import Tap, TapResult
from overlay.replica import OverlayReplica
from overlay.taps import Claim, TapLedger, TapOutcome, resolve
from stream.clock import Clock
from stream.errors import EngineError
from stream.types import StreamId

log = logging.getLogger(__name__)

_REMEMBERED = 50_000


class Asker(Protocol):
    """Who asked."""

    def answer(self, result: TapResult) -> None:
        """Here is the answer. May come after the connection is gone."""


class TapDesk:
    """The taps of all viewers of a gateway.

    Attributes:
        answered: taps worked out (repeated ids not counted).
        late: of those, answered from the show's own list because the shop missed the deadline or failed.
    """

    def __init__(self, clock: Clock, on_tap: OnTap, settings: GatewaySettings) -> None:
        self.answered = 0
        self.late = 0
        self._clock = clock
        self._on_tap = on_tap
        self._settings = settings
        self._ledger: TapLedger[Asker] = TapLedger(limit=_REMEMBERED)
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, stream: StreamId, viewer: str, tap: Tap, replica: OverlayReplica, asker: Asker) -> None:
        """Answer `asker`, now or later."""
        owner = f"{stream}/{viewer}"
        claim = self._ledger.claim(owner, tap.id, asker, self._clock.now_ns())
        if isinstance(claim, TapResult):
            asker.answer(claim)
        elif claim is Claim.NEW:
            outcome = resolve(tap, replica)
            if len(self._tasks) >= self._settings.taps_in_flight:
                self._settle(owner, outcome, None)
                return
            task = asyncio.get_running_loop().create_task(self._work_out(stream, viewer, outcome))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is not answered yet."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work_out(self, stream: StreamId, viewer: str, outcome: TapOutcome) -> None:
        result: TapResult | None = None
        try:
            async with asyncio.timeout(self._settings.tap_deadline_ms / 1000):
                result = await self._on_tap(stream, viewer, outcome)
        except (TimeoutError, EngineError) as error:
            log.warning("tap answered without the shop", extra={"stream": stream, "reason": repr(error)})
        except Exception:
            log.exception("tap answered without the shop", extra={"stream": stream})
        self._settle(f"{stream}/{viewer}", outcome, result)

    def _settle(self, owner: str, outcome: TapOutcome, result: TapResult | None) -> None:
        self.answered += 1
        if result is None:
            self.late += 1
            result = outcome.result("as of the show's list" if outcome.hit else "")
        for asker in self._ledger.settle(owner, outcome.tap.id, result):
            asker.answer(result)
